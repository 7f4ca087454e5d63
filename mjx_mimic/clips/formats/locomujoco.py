"""LocoMuJoCo's trajectories (`.npz`, https://github.com/robfiras/loco-mujoco, `trajectory/dataclasses.py`).

Arrays `qpos` (N, 36) and `qvel` (N, 35) as MuJoCo has them (free joint: m, **wxyz**; hinges: rad), the names
of their joints in `joint_names` (else they are `G1_JOINTS`), `frequency` (frames/s), and `split_points`: the
first frame of each trajectory, and the end of the last. More fields are left alone; some are pickled objects.

Files without names may hold an object's free joint after the G1's, (N, 43), and may have the quaternion
before the position, as OmniRetarget's do.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import RATES, are_unit, first_shape, joint_names, numbers, rate
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
    stored = joint_names(fields, path)
    names = stored or list(G1_JOINTS)
    if names[0] not in G1_JOINTS:  # the free joint, whatever it is called
        names = names[1:]
    hinges = _FREE + len(names)
    has_object = not stored and first_shape(fields["qpos"])[1:] == (hinges + _FREE,)
    qpos = numbers(fields, "qpos", (None, hinges + _FREE * has_object), path)[:, :hinges]
    velocities = (len(qpos), hinges - 1 + (_FREE - 1) * has_object)
    qvel = numbers(fields, "qvel", velocities, path) if "qvel" in fields else None
    turn_first = not stored and are_unit(qpos[:, :4]) and not are_unit(qpos[:, 3:_FREE])
    place, turn = (slice(4, _FREE), slice(4)) if turn_first else (slice(3), slice(3, _FREE))
    return RawClip(
        name=path.stem,
        fps=rate(fields, path),
        root_pos=qpos[:, place],
        root_quat=qpos[:, turn],
        dof_pos=qpos[:, _FREE:],
        joint_names=names,
        joint_vel=None if qvel is None else qvel[:, _FREE - 1 : hinges - 1],
        note="qpos has the root's quaternion before its position" if turn_first else "",
    )


def split(fields: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Cut the frames of the file `path` into its trajectories, "1", "2", ...

    Raises:
        UserError: `split_points` are not frames of it, in order.
    """
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
    kept = {name: fields[name] for name in ("joint_names", *RATES) if name in fields}
    return {
        str(number): kept | {name: table[first:last] for name, table in tables.items()}
        for number, (first, last) in enumerate(itertools.pairwise(ends), 1)
    }


FORMAT = Format(
    key="locomujoco",
    name="LocoMuJoCo .npz",
    container="fields",
    terms=Terms("qpos", "qpos", "qpos", velocities="qvel"),
    fields=("qpos", "joint_names", "frequency", "split_points"),
    matches=matches,
    build=build,
    split=split,
)
