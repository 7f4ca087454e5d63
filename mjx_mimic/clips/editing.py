"""Edits of a clip: each takes a `Motion` and returns a new one, checked again by `make_motion`.

Conventions are those of `clips.motion`. The last frame of a cyclic clip is the first one of the next cycle;
every edit that can preserve this does.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips import orders
from mjx_mimic.clips.foot_contacts import foot_contacts
from mjx_mimic.clips.motion import MIN_FPS, Motion, make_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import MIRROR_INDEX, MIRROR_QUAT, MIRROR_SIGN, MIRROR_VECTOR
from mjx_mimic.robot.kinematics import floor_clearance, heading
from mjx_mimic.robot.mjcf import joint_ranges, plain_g1

Array = NDArray[np.float64]

MAX_FPS = 1000.0
"""Highest frame rate to which a clip is resampled."""
_MAX_FRAMES = 1_000_000  # of a clip that is made longer or denser
_BUTTERWORTH_ORDER = 4
STILL = 1e-9
"""Largest step, in m, rad or a quaternion's component, that is no movement."""
_FEWEST_MOVES = 4  # that show how regular they are
_ROUNDING = 1e-9  # in frames: a time this near a frame is that frame


def edited(motion: Motion, qpos: Array | None = None, **fields: Any) -> Motion:
    """Replace the frames of a clip by `qpos` (T, 36), or some fields of `make_motion`; check all again."""
    if qpos is not None:
        kept: dict[str, Any] = {"name": motion.name, "fps": motion.fps, "loop": motion.loop}
        return Motion.from_qpos(qpos, **kept | fields)
    kept = {field.name: getattr(motion, field.name) for field in dataclasses.fields(motion)}
    return make_motion(**kept | {"source": motion.name} | fields)


def mirrored_joints(dof_pos: NDArray) -> Array:
    """Reflect poses (T, 29) left to right."""
    return (dof_pos * MIRROR_SIGN)[:, MIRROR_INDEX]


def mirrored(motion: Motion) -> Motion:
    """Reflect the clip in the world's plane y = 0: left becomes right."""
    return edited(
        motion,
        root_pos=motion.root_pos * MIRROR_VECTOR,
        root_quat=motion.root_quat * MIRROR_QUAT,
        dof_pos=mirrored_joints(motion.dof_pos),
    )


def with_loop(motion: Motion, loop: str) -> Motion:
    """Declare the clip cyclic ("wrap", or "turn") or not ("clamp") without changing a frame.

    See `loop_closing.made_cyclic` for closing the cycle.
    """
    return edited(motion, loop=loop)


def named(motion: Motion, name: str) -> Motion:
    """Give the clip another name."""
    return edited(motion, name=name)


def sampled(motion: Motion, times: NDArray) -> Array:
    """Interpolate the clip at `times` (N,) s since its first frame; qpos (N, 36).

    Positions and joints are blended linearly between two frames, the root's rotation by slerp. Times past
    the end of a cyclic clip continue into its next cycles, moved and turned as in training; those past the
    end of any other clip yield its last frame.
    """
    intervals = motion.num_frames - 1
    frame = np.asarray(times, np.float64) * motion.fps
    nearest = np.round(frame)
    frame = np.where(np.abs(frame - nearest) < _ROUNDING * np.maximum(1.0, nearest), nearest, frame)
    if motion.cyclic:
        # The very end belongs to the cycle before it, so that the last frame can be had.
        cycle = np.maximum(np.ceil(frame / intervals) - 1.0, 0.0)
        frame = frame - cycle * intervals
    else:
        cycle, frame = np.zeros_like(frame), np.clip(frame, 0.0, intervals)
    lower = np.minimum(frame.astype(int), intervals - 1)
    fraction = (frame - lower)[:, None]

    def blend(values: Array) -> Array:
        return (1.0 - fraction) * values[lower] + fraction * values[lower + 1]

    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    step = (turn[lower].inv() * turn[lower + 1]).as_rotvec()
    quaternion = (turn[lower] * Rotation.from_rotvec(fraction * step)).as_quat(scalar_first=True)
    on_frame = (fraction == 0.0) | (fraction == 1.0)
    quaternion = np.where(on_frame, blend(motion.root_quat), quaternion)
    qpos = np.concatenate([blend(motion.root_pos), quaternion, blend(motion.dof_pos)], axis=1)
    return _in_cycles(motion, qpos, cycle)


