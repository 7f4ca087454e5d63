"""A cyclic clip out of one that repeats itself: where to cut, and how to close the gap.

Conventions as in `mjx_mimic.motion`; a *heading* is the turn about the world's z axis.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import edited
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError

Array = NDArray[np.float64]

MIN_CYCLE_S = 0.4
MAX_TURN = np.radians(20.0)
"""Heading that a cycle may turn by and still be straightened, rad."""
MAX_GAP = 0.3
"""A gap between a cycle's ends, as a share of the way that the pose goes in between, over which there is
no cycle."""
_BLEND_S = 0.25  # before and after the seam
_SEARCH_STEP_S = 0.05  # at most
_MAX_SEARCHED = 2000  # frames compared with one another
_EQUAL = 0.02  # gaps that differ by less are equally good
_RATE_WINDOW_S = 0.03  # on either side, for velocities that noise does not drown

# What 1 rad of a joint, of tilt, 1 m of height and their rates count for in the distance of two frames.
_TILT, _HEIGHT, _RATE_S = 3.0, 5.0, 0.1


@dataclass(frozen=True)
class LoopPoint:
    """Frames `first` and `last` of a clip are alike.

    Attributes:
        first, last: frames.
        gap: their distance as a share of the farthest that a frame in between is from `first`; 0 is alike.
        turn: heading of `last` relative to `first`, rad.
    """

    first: int
    last: int
    gap: float
    turn: float


def made_cyclic(motion: Motion) -> Motion:
    """One cycle of a clip that repeats itself, as a "wrap" clip that closes in pose and velocity.

    The ends are those of `find_loop`. The gap between them is closed by a smooth correction over the last
    and the first quarter second (a quarter of the cycle at most), half of it on either side. Cycles are
    joined by their displacement in x and y alone, so the cycle's turn is taken out evenly along it.

    Raises:
        UserError: no two frames are alike, or the cycle turns by more than `MAX_TURN`.
    """
    loop = find_loop(motion)
    start, end = loop.first / motion.fps, loop.last / motion.fps
    where = f"{motion.name}: the best cycle, from {start:.3f} to {end:.3f} s,"
    if loop.gap > MAX_GAP:
        raise UserError(
            f"{where} has a gap of {100 * loop.gap:.0f}% of its motion at the seam; cut the clip to a part"
            " that repeats itself, or leave it 'clamp'"
        )
    if abs(loop.turn) > MAX_TURN:
        raise UserError(
            f"{where} turns by {np.degrees(loop.turn):.0f} deg, and cycles are joined without turning; choose"
            f" a part that turns by {np.degrees(MAX_TURN):.0f} deg at most, or leave it 'clamp'"
        )
    return _closed(_straightened(motion, loop), motion)


def find_loop(motion: Motion) -> LoopPoint:
    """The two frames, at least `MIN_CYCLE_S` apart, between which the clip does most and ends best.

    Frames are compared by joint angles, tilt and height of the root, and the velocities of all these and of
    the root, in the root's heading frame: neither place nor heading count. Of nearly equal candidates the
    shortest is taken: a cycle, not two.

    Raises:
        UserError: the clip is too short or too long to search.
    """
    least = int(np.ceil(MIN_CYCLE_S * motion.fps))
    if motion.num_frames <= least + 1:
        raise UserError(
            f"{motion.name}: the clip lasts {motion.length:.3g} s; a cycle needs more than {MIN_CYCLE_S:g} s"
        )
    stride = -(-motion.num_frames // _MAX_SEARCHED)
    if stride > max(_SEARCH_STEP_S * motion.fps, 1.0):
        raise UserError(
            f"{motion.name}: {motion.length:.0f} s are too many to search for a cycle; cut the clip to"
            f" {_MAX_SEARCHED * _SEARCH_STEP_S:.0f} s at most"
        )
    features = _features(motion)
    rough = features[::stride]
    distance = cdist(rough, rough)
    gap = np.full_like(distance, np.inf)
    for first in range(len(rough)):
        gap[first, first:] = _shares(distance[first, first:])
    length = np.arange(len(rough))[None] - np.arange(len(rough))[:, None]
    gap[length * stride < least] = np.inf
    good = gap <= 1.5 * gap.min() + _EQUAL
    shortest = length[good].min()
    gap[(length < shortest) | (length > 1.2 * shortest)] = np.inf
    first, last = (int(index) * stride for index in np.unravel_index(np.argmin(gap), gap.shape))

    # Again among all frames around, now by the distance alone.
    firsts = np.arange(max(first - stride + 1, 0), first + stride)
    lasts = np.arange(last - stride + 1, min(last + stride, motion.num_frames))
    firsts = firsts[firsts < motion.num_frames]
    near = cdist(features[firsts], features[lasts])
    row, column = np.unravel_index(np.argmin(near), near.shape)
    first, last = int(firsts[row]), int(lasts[column])
    heading = _heading(motion)
    turn = (heading[last] * heading[first].inv()).as_rotvec()[2]
    share = _shares(cdist(features[[first]], features[first : last + 1])[0])[-1]
    return LoopPoint(first, last, float(share), float(turn))


def _shares(distance: Array) -> Array:
    """(N,) distances from a frame to those after it, each as a share of the farthest so far; 1 where nothing
    has moved yet."""
    farthest = np.maximum.accumulate(distance)
    return np.divide(distance, farthest, out=np.ones_like(distance), where=farthest > 0.0)


def _heading(motion: Motion) -> Rotation:
    """The root's turn about the vertical, of every frame: the twist part of its quaternion."""
    twist = motion.root_quat * [1.0, 0.0, 0.0, 1.0]
    # Lying head down has no heading; any will do.
    twist[np.linalg.norm(twist, axis=1) < 1e-6] = [1.0, 0.0, 0.0, 0.0]
    return Rotation.from_quat(twist, scalar_first=True)


