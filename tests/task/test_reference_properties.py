"""The lookup of any clip at any time against interpolation in float64, written out in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.task import reference

FRAMES = 24  # of two clips together, so that one compiled lookup serves all
TIMES = 8

lookup = jax.jit(reference.lookup)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of quaternions wxyz (4,), by Hamilton's rules."""
    w, v, a, u = left[0], left[1:], right[0], right[1:]
    return np.concatenate([[w * a - v @ u], w * u + a * v + np.cross(v, u)])


def inverse(quaternion: np.ndarray) -> np.ndarray:
    return quaternion * [1.0, -1.0, -1.0, -1.0]


def turn_vector(quaternion: np.ndarray) -> np.ndarray:
    """The rotation vector (3,), rad, of the shorter turn."""
    quaternion = -quaternion if quaternion[0] < 0.0 else quaternion
    sine = np.linalg.norm(quaternion[1:])
    return quaternion[1:] / sine * 2.0 * np.arctan2(sine, quaternion[0]) if sine else np.zeros(3)


def turned(vector: np.ndarray) -> np.ndarray:
    """The quaternion of a rotation vector."""
    angle = np.linalg.norm(vector)
    return (
        np.array([1.0, 0, 0, 0])
        if not angle
        else np.r_[np.cos(angle / 2), np.sin(angle / 2) * vector / angle]
    )


def expected(motion: Motion, frame: float) -> tuple[np.ndarray, np.ndarray]:
    """qpos and qvel at `frame` frames since the first one, counted on over cycles."""
    last = motion.num_frames - 1
    cycles = 0.0
    if motion.loop == "wrap":
        cycles = np.floor(frame / last)
        frame -= cycles * last
    frame = float(np.clip(frame, 0.0, last))
    lower = int(min(np.floor(frame), last - 1))
    share, upper = frame - lower, lower + 1
    shift = (motion.root_pos[-1] - motion.root_pos[0]) * [1.0, 1.0, 0.0]

    def blend(rows: np.ndarray) -> np.ndarray:
        return (1.0 - share) * rows[lower] + share * rows[upper]

    step = turn_vector(product(motion.root_quat[upper], inverse(motion.root_quat[lower])))  # in the world
    quaternion = product(turned(share * step), motion.root_quat[lower])
    moved, bent = (np.diff(array, axis=0)[lower] for array in (motion.root_pos, motion.dof_pos))
    # MimicKit takes smaller turns for none.
    spin = np.where(np.linalg.norm(step) < 2e-5, 0.0, step)
    bent = np.where(np.abs(bent) < 2e-5, 0.0, bent)
    own = product(product(inverse(quaternion), np.r_[0.0, spin]), quaternion)[1:]
    qpos = np.concatenate([blend(motion.root_pos) + cycles * shift, quaternion, blend(motion.dof_pos)])
    return qpos, motion.fps * np.concatenate([moved, own, bent])


