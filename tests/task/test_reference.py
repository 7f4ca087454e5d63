"""Lookup of clips in time against interpolation in float64 with SciPy, and against MuJoCo's own calculus."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from helpers.mimickit_reward import MIMICKIT_WEIGHTS, mimickit_terms
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.clips.editing import bent, cycles, edited, with_loop
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import forward_kinematics
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task import reference
from mjx_mimic.task.making import make_env

JOINTS = len(G1_JOINTS)
# float32 time resolves some 1e-5 of a frame after a few cycles; poses change by up to 0.4 a frame.
TOLERANCE = 2e-5

PIECE = 128

lookup = jax.jit(reference.lookup)


def make_clip(seed: int, fps: float, frames: int, loop: str, closed: bool = False) -> Motion:
    """A clip that turns every joint and the root by at least 0.02 rad per frame.

    Args:
        closed: the last pose is the first, displaced along x and y, as in a well cut cyclic clip.
    """
    draw = np.random.default_rng(seed)
    turns = draw.uniform(0.02, 0.2, (frames - 1, JOINTS)) * draw.choice([-1.0, 1.0], (frames - 1, JOINTS))
    dof_pos = np.concatenate([np.zeros((1, JOINTS)), np.cumsum(turns, axis=0)])
    axes = draw.normal(size=(frames, 3))
    spins = Rotation.from_rotvec(
        axes / np.linalg.norm(axes, axis=-1, keepdims=True) * draw.uniform(0.02, 0.4, (frames, 1))
    )
    root = [spins[0]]
    for spin in spins[1:]:
        root.append(spin * root[-1])
    root_pos = np.cumsum(draw.normal(size=(frames, 3)) * 0.02 + [0.05, -0.03, 0.01], axis=0)
    if closed:
        dof_pos[-1], root[-1] = dof_pos[0], root[0]
        root_pos[-1, 2] = root_pos[0, 2]
    return make_motion(
        name=f"clip {seed}",
        fps=fps,
        root_pos=root_pos,
        root_quat=Rotation.concatenate(root).as_quat(scalar_first=True),
        dof_pos=dof_pos,
        joint_names=G1_JOINTS,
        loop=loop,
        source="test",
    )


def still_but_for(dof_pos: np.ndarray, root_turns: np.ndarray | None = None) -> Motion:
    """A clamped clip at 1 frame a second of angles (T, 29); `root_turns` (T,) is the root's yaw."""
    yaw = np.zeros(len(dof_pos)) if root_turns is None else root_turns
    return make_motion(
        name="still",
        fps=1.0,
        root_pos=np.zeros((len(dof_pos), 3)),
        root_quat=Rotation.from_euler("z", yaw[:, None]).as_quat(scalar_first=True),
        dof_pos=dof_pos,
        joint_names=G1_JOINTS,
        loop="clamp",
        source="test",
    )


CLIPS = (
    make_clip(0, 30.0, 12, "wrap"),
    make_clip(1, 120.0, 41, "clamp"),
    make_clip(2, 50.0, 2, "wrap"),
    make_clip(3, 25.0, 19, "clamp"),
)
CYCLE = make_clip(4, 30.0, 10, "wrap", closed=True)


@pytest.fixture(scope="module")
def library() -> reference.MotionLibrary:
    return reference.make_library(CLIPS)


def times_inside_frames(motion: Motion, seed: int = 0) -> np.ndarray:
    """Random times from a cycle before the clip to three after it, each well between two frames."""
    draw = np.random.default_rng(seed)
    intervals = motion.num_frames - 1
    return (draw.integers(-intervals, 3 * intervals, 80) + draw.uniform(0.05, 0.95, 80)) / motion.fps


