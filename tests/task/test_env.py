"""The imitation environment on made-up clips: resets, physics, rewards, ends of episodes, observations.

One compiled step, of 16 environments, serves all tests. What needs no physics runs on a `RigidRobot`,
whose kinematics costs nothing to compile.
"""

import copy
import functools
import re
from collections.abc import Callable
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from helpers.mimickit_reward import mimickit_terms
from helpers.robots import RigidRobot
from scipy import stats
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.implicit_pd import step_with_motors, with_implicit_motors
from mjx_mimic.robot.model import Robot
from mjx_mimic.task import reference
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState, StepResult

pytestmark = pytest.mark.slow

ENVS = 16
JOINTS = len(G1_JOINTS)
EPISODE_STEPS = 15
SWAY, STEP_OUT, LYING = range(3)  # clips of the library
CAUSES = ("fall", "deviation", "nonfinite", "time_out", "clip_end")


def swaying(pose: np.ndarray, fps: float, frames: int, loop: str, amplitude: float, travel: float) -> Motion:
    """A clip about one pose (36,): joints sway by `amplitude` rad, whole periods, the root drifts along x."""
    share = np.linspace(0.0, 1.0, frames)[:, None]
    phases = np.random.default_rng(frames).uniform(0.0, 2.0 * np.pi, 1 + JOINTS)
    sway = amplitude * (np.sin(2.0 * np.pi * share + phases) - np.sin(phases))
    turns = Rotation.from_euler("z", sway[:, :1]) * Rotation.from_quat(pose[3:7], scalar_first=True)
    return make_motion(
        name="swaying",
        fps=fps,
        root_pos=pose[:3] + share * [travel, 0.0, 0.0],
        root_quat=turns.as_quat(scalar_first=True),
        dof_pos=pose[7:] + sway[:, 1:],
        joint_names=G1_JOINTS,
        loop=loop,
        source="test",
    )


def lying_pose(model: mujoco.MjModel, guarded: np.ndarray) -> np.ndarray:
    """On its back, legs raised, the lowest guarded geom 10 mm over the floor and the soles well clear; not
    quite flat, so that it has a heading."""
    pose = model.key_qpos[0].copy()
    pose[3:7] = Rotation.from_euler("y", -1.3).as_quat(scalar_first=True)
    pose[[7 + G1_JOINTS.index(f"{side}_hip_pitch_joint") for side in ("left", "right")]] = -1.0
    data = in_mujoco(model, pose)
    pose[2] += 0.01 - min(height(model, data, geom) for geom in guarded)
    data = in_mujoco(model, pose)
    assert min(height(model, data, g) for g in range(model.ngeom) if "_sole_" in model.geom(g).name) > 0.2
    return pose


@pytest.fixture(scope="session")
def clips(robot) -> tuple[Motion, ...]:
    stand = robot.model.key_qpos[0]
    lying = lying_pose(robot.model, robot.guarded_geoms)
    return (
        swaying(stand, 30.0, 31, "wrap", 0.05, 0.1),
        swaying(stand, 50.0, 41, "clamp", 0.08, -0.05),
        swaying(lying, 10.0, 5, "wrap", 0.0, 0.0),
    )


@pytest.fixture(scope="session")
def env(robot, clips) -> ImitationEnv:
    """Half-second episodes; resets never choose the lying clip, and the second one twice as often."""
    config = EnvConfig(episode_seconds=EPISODE_STEPS / 30.0)
    return make_env(clips, config, weights=(1.0, 2.0, 0.0), robot=robot)


@pytest.fixture(scope="session")
def light(env) -> ImitationEnv:
    """The same with a `RigidRobot`."""
    return replace(env, robot=RigidRobot(**vars(env.robot)))


Step = Callable[[EnvState, np.ndarray, jax.Array], tuple[EnvState, StepResult]]


@pytest.fixture(scope="session")
def step(env) -> Step:
    """The environment's step for 16 of them, compiled once; everything comes back as NumPy arrays."""
    compiled = jax.jit(jax.vmap(env.step))

    def call(state: EnvState, action: np.ndarray, key: jax.Array) -> tuple[EnvState, StepResult]:
        assert action.shape == (ENVS, JOINTS)
        return jax.tree.map(
            np.asarray, compiled(state, action.astype(np.float32), jax.random.split(key, ENVS))
        )

    return call


@pytest.fixture(scope="session")
def reset_to(light) -> Callable[..., EnvState]:
    """The state of the reference at clips and times (N,)."""
    compiled = jax.jit(jax.vmap(light.reset_to))

    def call(clip, time) -> EnvState:
        time = np.asarray(time, np.float32)
        return jax.tree.map(np.array, compiled(np.broadcast_to(np.int32(clip), time.shape), time))

    return call


@pytest.fixture(scope="session")
def pd_target(light) -> Callable[..., np.ndarray]:
    """PD targets of a batch of states and actions, under other settings where given."""

    def call(state: EnvState, action: np.ndarray, /, **settings) -> np.ndarray:
        chosen = replace(light, config=replace(light.config, **settings))
        return np.asarray(jax.jit(jax.vmap(chosen.pd_target))(state, action.astype(np.float32)))

    return call


