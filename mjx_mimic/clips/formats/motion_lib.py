"""Clips of PHC's `motion_lib` (`.pkl`), as PBHC, ASAP, GR00T-WBC and others have them for the G1.

A pickled dict of `root_trans_offset` (T, 3) m, `root_rot` (T, 4) **xyzw**, `dof` (T, 29) rad in the order of
`G1_JOINTS` and `fps`; or a dict of such dicts by the clips' names. ASAP and PBHC have (T, 23) without the
wrists, others Unitree's 23; `pose_aa` (T, 1 + 23 or more, 3), the root's rotation and then each joint's angle
times its axis, shows which. More fields (`smpl_joints`, ...) are left alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import RawClip
from mjx_mimic.clips.formats.fields import FEW_JOINTS, G1_23_JOINTS, first_shape, numbers
from mjx_mimic.clips.formats.posed import Posed
from mjx_mimic.robot.mjcf import plain_g1

_ROUNDING = 1e-4  # rad, of what is stored as float32


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "root_trans_offset" in fields or "dof" in fields


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`; raises UserError if they hold none."""
    raw = _LAYOUT.build(fields, path)
    frames, *sizes = first_shape(fields.get("pose_aa")) or (0,)
    if (
        raw.joint_names
        or frames != len(raw.dof_pos)
        or len(sizes) != 2
        or sizes[0] <= FEW_JOINTS
        or sizes[1] != 3
    ):
        return raw
    turns = numbers(fields, "pose_aa", (frames, None, 3), path)[:, 1 : 1 + FEW_JOINTS]
    whole = np.isfinite(raw.dof_pos).all(axis=1) & np.isfinite(turns).all(axis=(1, 2))
    angles = raw.dof_pos[whole, :, None]
    fits = [
        names
        for names in G1_23_JOINTS.values()
        if np.allclose(turns[whole], angles * _axes(names), rtol=0.0, atol=_ROUNDING)
    ]
    return replace(raw, joint_names=fits[0]) if len(fits) == 1 else raw


def _axes(names: tuple[str, ...]) -> np.ndarray:
    """Return the axes (J, 3) of hinges."""
    model = plain_g1()
    return model.jnt_axis[[model.joint(name).id for name in names]]


_LAYOUT = Posed(
    key="motion_lib",
    name="motion_lib .pkl",
    position=("root_trans_offset", "root_trans", "root_pos"),
    rotation=("root_rot",),
    joints=("dof", "dof_pos"),
    xyzw=True,
)
FORMAT = _LAYOUT.format(matches, build)
