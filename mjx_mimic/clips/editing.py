"""Edits of a clip: each takes a `Motion` and gives a new one, checked again by `make_motion`.

Conventions as in `mjx_mimic.motion`. Of a "wrap" clip, the last frame is the first one of the next cycle; an
edit that can keep it so does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import MIRROR_INDEX, MIRROR_SIGN
from mjx_mimic.robot.kinematics import floor_clearance, qpos_of
from mjx_mimic.robot.mjcf import load_mjcf

Array = NDArray[np.float64]

MAX_FPS = 1000.0
_BUTTERWORTH_ORDER = 4
_ROUNDING = 1e-9  # in frames: a time this near a frame is that frame


def edited(motion: Motion, **fields: Any) -> Motion:
    """`motion` with some fields of `make_motion` replaced, and all of them checked again."""
    kept = {name: getattr(motion, name) for name in motion.__dataclass_fields__}
    return make_motion(**kept | {"source": motion.name} | fields)


def mirrored_joints(dof_pos: NDArray) -> Array:
    """(T, 29) angles of the pose reflected left to right."""
    return (dof_pos * MIRROR_SIGN)[:, MIRROR_INDEX]


def mirrored(motion: Motion) -> Motion:
    """The clip reflected in the world's plane y = 0: left becomes right."""
    return edited(
        motion,
        root_pos=motion.root_pos * [1.0, -1.0, 1.0],
        root_quat=motion.root_quat * [1.0, -1.0, 1.0, -1.0],
        dof_pos=mirrored_joints(motion.dof_pos),
    )


def with_loop(motion: Motion, loop: str) -> Motion:
    """The clip declared cyclic ("wrap") or not ("clamp"); no frame changes. See `cycle.made_cyclic`."""
    return edited(motion, loop=loop)


def named(motion: Motion, name: str) -> Motion:
    """The clip under another name."""
    return edited(motion, name=name)


def sampled(motion: Motion, times: NDArray) -> Array:
    """qpos (N, 36) of the clip at `times` (N,) s since its first frame.

    Positions and joints are blended linearly between two frames, the root's rotation by slerp. Times past
    the end of a cyclic clip go on into its next cycles, displaced by x and y as in training; those past the
    end of any other show its last frame.
    """
    intervals = motion.num_frames - 1
    frame = np.asarray(times, np.float64) * motion.fps
    nearest = np.round(frame)
    frame = np.where(np.abs(frame - nearest) < _ROUNDING * np.maximum(1.0, nearest), nearest, frame)
    if motion.loop == "wrap":
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
    shift = (motion.root_pos[-1] - motion.root_pos[0]) * [1.0, 1.0, 0.0]
    position = blend(motion.root_pos) + cycle[:, None] * shift
    return np.concatenate([position, quaternion, blend(motion.dof_pos)], axis=1)


def from_qpos(motion: Motion, qpos: Array, fps: float) -> Motion:
    """`motion` with the frames `qpos` (T, 36) at `fps` instead of its own."""
    return edited(motion, fps=fps, root_pos=qpos[:, :3], root_quat=qpos[:, 3:7], dof_pos=qpos[:, 7:])


def resampled(motion: Motion, fps: float) -> Motion:
    """The same motion in time, at another frame rate, interpolated as `sampled` does.

    A cyclic clip keeps its period to the last bit and closes as well as before: it gets the whole number of
    intervals nearest to period * fps, so its rate may differ from `fps` by up to half an interval a period.
    Any other clip gets exactly `fps`, and ends with its last whole interval: up to 1 / fps is cut off.
    Nothing is filtered, so `smoothed` goes first where a clip has vibrations above fps / 2.

    Raises:
        UserError: `fps` is not in (0, 1000], or so low that no two frames are left.
    """
    if not 0.0 < fps <= MAX_FPS:
        raise UserError(f"{motion.name}: fps is {fps:g}; give a number over 0, {MAX_FPS:g} at most")
    wished = motion.length * fps
    intervals = int(np.round(wished) if motion.loop == "wrap" else np.floor(wished + _ROUNDING * wished))
    if intervals < 1:
        raise UserError(
            f"{motion.name}: fps is {fps:g}, too low for a clip of {motion.length:g} s; give at least"
            f" {1.0 / motion.length:.3g} frames/s"
        )
    rate = fps
    if motion.loop == "wrap" and abs(intervals - wished) > _ROUNDING * wished:
        rate = intervals / motion.length
    return from_qpos(motion, sampled(motion, np.arange(intervals + 1) / rate), rate)


