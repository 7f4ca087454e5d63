"""Joints with a base pose (`.npz`), as users of IsaacLab exchange them.

`joint_pos` (T, J) rad, the joints' names in `joint_names`, the root in `base_pos_w` (T, 3) m and
`base_quat_w` (T, 4) wxyz, and the rate in `framerate`; all of them go by other names too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mjx_mimic.clips.formats.fields import first_of
from mjx_mimic.clips.formats.posed import Posed

_PLACES = ("base_pos_w", "base_pos", "root_pos_w", "root_pos", "base_position", "root_position")
_TURNS = ("base_quat_w", "base_quat", "root_quat_w", "root_quat", "base_orientation", "root_orientation")
_JOINTS = ("joint_pos", "dof_pos", "joint_positions", "dof_positions", "joint_angles")
_LAYOUT = Posed("base-pose", "base pose .npz", _PLACES, _TURNS, _JOINTS, xyzw=False)


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    has_joints, has_root = (first_of(fields, names) is not None for names in (_JOINTS, (*_PLACES, *_TURNS)))
    return (
        has_joints
        and has_root
        and "root_rot" not in fields
        and ("joint_names" in fields or first_of(fields, _TURNS) is not None)
    )


FORMAT = _LAYOUT.format(matches)
