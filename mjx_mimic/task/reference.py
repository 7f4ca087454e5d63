"""Reference motion on the device: all clips in flat arrays, and the lookup of a clip at a time.

The rules are MimicKit's (`anim/motion_lib.py`): phase from time, wrapped or clamped; positions blended
between two frames plus whole cycles' displacement; rotations by slerp; velocities by forward difference.
"""

from collections.abc import Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot import rotation

ORIGIN_GRID = 10.0
"""Clips are moved by multiples of this, m, to start as near to the world's origin as that allows."""
ROUNDING_S = 2e-7
"""Error, s, of a `ClipTime`, whose fraction is a sum of two numbers under 1 in float32."""


@struct.dataclass
class ClipTime:
    """A time in whole seconds and a fraction, so that it is as exact after an hour as in the first second."""

    second: jax.Array  # (...) int, s
    fraction: jax.Array  # (...) s


def clip_time(time: jax.Array) -> ClipTime:
    """Return a time (...) s as a `ClipTime`."""
    second = jnp.floor(time)
    return ClipTime(second.astype(jnp.int32), time - second)


def later(start: ClipTime, steps: jax.Array, rate: float) -> ClipTime:
    """Return the time `steps` (...) int after `start` (...), of which a second has `rate`.

    The rate is taken as a fraction with a denominator of 1000 at most, so that whole numbers count the time.
    """
    count, seconds = Fraction(rate).limit_denominator(1000).as_integer_ratio()
    turns, rest = jnp.divmod(steps, count)  # before the product, which after hours is too large for 32 bits
    whole, rest = jnp.divmod(rest * seconds, count)
    carried = clip_time(start.fraction + rest / count)
    return ClipTime(start.second + turns * seconds + whole + carried.second, carried.fraction)


@struct.dataclass
class MotionLibrary:
    """C clips of N frames together; those of clip c are rows start[c] to start[c] + num_frames[c] - 1."""

    root_pos: jax.Array  # (N, 3) m
    root_quat: jax.Array  # (N, 4) wxyz
    dof_pos: jax.Array  # (N, J) rad
    root_vel: jax.Array  # (N, 3) m/s, world
    root_ang_vel: jax.Array  # (N, 3) rad/s, world
    dof_vel: jax.Array  # (N, J) rad/s
    start: jax.Array  # (C,) int
    num_frames: jax.Array  # (C,) int
    whole_rate: jax.Array  # (C,) int, frames/s
    rest_rate: jax.Array  # (C,) frames/s, what the whole number lacks
    length: jax.Array  # (C,) s
    wraps: jax.Array  # (C,) bool, also of clips that turn
    cycle_shift: jax.Array  # (C, 3) m, displacement of one cycle; z is 0
    half_turn: jax.Array | None  # (C,) int, half of a cycle's turn in 2 pi / 2^32 rad; None: no clip turns

    @property
    def num_clips(self) -> int:
        """C."""
        return self.start.shape[0]


def make_library(motions: Sequence[Motion]) -> MotionLibrary:
    """Put clips on the device. Velocities come from float64 differences of neighbouring frames.

    Clips that start far from the world's origin, where float32 has few digits, are moved near to it.
    """
    counts = np.array([m.num_frames for m in motions])
    velocities = [_frame_velocities(m) for m in motions]
    positions = [m.root_pos - origin(m) for m in motions]
    half_turns = np.array([round(0.5 * m.cycle_turn * _PER_RADIAN) for m in motions])
    shifts = np.array(
        [_shift(place, 2.0 * half / _PER_RADIAN) for place, half in zip(positions, half_turns, strict=True)]
    )
    rates = np.array([m.fps for m in motions])
    wraps = [m.cyclic for m in motions]

    def stack(arrays: Sequence[np.ndarray]) -> jax.Array:
        return jnp.asarray(np.concatenate(arrays), jnp.float32)

    return MotionLibrary(
        root_pos=stack(positions),
        root_quat=stack([m.root_quat for m in motions]),
        dof_pos=stack([m.dof_pos for m in motions]),
        root_vel=stack([v[0] for v in velocities]),
        root_ang_vel=stack([v[1] for v in velocities]),
        dof_vel=stack([v[2] for v in velocities]),
        start=jnp.asarray(np.cumsum(counts) - counts, jnp.int32),
        num_frames=jnp.asarray(counts, jnp.int32),
        whole_rate=jnp.asarray(np.floor(rates), jnp.int32),
        rest_rate=jnp.asarray(rates - np.floor(rates), jnp.float32),
        length=jnp.asarray([m.length for m in motions], jnp.float32),
        wraps=jnp.asarray(wraps),
        cycle_shift=jnp.asarray(shifts, jnp.float32),
        half_turn=jnp.asarray(half_turns, jnp.int32) if half_turns.any() else None,
    )