def cut(motion: Motion, start: float = 0.0, end: float | None = None) -> Motion:
    """The frames from `start` to `end` (s, None: to the clip's end), each the nearest one, unchanged.

    A part of a cyclic clip is not cyclic, so it becomes "clamp".

    Raises:
        UserError: outside the clip, or fewer than two frames.
    """
    end = motion.length if end is None else end
    if not -0.5 / motion.fps <= start < end <= motion.length + 0.5 / motion.fps:
        raise UserError(
            f"{motion.name}: start and end are {start:g} and {end:g} s; give 0 <= start < end <="
            f" {motion.length:.4g} s, the clip's length"
        )
    first, last = (min(max(round(time * motion.fps), 0), motion.num_frames - 1) for time in (start, end))
    if first == last:
        raise UserError(
            f"{motion.name}: from {start:g} to {end:g} s there is one frame; leave at least"
            f" {1.0 / motion.fps:.3g} s"
        )
    if (first, last) == (0, motion.num_frames - 1):
        return motion
    kept = slice(first, last + 1)
    return edited(
        motion,
        root_pos=motion.root_pos[kept],
        root_quat=motion.root_quat[kept],
        dof_pos=motion.dof_pos[kept],
        loop="clamp",
    )


def lifted(motion: Motion, height: float | None = None) -> Motion:
    """The clip raised by `height` m; None: by what puts its lowest point of all frames on the floor, up or
    down.

    Raises:
        UserError: `height` is not finite.
    """
    if height is None:
        _, clearance = floor_clearance(load_mjcf(visuals=False), qpos_of(motion))
        height = -float(clearance.min())
    if not np.isfinite(height):
        raise UserError(f"{motion.name}: the lift is {height:g} m; give a finite number of metres")
    return edited(motion, root_pos=motion.root_pos + np.array([0.0, 0.0, height]))


def smoothed(motion: Motion, cutoff_hz: float) -> Motion:
    """The clip without what vibrates faster than `cutoff_hz`, with no delay.

    A Butterworth filter of order 4, forwards and backwards: half the amplitude is left at `cutoff_hz`. A
    cyclic clip is filtered as the periodic signal that it is; a gap that it has at its seam stays.
    Quaternions are filtered by component and renormalised, which is a weighted mean of rotations wherever
    the filter's window sees less than half a turn.

    Raises:
        UserError: `cutoff_hz` is not between 0 and half the frame rate.
    """
    if not 0.0 < cutoff_hz < 0.5 * motion.fps:
        raise UserError(
            f"{motion.name}: the cutoff is {cutoff_hz:g} Hz; give a number over 0 and under"
            f" {0.5 * motion.fps:g}, half the frame rate"
        )
    if motion.loop == "clamp":
        filtered = _filtered(qpos_of(motion), motion.fps, cutoff_hz)
    else:
        filtered = _filtered_cycle(motion, cutoff_hz)
    filtered[:, 3:7] /= np.linalg.norm(filtered[:, 3:7], axis=1, keepdims=True)
    return from_qpos(motion, filtered, motion.fps)


def _filtered(signal: Array, fps: float, cutoff_hz: float) -> Array:
    """(T, C) of a signal that ends."""
    from scipy.signal import butter, sosfiltfilt  # takes long to import

    sections = butter(_BUTTERWORTH_ORDER, cutoff_hz, fs=fps, output="sos")
    padding = min(round(3.0 * fps / cutoff_hz), len(signal) - 1)
    return sosfiltfilt(sections, signal, axis=0, padlen=padding)


def _filtered_cycle(motion: Motion, cutoff_hz: float) -> Array:
    """qpos (T, 36) of a cyclic clip: without the way of a cycle and the gap at the seam, it is periodic."""
    from scipy.signal import butter, freqz_sos

    ramp = np.linspace(0.0, 1.0, motion.num_frames)[:, None]
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    gap = (turn[0].inv() * turn[-1]).as_rotvec()
    periodic = qpos_of(motion)
    way = periodic[-1] - periodic[0]
    way[3:7] = 0.0
    periodic -= ramp * way
    periodic[:, 3:7] = (turn * Rotation.from_rotvec(-ramp * gap)).as_quat(scalar_first=True)

    # A full turn brings a quaternion back with the other sign, so its period is two cycles.
    twice = np.concatenate([periodic[:-1], periodic[:-1]])
    if periodic[0, 3:7] @ periodic[-1, 3:7] < 0.0:
        twice[motion.num_frames - 1 :, 3:7] *= -1.0
    sections = butter(_BUTTERWORTH_ORDER, cutoff_hz, fs=motion.fps, output="sos")
    _, response = freqz_sos(sections, np.fft.rfftfreq(len(twice), 1.0 / motion.fps), fs=motion.fps)
    spectrum = np.fft.rfft(twice, axis=0) * (np.abs(response) ** 2)[:, None]
    filtered = np.fft.irfft(spectrum, len(twice), axis=0)[: motion.num_frames]

    back = Rotation.from_quat(filtered[:, 3:7], scalar_first=True) * Rotation.from_rotvec(ramp * gap)
    filtered[:, 3:7] = back.as_quat(scalar_first=True)
    return filtered + ramp * way
