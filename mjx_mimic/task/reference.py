"""Reference motion on the device: all clips in flat arrays, and the lookup of a clip at a time.

The rules are MimicKit's (`anim/motion_lib.py`): phase from time, wrapped or clamped; positions blended
between two frames plus whole cycles' displacement; rotations by slerp; velocities by forward difference.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot import rotation


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
    length: jax.Array  # (C,) s
    wraps: jax.Array  # (C,) bool
    cycle_shift: jax.Array  # (C, 3) m, displacement of one cycle; z is 0

    @property
    def num_clips(self) -> int:
        """C."""
        return self.start.shape[0]


def make_library(motions: Sequence[Motion]) -> MotionLibrary:
    """Put clips on the device. Velocities come from float64 differences of neighbouring frames."""
    counts = np.array([m.num_frames for m in motions])
    velocities = [_frame_velocities(m) for m in motions]
    shift = np.array([m.root_pos[-1] - m.root_pos[0] for m in motions]) * [1.0, 1.0, 0.0]

    # Multiplied in MimicKit's order: at a frame's very time the last bit decides which frame is lower.
    lengths = [np.float32(1.0 / np.float32(m.fps)) * (m.num_frames - 1) for m in motions]
    wraps = [m.loop == "wrap" for m in motions]

    def stack(arrays: Sequence[np.ndarray]) -> jax.Array:
        return jnp.asarray(np.concatenate(arrays), jnp.float32)

    return MotionLibrary(
        root_pos=stack([m.root_pos for m in motions]),
        root_quat=stack([m.root_quat for m in motions]),
        dof_pos=stack([m.dof_pos for m in motions]),
        root_vel=stack([v[0] for v in velocities]),
        root_ang_vel=stack([v[1] for v in velocities]),
        dof_vel=stack([v[2] for v in velocities]),
        start=jnp.asarray(np.cumsum(counts) - counts, jnp.int32),
        num_frames=jnp.asarray(counts, jnp.int32),
        length=jnp.asarray(lengths, jnp.float32),
        wraps=jnp.asarray(wraps),
        cycle_shift=jnp.asarray(shift, jnp.float32),
    )


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


def phase(library: MotionLibrary, clip: jax.Array, time: jax.Array) -> jax.Array:
    """Return the phase in [0, 1] of `clip` (...) at `time` (...) s.

    MimicKit `MotionLib.calc_motion_phase`.
    """
    cycles = time / library.length[clip]
    return jnp.where(library.wraps[clip], cycles - jnp.floor(cycles), jnp.clip(cycles, 0.0, 1.0))


def lookup(library: MotionLibrary, clip: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Look the reference up, in MuJoCo's generalised coordinates (MimicKit `MotionLib.calc_motion_frame`).

    Args:
        library: the clips.
        clip: (...) index of the clip.
        time: (...) s since the clip's first frame; may run past its length.

    Returns:
        qpos (..., 7 + J) and qvel (..., 6 + J), the root's angular velocity in the root frame.
    """
    position = phase(library, clip, time) * (library.num_frames[clip] - 1)
    index = jnp.minimum(jnp.floor(position).astype(jnp.int32), library.num_frames[clip] - 1)
    fraction = position - index
    lower = library.start[clip] + index
    upper = library.start[clip] + jnp.minimum(index + 1, library.num_frames[clip] - 1)

    def blend(rows: jax.Array) -> jax.Array:
        return rows[lower] + fraction[..., None] * (rows[upper] - rows[lower])

    cycles = jnp.where(library.wraps[clip], jnp.floor(time / library.length[clip]), 0.0)
    root_pos = blend(library.root_pos) + cycles[..., None] * library.cycle_shift[clip]
    root_quat = rotation.slerp(library.root_quat[lower], library.root_quat[upper], fraction)
    spin = rotation.rotate_inverse(root_quat, library.root_ang_vel[lower])
    qpos = jnp.concatenate([root_pos, root_quat, blend(library.dof_pos)], axis=-1)
    qvel = jnp.concatenate([library.root_vel[lower], spin, library.dof_vel[lower]], axis=-1)
    return qpos, qvel


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
