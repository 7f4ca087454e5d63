"""Clips of motion-tracking environments (`.npz`): BeyondMimic's and mjlab's, `csv_to_npz.py` of both.

Arrays `fps` (1,), `joint_pos` and `joint_vel` (T, 29) rad and rad/s, `body_pos_w` (T, 30, 3) m, `body_quat_w`
(T, 30, 4) wxyz, `body_lin_vel_w` and `body_ang_vel_w`, in the world. Body 0 is the pelvis. No names:
BeyondMimic (IsaacLab) has joints and bodies breadth-first, mjlab (MuJoCo) depth-first. The order has to be
found out: only in the right one do the angles put the bodies where the file has them.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format
from mjx_mimic.clips.formats.fields import numbers, require, scalar
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.clips.sanity import (
    LINK_TOLERANCE,
    Terms,
    breadth_first_joints,
    check_metres,
    check_radians,
    check_rate,
    link_positions,
)
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

FIELDS = ("fps", "joint_pos", "joint_vel", "body_pos_w", "body_quat_w")

Order = Literal["breadth-first", "depth-first"]

_MARKS = {"joint_pos", "body_pos_w"}
_BODIES = len(G1_JOINTS) + 1
_FRAMES = 20  # frames whose bodies are compared


def is_beyondmimic(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are BeyondMimic's; UserError if they only resemble them."""
    return is_either(fields, path) and order(fields, path) == "breadth-first"


def is_either(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell by name whether the fields of the file `path` are BeyondMimic's or mjlab's."""
    return set(fields) >= _MARKS


def order(fields: Mapping[str, Any], path: Path) -> Order:
    """Find the order of joints and bodies in a file.

    Raises:
        UserError: the arrays are not those of the 29-joint G1, no order fits, or a different one for each.
    """
    require(fields, FIELDS, "BeyondMimic or mjlab", path)
    joints = numbers(fields, "joint_pos", (None, len(G1_JOINTS)), path)
    count = len(joints)
    bodies = numbers(fields, "body_pos_w", (count, _BODIES, 3), path)
    quaternion = numbers(fields, "body_quat_w", (count, _BODIES, 4), path)[:, 0]
    check_metres(bodies[:, 0], "body_pos_w", path)
    if np.abs(joints).max(initial=0.0) > 2.0 * np.pi:
        check_radians(joints, "joint_pos", path)

    chosen = np.unique(np.linspace(0, count - 1, _FRAMES).astype(int))
    errors = _errors(joints[chosen], bodies[chosen], quaternion[chosen])
    best = min(errors, key=lambda pair: errors[pair])
    if errors[best] > LINK_TOLERANCE:
        swapped = _errors(joints[chosen], bodies[chosen], np.roll(quaternion[chosen], 1, axis=1))
        if min(swapped.values()) < LINK_TOLERANCE:
            raise UserError(f"{path}: body_quat_w holds quaternions xyzw; write wxyz")
        found = ", ".join(f"{error:.2g} m with {a} joints and {b} bodies" for (a, b), error in errors.items())
        raise UserError(
            f"{path}: body_pos_w is not where joint_pos puts the bodies of the G1, in no known order, but on"
            f" average {found} away; export joints and bodies as IsaacLab or MuJoCo orders them"
        )
    if best[0] != best[1]:
        raise UserError(
            f"{path}: joint_pos is {best[0]} but body_pos_w {best[1]} ({errors[best]:.2g} m away); export"
            " both breadth-first (BeyondMimic) or both depth-first (mjlab)"
        )
    return best[0]


def build(order: Order, fields: Mapping[str, Any], path: Path) -> Motion:
    """Build the clip that the `fields` of the file `path` hold in that order, named after the file.

    Raises:
        UserError: the fields hold no clip, or their velocities belong to another frame rate.
    """
    joints = numbers(fields, "joint_pos", (None, len(G1_JOINTS)), path)
    motion = make_motion(
        name=path.stem,
        fps=scalar(fields["fps"]),
        root_pos=numbers(fields, "body_pos_w", (None, _BODIES, 3), path)[:, 0],
        root_quat=numbers(fields, "body_quat_w", (None, _BODIES, 4), path)[:, 0],
        dof_pos=joints[:, _columns(order)],
        joint_names=G1_JOINTS,
        loop="clamp",
        source=path,
    )
    velocities = numbers(fields, "joint_vel", joints.shape, path)
    check_rate(joints, velocities, motion.fps, "joint_vel", path)
    return motion


def _columns(order: Order) -> NDArray[np.intp]:
    """Column in a file of that order of each joint of `G1_JOINTS` (29,)."""
    if order == "depth-first":
        return np.arange(len(G1_JOINTS))
    return np.argsort(breadth_first_joints())


def _errors(joints: NDArray, bodies: NDArray, quaternion: NDArray) -> dict[tuple[Order, Order], float]:
    """Compute the mean distance, m, of stored from computed bodies, by the order of joints and of bodies.

    Args:
        joints: (N, 29) rad.
        bodies: (N, 30, 3) m.
        quaternion: (N, 4) wxyz of the pelvis.
    """
    orders: tuple[Order, Order] = ("breadth-first", "depth-first")
    errors = {}
    for joint_order in orders:
        qpos = np.concatenate([bodies[:, 0], quaternion, joints[:, _columns(joint_order)]], axis=1)
        computed = link_positions(qpos)
        for body_order in orders:
            # One hinge per body: the bodies without the pelvis come as the joints do.
            stored = bodies[:, np.concatenate([[0], 1 + _columns(body_order)])]
            errors[joint_order, body_order] = float(np.linalg.norm(computed - stored, axis=-1).mean())
    return errors


_TERMS = Terms("body_pos_w", "body_quat_w", "joint_pos", order="wxyz", named=True)  # named: by the bodies

BEYONDMIMIC = Format(
    key="beyondmimic",
    name="BeyondMimic .npz (breadth-first)",
    container="archive",
    terms=_TERMS,
    matches=is_beyondmimic,
    build=functools.partial(build, "breadth-first"),
)
MJLAB = Format(
    key="mjlab",
    name="mjlab .npz (depth-first)",
    container="archive",
    terms=_TERMS,
    matches=is_either,  # asked after BEYONDMIMIC, which refuses files in neither order
    build=functools.partial(build, "depth-first"),
)