_PER_RADIAN = 2**32 / (2.0 * np.pi)  # so that whole turns overflow


def origin(motion: Motion) -> np.ndarray:
    """Return the point (3,) m of a clip's world, near its start, z 0, that is the library's origin."""
    return np.round(motion.root_pos[0] / ORIGIN_GRID) * ORIGIN_GRID * [1.0, 1.0, 0.0]


def _shift(root_pos: np.ndarray, turn: float) -> np.ndarray:
    """Return where a cycle leads, (3,) m: p becomes the turned p plus this; z is 0."""
    return (root_pos[-1] - Rotation.from_euler("z", turn).apply(root_pos[0])) * [1.0, 1.0, 0.0]


def _frame_velocities(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return forward differences of root position and orientation, in the world, and of the joints.

    The last row is repeated.
    """
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    root_turn = (turn[1:] * turn[:-1].inv()).as_rotvec()
    dof_turn = np.diff(motion.dof_pos, axis=0)
    # MimicKit takes a turn whose half has a sine below 1e-5 for none (`torch_util.quat_to_axis_angle`).
    root_turn[np.linalg.norm(root_turn, axis=-1) < 2e-5] = 0.0
    dof_turn[np.abs(dof_turn) < 2e-5] = 0.0
    steps = (np.diff(motion.root_pos, axis=0), root_turn, dof_turn)
    root_vel, root_ang_vel, dof_vel = (np.concatenate([s, s[-1:]]) * motion.fps for s in steps)
    return root_vel, root_ang_vel, dof_vel


def _frame(
    library: MotionLibrary, clip: jax.Array, time: ClipTime | jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the cycle (...) int, the lower frame (...) int in it, and the share (...) of the next one.

    A clip that is not cyclic has one cycle, number 0.

    A time that is a frame's but for rounding is that frame's.
    """
    if not isinstance(time, ClipTime):
        time = clip_time(time)
    whole, rest = library.whole_rate[clip], library.rest_rate[clip]
    parts = time.fraction * (whole + rest) + time.second * rest
    near = jnp.round(parts)
    parts = jnp.where(jnp.abs(parts - near) < ROUNDING_S * (whole + rest), near, parts)
    part = jnp.floor(parts)
    frame, fraction = time.second * whole + part.astype(jnp.int32), parts - part
    last = library.num_frames[clip] - 1
    cycle = jnp.where(library.wraps[clip], frame // last, 0)
    frame = frame - cycle * last
    held = (frame < 0) | (frame >= last)
    return cycle, jnp.clip(frame, 0, last), jnp.where(held, 0.0, fraction)


def phase(library: MotionLibrary, clip: jax.Array, time: ClipTime | jax.Array) -> jax.Array:
    """Return the phase in [0, 1] of `clip` (...) at `time` (...), a `ClipTime` or s.

    MimicKit `MotionLib.calc_motion_phase`.
    """
    _, frame, fraction = _frame(library, clip, time)
    return (frame + fraction) / (library.num_frames[clip] - 1)


def cycles(library: MotionLibrary, clip: jax.Array, time: ClipTime | jax.Array) -> jax.Array:
    """Return how many cycles of `clip` (...) are whole at `time` (...), a `ClipTime` or s: (...) int.

    From the same count of frames as the phase, so that a cycle ends exactly where the phase begins again; a
    clip that is not cyclic has one, which ends where the phase comes to 1.
    """
    cycle, frame, _ = _frame(library, clip, time)
    return cycle + (frame >= library.num_frames[clip] - 1)


def lookup(
    library: MotionLibrary, clip: jax.Array, time: ClipTime | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Look the reference up, in MuJoCo's generalised coordinates (MimicKit `MotionLib.calc_motion_frame`).

    Each cycle of a clip that turns goes on from where the one before ended, in place and heading.

    Args:
        library: the clips.
        clip: (...) index of the clip.
        time: (...) since the clip's first frame, a `ClipTime` or s; may run past its length.

    Returns:
        qpos (..., 7 + J) and qvel (..., 6 + J), the root's angular velocity in the root frame.
    """
    cycle, frame, fraction = _frame(library, clip, time)
    lower = library.start[clip] + frame
    upper = library.start[clip] + jnp.minimum(frame + 1, library.num_frames[clip] - 1)

    def blend(rows: jax.Array) -> jax.Array:
        return rows[lower] + fraction[..., None] * (rows[upper] - rows[lower])

    root_pos, root_vel = blend(library.root_pos), library.root_vel[lower]
    root_quat = rotation.slerp(library.root_quat[lower], library.root_quat[upper], fraction)
    spin = rotation.rotate_inverse(root_quat, library.root_ang_vel[lower])
    shift = cycle[..., None] * library.cycle_shift[clip]
    if library.half_turn is not None:
        turn, shift = _turn(library.half_turn[clip], cycle, library.cycle_shift[clip])
        root_pos, root_vel = rotation.rotate(turn, root_pos), rotation.rotate(turn, root_vel)
        root_quat = rotation.multiply(turn, root_quat)
    qpos = jnp.concatenate([root_pos + shift, root_quat, blend(library.dof_pos)], axis=-1)
    qvel = jnp.concatenate([root_vel, spin, library.dof_vel[lower]], axis=-1)
    return qpos, qvel


def smooth_start(
    library: MotionLibrary, clip: jax.Array, time: jax.Array, span: float
) -> tuple[jax.Array, jax.Array]:
    """Look up how a robot is put onto the reference.

    The pose is that of `lookup`. The velocity is the mean of those `span` s before, now and `span` s later:
    one difference between two frames is as rough as the clip, and to start with it is to start with a kick.

    Args:
        library: the clips.
        clip: () index of the clip.
        time: () s since the clip's first frame.
        span: s.

    Returns:
        qpos (7 + J,) and qvel (6 + J,) as from `lookup`.
    """
    times = time + span * jnp.array([-1.0, 0.0, 1.0])
    qpos, qvel = lookup(library, jnp.broadcast_to(clip, times.shape), times)
    return qpos[1], jnp.mean(qvel, axis=0)


def _turn(half_turn: jax.Array, cycle: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the turn about z (..., 4) and the displacement (..., 3) m of all cycles so far.

    With R the turn of one cycle, c cycles turn by R^c and move by (1 + R + ... + R^(c - 1)) shift, which is
    sin(c h) / sin(h) times the shift, turned by (c - 1) h, where h is half of a cycle's turn.
    """
    up = jnp.array([0.0, 0.0, 1.0])

    def radians(binary: jax.Array) -> jax.Array:
        return binary * jnp.float32(1.0 / _PER_RADIAN)  # in [-pi, pi)

    half, halves = radians(half_turn), radians(half_turn * cycle)  # whole turns overflow
    straight = half_turn == 0
    length = jnp.where(straight, cycle, jnp.sin(halves) / jnp.where(straight, 1.0, jnp.sin(half)))
    turn = rotation.from_axis_angle(up, 2.0 * halves)
    return turn, length[..., None] * rotation.rotate(rotation.from_axis_angle(up, halves - half), shift)


def carried(
    qpos: jax.Array, qvel: jax.Array, origin: jax.Array, place: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Move coordinates over the floor by the motion that takes one root to the place and heading of another.

    Args:
        qpos: (7 + J,).
        qvel: (6 + J,).
        origin: (7,) pose of the root that is taken.
        place: (7,) pose of the root it is taken to; its height and tilt do not count.
    """
    turn = rotation.multiply(
        rotation.heading_quat(place[3:7]), rotation.conjugate(rotation.heading_quat(origin[3:7]))
    )
    offset = rotation.rotate(turn, qpos[:3] - origin[:3])
    root_pos = jnp.concatenate([place[:2] + offset[:2], qpos[2:3]])
    root_quat = rotation.multiply(turn, qpos[3:7])
    return (
        jnp.concatenate([root_pos, root_quat, qpos[7:]]),
        jnp.concatenate([rotation.rotate(turn, qvel[:3]), qvel[3:]]),
    )