def clip(frames: int, fps: float, loop: str, size: float, seed: int) -> Motion:
    """Random poses; from one frame to the next, the root turns by up to `size` of a half turn."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(frames, 3))
    axes *= rng.uniform(0.0, 0.9 * np.pi, (frames, 1)) / np.linalg.norm(axes, axis=1, keepdims=True)
    quaternion = [turned(axes[0])]
    for axis in axes[1:]:
        quaternion.append(product(turned(size * axis), quaternion[-1]))
    return make_motion(
        name="clip",
        fps=fps,
        root_pos=np.cumsum(size * rng.normal(size=(frames, 3)), axis=0),
        root_quat=np.array(quaternion) * rng.choice([-1.0, 1.0], (frames, 1)),
        dof_pos=np.cumsum(size * rng.normal(size=(frames, 29)), axis=0),
        joint_names=G1_JOINTS,
        loop=loop,
        source="test",
    )


def distance(actual: np.ndarray, wanted: np.ndarray) -> float:
    """Of qpos; a quaternion and its negative are the same."""
    sign = -1.0 if actual[3:7] @ wanted[3:7] < 0.0 else 1.0
    signed = np.concatenate([wanted[:3], sign * wanted[3:7], wanted[7:]])
    return float(np.abs(actual - signed).max())


MOMENTS = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, 2.0, 1e-30, -1e-30, 0.5, 1.0 - 1e-7, 1.0 + 1e-7, 37.0, 1000.0, -1000.0]
    ),
    st.floats(-3.0, 3.0),
    st.floats(-1000.0, 1000.0),
    st.integers(0, 100).map(lambda frame: frame / (FRAMES // 2 - 1)),  # the frames of two even halves
)


@given(
    st.integers(2, FRAMES - 2),
    st.tuples(st.floats(1.0, 240.0), st.sampled_from([30.0, 60.0, 120.0])),
    st.permutations(["wrap", "clamp"]),
    st.sampled_from([0.0, 1e-6, 1e-4, 0.05, 1.0]),
    st.integers(0, 2**32),
    st.lists(MOMENTS, min_size=TIMES, max_size=TIMES),
)
@example(2, (30.0, 30.0), ["wrap", "clamp"], 1.0, 0, [0.0, -0.0, 1.0, 999.5] * 2)
def test_any_clip_at_any_time_is_that_of_float64(frames, rates, loops, size, seed, moments):
    """`moments` are in lengths of the clip. Near a frame, where rounding decides, either side will do."""
    counts = (frames, FRAMES - frames)
    motions = [clip(n, *rest, size, seed) for n, *rest in zip(counts, rates, loops, strict=True)]
    library = reference.make_library(motions)
    for index, motion in enumerate(motions):
        times = np.array(moments, np.float32) * np.float32(motion.length)
        qpos, qvel = lookup(library, jnp.full(TIMES, index), times)
        assert np.isfinite(qpos).all()
        assert np.isfinite(qvel).all()
        np.testing.assert_allclose(np.linalg.norm(qpos[:, 3:7], axis=1), 1.0, rtol=0.0, atol=5e-7)
        for time, position, velocity in zip(times.astype(float), qpos, qvel, strict=True):
            check(motion, time * motion.fps, np.asarray(position, float), np.asarray(velocity, float))


def check(motion: Motion, frame: float, qpos: np.ndarray, qvel: np.ndarray) -> None:
    rounding = 4e-7 * (abs(frame) + motion.num_frames)  # of the frame, in float32
    sides = [expected(motion, frame + shift) for shift in (0.0, -rounding, rounding)]
    step = max(np.abs(np.diff(array, axis=0)).max() for array in (motion.root_pos, motion.dof_pos))
    reach = max(np.abs(side[0]).max() for side in sides)
    tolerance = 2.0 * rounding * (step + np.pi) + 1e-6 * reach + 2e-6
    assert min(distance(qpos, side[0]) for side in sides) <= tolerance
    fastest = np.abs([side[1] for side in sides]).max()
    tolerance = 2e-5 * fastest + 4.0 * rounding * fastest + 1e-6
    assert min(float(np.abs(qvel - side[1]).max()) for side in sides) <= tolerance


@functools.cache
def still(loop: str) -> reference.MotionLibrary:
    return reference.make_library([clip(FRAMES, 30.0, loop, 0.05, 0)])


@given(st.floats(-1e6, 1e6, width=32), st.sampled_from(["wrap", "clamp"]))
@example(-0.0, "wrap")
@example(float(np.float32(-1e-30)), "wrap")
@example(float(np.float32((FRAMES - 1) / 30.0)), "wrap")
def test_phase_stays_within_0_and_1_and_the_frames(time, loop):
    library = still(loop)
    phase = float(reference.phase(library, jnp.int32(0), jnp.float32(time)))
    assert 0.0 <= phase <= 1.0
    cycles = np.float32(time) / library.length[0]
    if loop == "clamp":
        assert phase == pytest.approx(np.clip(cycles, 0.0, 1.0), abs=1e-6)
    elif abs(time) < 1000.0:
        away = phase - float(cycles)
        assert abs(away - round(away)) < 1e-4
