"""GMR's retargeted clips (`.pkl`, https://github.com/YanjieZe/GMR, `scripts/*_to_robot*.py`).

A pickled dict of `fps`, `root_pos` (T, 3) m, `root_rot` (T, 4) **xyzw**, `dof_pos` (T, 29) rad in the order
of `G1_JOINTS`, and sometimes `local_body_pos` (T, B, 3) m, the bodies' origins in the pelvis' frame, with
their names in `link_body_list`. TWIST and GMT have (T, 23) without the wrists, others Unitree's 23; the
bodies show which.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import RawClip
from mjx_mimic.clips.formats.bodies import check_bodies, joints_by_bodies
from mjx_mimic.clips.formats.fields import numbers, texts
from mjx_mimic.clips.formats.posed import Posed

_LAYOUT = Posed("gmr", "GMR .pkl", ("root_pos",), ("root_rot",), ("dof_pos",), xyzw=True)


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "root_rot" in fields or "dof_pos" in fields


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1, or its body positions are not those of its angles.
    """
    raw = _LAYOUT.build(fields, path)
    if fields.get("local_body_pos") is not None and fields.get("link_body_list") is not None:
        names = texts(fields, "link_body_list", path)
        stored = numbers(fields, "local_body_pos", (len(raw.dof_pos), len(names), 3), path)
        at_pelvis = np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(stored), 1))
        if not raw.joint_names:
            return replace(raw, joint_names=joints_by_bodies(raw, at_pelvis, names, stored))
        check_bodies(raw, at_pelvis, names, stored, "local_body_pos", path)
    return raw


FORMAT = _LAYOUT.format(matches, build)