def at(library: reference.MotionLibrary, clip: int, time) -> tuple[np.ndarray, np.ndarray]:
    """The lookup of one clip at times (N,), in pieces of one shape, so that a library compiles once."""
    time = np.asarray(time, np.float32)
    pieces = np.resize(time, (-(-len(time) // PIECE), PIECE))
    found = [lookup(library, jnp.full(PIECE, clip), piece) for piece in pieces]
    qpos, qvel = (np.concatenate(arrays)[: len(time)] for arrays in zip(*found, strict=True))
    return qpos.astype(np.float64), qvel.astype(np.float64)


def turn_of(qpos: np.ndarray) -> Rotation:
    return Rotation.from_quat(qpos[..., 3:7], scalar_first=True)


def expected(motion: Motion, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """qpos (N, 36) with SciPy's choice of quaternion sign, and qvel (N, 35), in float64."""
    intervals = motion.num_frames - 1
    frame = time * motion.fps
    cycle = np.zeros(len(time))
    if motion.loop == "wrap":
        cycle = np.floor(frame / intervals)
        frame = frame - cycle * intervals
    frame = np.clip(frame, 0.0, intervals)
    knots = np.arange(motion.num_frames)
    turns = Rotation.from_quat(motion.root_quat, scalar_first=True)
    turn = Slerp(knots, turns)(frame)
    shift = (motion.root_pos[-1] - motion.root_pos[0]) * [1.0, 1.0, 0.0]
    blend = [np.interp(frame, knots, column) for column in np.hstack([motion.root_pos, motion.dof_pos]).T]
    values = np.column_stack(blend)
    root_pos = values[:, :3] + cycle[:, None] * shift
    qpos = np.concatenate([root_pos, turn.as_quat(scalar_first=True), values[:, 3:]], axis=-1)

    lower = np.minimum(np.floor(frame).astype(int), intervals - 1)
    root_vel, dof_vel = (
        np.diff(array, axis=0)[lower] * motion.fps for array in (motion.root_pos, motion.dof_pos)
    )
    world = (turns[1:] * turns[:-1].inv())[lower].as_rotvec() * motion.fps
    return qpos, np.concatenate([root_vel, turn.inv().apply(world), dof_vel], axis=-1)


def assert_same_qpos(actual: np.ndarray, wanted: np.ndarray, atol: float = TOLERANCE) -> None:
    sign = np.where(np.sum(actual[:, 3:7] * wanted[:, 3:7], axis=-1, keepdims=True) < 0.0, -1.0, 1.0)
    np.testing.assert_allclose(actual[:, :3], wanted[:, :3], rtol=0.0, atol=atol)
    np.testing.assert_allclose(actual[:, 3:7], sign * wanted[:, 3:7], rtol=0.0, atol=atol)
    np.testing.assert_allclose(actual[:, 7:], wanted[:, 7:], rtol=0.0, atol=atol)


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_lookup_interpolates_between_frames_and_repeats_or_holds(library, clip):
    times = times_inside_frames(CLIPS[clip])
    qpos, qvel = at(library, clip, times)
    wanted_qpos, wanted_qvel = expected(CLIPS[clip], times)
    assert_same_qpos(qpos, wanted_qpos)
    np.testing.assert_allclose(qvel, wanted_qvel, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_lookup_returns_the_frames_at_their_times(library, clip):
    motion = CLIPS[clip]
    qpos, _ = at(library, clip, np.arange(motion.num_frames - 1) / motion.fps)
    frames = np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=-1)
    assert_same_qpos(qpos, frames[:-1])


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_a_clip_among_others_is_the_clip_alone(library, clip):
    alone = reference.make_library([CLIPS[clip]])
    times = times_inside_frames(CLIPS[clip], seed=1)
    for together, single in zip(at(library, clip, times), at(alone, 0, times), strict=True):
        np.testing.assert_allclose(together, single, rtol=1e-6, atol=5e-6)
    indices = jnp.full(len(times), clip)
    together = reference.phase(library, indices, jnp.asarray(times))
    np.testing.assert_array_equal(together, reference.phase(alone, 0 * indices, jnp.asarray(times)))


def test_one_call_looks_up_different_clips(library):
    clips = jnp.asarray([[3, 0, 1], [2, 1, 0]])
    times = jnp.asarray([[0.1, 0.2, 0.3], [0.4, 0.05, 1.7]])
    qpos, qvel = lookup(library, clips, times)
    assert qpos.shape == (2, 3, 7 + JOINTS)
    assert qvel.shape == (2, 3, 6 + JOINTS)
    for i, j in np.ndindex(2, 3):
        single_qpos, single_qvel = at(library, clips[i, j], [times[i, j]])
        np.testing.assert_allclose(qpos[i, j], single_qpos[0], rtol=0.0, atol=1e-6)
        np.testing.assert_allclose(qvel[i, j], single_qvel[0], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("clip", [1, 3])
def test_clamped_clip_holds_its_ends_for_good(library, clip):
    motion = CLIPS[clip]
    qpos, qvel = at(library, clip, [-5.0, 0.0, motion.length, motion.length + 1e-3, 50.0])
    frames = np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=-1)
    assert_same_qpos(qpos, frames[[0, 0, -1, -1, -1]], atol=1e-6)
    last_velocity = (motion.dof_pos[-1] - motion.dof_pos[-2]) * motion.fps
    np.testing.assert_allclose(qvel[2:, 6:], np.broadcast_to(last_velocity, (3, JOINTS)), rtol=1e-4)


@pytest.mark.parametrize("cycles", [1, 2, 7])
def test_cyclic_clip_repeats_its_pose_and_moves_by_its_displacement(library, cycles):
    motion = CLIPS[0]
    times = (np.arange(motion.num_frames - 1) + 0.4) / motion.fps
    first, later = at(library, 0, times)[0], at(library, 0, times + cycles * motion.length)[0]
    displacement = later - first
    stride = motion.root_pos[-1] - motion.root_pos[0]
    assert np.abs(stride).min() > 0.05
    np.testing.assert_allclose(
        displacement[:, :2], np.broadcast_to(cycles * stride[:2], (len(times), 2)), atol=1e-4
    )
    np.testing.assert_allclose(displacement[:, 2:], 0.0, atol=1e-4)


def test_closed_cyclic_clip_is_continuous_over_its_wraps():
    library = reference.make_library([CYCLE])
    times = np.linspace(0.0, 3.5 * CYCLE.length, 2001)
    qpos, _ = at(library, 0, times)
    dt = times[1]
    frames = np.concatenate([CYCLE.root_pos, CYCLE.dof_pos], axis=-1)
    top_speed = np.abs(np.diff(frames, axis=0)).max() * CYCLE.fps
    jumps = np.abs(np.diff(qpos[:, [0, 1, 2, *range(7, 7 + JOINTS)]], axis=0))
    assert jumps.max() < 1.1 * top_speed * dt + TOLERANCE
    turns = Rotation.from_quat(CYCLE.root_quat, scalar_first=True)
    top_spin = (turns[1:] * turns[:-1].inv()).magnitude().max() * CYCLE.fps
    spins = (turn_of(qpos[1:]) * turn_of(qpos[:-1]).inv()).magnitude()
    assert spins.max() < 1.1 * top_spin * dt + TOLERANCE


def test_quaternions_are_unit(library):
    for clip, motion in enumerate(CLIPS):
        qpos, _ = at(library, clip, times_inside_frames(motion, seed=2))
        np.testing.assert_allclose(np.linalg.norm(qpos[:, 3:7], axis=-1), 1.0, rtol=0.0, atol=5e-7)


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_velocities_are_the_motion_of_the_looked_up_positions(library, clip, robot):
    """From 0.2 to 0.8 of a frame the reference moves at its own velocity, in MuJoCo's conventions: linear
    in the world, angular in the body."""
    motion, model = CLIPS[clip], robot.model
    start = (np.arange(motion.num_frames - 1) + 0.2) / motion.fps
    dt = 0.6 / motion.fps
    (before, qvel), (after, _) = at(library, clip, start), at(library, clip, start + dt)

    spin = (turn_of(before).inv() * turn_of(after)).as_rotvec() / dt
    np.testing.assert_allclose(qvel[:, 3:6], spin, rtol=0.0, atol=5e-3)
    body_and_world = np.linalg.norm(spin - turn_of(before).apply(spin), axis=-1)
    assert np.median(body_and_world) > 0.1  # else the frame would not show

    for i in range(len(start)):
        moved = before[i].copy()
        mujoco.mj_integratePos(model, moved, qvel[i], dt)
        assert_same_qpos(moved[None], after[i, None])
        difference = np.zeros(model.nv)
        mujoco.mj_differentiatePos(model, difference, dt, before[i], after[i])
        np.testing.assert_allclose(qvel[i], difference, rtol=0.0, atol=5e-3)


def test_velocity_is_that_of_the_lower_frame_throughout_an_interval(library):
    motion = CLIPS[3]
    for fraction in (0.02, 0.5, 0.98):
        _, qvel = at(library, 3, (np.arange(motion.num_frames - 1) + fraction) / motion.fps)
        np.testing.assert_allclose(qvel[:, 6:], np.diff(motion.dof_pos, axis=0) * motion.fps, rtol=1e-5)
        np.testing.assert_allclose(qvel[:, :3], np.diff(motion.root_pos, axis=0) * motion.fps, rtol=1e-5)


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_a_start_has_the_pose_of_its_time_and_the_mean_velocity_around_it(library, clip):
    motion = CLIPS[clip]
    times = np.float32(np.random.default_rng(3).uniform(0.0, motion.length, PIECE))
    starts = jax.jit(jax.vmap(lambda time: reference.smooth_start(library, jnp.int32(clip), time, 0.04)))
    qpos, qvel = (np.asarray(array, np.float64) for array in starts(times))
    around = [times.astype(float) + offset for offset in (-0.04, 0.0, 0.04)]
    frames = np.array(around) * motion.fps
    clear = (np.abs(frames - np.round(frames)) > 1e-2).all(axis=0)  # of a frame, at which velocities jump
    assert clear.sum() > PIECE / 2
    assert_same_qpos(qpos, expected(motion, around[1])[0])
    wanted = np.mean([expected(motion, time)[1] for time in around], axis=0)
    np.testing.assert_allclose(qvel[clear], wanted[clear], rtol=1e-5, atol=1e-3)


def test_a_start_on_a_rough_clip_is_no_kick():
    """Of a walk whose root was captured 5 mm off, a velocity between two frames is off by 0.2 m/s."""
    walk = cycles(load_motion("walk"), 20)
    frames = walk.qpos[::2]
    rough = frames + np.pad(np.random.default_rng(4).normal(0.0, 5e-3, (len(frames), 3)), ((0, 0), (0, 33)))
    clips = [Motion.from_qpos(qpos, name="walk", fps=30.0, loop="clamp") for qpos in (frames, rough)]
    times = jnp.linspace(0.1, clips[0].length - 0.1, 500)

    @jax.vmap
    def velocities(time):
        libraries = [reference.make_library([clip]) for clip in clips]
        looked_up = [reference.lookup(library, jnp.int32(0), time)[1] for library in libraries]
        started = [reference.smooth_start(library, jnp.int32(0), time, 1 / 30)[1] for library in libraries]
        return looked_up, started

    (smooth, between_frames), (_, at_starts) = velocities(times)
    kicks = [np.std(np.asarray(found - smooth)[:, :3]) for found in (between_frames, at_starts)]
    assert kicks[0] > 0.19
    assert kicks[1] < 0.1


def test_turns_too_small_for_mimickit_have_no_velocity():
    turns = np.array([1e-6, 1.9e-5, -1.9e-5, 2.1e-5, -2.1e-5, 1e-3])
    angles = np.concatenate([[0.0], np.cumsum(turns)])
    motion = still_but_for(np.tile(angles[:, None], JOINTS), root_turns=angles)
    _, qvel = at(reference.make_library([motion]), 0, np.arange(len(turns)) + 0.5)
    wanted = np.array([0.0, 0.0, 0.0, 2.1e-5, -2.1e-5, 1e-3])
    np.testing.assert_allclose(qvel[:, 6:], np.tile(wanted[:, None], JOINTS), rtol=1e-5)
    np.testing.assert_allclose(qvel[:, 5], wanted, rtol=1e-5)


def test_small_turns_are_interpolated_exactly():
    """Where MimicKit's float32 slerp keeps the lower frame or takes the middle."""
    draw = np.random.default_rng(5)
    base, turn = draw.uniform(-3.0, 3.0, (1000, JOINTS)), draw.uniform(0.0, 3e-3, (1000, 1))
    dof_pos = np.stack([base, base + turn], axis=1).reshape(-1, JOINTS)
    library = reference.make_library([still_but_for(dof_pos, root_turns=dof_pos[:, 0])])
    for fraction in (0.01, 0.3, 0.99):
        qpos, _ = at(library, 0, 2.0 * np.arange(len(base)) + fraction)
        exact = base + fraction * turn
        np.testing.assert_allclose(qpos[:, 7:], exact, rtol=0.0, atol=2e-6)
        yaw = turn_of(qpos).as_euler("ZYX")[:, 0]
        np.testing.assert_allclose(yaw, exact[:, 0], rtol=0.0, atol=2e-6)


def curved(degrees: float) -> Motion:
    """The bundled walk along an arc, a cycle of which turns by so much."""
    walk = edited(load_motion("walk"), root_pos=load_motion("walk").root_pos + np.array([3.0, -1.0, 0.0]))
    return with_loop(bent(walk, np.radians(degrees)), "turn")


@pytest.mark.parametrize("degrees", [60.0, -170.0, 1e-3])
def test_cycles_that_turn_are_those_of_a_clip_of_ten(degrees):
    """Pose, place, heading and velocities, against the cycles written out one after another in float64."""
    cycle = curved(degrees)
    ten = cycles(cycle, 10)
    times = np.arange(0.01, ten.length, 0.0317)
    both = reference.make_library([cycle, ten])
    assert both.half_turn is None or degrees
    (qpos, qvel), (wanted, wanted_vel) = at(both, 0, times), at(both, 1, times)
    assert_same_qpos(qpos, wanted, 4e-5)
    np.testing.assert_allclose(qvel, wanted_vel, rtol=0.0, atol=2e-3)


def test_a_clip_that_wraps_is_not_turned_beside_one_that_turns():
    walk = load_motion("walk")
    times = np.arange(0.01, 5.0, 0.13)
    alone, beside = reference.make_library([walk]), reference.make_library([curved(60.0), walk])
    for found, wanted in zip(at(beside, 1, times), at(alone, 0, times), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=2e-6)


def test_a_whole_circle_leads_back_after_an_hour():
    """Six cycles of 60 degrees; 3,000 rounds."""
    cycle = curved(60.0)
    library = reference.make_library([cycle])
    times = np.arange(0.01, cycle.length, 0.05)
    hour = reference.later(reference.clip_time(jnp.asarray(times, jnp.float32)), 18_000 * 11, 10.0)
    qpos, _ = lookup(library, jnp.zeros(len(times), int), hour)
    assert_same_qpos(np.asarray(qpos, float), at(library, 0, times)[0], 1e-3)  # 1.5e-9 rad a cycle


def after(library: reference.MotionLibrary, start: np.ndarray, steps: int, hz: float):
    """The lookup of the first clip at control steps after a start (N,)."""
    moments = reference.later(reference.clip_time(jnp.asarray(start, jnp.float32)), steps, hz)
    qpos, qvel = lookup(library, jnp.zeros(len(start), int), moments)
    return np.asarray(qpos, float), np.asarray(qvel, float)


FAR = np.array([300.0, -120.0, 0.0])


def far_clip(fps: float, frames: int, loop: str) -> Motion:
    """Lively joints, round and round in a circle 320 m from the origin."""
    draw = np.random.default_rng(3)
    seconds = np.arange(frames) / fps
    waves = draw.uniform(0.3, 1.0, JOINTS) * np.sin(np.outer(seconds, draw.uniform(1.0, 4.0, JOINTS)))
    root_pos = np.column_stack([np.sin(seconds), np.cos(seconds), 0.8 + 0.0 * seconds]) + FAR
    if loop == "wrap":  # in place, so that an hour leads nowhere
        root_pos[-1] = root_pos[0]
    return make_motion(
        name="long",
        fps=fps,
        root_pos=root_pos,
        root_quat=Rotation.from_euler("z", 0.3 * seconds[:, None]).as_quat(scalar_first=True),
        dof_pos=waves,
        joint_names=G1_JOINTS,
        loop=loop,
        source="test",
    )


@pytest.mark.parametrize(
    ("fps", "frames", "loop", "start", "steps", "hz"),
    [
        (120.0, 72_001, "clamp", 0.0, 17_990, 30.0),  # ten minutes
        (1000.0, 5_001, "clamp", 0.0, 139, 30.0),
        (60.0, 67, "wrap", 0.0, 180_000, 50.0),  # an hour
        (29.97, 67, "wrap", 0.0, 3600 * 33, 33.3),
    ],
)
def test_late_and_fine_times_are_as_exact_as_early_ones(fps, frames, loop, start, steps, hz):
    motion = far_clip(fps, frames, loop)
    library = reference.make_library([motion])
    begin = (start + np.random.default_rng(4).uniform(0.0, 0.3, 40)).astype(np.float32)
    qpos, qvel = after(library, begin, steps, hz)
    wanted, wanted_vel = expected(motion, begin.astype(float) + steps / hz)
    wanted[:, :3] -= FAR  # both lie on the grid
    inside = np.abs((wanted_frame := (begin + steps / hz) * fps) - np.round(wanted_frame)) > 1e-2
    assert_same_qpos(qpos[inside], wanted[inside])
    unseen = 2e-5 * fps  # what MimicKit takes for no turn
    np.testing.assert_allclose(qvel[inside], wanted_vel[inside], rtol=1e-5, atol=1e-3 + unseen)


def test_reward_and_observation_of_far_late_and_fine_clips(robot):
    """Against NumPy in float64: a robot beside its reference in the last second of each clip."""
    clips = [far_clip(120.0, 72_001, "clamp"), far_clip(1000.0, 5_001, "clamp"), far_clip(60.0, 67, "wrap")]
    env = make_env(clips, robot=robot)
    draw = np.random.default_rng(5)
    clip, steps = np.repeat([0, 1, 2], 10), np.repeat([17_980, 130, 108_000], 10)
    begin = draw.uniform(0.0, 0.3, len(clip)).astype(np.float32)

    def reference_at(ahead: int) -> tuple[np.ndarray, np.ndarray]:
        time = begin.astype(float) + (steps + ahead) / 30.0
        found = [expected(clips[c], t[None]) for c, t in zip(clip, time, strict=True)]
        qpos, qvel = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        qpos[:, :3] -= FAR
        return qpos, qvel

    now, ahead = reference_at(0), reference_at(1)
    aside = Rotation.from_rotvec(draw.normal(0.0, 0.1, (len(clip), 3)))
    own = now[0] + draw.normal(0.0, 0.05, now[0].shape)
    own[:, 3:7] = (aside * turn_of(now[0])).as_quat(scalar_first=True)
    own, own_vel = own.astype(np.float32), (now[1] + draw.normal(0.0, 0.2, now[1].shape)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def seen(clip, begin, steps, qpos, qvel):
        state = replace(env.reset_to(clip, begin), steps=steps, qpos=qpos, qvel=qvel)
        reward = env.compute_reward(env.character(state), env.reference(state))[0]
        return reward, env.observation_parts(state)

    reward, parts = seen(clip, begin, steps.astype(np.int32), own, own_vel)
    states = [character(*(array.astype(float) for array in pair)) for pair in ((own, own_vel), now, ahead)]
    frame = (begin.astype(float) + steps / 30.0) * np.array([motion.fps for motion in clips])[clip]
    clear = np.abs(frame - np.round(frame)) > 1e-2  # of a frame, at which velocities jump
    assert clear.sum() > 20
    terms = mimickit_terms(robot, states[0], states[1], track_root=True)
    wanted = sum(MIMICKIT_WEIGHTS[name] * term for name, term in terms.items())
    np.testing.assert_allclose(np.asarray(reward)[clear], wanted[clear], rtol=0.0, atol=1e-4)

    forward = turn_of(own.astype(float)).apply([1.0, 0.0, 0.0])
    level = Rotation.from_euler("z", -np.arctan2(forward[:, 1], forward[:, 0])[:, None])
    offset = level.apply(states[2].root_pos - states[0].root_pos)
    relative = (turn_of(own.astype(float)).inv() * turn_of(ahead[0])).as_matrix()
    for name, value in {
        "reference +1: offset of the root": offset,
        "reference +1: rotation from the root's, tangent and normal": np.concatenate(
            [relative[:, :, 0], relative[:, :, 2]], axis=1
        ),
        "reference +1: joint angles": ahead[0][:, 7:],
    }.items():
        np.testing.assert_allclose(parts[name], value, rtol=0.0, atol=5e-5, err_msg=name)


def character(qpos: np.ndarray, qvel: np.ndarray) -> CharacterState:
    """States (N,) in float64, with the kinematics of MuJoCo in C as far as the reward reads them."""
    poses = forward_kinematics(load_mjcf(visuals=False), qpos)
    turn = turn_of(qpos)
    nothing = np.full((len(qpos), 0), np.nan)
    return CharacterState(
        root_pos=qpos[:, :3],
        root_quat=turn.as_quat(scalar_first=True),
        root_vel=qvel[:, :3],
        root_ang_vel=turn.apply(qvel[:, 3:6]),
        dof_pos=qpos[:, 7:],
        dof_vel=qvel[:, 6:],
        body_pos=poses.body_pos,
        body_quat=poses.body_quat,
        com_pos=poses.com_pos,
        sole_pos=nothing,
        clearance=nothing,
    )


@pytest.mark.parametrize("hz", [30.0, 33.3, 33.333, 1000.0])
@pytest.mark.parametrize("steps", [0, 1, 29, 30, 31, 100_000, 3_000_000])
def test_moments_count_whole_seconds(hz, steps):
    found = reference.later(reference.clip_time(jnp.float32(2.75)), jnp.int32(steps), hz)
    assert 0.0 <= found.fraction < 1.0
    assert int(found.second) + float(found.fraction) == pytest.approx(2.75 + steps / hz, abs=3e-7)


def test_phase_runs_from_0_to_1(library):
    for clip, motion in enumerate(CLIPS):
        times = np.linspace(-motion.length, 3.0 * motion.length, 401)
        cycles = times / motion.length
        phase = np.asarray(
            reference.phase(library, jnp.full(len(times), clip), jnp.asarray(times, jnp.float32))
        )
        assert phase.min() >= 0.0
        assert phase.max() <= 1.0
        if motion.loop == "clamp":
            np.testing.assert_allclose(phase, np.clip(cycles, 0.0, 1.0), atol=1e-6)
        else:  # on the circle, where 0 and 1 are the same
            distance = phase - cycles
            np.testing.assert_allclose(distance - np.round(distance), 0.0, atol=1e-5)
            assert phase.max() > 0.9


def test_lengths_are_the_clips(library):
    np.testing.assert_allclose(library.length, [motion.length for motion in CLIPS], rtol=1e-6)
    assert library.num_clips == len(CLIPS)
