"""LocoMuJoCo's trajectories (`.npz`, https://github.com/robfiras/loco-mujoco, `trajectory/dataclasses.py`).

Arrays `qpos` (N, 36) and `qvel` (N, 35) as MuJoCo has them (free joint: m, **wxyz**; hinges: rad), the names
of their joints in `joint_names`, `frequency` (frames/s), and `split_points`: the first frame of each
trajectory, and the end of the last. More fields are left alone; some are pickled objects.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import g1_name, numbers, require, scalar, texts
from mjx_mimic.common.errors import UserError, bare
from mjx_mimic.robot.constants import G1_JOINTS

_FREE = 7  # columns of the free joint, which comes first


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "qpos" in fields


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    names = [g1_name(name) for name in texts(fields, "joint_names", path)]
    if names and names[0] not in G1_JOINTS:  # the free joint, whatever it is called
        names = names[1:]
    qpos = numbers(fields, "qpos", (None, _FREE + len(names)), path)
    qvel = numbers(fields, "qvel", (len(qpos), _FREE - 1 + len(names)), path) if "qvel" in fields else None
    return RawClip(
        name=path.stem,
        fps=scalar(fields.get("frequency")),
        root_pos=qpos[:, :3],
        root_quat=qpos[:, 3:_FREE],
        dof_pos=qpos[:, _FREE:],
        joint_names=names,
        joint_vel=None if qvel is None else qvel[:, _FREE - 1 :],
    )


def split(fields: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Cut the frames of the file `path` into its trajectories, "1", "2", ...

    Raises:
        UserError: `split_points` are not frames of it, in order.
    """
    require(fields, ("qpos", "joint_names"), "LocoMuJoCo", path)
    if "split_points" not in fields:
        return {"1": fields}
    frames = len(numbers(fields, "qpos", (None, None), path))
    points = numbers(fields, "split_points", (None,), path)
    if not len(points):
        return {"1": fields}
    if points[0] != 0 or points[-1] != frames or np.any(np.diff(points) < 1):
        raise UserError(
            f"{path}: split_points is {bare(points.tolist())}, but qpos has {frames} frames; export the clip"
            " again"
        )
    ends = points.astype(int).tolist()
    stored = [name for name in ("qpos", "qvel") if name in fields]
    tables = {name: numbers(fields, name, (frames, None), path) for name in stored}
    kept = {name: fields[name] for name in ("joint_names", "frequency") if name in fields}
    return {
        str(number): kept | {name: table[first:last] for name, table in tables.items()}
        for number, (first, last) in enumerate(itertools.pairwise(ends), 1)
    }


FORMAT = Format(
    key="locomujoco",
    name="LocoMuJoCo .npz",
    container="archive",
    terms=Terms("qpos", "qpos", "qpos", velocities="qvel"),
    fields=("qpos", "joint_names", "frequency", "split_points"),
    matches=matches,
    build=build,
    split=split,
)
