"""Clips of PHC's `motion_lib` (`.pkl`), as PBHC, ASAP, GR00T-WBC and others have them for the G1.

A pickled dict of `root_trans_offset` (T, 3) m, `root_rot` (T, 4) **xyzw**, `dof` (T, 29) rad in the order of
`G1_JOINTS` (or (T, 23) of the G1 with 23 joints) and `fps`; or a dict of such dicts by the clips' names. More
fields (`pose_aa`, `smpl_joints`, ...) are left alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mjx_mimic.clips.formats.posed import Posed


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "root_trans_offset" in fields or "dof" in fields


FORMAT = Posed(
    key="motion_lib",
    name="motion_lib .pkl",
    position=("root_trans_offset", "root_trans", "root_pos"),
    rotation=("root_rot",),
    joints=("dof", "dof_pos"),
    xyzw=True,
).format(matches)