@pytest.fixture(scope="session")
def lookup(env) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """qpos and qvel of the reference, float64."""
    compiled = jax.jit(reference.lookup)

    def call(clip: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(env.library, jnp.asarray(clip), jnp.asarray(time, jnp.float32))
        return tuple(np.asarray(array, np.float64) for array in found)

    return call


def start_of(lookup, state: EnvState) -> tuple[np.ndarray, np.ndarray]:
    """qpos and qvel (N, ...) with which episodes begin at `start_time`."""
    qpos, _ = lookup(state.clip, state.start_time)
    times = [state.start_time + offset for offset in np.float32([-DT, 0.0, DT])]
    return qpos, np.mean([lookup(state.clip, time)[1] for time in times], axis=0)


def in_mujoco(model: mujoco.MjModel, qpos: np.ndarray) -> mujoco.MjData:
    """Kinematics in MuJoCo C."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    return data


def height(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Of a geom's lowest point over the floor."""
    return mujoco.mj_geomDistance(model, data, model.geom("floor").id, geom, 100.0, None)


def simulate_in_mujoco(model: mujoco.MjModel, state: EnvState, targets: np.ndarray) -> list[mujoco.MjData]:
    """A control step of every environment in MuJoCo C. Its `xpos` is left where `mj_step` leaves it: at the
    state before the last substep."""
    model, reached = with_implicit_motors(model), []
    for qpos, qvel, warm_start, target in zip(state.qpos, state.qvel, state.warm_start, targets, strict=True):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = qpos, qvel, warm_start
        for _ in range(round(DT / model.opt.timestep)):
            step_with_motors(model, data, target)
        reached.append(data)
    return reached


def gathered(states: list[mujoco.MjData], field: str) -> np.ndarray:
    return np.stack([getattr(data, field) for data in states])


def flags(result: StepResult) -> np.ndarray:
    """(N, 5), columns as `CAUSES`."""
    return np.stack([getattr(result.causes, name) for name in CAUSES], axis=-1)


def ended(result: StepResult) -> np.ndarray:
    return np.asarray(result.causes.terminated | result.causes.truncated)


def still() -> np.ndarray:
    return np.zeros((ENVS, JOINTS))


# --- reset ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reset(light) -> Callable[[int], tuple[EnvState, np.ndarray]]:
    """4096 resets by a seed."""
    compiled = jax.jit(jax.vmap(light.reset))

    def call(seed: int) -> tuple[EnvState, np.ndarray]:
        return jax.tree.map(np.asarray, compiled(jax.random.split(jax.random.key(seed), 4096)))

    return call


@pytest.fixture(scope="module")
def resets(reset) -> tuple[EnvState, np.ndarray]:
    return reset(0)


def test_reset_is_the_whole_reference_state_at_its_time(resets, lookup, clips):
    state, _ = resets
    qpos, qvel = start_of(lookup, state)
    np.testing.assert_allclose(state.qpos, qpos, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(state.qvel, qvel, rtol=0.0, atol=1e-5)
    assert np.ptp(qvel[:, 6:], axis=0).min() > 0.1  # it moves, too
    # The clip's own angles, not only the library's idea of them.
    for clip in (SWAY, STEP_OUT):
        mine = state.clip == clip
        knots = np.arange(clips[clip].num_frames) / clips[clip].fps
        wanted = np.stack(
            [np.interp(state.start_time[mine], knots, a) for a in clips[clip].dof_pos.T], axis=-1
        )
        np.testing.assert_allclose(state.qpos[mine, 7:], wanted, rtol=0.0, atol=1.5e-3)
    for field in ("warm_start", "steps", "episode_return"):
        np.testing.assert_array_equal(getattr(state, field), 0, err_msg=field)


def test_resets_spread_over_the_clips_by_weight_and_over_their_length_evenly(resets, clips):
    state, _ = resets
    counts = np.bincount(state.clip, minlength=3)
    assert counts[LYING] == 0
    assert stats.chisquare(counts[:2], np.array([1 / 3, 2 / 3]) * len(state.clip)).pvalue > 1e-3
    for clip in (SWAY, STEP_OUT):
        share = state.start_time[state.clip == clip] / clips[clip].length
        assert stats.kstest(share, "uniform").pvalue > 1e-3


def test_reset_observes_the_state_it_returns(light, resets):
    state, seen = resets
    np.testing.assert_allclose(seen, jax.jit(jax.vmap(light.observe))(state), rtol=0.0, atol=1e-5)


def test_reset_depends_on_its_key_alone(reset, resets):
    again, other = reset(0), reset(1)
    for one, two in zip(jax.tree.leaves(resets), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (resets[0].start_time != other[0].start_time).mean() > 0.99


# --- action --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some_states(reset_to) -> EnvState:
    """On their way: three control steps after a start somewhere in a clip."""
    times = np.linspace(0.0, 0.6, ENVS)
    return replace(reset_to(np.arange(ENVS) % 2, times), steps=np.full(ENVS, 3))


@pytest.fixture(scope="module")
def some_actions() -> np.ndarray:
    """From well inside [-1, 1] to well outside."""
    return np.random.default_rng(0).uniform(-2.5, 2.5, (ENVS, JOINTS)).astype(np.float32)


def test_mimickit_action_is_a_share_of_1_4_times_the_larger_limit(
    robot, pd_target, some_states, some_actions
):
    model = robot.model
    limit = np.array([np.abs(model.joint(name).range).max() for name in G1_JOINTS])
    target = pd_target(some_states, some_actions, action="mimickit")
    np.testing.assert_allclose(target, 1.4 * limit * np.clip(some_actions, -1.0, 1.0), rtol=1e-6, atol=1e-7)
    assert (np.abs(some_actions) > 1.0).mean() > 0.4


def test_reference_action_starts_from_the_reference_at_the_end_of_the_step(
    pd_target, lookup, some_states, some_actions
):
    coming, _ = lookup(some_states.clip, some_states.start_time + 4 / 30)
    now, _ = lookup(some_states.clip, some_states.start_time + 3 / 30)
    assert np.abs(coming - now)[:, 7:].max() > 0.01
    centre = pd_target(some_states, 0.0 * some_actions)
    np.testing.assert_allclose(centre, coming[:, 7:], rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.2])
def test_reference_action_asks_for_a_share_of_the_effort_limit(
    robot, pd_target, some_states, some_actions, scale
):
    centre = pd_target(some_states, 0.0 * some_actions, action_scale=scale)
    moved = pd_target(some_states, some_actions, action_scale=scale) - centre
    model = robot.model
    joint = np.array([model.jnt_actfrcrange[model.joint(name).id, 1] for name in G1_JOINTS])
    effort = np.where(
        np.array([bool(re.search("wrist_(pitch|yaw)", name)) for name in G1_JOINTS]), 5.0, joint
    )
    gain = np.array([model.actuator(name).gainprm[0] for name in G1_JOINTS])
    torque = moved * gain
    np.testing.assert_allclose(
        torque, scale * effort * np.clip(some_actions, -1.0, 1.0), rtol=1e-4, atol=2e-4
    )


# --- physics -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flight(robot, step, reset_to, pd_target):
    """A control step of robots thrown into the air, where motors, joint limits and gravity act: (state,
    following, result, the same in MuJoCo C)."""
    draw = np.random.default_rng(3)  # of no state near a threshold of the constraints, as with 1
    state = reset_to(np.arange(ENVS) % 2, np.linspace(0.0, 0.6, ENVS))
    state.qpos[:, 2] += 0.2
    state.qvel[:] += draw.normal(size=state.qvel.shape)
    state.episode_return[:] = draw.uniform(size=ENVS)
    action = draw.uniform(-1.0, 1.0, (ENVS, JOINTS))
    following, result = step(state, action, jax.random.key(3))
    assert not ended(result).any()
    targets = pd_target(state, action)
    in_c = simulate_in_mujoco(robot.model, state, targets)
    assert not any(data.ncon for data in in_c)
    return state, following, result, in_c


def test_a_control_step_in_the_air_is_mujocos(robot, flight):
    """All substeps in float32 against float64: 1.6e-5 rad/s, with and without fused multiplications."""
    state, following, _, in_c = flight
    np.testing.assert_allclose(following.qpos, gathered(in_c, "qpos"), rtol=0.0, atol=2e-5)
    np.testing.assert_allclose(following.qvel, gathered(in_c, "qvel"), rtol=0.0, atol=2e-4)
    np.testing.assert_allclose(following.warm_start, gathered(in_c, "qacc_warmstart"), rtol=1e-3, atol=0.05)
    assert np.abs(following.qvel - state.qvel)[:, 6:].max() > 1.0


def test_matrix_products_of_a_control_step_are_exact_on_accelerators_too(env, some_states, some_actions):
    state = jax.tree.map(lambda x: x[0], some_states)
    lowered = jax.jit(type(env).step).lower(env, state, some_actions[0], jax.random.key(0))
    products = [line for line in lowered.as_text().splitlines() if "stablehlo.dot_general" in line]
    assert len(products) > 10
    assert [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line] == []


@pytest.fixture(scope="module")
def stance(robot, step, reset_to, pd_target):
    """A control step of robots that stand on the floor and are pushed a little: (state, following, the same
    in MuJoCo C, and there with the solver run to convergence)."""
    draw = np.random.default_rng(2)
    state = reset_to(SWAY, np.full(ENVS, 0.0))
    state.qpos[:, 2] -= np.linspace(0.0, 0.001, ENVS, dtype=np.float32)
    state.qvel[:] = 0.03 * draw.normal(size=state.qvel.shape)
    following, result = step(state, still(), jax.random.key(4))
    assert not ended(result).any()
    targets = pd_target(state, still())
    exact = copy.copy(robot.model)
    exact.opt.iterations, exact.opt.ls_iterations, exact.opt.tolerance = 100, 50, 1e-12
    return (
        state,
        following,
        simulate_in_mujoco(robot.model, state, targets),
        simulate_in_mujoco(exact, state, targets),
    )


def test_a_control_step_on_the_floor_is_mujocos_within_the_solvers_own_error(stance):
    """Both stop after one Newton iteration, short of convergence, and their line searches differ. So they
    may differ, too, but by much less than either does from the converged solution."""
    _, following, in_c, converged = stance
    assert np.mean([data.ncon for data in in_c]) > 4
    for field in ("qpos", "qvel"):
        unlike_c = np.abs(getattr(following, field) - gathered(in_c, field)).max(axis=-1)
        unconverged = np.abs(gathered(in_c, field) - gathered(converged, field)).max(axis=-1)
        assert unlike_c.mean() < 0.3 * unconverged.mean()
    assert np.abs(following.qpos - gathered(in_c, "qpos")).max() < 0.01


def test_the_solver_starts_from_the_states_warm_start(stance, step):
    state, following, _, _ = stance
    elsewhere = replace(state, warm_start=np.full_like(state.warm_start, 50.0))
    other, _ = step(elsewhere, still(), jax.random.key(4))
    assert np.abs(other.qvel - following.qvel).max() > 1e-3


# --- reward, at the instant reached ---------------------------------------------------------------------


def tracking_reward(robot: Robot, own: tuple, aim: tuple) -> np.ndarray:
    """MimicKit's reward (N,) in float64 of (qpos, qvel, body_pos) against the same of the reference."""
    keys = ("left_ankle_roll", "right_ankle_roll", "head", "left_wrist_yaw", "right_wrist_yaw")
    rows = [robot.body_names.index(f"{key}_link") for key in keys]
    light = {"knee": 0.6, "elbow": 0.6, "ankle": 0.5, "wrist": 0.5}
    weight = np.array([next((w for part, w in light.items() if part in name), 1.0) for name in G1_JOINTS])

    def square(difference: np.ndarray) -> np.ndarray:
        return np.square(difference).sum(axis=-1)

    (qpos, qvel, bodies), (aim_qpos, aim_qvel, aim_bodies) = own, aim
    turn, aim_turn = (Rotation.from_quat(q[:, 3:7], scalar_first=True) for q in (qpos, aim_qpos))
    spin, aim_spin = turn.apply(qvel[:, 3:6]), aim_turn.apply(aim_qvel[:, 3:6])
    key_offset = (aim_bodies[:, rows] - aim_qpos[:, None, :3]) - (bodies[:, rows] - qpos[:, None, :3])
    tilt = (turn * aim_turn.inv()).magnitude()
    return (
        0.5 * np.exp(-0.25 * np.square(aim_qpos - qpos)[:, 7:] @ weight)
        + 0.1 * np.exp(-0.01 * np.square(aim_qvel - qvel)[:, 6:] @ weight)
        + 0.15 * np.exp(-5.0 * (square((aim_qpos - qpos)[:, :3]) + 0.1 * tilt**2))
        + 0.1 * np.exp(-square((aim_qvel - qvel)[:, :3]) - 0.1 * square(aim_spin - spin))
        + 0.15 * np.exp(-10.0 * square(key_offset).sum(axis=-1))
    )


def body_positions(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    return np.stack([in_mujoco(model, q).xpos[1:] for q in qpos])


def test_reward_compares_state_and_reference_at_the_end_of_the_step(robot, flight, lookup):
    """With bodies of that very instant: those that `mj_step` leaves behind would show."""
    _, following, result, in_c = flight
    qpos, qvel = following.qpos.astype(np.float64), following.qvel.astype(np.float64)
    aim_qpos, aim_qvel = lookup(following.clip, following.start_time + 1 / 30)
    aim = (aim_qpos, aim_qvel, body_positions(robot.model, aim_qpos))
    fresh = tracking_reward(robot, (qpos, qvel, body_positions(robot.model, qpos)), aim)
    np.testing.assert_allclose(result.reward, fresh, rtol=0.0, atol=1e-5)
    stale = tracking_reward(robot, (qpos, qvel, gathered(in_c, "xpos")[:, 1:]), aim)
    assert np.median(np.abs(stale - fresh)) > 3e-4
    assert np.abs(stale - fresh).max() > 1e-3


def test_reward_is_the_weighted_sum_of_the_terms_reported(flight):
    _, _, result, _ = flight
    weights = {"pose": 0.5, "velocity": 0.1, "root_pose": 0.15, "root_velocity": 0.1, "key_position": 0.15}
    total = sum(weight * getattr(result.reward_terms, name) for name, weight in weights.items())
    np.testing.assert_allclose(result.reward, total, rtol=1e-5)


def test_return_adds_up_and_steps_count(flight):
    state, following, result, _ = flight
    np.testing.assert_allclose(result.episode_return, state.episode_return + result.reward, rtol=1e-6)
    np.testing.assert_array_equal(following.episode_return, result.episode_return)
    np.testing.assert_array_equal(following.steps, 1)
    np.testing.assert_array_equal(result.episode_length, 1)
    for field in ("clip", "start_time"):
        np.testing.assert_array_equal(getattr(following, field), getattr(state, field))


@pytest.mark.parametrize("track_root", [True, False])
@pytest.mark.parametrize("name", ["mimickit", "paper"])
def test_config_chooses_the_reward(light, some_states, name, track_root):
    chosen = replace(light, config=replace(light.config, reward=name, track_root=track_root))

    def rewards(state: EnvState, shift: jax.Array) -> tuple:
        away = replace(state, qpos=state.qpos.at[:3].add(shift))
        return chosen.compute_reward(chosen.character(away), chosen.reference(away))

    compiled = jax.jit(jax.vmap(rewards, in_axes=(0, None)))
    near, terms = compiled(some_states, np.zeros(3))
    far, _ = compiled(some_states, np.array([0.3, 0.0, 0.0]))
    assert ("centre_of_mass" in {f.name for f in fields(terms)}) == (name == "paper")
    np.testing.assert_array_equal(near - far > 0.01, track_root)
    np.testing.assert_array_equal(np.abs(near - far) < 1e-5, not track_root)


def test_without_place_and_heading_rewards_compare_heading_frames(robot, env, some_states):
    blind = replace(env, config=replace(env.config, track_root=False))

    @jax.jit
    @jax.vmap
    def compared(state: EnvState) -> tuple:
        own = blind.character(state)
        in_world = robot.character_state(*blind.reference_coordinates(state))
        return own, in_world, blind.compute_reward(own, blind.reference(state))[1]

    draw = np.random.default_rng(8)
    off = np.linspace(0.0, 0.3, ENVS)[:, None]
    qpos, qvel = (x + off * draw.normal(size=x.shape) for x in (some_states.qpos, some_states.qvel))
    spin = Rotation.from_euler("zyx", draw.uniform(-1.0, 1.0, (ENVS, 3)) * [3.0, 0.4, 0.4])
    qpos[:, 3:7] = (spin * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
    qpos[:, :2] += draw.normal(size=(ENVS, 2)) * 4.0
    state = replace(some_states, qpos=qpos.astype(np.float32), qvel=qvel.astype(np.float32))
    own, in_world, terms = jax.tree.map(lambda x: np.asarray(x, np.float64), compared(state))
    for name, wanted in mimickit_terms(robot, own, in_world, track_root=False).items():
        np.testing.assert_allclose(getattr(terms, name), wanted, rtol=0.0, atol=1e-4, err_msg=name)
        assert np.ptp(wanted) > 0.02


# --- ends of episodes -----------------------------------------------------------------------------------

# Name: (clip, time in it, control steps before, what is done to (qpos, qvel), causes expected).
Disturbance = Callable[[np.ndarray, np.ndarray], None]
DT = 1.0 / 30.0


def nothing(qpos: np.ndarray, qvel: np.ndarray) -> None:
    pass


def aside(distance: float) -> Disturbance:
    def disturb(qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[1] += distance

    return disturb


def down(distance: float, speed: float) -> Disturbance:
    def disturb(qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[2] -= distance
        qvel[2] -= speed

    return disturb


def broken_angle(value: float) -> Disturbance:
    def disturb(qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[20] = value

    return disturb


def broken_speed(value: float) -> Disturbance:
    def disturb(qpos: np.ndarray, qvel: np.ndarray) -> None:
        qvel[20] = value

    return disturb


SCENES: dict[str, tuple[int, float, int, Disturbance, tuple[str, ...]]] = {
    "stands": (SWAY, 0.4, 3, nothing, ()),
    "lies low": (LYING, 0.1, 3, nothing, ()),
    "falls": (LYING, 0.1, 3, down(0.005, 0.5), ("fall",)),
    "within reach": (SWAY, 0.4, 3, aside(0.47), ()),
    "out of reach": (SWAY, 0.4, 3, aside(0.53), ("deviation",)),
    "angle is NaN": (SWAY, 0.4, 3, broken_angle(np.nan), ("nonfinite",)),
    "speed is NaN": (SWAY, 0.4, 3, broken_speed(np.nan), ("nonfinite",)),
    "angle is infinite": (SWAY, 0.4, 3, broken_angle(np.inf), ("nonfinite",)),
    "last step but one": (SWAY, 0.4, EPISODE_STEPS - 2, nothing, ()),
    "last step": (SWAY, 0.4, EPISODE_STEPS - 1, nothing, ("time_out",)),
    "before the clip's end": (STEP_OUT, 0.8 - 1.5 * DT, 3, nothing, ()),
    "clip ends": (STEP_OUT, 0.8 - 0.5 * DT, 3, nothing, ("clip_end",)),
    "cyclic clip wraps": (SWAY, 1.0 - 0.5 * DT, 3, nothing, ()),
    "clip and time end": (STEP_OUT, 0.8 - 0.5 * DT, EPISODE_STEPS - 1, nothing, ("time_out", "clip_end")),
    "falls at the last": (LYING, 0.1, EPISODE_STEPS - 1, down(0.005, 0.5), ("fall", "time_out")),
    "breaks at the last": (SWAY, 0.4, EPISODE_STEPS - 1, broken_angle(np.nan), ("nonfinite", "time_out")),
}
FAILURES = {"fall", "deviation", "nonfinite"}
RETURN_BEFORE = 2.5


def row(scene: str) -> int:
    return list(SCENES).index(scene)


@pytest.fixture(scope="module")
def scenes(step, reset_to) -> tuple[EnvState, EnvState, StepResult]:
    """All scenes, one an environment, stepped together: (state, following, result)."""
    clip, time, steps, disturbances, _ = zip(*SCENES.values(), strict=True)
    state = reset_to(np.array(clip), np.array(time))
    for qpos, qvel, disturb in zip(state.qpos, state.qvel, disturbances, strict=True):
        disturb(qpos, qvel)
    steps = np.array(steps, np.int32)
    state = replace(
        state,
        steps=steps,
        start_time=(np.array(time) - steps * DT).astype(np.float32),
        episode_return=np.full(ENVS, RETURN_BEFORE, np.float32),
    )
    return state, *step(state, still(), jax.random.key(5))


@pytest.mark.parametrize("scene", SCENES)
def test_episode_ends_for_the_reason_provoked_and_no_other(scenes, scene):
    _, _, result = scenes
    expected = SCENES[scene][-1]
    assert {name for name, flag in zip(CAUSES, flags(result)[row(scene)], strict=True) if flag} == set(
        expected
    )
    failed = bool(FAILURES & set(expected))
    assert result.causes.terminated[row(scene)] == failed
    assert result.causes.truncated[row(scene)] == (bool(expected) and not failed)


def test_absurd_speed_counts_as_nonfinite(step, reset_to):
    """From 1000 m/s; positions are finite still."""
    state = reset_to(SWAY, np.full(ENVS, 0.4))
    state.qvel[:, 2] = np.linspace(900.0, 1100.0, ENVS)
    _, result = step(state, still(), jax.random.key(6))
    np.testing.assert_array_equal(result.causes.nonfinite, state.qvel[:, 2] - 9.81 * DT > 1000.0)
    assert result.causes.terminated.all()
    np.testing.assert_array_equal(result.reward[result.causes.nonfinite], 0.0)
    assert (result.reward[~result.causes.nonfinite] > 0.0).all()


def test_deviation_is_measured_at_the_instant_reached(robot, step, reset_to, pd_target, lookup):
    """Robots that fly past the limit within the last substep, and around it: only fresh bodies tell."""
    state = reset_to(SWAY, np.full(ENVS, 0.4))
    speed = 4.0  # m/s: 22 mm a substep
    state.qpos[:, 2] += 0.2
    state.qpos[:, 1] += np.linspace(-0.04, 0.04, ENVS, dtype=np.float32) + np.float32(0.455 - speed * DT)
    state.qvel[:, 1] += speed
    _, result = step(state, still(), jax.random.key(7))
    targets = pd_target(state, still())
    in_c = simulate_in_mujoco(robot.model, state, targets)
    aim = body_positions(robot.model, lookup(state.clip, state.start_time + DT)[0])

    def farthest(bodies: np.ndarray) -> np.ndarray:
        return np.linalg.norm(bodies - aim, axis=-1).max(axis=-1)

    fresh = farthest(body_positions(robot.model, gathered(in_c, "qpos")))
    assert np.abs(fresh - 0.5).min() > 1e-4
    np.testing.assert_array_equal(result.causes.deviation, fresh > 0.5)
    stale = farthest(gathered(in_c, "xpos")[:, 1:]) > 0.5
    assert (stale != result.causes.deviation).any()


def test_fall_is_measured_at_the_instant_reached(robot, step, reset_to, pd_target):
    state = reset_to(LYING, np.full(ENVS, 0.1))
    speed = 2.0  # m/s: 11 mm a substep
    state.qpos[:, 2] += np.linspace(-0.02, 0.02, ENVS, dtype=np.float32) + np.float32(speed * DT - 0.0045)
    state.qvel[:, 2] -= speed
    _, result = step(state, still(), jax.random.key(8))
    targets = pd_target(state, still())
    in_c = simulate_in_mujoco(robot.model, state, targets)

    def lowest(data: mujoco.MjData) -> float:
        return min(height(robot.model, data, geom) for geom in robot.guarded_geoms)

    stale = np.array([lowest(data) for data in in_c])
    fresh = np.array([lowest(in_mujoco(robot.model, data.qpos)) for data in in_c])
    assert np.abs(fresh).min() > 1e-4
    np.testing.assert_array_equal(result.causes.fall, fresh < 0.0)
    assert ((stale < 0.0) != result.causes.fall).any()


@pytest.fixture(scope="module")
def episode(step, reset_to) -> tuple[list[EnvState], list[StepResult]]:
    """An undisturbed episode of the cyclic clip, from all its phases, to its end and a step beyond."""
    states, results = [reset_to(SWAY, np.linspace(0.0, 0.95, ENVS))], []
    for key in jax.random.split(jax.random.key(9), EPISODE_STEPS + 1):
        state, result = step(states[-1], still(), key)
        states.append(state)
        results.append(result)
    return states, results


def test_episode_times_out_after_exactly_its_steps(env, episode):
    assert env.episode_steps == EPISODE_STEPS
    _, results = episode
    for number, result in enumerate(results[:EPISODE_STEPS], start=1):
        np.testing.assert_array_equal(result.episode_length, number)
        assert not result.causes.terminated.any()
        np.testing.assert_array_equal(result.causes.time_out, number == EPISODE_STEPS)
        np.testing.assert_array_equal(result.causes.truncated, number == EPISODE_STEPS)


def test_default_episode_is_ten_seconds_at_thirty_hertz(env):
    assert replace(env, config=EnvConfig()).episode_steps == 300


def test_episode_return_is_the_sum_of_its_rewards(episode):
    _, results = episode
    total = sum(result.reward.astype(np.float64) for result in results[:EPISODE_STEPS])
    np.testing.assert_allclose(results[EPISODE_STEPS - 1].episode_return, total, rtol=1e-5)
    assert total.min() > 0.5 * EPISODE_STEPS  # the robot stands and keeps up
    beyond = results[EPISODE_STEPS]
    np.testing.assert_array_equal(beyond.episode_return, beyond.reward)
    np.testing.assert_array_equal(beyond.episode_length, 1)


def test_time_in_the_clip_runs_on_with_the_episode(env, episode):
    states, _ = episode
    for number, state in enumerate(states[:EPISODE_STEPS]):
        np.testing.assert_allclose(env.time(state), states[0].start_time + number * DT, rtol=0.0, atol=1e-6)


# --- automatic reset ------------------------------------------------------------------------------------


def test_after_the_end_a_new_episode_starts_on_the_reference(scenes, episode, lookup):
    states, results = episode
    for following, result in ((scenes[1], scenes[2]), (states[EPISODE_STEPS], results[EPISODE_STEPS - 1])):
        done = ended(result)
        assert done.sum() >= 9
        qpos, qvel = start_of(lookup, following)
        np.testing.assert_allclose(following.qpos[done], qpos[done], rtol=0.0, atol=1e-6)
        np.testing.assert_allclose(following.qvel[done], qvel[done], rtol=0.0, atol=1e-5)
        assert set(following.clip[done]) <= {SWAY, STEP_OUT}
        assert len(np.unique(following.start_time[done])) == done.sum()
        for field in ("steps", "episode_return", "warm_start"):
            np.testing.assert_array_equal(getattr(following, field)[done], 0, err_msg=field)


def test_an_episode_that_goes_on_is_not_reset(scenes):
    state, following, result = scenes
    on = ~ended(result)
    assert on.sum() == sum(not causes for *_, causes in SCENES.values())
    np.testing.assert_array_equal(following.steps[on], state.steps[on] + 1)
    for field in ("clip", "start_time"):
        np.testing.assert_array_equal(getattr(following, field)[on], getattr(state, field)[on])
    np.testing.assert_allclose(following.episode_return[on], RETURN_BEFORE + result.reward[on], rtol=1e-6)


def test_reset_in_a_step_follows_its_key_and_the_rest_does_not(scenes, step):
    state, following, result = scenes
    again, result_again = step(state, still(), jax.random.key(5))
    for one, two in zip(
        jax.tree.leaves((following, result)), jax.tree.leaves((again, result_again)), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    other, result_other = step(state, still(), jax.random.key(55))
    done = ended(result)
    np.testing.assert_array_equal(flags(result), flags(result_other))
    np.testing.assert_array_equal(following.qpos[~done], other.qpos[~done])
    np.testing.assert_array_equal(result.reward, result_other.reward)
    np.testing.assert_array_equal(result.final_observation, result_other.final_observation)
    assert (following.start_time[done] != other.start_time[done]).all()


def test_a_broken_simulation_earns_nothing_and_leaves_no_trace(scenes):
    _, following, result = scenes
    broken = np.array(["nonfinite" in causes for *_, causes in SCENES.values()])
    assert broken.sum() == 4
    np.testing.assert_array_equal(result.causes.nonfinite, broken)
    np.testing.assert_array_equal(result.reward[broken], 0.0)
    for term in jax.tree.leaves(result.reward_terms):
        np.testing.assert_array_equal(term[broken], 0.0)
        assert (term[~broken] > 0.0).all()
    np.testing.assert_array_equal(result.episode_return[broken], np.float32(RETURN_BEFORE))
    for array in (result.observation, *jax.tree.leaves(following)):
        assert np.isfinite(array).all()
    assert np.isfinite(result.final_observation[~broken]).all()


# --- observation ----------------------------------------------------------------------------------------


def level(turn: Rotation) -> Rotation:
    """The turn about the vertical that takes a heading to the x axis."""
    forward = turn.apply([1.0, 0.0, 0.0])
    return Rotation.from_euler("z", -np.arctan2(forward[:, 1], forward[:, 0])[:, None])


def encoded(turn: Rotation) -> np.ndarray:
    """x and z axes, (N, 6)."""
    return np.concatenate([turn.apply([1.0, 0.0, 0.0]), turn.apply([0.0, 0.0, 1.0])], axis=-1)


def compact_observation(env: ImitationEnv, state: EnvState, lookup: Callable, clips: tuple) -> np.ndarray:
    """The `compact` layout in float64."""
    time = state.start_time + state.steps * DT
    qpos, qvel = state.qpos.astype(np.float64), state.qvel.astype(np.float64)
    aim_qpos, aim_qvel = lookup(state.clip, time + DT)
    turn, aim = (Rotation.from_quat(q[:, 3:7], scalar_first=True) for q in (qpos, aim_qpos))
    frame = level(turn)
    lengths = np.array([clip.length for clip in clips])[state.clip]
    phase = np.where(state.clip == STEP_OUT, np.clip(time / lengths, 0.0, 1.0), np.mod(time / lengths, 1.0))
    waves = 2.0 * np.pi * phase[:, None] * [1, 2, 4, 8]
    return np.concatenate(
        [
            qpos[:, 2:3],
            encoded(frame * turn),
            frame.apply(qvel[:, :3]),
            frame.apply(turn.apply(qvel[:, 3:6])),
            qpos[:, 7:],
            qvel[:, 6:],
            np.sin(waves),
            np.cos(waves),
            frame.apply(aim_qpos[:, :3] - qpos[:, :3]),
            encoded(turn.inv() * aim),
            frame.apply(aim_qvel[:, :3]),
            frame.apply(aim.apply(aim_qvel[:, 3:6])),
            aim_qpos[:, 7:],
        ],
        axis=-1,
    )


def test_observation_is_of_the_state_that_follows(env, flight, scenes, lookup, clips):
    """For those that go on and those that start anew."""
    for following, result in (flight[1:3], scenes[1:]):
        expected = compact_observation(env, following, lookup, clips)
        np.testing.assert_allclose(result.observation, expected, rtol=1e-5, atol=2e-4)


def test_final_observation_is_of_the_state_before_the_reset(scenes):
    _, _, result = scenes
    done = ended(result)
    np.testing.assert_allclose(
        result.observation[~done], result.final_observation[~done], rtol=0.0, atol=1e-5
    )
    changed = np.abs(result.observation - result.final_observation).max(axis=-1)
    assert (changed[done & ~result.causes.nonfinite] > 0.01).all()
    # The same instant of the same motion, in an episode that ends there and in one that does not.
    ends, goes_on = row("last step"), row("last step but one")
    np.testing.assert_allclose(
        result.final_observation[ends], result.observation[goes_on], rtol=0.0, atol=1e-4
    )


SIZES = {"mimickit": 849, "paper": 246, "compact": 3 * JOINTS + 36}


@pytest.fixture(scope="module")
def observed(light, some_states) -> Callable[[str], np.ndarray]:
    """`some_states` in a layout."""

    @functools.cache
    def call(layout: str) -> np.ndarray:
        chosen = replace(light, config=replace(light.config, observation=layout))
        return np.asarray(jax.jit(jax.vmap(chosen.observe))(some_states))

    return call


@pytest.mark.parametrize("layout", SIZES)
def test_observations_have_their_size_and_are_finite(observed, layout):
    seen = observed(layout)
    assert seen.shape == (ENVS, SIZES[layout])
    assert np.isfinite(seen).all()


def test_mimickit_layout_sees_the_reference_one_two_and_three_steps_ahead(observed, some_states, lookup):
    seen = observed("mimickit")
    own_size, target_size = 237, 204
    for ahead in (1, 2, 3):
        qpos, _ = lookup(some_states.clip, some_states.start_time + (3 + ahead) * DT)
        target = seen[:, own_size + (ahead - 1) * target_size :][:, :target_size]
        offset = qpos[:, :2] - some_states.qpos[:, :2]
        np.testing.assert_allclose(target[:, :2], offset, rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(target[:, 2], qpos[:, 2], rtol=0.0, atol=1e-5)
        turn = Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
        np.testing.assert_allclose(target[:, 3:9], encoded(turn), rtol=0.0, atol=1e-5)


def test_paper_layout_sees_the_phase_now(observed, some_states, clips):
    seen = observed("paper")
    lengths = np.array([clip.length for clip in clips])[some_states.clip]
    np.testing.assert_allclose(seen[:, 237], (some_states.start_time + 3 * DT) / lengths, rtol=0.0, atol=1e-5)
