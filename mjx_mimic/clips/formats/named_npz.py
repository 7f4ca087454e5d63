"""Archives (`.npz`) that name their joints: Holosoma's clips, and joints with a base pose from IsaacLab.

Both have `joint_names` and `joint_pos`. Holosoma's `joint_pos` (T, 7 + J) begins with the root: m, quaternion
wxyz, then rad; an object may follow as an extra body. The other layout has `joint_pos` (T, J) rad, the root
in `base_pos_w` (T, 3) m and `base_quat_w` (T, 4) wxyz (or `root_pos_w`, `root_quat_w`), and its rate in
`framerate` or `fps`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import g1_name, numbers, scalar, texts
from mjx_mimic.common.errors import UserError

_FREE = 7  # columns of the root
_RATES = ("fps", "framerate", "frame_rate", "frequency")
_BASES = (("base_pos_w", "base_quat_w"), ("root_pos_w", "root_quat_w"), ("root_pos", "root_quat"))


def is_holosoma(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are Holosoma's."""
    if not {"joint_names", "joint_pos"} <= set(fields):
        return False
    shape, names = np.shape(fields["joint_pos"]), np.shape(fields["joint_names"])
    return len(shape) == 2 and len(names) == 1 and shape[1] >= _FREE + names[0]


def build_holosoma(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    names = [g1_name(name) for name in texts(fields, "joint_names", path)]
    table = numbers(fields, "joint_pos", (None, None), path)
    stored = "joint_vel" in fields and np.shape(fields["joint_vel"]) == (len(table), table.shape[1] - 1)
    velocities = numbers(fields, "joint_vel", (None, None), path)[:, _FREE - 1 :] if stored else None
    return RawClip(
        name=path.stem,
        fps=_rate(fields),
        root_pos=table[:, :3],
        root_quat=table[:, 3:_FREE],
        dof_pos=table[:, _FREE : _FREE + len(names)],
        joint_names=names,
        joint_vel=None if velocities is None else velocities[:, : len(names)],
    )


def is_with_base(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are joints with names and a base pose."""
    return {"joint_names", "joint_pos"} <= set(fields) and any(base[0] in fields for base in _BASES)


def build_with_base(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    names = [g1_name(name) for name in texts(fields, "joint_names", path)]
    position, quaternion = next((p, q) for p, q in _BASES if p in fields)
    if quaternion not in fields:
        raise UserError(f"{path}: field '{quaternion}' is missing beside '{position}'; export the clip again")
    return RawClip(
        name=path.stem,
        fps=_rate(fields),
        root_pos=numbers(fields, position, (None, 3), path),
        root_quat=numbers(fields, quaternion, (None, 4), path),
        dof_pos=numbers(fields, "joint_pos", (None, len(names)), path),
        joint_names=names,
    )


def _rate(fields: Mapping[str, Any]) -> Any:
    return next((scalar(fields[name]) for name in _RATES if name in fields), None)


HOLOSOMA = Format(
    key="holosoma",
    name="Holosoma .npz",
    container="archive",
    terms=Terms("joint_pos", "joint_pos", "joint_pos", velocities="joint_vel"),
    fields=("fps", "joint_names", "joint_pos"),
    matches=is_holosoma,
    build=build_holosoma,
)
WITH_BASE = Format(
    key="base-pose",
    name="base pose .npz",
    container="archive",
    terms=Terms("base_pos_w", "base_quat_w", "joint_pos"),
    fields=("framerate", "joint_names", "joint_pos", "base_pos_w", "base_quat_w"),
    matches=is_with_base,
    build=build_with_base,
)
