"""Clips of motion-tracking environments (`.npz`): BeyondMimic's and mjlab's, `csv_to_npz.py` of both.

Arrays `fps` (1,), `joint_pos` and `joint_vel` (T, 29) rad and rad/s, `body_pos_w` (T, 30, 3) m, `body_quat_w`
(T, 30, 4) wxyz, `body_lin_vel_w` and `body_ang_vel_w`, in the world. Body 0 is the pelvis. No names:
BeyondMimic (IsaacLab) has joints and bodies breadth-first, mjlab (MuJoCo) depth-first; IsaacLab 3 has the
quaternions xyzw. The order has to be found out: only in the right one do the angles put the bodies where the
file has them. Files with some of the bodies (the 14 that are tracked, for one) are read too, if the pelvis is
the first. Where a file has `joint_names` all the same, these are the order of the joints, and only that of
the bodies is found out.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import distances, joint_names, numbers, rate, require
from mjx_mimic.clips.sanity import (
    LINK_TOLERANCE,
    breadth_first_joints,
    check_metres,
    link_positions,
)
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

FIELDS = ("fps", "joint_pos", "joint_vel", "body_pos_w", "body_quat_w")

Order = Literal["breadth-first", "depth-first", "named"]
Columns = Mapping[Order, NDArray[np.intp]]
"""Column in a file of each joint of `G1_JOINTS` (29,), by the order that the file may have."""
Errors = dict[tuple[Order, Order], float]
"""Mean distance, m, of stored from computed bodies, by the order of joints and of bodies."""

_MARKS = {"joint_pos", "body_pos_w"}
_BODIES = len(G1_JOINTS) + 1
_FRAMES = 20  # frames whose bodies are compared


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell by name whether the fields of the file `path` are of this format."""
    return set(fields) >= _MARKS


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: the fields hold no clip.
    """
    found, xyzw = order(fields, path)
    columns = _columns(fields, path)[found]
    joints = numbers(fields, "joint_pos", (None, len(G1_JOINTS)), path)
    velocities = numbers(fields, "joint_vel", joints.shape, path) if "joint_vel" in fields else None
    root_quat = numbers(fields, "body_quat_w", (None, None, 4), path)[:, 0]
    return RawClip(
        name=path.stem,
        fps=rate(fields, path),
        root_pos=numbers(fields, "body_pos_w", (None, None, 3), path)[:, 0],
        root_quat=np.roll(root_quat, 1, axis=1) if xyzw else root_quat,
        dof_pos=joints[:, columns],
        joint_names=G1_JOINTS,
        joint_vel=None if velocities is None else velocities[:, columns],
        note="body_quat_w is xyzw, by where the bodies are" if xyzw else "",
    )


def order(fields: Mapping[str, Any], path: Path) -> tuple[Order, bool]:
    """Find the order of the joints in a file, which is that of its bodies too unless the joints have names.

    Returns:
        The order, and whether the quaternions are xyzw.

    Raises:
        UserError: the arrays are not those of the 29-joint G1, no order fits, or a different one for each.
    """
    require(fields, ("joint_pos", "body_pos_w", "body_quat_w"), "BeyondMimic or mjlab", path)
    columns = _columns(fields, path)
    joints = numbers(fields, "joint_pos", (None, len(G1_JOINTS)), path)
    bodies = numbers(fields, "body_pos_w", (len(joints), None, 3), path)
    quaternion = numbers(fields, "body_quat_w", (len(joints), bodies.shape[1], 4), path)
    if not bodies.shape[1]:
        raise UserError(f"{path}: body_pos_w has no body; export the clip with its bodies, the pelvis first")
    check_metres(bodies[:, 0], "body_pos_w", path)
    finite = np.isfinite(joints).all(axis=1)
    finite &= np.isfinite(bodies).all(axis=(1, 2)) & np.isfinite(quaternion[:, 0]).all(axis=1)
    whole = np.flatnonzero(finite)
    if not len(whole):
        raise UserError(
            f"{path}: joint_pos, body_pos_w or body_quat_w is NaN in every frame; export it again"
        )
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, _FRAMES).astype(int))]
    joints, bodies, quaternion = joints[chosen], bodies[chosen], quaternion[chosen, 0]

    compare = functools.partial(
        _errors if bodies.shape[1] == _BODIES else _errors_of_some, columns, joints, bodies
    )
    errors, xyzw = compare(quaternion), False
    if min(errors.values()) > LINK_TOLERANCE:
        if np.abs(joints).max() > 2.0 * np.pi:
            raise UserError(f"{path}: joint_pos: goes over a turn, which looks like degrees; give radians")
        swapped = compare(np.roll(quaternion, 1, axis=1))
        xyzw = min(swapped.values()) < LINK_TOLERANCE
        errors = swapped if xyzw else errors
    # The pelvis alone tells of no order; `validate` doubts the one that is read if it looks wrong.
    best = min(errors, key=lambda pair: (errors[pair], pair[0] == "breadth-first"))
    if errors[best] > LINK_TOLERANCE:
        found = ", ".join(f"{error:.2g} m with {a} joints and {b} bodies" for (a, b), error in errors.items())
        raise UserError(
            f"{path}: body_pos_w is not where joint_pos puts the bodies of the G1, in no known order, but on"
            f" average {found} away; export joints and bodies as IsaacLab or MuJoCo orders them, the pelvis"
            " first"
        )
    if best[0] != best[1] and best[0] != "named":
        raise UserError(
            f"{path}: joint_pos is {best[0]} but body_pos_w {best[1]} ({errors[best]:.2g} m away); export"
            " both breadth-first (BeyondMimic) or both depth-first (mjlab)"
        )
    return best[0], xyzw


def _unnamed() -> Columns:
    """List the orders in which what has no names may be."""
    return {"breadth-first": np.argsort(breadth_first_joints()), "depth-first": np.arange(len(G1_JOINTS))}


def _columns(fields: Mapping[str, Any], path: Path) -> Columns:
    """List the orders in which the joints of a file may be: that of their names, if it has some.

    Raises:
        UserError: these are not the names of the G1's joints.
    """
    names = joint_names(fields, path)
    if not names:
        return _unnamed()
    names = names[-len(G1_JOINTS) :]  # the root's may come first
    if sorted(names) != sorted(G1_JOINTS):
        raise UserError(
            f"{path}: joint_names are not those of the 29 joints of the G1; name each column of joint_pos"
            " once, or leave joint_names out"
        )
    return {"named": np.array([names.index(name) for name in G1_JOINTS])}


def _errors(columns: Columns, joints: NDArray, bodies: NDArray, quaternion: NDArray) -> Errors:
    """Compute how far the bodies are from where the joints put them in each order.

    Args:
        columns: of the joints, by the orders that they may have.
        joints: (N, 29) rad.
        bodies: (N, 30, 3) m.
        quaternion: (N, 4) wxyz of the pelvis.
    """
    errors: Errors = {}
    for joint_order, of_joints in columns.items():
        qpos = np.concatenate([bodies[:, 0], quaternion, joints[:, of_joints]], axis=1)
        computed = link_positions(qpos)
        for body_order, of_bodies in _unnamed().items():
            # One hinge per body: the bodies without the pelvis come as joints without names do.
            stored = bodies[:, np.concatenate([[0], 1 + of_bodies])]
            errors[joint_order, body_order] = float(distances(computed, stored).mean())
    return errors


def _errors_of_some(columns: Columns, joints: NDArray, bodies: NDArray, quaternion: NDArray) -> Errors:
    """Compute what `_errors` does for some bodies (N, B, 3), the pelvis first, of which no name is known.

    Each is held against the link that is nearest to it on average.
    """
    errors: Errors = {}
    for joint_order, of_joints in columns.items():
        qpos = np.concatenate([bodies[:, 0], quaternion, joints[:, of_joints]], axis=1)
        away = distances(link_positions(qpos)[:, None], bodies[:, :, None]).mean(axis=0)
        errors[joint_order, joint_order] = float(away.min(axis=1).max())
    return errors


FORMAT = Format(
    key="beyondmimic",
    name="BeyondMimic or mjlab .npz",
    container="fields",
    terms=Terms("body_pos_w", "body_quat_w", "joint_pos", velocities="joint_vel"),
    fields=FIELDS,
    matches=matches,
    build=build,
)
