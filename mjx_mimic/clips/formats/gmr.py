"""GMR's retargeted clips (`.pkl`, https://github.com/YanjieZe/GMR, `scripts/*_to_robot*.py`).

A pickled dict of `fps`, `root_pos` (T, 3) m, `root_rot` (T, 4) **xyzw**, `dof_pos` (T, 29) rad in the order
of `G1_JOINTS` (or (T, 23) of the G1 with 23 joints), and sometimes `local_body_pos` (T, B, 3) m, the bodies'
origins in the pelvis' frame, with their names in `link_body_list`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import angles, numbers, require, scalar, texts
from mjx_mimic.clips.sanity import LINK_TOLERANCE, link_positions, links
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

_FRAMES = 20  # frames whose bodies are compared


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "root_rot" in fields or "dof_pos" in fields


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the 29-joint G1, or its body positions are not those of its angles.
    """
    require(fields, ("root_pos", "root_rot", "dof_pos"), "GMR", path)
    dof_pos, joint_names = angles(fields, "dof_pos", path)
    stored = fields.get("local_body_pos") is not None and fields.get("link_body_list") is not None
    if stored and joint_names == G1_JOINTS:
        _check_bodies(dof_pos, fields, path)
    return RawClip(
        name=path.stem,
        fps=scalar(fields.get("fps")),
        root_pos=numbers(fields, "root_pos", (None, 3), path),
        root_quat=np.roll(numbers(fields, "root_rot", (None, 4), path), 1, axis=1),
        dof_pos=dof_pos,
        joint_names=joint_names,
    )


def _check_bodies(dof_pos: NDArray, fields: Mapping[str, Any], path: Path) -> None:
    """Raise UserError if the angles (T, 29) do not put the bodies where the file has them."""
    names = texts(fields, "link_body_list", path)
    stored = numbers(fields, "local_body_pos", (len(dof_pos), len(names), 3), path)
    known = [name for name in links() if name in names]
    if not known:
        return
    finite = np.flatnonzero(np.isfinite(dof_pos).all(axis=1) & np.isfinite(stored).all(axis=(1, 2)))
    if not len(finite):
        return
    frames = finite[np.unique(np.linspace(0, len(finite) - 1, _FRAMES).astype(int))]
    origin = np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(frames), 1))
    computed = link_positions(np.concatenate([origin, dof_pos[frames]], axis=1))
    computed = computed[:, [links().index(name) for name in known]]
    stored = stored[np.ix_(frames, [names.index(name) for name in known])]
    away = np.linalg.norm(computed - stored, axis=-1).mean()
    if away > LINK_TOLERANCE:
        raise UserError(
            f"{path}: local_body_pos is {away:.2g} m, on average, from where dof_pos puts the bodies; write"
            " the joints in Unitree's order, in radians"
        )


FORMAT = Format(
    key="gmr",
    name="GMR .pkl",
    container="pickle",
    terms=Terms("root_pos", "root_rot", "dof_pos"),
    fields=("fps", "root_pos", "root_rot", "dof_pos"),
    matches=matches,
    build=build,
)
