"""Clips of PHC's `motion_lib` (`.pkl`), as PBHC, ASAP, GR00T-WBC and others have them for the G1.

A pickled dict of `root_trans_offset` (T, 3) m, `root_rot` (T, 4) **xyzw**, `dof` (T, 29) rad in the order of
`G1_JOINTS` (or (T, 23) of the G1 with 23 joints) and `fps`; or a dict of such dicts by the clips' names. More
fields (`pose_aa`, `smpl_joints`, ...) are left alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import angles, numbers, require, scalar

_FIELDS = ("root_trans_offset", "root_rot", "dof")


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return _is_clip(fields) or any(isinstance(value, dict) and _is_clip(value) for value in fields.values())


def _is_clip(fields: Mapping[str, Any]) -> bool:
    return "root_trans_offset" in fields or "dof" in fields


def split(fields: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the fields of each clip in the file `path` by its name; a flat file has one."""
    if _is_clip(fields):
        return {path.stem: fields}
    return {name: value for name, value in fields.items() if isinstance(value, dict) and _is_clip(value)}


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of one clip in the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    require(fields, _FIELDS, "motion_lib", path)
    dof_pos, joint_names = angles(fields, "dof", path)
    return RawClip(
        name=path.stem,
        fps=scalar(fields.get("fps")),
        root_pos=numbers(fields, "root_trans_offset", (None, 3), path),
        root_quat=np.roll(numbers(fields, "root_rot", (None, 4), path), 1, axis=1),
        dof_pos=dof_pos,
        joint_names=joint_names,
    )


FORMAT = Format(
    key="motion_lib",
    name="motion_lib .pkl",
    container="pickle",
    terms=Terms("root_trans_offset", "root_rot", "dof"),
    fields=("fps", *_FIELDS),
    matches=matches,
    build=build,
    split=split,
)
