"""Holosoma's clips (`.npz`): the root stands before the joints, whose names are stored.

`joint_pos` (T, 7 + J): root position m, quaternion wxyz, then rad as in `joint_names`; an object may follow
as an extra body. `joint_vel` (T, 6 + J) likewise, and `fps`.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import first_shape, joint_names, numbers, rate
from mjx_mimic.robot.constants import G1_JOINTS

_FREE = 7  # columns of the root


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    if not {"joint_names", "joint_pos"} <= set(fields):
        return False
    shape, hinges = first_shape(fields["joint_pos"]), _hinges(fields, path)
    return len(hinges) > 0 and len(shape) == 2 and shape[1] >= _FREE + len(hinges)


def _hinges(fields: Mapping[str, Any], path: Path) -> list[str]:
    """Read the joints' names without those of the root, which may come first."""
    return list(itertools.dropwhile(lambda name: name not in G1_JOINTS, joint_names(fields, path) or ()))


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    names = _hinges(fields, path)
    table = numbers(fields, "joint_pos", (None, None), path)
    stored = first_shape(fields.get("joint_vel")) == (len(table), table.shape[1] - 1)
    velocities = numbers(fields, "joint_vel", (None, None), path)[:, _FREE - 1 :] if stored else None
    return RawClip(
        name=path.stem,
        fps=rate(fields, path),
        root_pos=table[:, :3],
        root_quat=table[:, 3:_FREE],
        dof_pos=table[:, _FREE : _FREE + len(names)],
        joint_names=names,
        joint_vel=None if velocities is None else velocities[:, : len(names)],
    )


FORMAT = Format(
    key="holosoma",
    name="Holosoma .npz",
    container="fields",
    terms=Terms("joint_pos", "joint_pos", "joint_pos", velocities="joint_vel"),
    fields=("fps", "joint_names", "joint_pos"),
    matches=matches,
    build=build,
)
