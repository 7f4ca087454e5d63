"""LocoMuJoCo's trajectories (`.npz`, https://github.com/robfiras/loco-mujoco, `trajectory/dataclasses.py`).

Arrays `qpos` (N, 36) and `qvel` (N, 35) as MuJoCo has them (free joint: m, **wxyz**; hinges: rad), the names
of their joints in `joint_names`, `frequency` (frames/s), and `split_points`: the first frame of each
trajectory, and the end of the last. More fields are left alone; some are pickled objects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format
from mjx_mimic.clips.formats.fields import g1_name, numbers, require, scalar
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.clips.sanity import Terms, check_rate
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

_FREE, _WIDTH = 7, 7 + len(G1_JOINTS)  # columns of the free joint, which comes first, and of all


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "qpos" in fields


def build(fields: Mapping[str, Any], path: Path) -> Motion:
    """Build the clip that the `fields` of the file `path` hold, named after the file.

    Raises:
        UserError: it is not a clip of the 29-joint G1, or holds several trajectories.
    """
    require(fields, ("qpos", "joint_names", "frequency"), "LocoMuJoCo", path)
    names = np.asarray(fields["joint_names"]).tolist()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: joint_names is not a list of text; give the name of each joint in qpos")
    names = [g1_name(name) for name in names]
    if names and names[0] not in G1_JOINTS:  # the free joint, whatever it is called
        names = names[1:]
    qpos = numbers(fields, "qpos", (None, _FREE + len(names)), path)
    _check_single(fields, len(qpos), path)
    motion = make_motion(
        name=path.stem,
        fps=scalar(fields["frequency"]),
        root_pos=qpos[:, :3],
        root_quat=qpos[:, 3:_FREE],
        dof_pos=qpos[:, _FREE:],
        joint_names=names,
        loop="clamp",
        source=path,
    )
    if "qvel" in fields:
        qvel = numbers(fields, "qvel", (len(qpos), _WIDTH - 1), path)
        check_rate(qpos[:, _FREE:], qvel[:, _FREE - 1 :], motion.fps, "qvel", path)
    return motion


def _check_single(fields: Mapping[str, Any], frames: int, path: Path) -> None:
    """Raise UserError if the file holds several trajectories: played as one, they would jump at each seam."""
    if "split_points" not in fields:
        return
    points = numbers(fields, "split_points", (None,), path)
    if len(points) > 2:
        raise UserError(
            f"{path}: split_points lists {len(points) - 1} trajectories; save each in a file of its own"
        )
    if points.tolist() not in ([], [0.0, float(frames)]):
        raise UserError(
            f"{path}: split_points is {points.tolist()}, but qpos has {frames} frames; export the clip again"
        )


FORMAT = Format(
    key="locomujoco",
    name="LocoMuJoCo .npz",
    container="archive",
    terms=Terms("qpos", "qpos", "qpos", order="wxyz", named=True),
    matches=matches,
    build=build,
)
