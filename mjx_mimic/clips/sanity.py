"""What makes a well-formed file no clip: another unit, or a rate that contradicts its velocities.

Only what is wrong all along is refused here. What may be right (a joint beyond its limit for a moment, frames
that repeat, an order that looks odd) is read, and `validation` reports it.
"""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import remedy_for_frames
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import beyond_limits, forward_kinematics
from mjx_mimic.robot.mjcf import joint_ranges, plain_g1

Array = NDArray[np.float64]

LINK_TOLERANCE = 0.05
"""Mean distance, m, above which a file's bodies are not where its angles put them."""

FARTHEST = 1e4
"""Distance, m, from the origin that no coordinate of a clip exceeds."""
TURN = 2.0 * np.pi
_MOST_TURNS = 2
_HIGHEST = 4.0  # m; no clip keeps the pelvis above this
_MILLIMETRES = 200.0  # a pelvis above this many "metres" was in millimetres, a lower one in centimetres
_DEGREES = 1.0  # rad beyond a limit, in most frames


def check_metres(root_pos: NDArray, field: str, source: str | Path) -> None:
    """Raise UserError if the pelvis' position `root_pos` (T, 3) cannot be in metres; NaN is left aside."""
    height = float(np.nanmedian(root_pos[:, 2])) if np.isfinite(root_pos[:, 2]).any() else 0.0
    if height > _HIGHEST:
        unit = "millimetres" if height > _MILLIMETRES else "centimetres"
        raise UserError(
            f"{source}: {field} has the pelvis {height:.4g} m high (median), which looks like {unit}; give"
            " metres"
        )


def check_distance(root_pos: NDArray, field: str, source: str | Path) -> None:
    """Raise UserError for the first position in `root_pos` (T, 3) that is no place nearby."""
    far = np.argwhere(np.abs(root_pos) > FARTHEST)
    if len(far):
        frame, axis = map(int, far[0])
        remedy = remedy_for_frames(far[:, 0], len(root_pos), "give metres from an origin nearby")
        raise UserError(
            f"{source}: {field} goes {abs(root_pos[frame, axis]):.4g} m from the origin at frame {frame}"
            f" ({len(far)} such value(s)); {remedy}"
        )


def whole_turns(dof_pos: Array) -> Array:
    """Count the whole turns (29,) that each joint's angles (T, 29), in G1_JOINTS' order, are off.

    They bring the joint's median within its limits, and are the same in all frames, so that no movement is
    torn. More than two turns are none: the numbers are in another unit, or damaged.
    """
    low, high = joint_ranges(plain_g1()).T
    median = np.median(dof_pos, axis=0)
    turns = np.round((median - 0.5 * (low + high)) / TURN)
    reduced = median - TURN * turns
    return np.where((np.abs(turns) <= _MOST_TURNS) & (low <= reduced) & (reduced <= high), turns, 0.0)


def check_radians(dof_pos: NDArray, field: str, source: str | Path) -> None:
    """Raise UserError if `dof_pos` (T, 29), whole turns taken off, is in degrees.

    In degrees, most frames have an angle far beyond its joint's limit, and some are over a turn.
    """
    beyond = beyond_limits(plain_g1(), dof_pos)
    over_a_turn = np.abs(dof_pos) > 2.0 * np.pi
    if over_a_turn.any() and float(np.median(beyond.max(axis=1))) > _DEGREES:
        frame, joint = np.unravel_index(np.argmax(np.abs(dof_pos)), dof_pos.shape)
        raise UserError(
            f"{source}: {field}: {G1_JOINTS[joint]} is {dof_pos[frame, joint]:.4g} rad at frame {frame}, more"
            " than a turn, which looks like degrees; give radians"
        )


def check_rate(positions: NDArray, velocities: NDArray, fps: float, field: str, source: str | Path) -> None:
    """Raise UserError if the velocities that a file stores belong to another frame rate than it states.

    Args:
        positions: (T, N) of joints.
        velocities: (T, N), the same, per second.
        fps: frames per second, as stated.
        field: what the file calls its velocities.
        source: the file, for the message.
    """
    if len(positions) < 3:
        return
    central = 0.5 * (positions[2:] - positions[:-2])  # a frame
    stored = velocities[1:-1]
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers so large that nothing is clear
        size = float(np.sum(central * central))
        if size < 1e-8:  # it hardly moves
            return
        rate = float(np.sum(stored * central)) / size  # least squares for stored = rate * central
        left = float(np.sum((stored - rate * central) ** 2))
        clear = left < 0.1 * float(np.sum(stored * stored))  # or the velocities are not those of these joints
    if clear and not 0.8 < rate / fps < 1.25:
        raise UserError(
            f"{source}: fps is {fps:.6g}, but {field} is that of {rate:.3g} frames/s; convert --source-fps"
            " states the true rate"
        )


@functools.cache
def links() -> tuple[str, ...]:
    """List the names of the pelvis and the 29 links that a hinge moves, depth-first as in MuJoCo."""
    g1 = plain_g1()
    return tuple(g1.body(body).name for body in range(1, g1.nbody) if g1.body_jntnum[body])


def breadth_first_joints() -> NDArray[np.intp]:
    """Index in `G1_JOINTS` of each joint in IsaacLab's order (29,): nearest to the pelvis first."""
    g1 = plain_g1()
    depth = []
    for name in G1_JOINTS:
        body, links_up = g1.joint(name).bodyid[0], 0
        while body:
            body, links_up = g1.body_parentid[body], links_up + 1
        depth.append(links_up)
    return np.argsort(depth, kind="stable")


def link_positions(qpos: NDArray) -> Array:
    """Compute the origins (N, 30, 3), m, of `links()` in the world at `qpos` (N, 36)."""
    return forward_kinematics(plain_g1(), qpos).of(*links())