def _features(motion: Motion) -> Array:
    """(T, 70) what `find_loop` compares, each in rad-equivalents."""
    turn, heading = Rotation.from_quat(motion.root_quat, scalar_first=True), _heading(motion)
    up = turn.inv().apply([0.0, 0.0, 1.0])
    root_vel, spin, dof_vel = _velocities(motion)
    rates = [dof_vel, heading.inv().apply(root_vel), spin]
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
    """Of every frame: the root's velocity (T, 3) m/s in the world, its angular velocity (T, 3) rad/s in the
    root frame, and the joints' (T, 29) rad/s, between frames about `_RATE_WINDOW_S` before and after."""
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
    """The cycle with its turn taken out evenly: frames turn about z, and so do the steps of the root."""
    frames, ends = slice(loop.first, loop.last + 1), [loop.first, loop.last]
    share = np.linspace(0.0, 1.0, loop.last - loop.first + 1)
    back = Rotation.from_rotvec(np.outer(-loop.turn * share, [0.0, 0.0, 1.0]))
    halfway = Rotation.from_rotvec(np.outer(-loop.turn * 0.5 * (share[1:] + share[:-1]), [0.0, 0.0, 1.0]))
    steps = halfway.apply(np.diff(motion.root_pos[frames], axis=0))
    root_pos = motion.root_pos[loop.first] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    turn = Rotation.from_quat(motion.root_quat[frames], scalar_first=True)
    root_vel, spin, dof_vel = (velocity[ends] for velocity in _velocities(motion))
    return _Cycle(root_pos, back * turn, motion.dof_pos[frames], back[[0, -1]].apply(root_vel), spin, dof_vel)


def _closed(cycle: _Cycle, motion: Motion) -> Motion:
    """`cycle` with its gaps closed, a clip like `motion` otherwise."""
    intervals = len(cycle.dof_pos) - 1
    window = max(min(round(_BLEND_S * motion.fps), intervals // 4), 1)
    near = np.maximum(1.0 - np.arange(intervals + 1) / window, 0.0)[:, None]  # 1 at the seam, 0 far from it
    # Cubics in the distance from the seam: of value 1 and slope 0 there, and the other way round.
    value, slope = near**2 * (3.0 - 2.0 * near), window / motion.fps * near**2 * (1.0 - near)

    def correction(gap: Array, velocities: Array) -> Array:
        """(T, C): half of the gap, and of the change of velocity (2, C), on either side of the seam."""
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
