"""Make a cyclic clip out of one that repeats itself: where to cut it, and how to close the gap.

Conventions are those of `clips.motion`; the heading is that of `kinematics.heading`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import bent, cut, edited, with_loop
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.kinematics import heading, turn_between

Array = NDArray[np.float64]

MIN_CYCLE_S = 0.4
MAX_TURN = np.radians(20.0)
"""Change of heading over a cycle, rad, that is straightened; a larger one belongs to the motion."""
MAX_GAP = 0.3
"""Largest gap between the ends of a cycle, as a share of how far the pose moves in between."""
_BLEND_S = 0.25  # before and after the seam
_SEARCH_STEP_S = 0.05  # at most
_MAX_SEARCHED = 2000  # frames compared with one another
_EQUAL = 0.02  # gaps that differ by less are equally good
_NEAR_BEST = 1.5  # times the smallest gap, and up to it a cycle is good
_SAME_LENGTH = 1.2  # times the shortest good cycle, and up to it a cycle is not two
_RATE_WINDOW_S = 0.03  # on either side, for velocities that noise does not drown

# Weights of tilt (rad), height (m) and rates (per s) against 1 rad of a joint in the distance of two frames.
_TILT, _HEIGHT, _RATE_S = 3.0, 5.0, 0.1


@dataclass(frozen=True)
class LoopPoint:
    """Two frames of a clip that are alike.

    Attributes:
        first, last: the frames.
        gap: their distance as a share of the farthest that a frame in between is from `first`; 0 is alike.
        turn: heading of `last` relative to `first`, rad, in [-pi, pi].
    """

    first: int
    last: int
    gap: float
    turn: float


def made_cyclic(motion: Motion, loop: LoopPoint | None = None) -> Motion:
    """Cut one cycle out of a clip that repeats itself; a cyclic clip that closes in pose and velocity.

    The gap between the ends is closed by a smooth correction over the last and the first quarter second (a
    quarter of the cycle at most), half of it on either side. Cycles are joined by their displacement in x and
    y alone, so the cycle's turn is taken out evenly along it. One of more than `MAX_TURN` is put back in the
    end, and the clip is a "turn" clip.

    Args:
        motion: the clip.
        loop: the ends of the cycle; None: those that `find_loop` finds.

    Raises:
        UserError: no two frames are alike.
    """
    loop = loop or find_loop(motion)
    start, end = loop.first / motion.fps, loop.last / motion.fps
    where = f"{motion.name}: the best cycle, from {start:.3f} to {end:.3f} s,"
    if loop.gap > MAX_GAP:
        raise UserError(
            f"{where} has a gap of {100 * loop.gap:.0f}% of its motion at the seam; cut the clip to a part"
            " that repeats itself, or leave it 'clamp'"
        )
    closed = _closed(_straightened(motion, loop), motion)
    if abs(loop.turn) <= MAX_TURN:
        return closed
    return with_loop(bent(closed, loop.turn), "turn")


def find_loop(motion: Motion) -> LoopPoint:
    """Find the two frames, at least `MIN_CYCLE_S` apart, between which the clip closes best.

    Frames are compared by joint angles, tilt and height of the root, and the velocities of all these and of
    the root, in the root's heading frame: neither position nor heading counts. Of nearly equal candidates
    the shortest is taken: one cycle, not two.

    Raises:
        UserError: the clip is too short or too long to search.
    """
    shortest = int(np.ceil(MIN_CYCLE_S * motion.fps))
    if motion.num_frames <= shortest + 1:
        raise UserError(
            f"{motion.name}: the clip lasts {motion.length:.3g} s; a cycle needs more than {MIN_CYCLE_S:g} s"
        )
    stride = -(-motion.num_frames // _MAX_SEARCHED)
    longest_stride = max(int(_SEARCH_STEP_S * motion.fps), 1)
    if stride > longest_stride:
        raise UserError(
            f"{motion.name}: {motion.length:.0f} s are too many to search for a cycle; cut the clip to"
            f" {int(_MAX_SEARCHED * longest_stride / motion.fps)} s at most"
        )
    features = _features(motion)
    first, last = _rough_loop(features[::stride], shortest / stride)
    first, last = _refined_loop(features, first * stride, last * stride, stride)
    gap = _shares(cdist(features[[first]], features[first : last + 1])[0])[-1]
    turn = turn_between(*heading(motion.root_quat[[first, last]]))
    return LoopPoint(first, last, float(gap), turn)


def _rough_loop(features: Array, shortest: float) -> tuple[int, int]:
    """Search all pairs of frames in `features` (N, F) that are `shortest` or more frames apart."""
    distance = cdist(features, features)
    gap = np.full_like(distance, np.inf)
    for row in range(len(features)):
        gap[row, row:] = _shares(distance[row, row:])
    frame = np.arange(len(features))
    length = frame[None, :] - frame[:, None]
    gap[length < shortest] = np.inf

    good = gap <= _NEAR_BEST * gap.min() + _EQUAL
    one_cycle = length[good].min()
    gap[(length < one_cycle) | (length > _SAME_LENGTH * one_cycle)] = np.inf
    first, last = np.unravel_index(np.argmin(gap), gap.shape)
    return int(first), int(last)


def _refined_loop(features: Array, first: int, last: int, reach: int) -> tuple[int, int]:
    """Search the frames of `features` (T, F) less than `reach` away from both ends for the nearest pair."""
    frames = len(features)
    firsts = np.arange(max(first - reach + 1, 0), min(first + reach, frames))
    lasts = np.arange(last - reach + 1, min(last + reach, frames))
    distance = cdist(features[firsts], features[lasts])
    row, column = np.unravel_index(np.argmin(distance), distance.shape)
    return int(firsts[row]), int(lasts[column])


def _shares(distance: Array) -> Array:
    """Relate distances (N,) from a frame to those after it to the farthest so far; 1 before any movement."""
    farthest = np.maximum.accumulate(distance)
    return np.divide(distance, farthest, out=np.ones_like(distance), where=farthest > 0.0)


def _features(motion: Motion) -> Array:
    """Features (T, 68) that `find_loop` compares, each weighted to stand for an angle in rad."""
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    up = turn.inv().apply([0.0, 0.0, 1.0])
    root_vel, spin, dof_vel = _velocities(motion)
    to_heading_frame = Rotation.from_rotvec(np.outer(-heading(motion.root_quat), [0.0, 0.0, 1.0]))
    rates = [dof_vel, to_heading_frame.apply(root_vel), spin]
    return np.concatenate(
        [
            motion.dof_pos,
            _TILT * up,
            _HEIGHT * motion.root_pos[:, 2:],
            *(_RATE_S * rate for rate in rates),
        ],
        axis=1,
    )


def _velocities(motion: Motion) -> tuple[Array, Array, Array]:
    """Compute velocities by differences over about `_RATE_WINDOW_S` before and after each frame.

    Returns:
        The root's velocity (T, 3) m/s in the world, its angular velocity (T, 3) rad/s in the root frame, and
        the joints' velocities (T, 29) rad/s.
    """
    reach = max(round(_RATE_WINDOW_S * motion.fps), 1)
    frame = np.arange(motion.num_frames)
    before, after = np.maximum(frame - reach, 0), np.minimum(frame + reach, motion.num_frames - 1)
    seconds = ((after - before) / motion.fps)[:, None]
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    return (
        (motion.root_pos[after] - motion.root_pos[before]) / seconds,
        (turn[before].inv() * turn[after]).as_rotvec() / seconds,
        (motion.dof_pos[after] - motion.dof_pos[before]) / seconds,
    )


@dataclass(frozen=True, eq=False)
class _Cycle:
    """Frames of one cycle, and the velocities at its first and its last one, (2, ...) per s."""

    root_pos: Array
    turn: Rotation
    dof_pos: Array
    root_vel: Array
    spin: Array  # in the root frame
    dof_vel: Array


def _straightened(motion: Motion, loop: LoopPoint) -> _Cycle:
    """Cut the cycle out and take its turn out evenly: frames turn about z, and so do the root's steps."""
    ends = [loop.first, loop.last]
    straight = bent(cut(motion, loop.first / motion.fps, loop.last / motion.fps), -loop.turn)
    turn = Rotation.from_quat(straight.root_quat, scalar_first=True)
    root_vel, spin, dof_vel = (velocity[ends] for velocity in _velocities(motion))
    root_vel[1] = Rotation.from_euler("z", -loop.turn).apply(root_vel[1])
    return _Cycle(straight.root_pos, turn, straight.dof_pos, root_vel, spin, dof_vel)