def _in_cycles(motion: Motion, qpos: Array, cycle: Array) -> Array:
    """Move frames (N, 36) of a clip's first cycle into the cycles (N,) that they belong to."""
    first, last = motion.root_pos[[0, -1]]
    turn = motion.cycle_turn
    if turn == 0.0:
        return qpos + np.pad(np.outer(cycle, (last - first) * [1.0, 1.0, 0.0]), ((0, 0), (0, 33)))
    x, y, _ = last - _turned(first, turn)
    # In the complex plane, the sum of so many steps, each turned on from the one before.
    half = 0.5 * turn
    place = complex(x, y) * np.sin(cycle * half) / np.sin(half) * np.exp(1j * (cycle - 1.0) * half)
    return _moved(qpos, turn * cycle, np.stack([place.real, place.imag], axis=1))


def resampled(motion: Motion, fps: float) -> Motion:
    """Give the same motion in time another frame rate, interpolated as `sampled` does.

    A cyclic clip keeps its period to the last bit and closes as well as before: it gets the whole number of
    intervals nearest to period * fps, so its rate may differ from `fps` by up to half an interval per period.
    Any other clip gets exactly `fps`, and ends with its last whole interval: up to 1 / fps is cut off.
    Nothing is filtered, so apply `smoothed` first if the clip has vibrations above fps / 2.

    Raises:
        UserError: `fps` is not in [0.1, 1000], so low that no two frames are left, or so high that there are
            over a million.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise UserError(f"{motion.name}: fps is {fps:g}; give a number from {MIN_FPS:g} to {MAX_FPS:g}")
    wished = motion.length * fps
    _check_frames(motion, wished, "--fps")
    intervals = int(np.round(wished) if motion.cyclic else np.floor(wished + _ROUNDING * wished))
    if intervals < 1:
        raise UserError(
            f"{motion.name}: fps is {fps:g}, too low for a clip of {motion.length:g} s; give at least"
            f" {1.0 / motion.length:.3g} frames/s"
        )
    rate = fps
    if motion.cyclic and abs(intervals - wished) > _ROUNDING * wished:
        rate = intervals / motion.length
        rate = float(round(rate)) if abs(rate - round(rate)) < _ROUNDING else rate
    return edited(motion, qpos=sampled(motion, np.arange(intervals + 1) / rate), fps=rate)


def _check_frames(motion: Motion, frames: float, option: str) -> None:
    """Raise UserError if an edit would make so many frames that they do not fit into memory."""
    if frames > _MAX_FRAMES:
        raise UserError(
            f"{motion.name}: {motion.length:.6g} s would become {frames:.3g} frames, over {_MAX_FRAMES}; give"
            f" a lower {option}, or convert --start and --end cut the clip first"
        )


def cut(motion: Motion, start: float = 0.0, end: float | None = None) -> Motion:
    """Keep the frames from `start` to `end` (s; None: to the clip's end), unchanged.

    Each end is the frame nearest to it. A part of a cyclic clip is not cyclic, so it becomes "clamp".

    Raises:
        UserError: outside the clip, or fewer than two frames.
    """
    first, last = frame_range(motion.num_frames, motion.fps, start, end, motion.name)
    if (first, last) == (0, motion.num_frames - 1):
        return motion
    return edited(motion, qpos=motion.qpos[first : last + 1], loop="clamp")


def frame_range(frames: int, fps: float, start: float, end: float | None, source: str) -> tuple[int, int]:
    """Find the frames nearest to `start` and `end` (s; None: the last one) in a clip with so many frames.

    Raises:
        UserError: outside the clip, or fewer than two frames.
    """
    length = (frames - 1) / fps
    end = length if end is None else end
    if not -0.5 / fps <= start < end <= length + 0.5 / fps:
        raise UserError(
            f"{source}: start and end are {start:g} and {end:g} s; give 0 <= start < end <="
            f" {at_most(length)} s, the clip's length"
        )
    first, last = (min(max(round(time * fps), 0), frames - 1) for time in (start, end))
    if first == last:
        raise UserError(
            f"{source}: from {start:g} to {end:g} s there is one frame; leave at least {1.0 / fps:.3g} s"
        )
    return first, last


def at_most(seconds: float) -> str:
    """Write the largest time that is allowed, rounded down to ms, so that it can be given as it stands."""
    return f"{math.floor(1000.0 * seconds) / 1000.0:.10g}"


def stored_as(motion: Motion, order: orders.Order) -> Motion:
    """Read the clip again, as one whose quaternion or joints are stored in another order than was assumed."""
    quaternion, joints = orders.reread(motion.root_quat, motion.dof_pos, order)
    return edited(motion, root_quat=quaternion, dof_pos=joints)


def without_repeats(motion: Motion) -> Motion:
    """Give the clip the frames that it had before its rate was raised by repeating frames; pauses stay.

    Raises:
        UserError: no lower rate has all of its changes.
    """
    found = raised_from(motion)
    if found is None:
        raise UserError(
            f"{motion.name}: no frames repeat at regular intervals while it moves, so its rate was not raised"
            " by repeating; leave it as it is"
        )
    rate, kept = found
    return edited(motion, qpos=motion.qpos[kept], fps=rate)


def raised_from(motion: Motion) -> tuple[float, NDArray[np.intp]] | None:
    """Find the frame rate that a clip had before its rate was raised by repeating frames.

    It is the lowest at which all changes fall on frames, and most frames are changes. Rates that are
    considered are whole, or the present one divided by a whole number, and at most nine tenths of it.

    Returns:
        The rate, and the indices of the frames that it had; None: there is no such rate.
    """
    moves = 1 + np.flatnonzero(np.any(np.abs(np.diff(motion.qpos, axis=0)) > STILL, axis=1))  # the new frames
    if len(moves) < _FEWEST_MOVES:
        return None
    lowest = (len(moves) - 1) * motion.fps / (moves[-1] - moves[0] + 1)  # all frames are changes
    highest = min(2.0 * lowest, 0.9 * motion.fps)
    rates = {*range(1, int(highest) + 1), *(motion.fps / k for k in range(2, int(motion.fps) + 1))}
    for rate in sorted(rate for rate in rates if lowest <= rate <= highest):
        # A frame of that rate begins at every multiple of `spacing`, from some place on. So there the changes
        # are, each at the first frame after it: modulo `spacing`, all are within less than one frame.
        spacing = motion.fps / rate
        late = np.unique(moves % spacing)
        gaps = np.diff(late, append=late[0] + spacing)
        if gaps.max() > spacing - 1.0 + _ROUNDING:
            begin = late[(np.argmax(gaps) + 1) % len(late)]
            frame = np.floor((np.arange(motion.num_frames) - begin) / spacing + _ROUNDING)
            return float(rate), np.unique(frame, return_index=True)[1]
    return None


def at_speed(motion: Motion, factor: float) -> Motion:
    """Play the clip `factor` times as fast: the same frames at another rate.

    Raises:
        UserError: `factor` is not from 0.01 to 100.
    """
    if not 0.01 <= factor <= 100.0:
        raise UserError(f"{motion.name}: the speed is {factor:g}; give a factor from 0.01 to 100")
    return edited(motion, fps=motion.fps * factor)


def within_limits(motion: Motion) -> Motion:
    """Set each angle beyond its joint's limits to the limit."""
    low, high = joint_ranges(plain_g1()).T
    return edited(motion, dof_pos=np.clip(motion.dof_pos, low, high))


def joined(first: Motion, second: Motion, blend: float) -> Motion:
    """Let `second` follow `first`, turned and moved to begin where `first` ends, facing the same way.

    There are two ways, and the result is that in which the feet slide less. Where the clips were made to fit,
    what is left between their poses is spread over half of `blend` on either side of the seam. Where they
    were not, the last `blend` seconds of `first` and the first of `second` are played at once, and the one is
    faded out as the other is faded in. The frames are at the rate of `first`; the clip ends.

    Args:
        first: the first clip.
        second: the second one.
        blend: s; 0: the frame that `first` ends with is the one that `second` begins with.

    Raises:
        UserError: `blend` is negative or longer than one of the clips.
    """
    shortest = min(first.length, second.length)
    if not 0.0 <= blend <= shortest:
        raise UserError(
            f"{first.name}: the blend is {blend:g} s; give 0 to {at_most(shortest)} s, what the shorter one"
            " lasts"
        )
    other = sampled(second, np.arange(int(second.length * first.fps + _ROUNDING) + 1) / first.fps)
    faded = _faded(first, other, min(round(blend * first.fps) + 1, len(other), first.num_frames))
    if blend == 0.0:
        return faded
    # Both stand where the clips do: the lowest point of a blend may dip into the floor for an instant.
    _, clearance = floor_clearance(plain_g1(), np.concatenate([first.qpos, other]))
    height = -float(clearance.min())
    return min(_fitted(first, other, blend), faded, key=lambda clip: _sliding(lifted(clip, height)))


def _sliding(motion: Motion) -> float:
    """Add up how far the standing feet slide, m."""
    return float(np.linalg.norm(foot_contacts(plain_g1(), motion).slide, axis=2).sum())


def _placed(qpos: Array, meets: Array) -> Array:
    """Turn and move frames (N, 36) to begin in the place and the heading of the frame `meets` (36,)."""
    yaw = float(heading(meets[3:7]) - heading(qpos[0, 3:7]))
    return _moved(qpos, yaw, meets[:2] - _turned(qpos[:1, :3], yaw)[0, :2])


def _fitted(first: Motion, other: Array, blend: float) -> Motion:
    """Let the frames `other` follow `first`, and spread the gap over half of `blend` s on either side."""
    last = first.qpos[-1]
    other = _placed(other, last)
    turns = Rotation.from_quat(np.stack([last[3:7], other[0, 3:7]]), scalar_first=True)
    gap, turn = other[0] - last, (turns[1] * turns[0].inv()).as_rotvec()
    qpos = np.concatenate([first.qpos[:-1], other])
    seconds = (np.arange(len(qpos)) - (first.num_frames - 1)) / first.fps
    near = np.maximum(1.0 - 2.0 * np.abs(seconds) / blend, 0.0)
    share = (0.5 * np.where(seconds < 0.0, 1.0, -1.0) * near**2 * (3.0 - 2.0 * near))[:, None]
    turned = Rotation.from_rotvec(share * turn) * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
    qpos += share * gap
    qpos[:, 3:7] = turned.as_quat(scalar_first=True)
    return edited(first, qpos=qpos, loop="clamp")


def _faded(first: Motion, other: Array, count: int) -> Motion:
    """Fade from the last `count` frames of `first` to the first ones of `other`."""
    meets = first.qpos[-count]
    other = _placed(other, meets)
    share = np.linspace(0.0, 1.0, count) if count > 1 else np.zeros(1)
    share = (share**2 * (3.0 - 2.0 * share))[:, None]
    before, after = first.qpos[-count:], other[:count]
    both = (1.0 - share) * before + share * after
    turns = Rotation.from_quat(before[:, 3:7], scalar_first=True)
    step = (turns.inv() * Rotation.from_quat(after[:, 3:7], scalar_first=True)).as_rotvec()
    both[:, 3:7] = (turns * Rotation.from_rotvec(share * step)).as_quat(scalar_first=True)
    qpos = np.concatenate([first.qpos[:-count], both, other[count:]])
    return edited(first, qpos=qpos, loop="clamp")


def cycles(motion: Motion, count: int) -> Motion:
    """Play a cyclic clip `count` times, each cycle turned on by the turn of the one before; the clip ends.

    A walk along a circle stays on it, as it does without an end in a "turn" clip.

    Raises:
        UserError: `count` is not from 1 to 1000, the clip is not cyclic, or over a million frames result.
    """
    if not motion.cyclic:
        raise UserError(
            f"{motion.name}: loop is '{motion.loop}', so there are no cycles; convert with --make-cyclic, or"
            " with --loop wrap if the clip closes as it is"
        )
    if not 1 <= count <= 1000:
        raise UserError(f"{motion.name}: the number of cycles is {count}; give one from 1 to 1000")
    _check_frames(motion, count * (motion.num_frames - 1), "--cycles")
    frames = np.arange(count * (motion.num_frames - 1) + 1)
    qpos = sampled(with_loop(motion, "turn"), frames / motion.fps)
    return edited(motion, qpos=qpos, loop="clamp")


def bent(motion: Motion, turn: float) -> Motion:
    """Turn the clip's frames and steps about the vertical axis by ever more, up to `turn` rad at its end."""
    share = np.linspace(0.0, 1.0, motion.num_frames)
    steps = _turned(np.diff(motion.root_pos, axis=0), turn * 0.5 * (share[1:] + share[:-1]))
    root_pos = motion.root_pos[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    root_quat = _moved(motion.qpos, turn * share, np.zeros(2))[:, 3:7]
    return edited(motion, root_pos=root_pos, root_quat=root_quat)


def _turned(points: Array, yaw: ArrayLike) -> Array:
    """Turn points (..., 3) about the world's vertical axis by `yaw` (...) rad."""
    return _about_z(yaw).apply(points)


def _about_z(yaw: ArrayLike) -> Rotation:
    """Return the rotations about the world's vertical axis by `yaw` (...) rad."""
    return Rotation.from_euler("z", np.asarray(yaw)[..., None])


def _moved(qpos: Array, yaw: ArrayLike, shift: Array) -> Array:
    """Turn frames (N, 36) about the world's vertical axis by `yaw` rad, then move them by `shift` m.

    Both are for all frames, () and (2,), or by frame, (N,) and (N, 2).
    """
    moved = qpos.copy()
    moved[:, :3] = _turned(qpos[:, :3], yaw)
    moved[:, :2] += shift
    turns = _about_z(yaw) * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
    moved[:, 3:7] = turns.as_quat(scalar_first=True)
    return moved


def lifted(motion: Motion, height: float | None = None) -> Motion:
    """Raise the clip by `height` m; None: move it up or down until its lowest point is on the floor.

    Raises:
        UserError: `height` is not finite.
    """
    if height is None:
        _, clearance = floor_clearance(plain_g1(), motion.qpos)
        height = -float(clearance.min())
    if not np.isfinite(height):
        raise UserError(f"{motion.name}: the lift is {height:g} m; give a finite number of metres")
    return edited(motion, root_pos=motion.root_pos + np.array([0.0, 0.0, height]))


def smoothed(motion: Motion, cutoff_hz: float) -> Motion:
    """Remove what vibrates faster than `cutoff_hz` from the clip, without delay.

    The filter is a Butterworth filter of order 4, run forwards and backwards: half the amplitude is left at
    `cutoff_hz`. A cyclic clip is filtered as the periodic signal that it is, and keeps the gap at its seam.
    Quaternions are filtered by component and renormalised, which is a weighted mean of rotations wherever
    the filter's window sees less than half a turn.

    Raises:
        UserError: `cutoff_hz` is not between 0 and half the frame rate.
    """
    from mjx_mimic.clips import filtering  # scipy.signal takes a second to import

    if not 0.0 < cutoff_hz < 0.5 * motion.fps:
        raise UserError(
            f"{motion.name}: the cutoff is {cutoff_hz:g} Hz; give a number over 0 and under"
            f" {0.5 * motion.fps:g}, half the frame rate"
        )
    if motion.loop == "turn":
        straight = with_loop(bent(motion, -motion.cycle_turn), "wrap")
        return with_loop(bent(smoothed(straight, cutoff_hz), motion.cycle_turn), "turn")
    if motion.loop == "clamp":
        filtered = filtering.low_pass(motion.qpos, motion.fps, cutoff_hz, _BUTTERWORTH_ORDER)
    else:
        signal, restore = _periodic(motion)
        period = filtering.low_pass_periodic(signal, motion.fps, cutoff_hz, _BUTTERWORTH_ORDER)
        filtered = restore(period)
    filtered[:, 3:7] /= np.linalg.norm(filtered[:, 3:7], axis=1, keepdims=True)
    return edited(motion, qpos=filtered)


def _periodic(motion: Motion) -> tuple[Array, Callable[[Array], Array]]:
    """Make a cyclic clip periodic by removing a cycle's displacement and the gap at the seam, evenly.

    Returns:
        Two cycles of qpos (2 (T - 1), 36), as a full turn brings a quaternion back with the other sign; and
        the function that puts displacement and gap back into such a signal's first T frames.
    """
    ramp = np.linspace(0.0, 1.0, motion.num_frames)[:, None]
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    gap = (turn[0].inv() * turn[-1]).as_rotvec()
    periodic = motion.qpos
    displacement = periodic[-1] - periodic[0]
    displacement[3:7] = 0.0
    periodic -= ramp * displacement
    periodic[:, 3:7] = (turn * Rotation.from_rotvec(-ramp * gap)).as_quat(scalar_first=True)

    two_cycles = np.concatenate([periodic[:-1], periodic[:-1]])
    if periodic[0, 3:7] @ periodic[-1, 3:7] < 0.0:
        two_cycles[motion.num_frames - 1 :, 3:7] *= -1.0

    def restore(signal: Array) -> Array:
        qpos = signal[: motion.num_frames]
        closed = Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
        qpos[:, 3:7] = (closed * Rotation.from_rotvec(ramp * gap)).as_quat(scalar_first=True)
        return qpos + ramp * displacement

    return two_cycles, restore