def _closed(cycle: _Cycle, motion: Motion) -> Motion:
    """Close the gaps of `cycle`; a clip like `motion` otherwise."""
    intervals = len(cycle.dof_pos) - 1
    window = max(min(round(_BLEND_S * motion.fps), intervals // 4), 1)
    near = np.maximum(1.0 - np.arange(intervals + 1) / window, 0.0)[:, None]  # 1 at the seam, 0 far from it
    # Cubics in the distance from the seam: of value 1 and slope 0 there, and the other way round.
    value, slope = near**2 * (3.0 - 2.0 * near), window / motion.fps * near**2 * (1.0 - near)

    def correction(gap: Array, velocities: Array) -> Array:
        """Spread half of the gap, and of the change of velocity (2, C), over either side; (T, C)."""
        change = velocities[0] - velocities[1]
        return (0.5 * gap * value - 0.5 * change * slope)[::-1] - 0.5 * gap * value - 0.5 * change * slope

    height_gap = (cycle.root_pos[0] - cycle.root_pos[-1]) * [0.0, 0.0, 1.0]
    root_pos = cycle.root_pos + correction(height_gap, cycle.root_vel)
    tilt_gap = (cycle.turn[-1].inv() * cycle.turn[0]).as_rotvec()
    turn = cycle.turn * Rotation.from_rotvec(correction(tilt_gap, cycle.spin))
    dof_pos = cycle.dof_pos + correction(cycle.dof_pos[0] - cycle.dof_pos[-1], cycle.dof_vel)

    root_quat = turn.as_quat(scalar_first=True)
    # They differ by rounding alone.
    root_pos[-1, 2], root_quat[-1], dof_pos[-1] = root_pos[0, 2], root_quat[0], dof_pos[0]
    return edited(motion, root_pos=root_pos, root_quat=root_quat, dof_pos=dof_pos, loop="wrap")
