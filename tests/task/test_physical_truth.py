"""What physics and the task's definitions demand of any simulation of the robot, whatever the engine.

References are conservation laws and statics, with MuJoCo C's kinematics in float64, not another simulation.
One compiled physics step, of 16 robots, serves all tests. It is taken as `ImitationEnv.simulate` takes it,
whose equality to MuJoCo's is tested elsewhere, but shows forces, too. Another compiled function sees all
states with the task's observations, rewards and ends.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.paths import assets_dir, bundled_clips
from mjx_mimic.config import EnvConfig
from mjx_mimic.presets import PRESETS
from mjx_mimic.robot.implicit_pd import shifted_target, step_with_motors, with_implicit_motors
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import Robot
from mjx_mimic.task.dynamics import Dynamics, simulated_fields
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.observation import LAYOUTS, Phase
from mjx_mimic.task.states import EnvState

pytestmark = pytest.mark.slow

ROBOTS = 16
JOINTS = 29
DT = 1.0 / 90.0
SUBSTEPS = 3
GRAVITY = 9.81


# The compiled step -------------------------------------------------------------------------------------


@dataclass
class Physics:
    """A physics step: what it began from, the forces that act there (N, 35), and what it came to."""

    qpos: np.ndarray
    qvel: np.ndarray
    acceleration: np.ndarray
    motors: np.ndarray
    constraints: np.ndarray
    next_qpos: np.ndarray
    next_qvel: np.ndarray


Simulate = Callable[[np.ndarray, np.ndarray, np.ndarray], list[Physics]]


@pytest.fixture(scope="module")
def simulate(robot: Robot) -> Simulate:
    """(qpos, qvel, PD targets (S, N, 29)) to S physics steps in MJX."""

    def step(qpos: jax.Array, qvel: jax.Array, warm_start: jax.Array, target: jax.Array) -> tuple:
        target = shifted_target(target, qvel[6:], DT)
        data = robot.mjx_data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warm_start, ctrl=target)
        data = mjx.step(robot.mjx_model.tree_replace(simulated_fields(robot, Dynamics(), DT)), data)
        forces = (data.qacc, data.qfrc_actuator, data.qfrc_constraint)
        return (data.qpos, data.qvel, data.qacc_warmstart), forces

    compiled = jax.jit(jax.vmap(step))

    def call(qpos: np.ndarray, qvel: np.ndarray, targets: np.ndarray) -> list[Physics]:
        state = (qpos.astype(np.float32), qvel.astype(np.float32), np.zeros(qvel.shape, np.float32))
        taken = []
        for target in targets.astype(np.float32):
            following, forces = jax.tree.map(np.asarray, compiled(*state, target))
            taken.append(Physics(*state[:2], *forces, *following[:2]))
            state = following
        return taken

    return call


def momentum(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Linear, kg m/s, and angular about the centre of mass, kg m^2/s, (2, N, 3), float64."""
    data, rows = mujoco.MjData(model), []
    for data.qpos[:], data.qvel[:] in zip(qpos, qvel, strict=True):
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_subtreeVel(model, data)
        rows.append([model.body_subtreemass[1] * data.subtree_linvel[1], data.subtree_angmom[1].copy()])
    return np.array(rows).transpose(1, 0, 2)


def centre_of_mass(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """(N, 3) m, float64."""
    data, rows = mujoco.MjData(model), []
    for data.qpos[:] in qpos:
        mujoco.mj_fwdPosition(model, data)
        rows.append(data.subtree_com[1].copy())
    return np.array(rows)


# Mass and flight ---------------------------------------------------------------------------------------


def inner_targets(model: mujoco.MjModel, seed: int) -> np.ndarray:
    """PD targets (15, N, 29) of half a second, anywhere in the inner 30 % of each joint's range, so that no
    joint hits its limit."""
    low, high = model.jnt_range[1:].T
    share = np.random.default_rng(seed).uniform(0.35, 0.65, (15, ROBOTS, JOINTS))
    return low + share * (high - low)


def thrown(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Robots 5 m up, joints in the middle of their ranges, that turn and fly in all directions."""
    draw = np.random.default_rng(0)
    qpos = np.tile(model.key_qpos[0], (ROBOTS, 1))
    qpos[:, 2] = 5.0
    qpos[:, 3:7] = Rotation.random(ROBOTS, rng=draw).as_quat(scalar_first=True)
    qpos[:, 7:] = model.jnt_range[1:].mean(axis=1)
    qvel = np.zeros((ROBOTS, 6 + JOINTS))
    qvel[:, :6] = draw.normal(size=(ROBOTS, 6))
    return qpos, qvel


@pytest.fixture(scope="module")
def flight(robot, simulate) -> list[Physics]:
    """Half a second in the air, where every control step asks for other joint angles."""
    targets = np.repeat(inner_targets(robot.model, 0), SUBSTEPS, axis=0)
    return simulate(*thrown(robot.model), targets)


STRAINS = {"mild": (1.0, 0.1), "lively": (10.0, 1.0), "wild": (100.0, 100.0), "absurd": (300.0, 1e6)}
"""Joint speeds up to, rad/s, and PD targets up to so far from the pose, rad."""


@pytest.fixture(scope="module")
def strained(robot, simulate) -> dict[str, tuple[Physics, np.ndarray]]:
    """One physics step from random poses, and its PD targets."""
    draw, steps = np.random.default_rng(1), {}
    low, high = robot.joint_range.T
    for name, (speed, angle) in STRAINS.items():
        qpos, qvel = thrown(robot.model)
        qpos[:, 7:] = draw.uniform(low, high, (ROBOTS, JOINTS))
        qvel[:, 6:] = draw.uniform(-speed, speed, (ROBOTS, JOINTS))
        targets = qpos[:, 7:] + draw.uniform(-angle, angle, (ROBOTS, JOINTS))
        steps[name] = simulate(qpos, qvel, targets[None])[0], targets
    return steps


def test_the_robot_weighs_what_its_description_says(robot):
    """By the numbers in the file; what is drawn or collides adds nothing."""
    inertials = ElementTree.parse(assets_dir() / "g1" / "g1.xml").getroot().iter("inertial")
    total = sum(float(inertial.attrib["mass"]) for inertial in inertials)
    assert float(robot.model.body_mass.sum()) == pytest.approx(total, rel=1e-12)
    assert float(np.sum(robot.mjx_model.body_mass)) == pytest.approx(total, rel=1e-6)
    np.testing.assert_array_equal(robot.mjx_model.opt.gravity, np.float32([0.0, 0.0, -GRAVITY]))


@pytest.mark.parametrize("case", ["flight", *STRAINS])
def test_motors_change_no_momentum_of_the_whole(robot, flight, strained, case):
    """Its rate of change along MJX's accelerations is the weight, with no moment about the centre of mass: by
    central differences in float64. This holds at each instant whatever the step's length, so what is left is
    the rounding of float32: some 1e-6 N and N m for each rad/s^2 of the fastest joint."""
    h, weight = 1e-6, robot.model.body_mass.sum() * GRAVITY
    for taken in flight[::9] if case == "flight" else [strained[case][0]]:
        sides = []
        for time in (h, -h):
            qpos, qvel = taken.qpos.astype(float), taken.qvel.astype(float)
            for row, velocity in zip(qpos, qvel, strict=True):
                mujoco.mj_integratePos(robot.model, row, velocity, time)
            sides.append(momentum(robot.model, qpos, qvel + time * taken.acceleration))
        force, moment = (sides[0] - sides[1]) / (2.0 * h)
        top = np.abs(taken.acceleration).max()
        assert top > 100.0
        np.testing.assert_allclose(force, np.tile([0, 0, -weight], (ROBOTS, 1)), rtol=0.0, atol=1e-5 * top)
        np.testing.assert_allclose(moment, 0.0, rtol=0.0, atol=1e-5 * top)


def drift(model: mujoco.MjModel, time: float, before: tuple, after: tuple) -> tuple[np.ndarray, ...]:
    """How far (N,) the centre of mass is from free fall, m, and the momenta from conservation, of a flight of
    `time` s from (qpos, qvel) to (qpos, qvel)."""
    mass, down = model.body_mass.sum(), np.array([0.0, 0.0, -GRAVITY])
    (linear, angular), (linear_after, angular_after) = momentum(model, *before), momentum(model, *after)
    fall = centre_of_mass(model, before[0]) + time * linear / mass + 0.5 * time**2 * down
    errors = (
        centre_of_mass(model, after[0]) - fall,
        linear_after - linear - mass * time * down,
        angular_after - angular,
    )
    return tuple(np.linalg.norm(error, axis=-1) for error in errors)


def drift_in_c(model: mujoco.MjModel) -> tuple[np.ndarray, ...]:
    """The same flight in MuJoCo C."""
    model, before, dt = with_implicit_motors(model), thrown(model), model.opt.timestep
    after = [array.copy() for array in before]
    for i in range(ROBOTS):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = before[0][i], before[1][i]
        for target in np.repeat(inner_targets(model, 0)[:, i], round(1.0 / 30.0 / dt), axis=0):
            step_with_motors(model, data, target)
        after[0][i], after[1][i] = data.qpos, data.qvel
    return drift(model, 0.5, before, tuple(after))


def test_the_centre_of_mass_falls_freely_whatever_the_joints_do(robot, flight):
    """g t^2 / 2 = 1.2 m in half a second. Euler's method is of first order: what it adds is in proportion to
    the step, here 27 mm by the free fall alone, and a few more by the joints' motion."""
    start, end = flight[0], flight[-1]
    assert len(flight) == 45
    fallen, linear, angular = drift(
        robot.model, 0.5, (start.qpos, start.qvel), (end.next_qpos, end.next_qvel)
    )
    assert fallen.max() < 0.04
    assert linear.max() < 5.0  # kg m/s, of 177 that gravity adds
    assert angular.max() < 1.4  # kg m^2/s
    assert np.abs(end.qpos - start.qpos)[:, 7:].max() > 0.3


def test_what_momentum_the_integrator_adds_vanishes_with_the_step(robot, flight):
    """The error of MJX's flight is that of MuJoCo C's, and an eighth as large at eight times the rate."""
    start, end = flight[0], flight[-1]
    ours = drift(robot.model, 0.5, (start.qpos, start.qvel), (end.next_qpos, end.next_qvel))
    for mine, coarse, fine in zip(
        ours, drift_in_c(robot.model), drift_in_c(load_mjcf(physics_hz=720.0, visuals=False)), strict=True
    ):
        np.testing.assert_allclose(mine, coarse, rtol=0.02)
        np.testing.assert_allclose(fine.mean(), coarse.mean() / 8.0, rtol=0.35)


def test_physics_in_the_air_has_no_preferred_heading(robot, simulate):
    """A robot that is turned about the vertical and shifted moves in the same way, turned. (On the floor
    MuJoCo's friction pyramids have edges along the world's axes.)"""
    yaw = Rotation.from_euler("z", 1.1)
    targets = np.repeat(inner_targets(robot.model, 2)[:1], SUBSTEPS, axis=0)
    qpos, qvel = thrown(robot.model)
    straight = simulate(qpos, qvel, targets)[-1]
    turned = simulate(*turned_about(yaw, qpos, qvel), targets)[-1]
    expected = turned_about(yaw, straight.next_qpos, straight.next_qvel)
    np.testing.assert_allclose(turned.next_qpos, expected[0], rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(turned.next_qvel, expected[1], rtol=0.0, atol=1e-3)


SHIFT = np.array([0.5, -2.0, 0.0])


def turned_about(yaw: Rotation, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same robots after a turn about the world's vertical axis and a `SHIFT`."""
    qpos, qvel = qpos.astype(float), qvel.astype(float)
    qpos[:, :3] = yaw.apply(qpos[:, :3]) + SHIFT
    qpos[:, 3:7] = (yaw * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
    qvel[:, :3] = yaw.apply(qvel[:, :3])
    return qpos, qvel


# Standing ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stance(robot, simulate) -> list[Physics]:
    """Robots that hold poses near the stand keyframe: A quarter of a second to settle, since one iteration of
    the solver needs some twenty steps to find who carries what, and an eighth to weigh."""
    qpos = np.tile(robot.model.key_qpos[0], (ROBOTS, 1))
    lean = 0.01 * np.linspace(-1.0, 1.0, ROBOTS)[:, None]
    qpos[:, 7:] += lean * np.random.default_rng(3).normal(size=JOINTS)
    return simulate(qpos, np.zeros((ROBOTS, 6 + JOINTS)), np.tile(qpos[:, 7:], (36, 1, 1)))[24:]


def test_the_floor_carries_the_weight(robot, stance):
    """Whatever constrains the root's height is the floor: joint limits act between bodies. The robots still
    sway, which moves the load by one to three hundredths."""
    loads = np.array([taken.constraints[:, 2] for taken in stance]) / (robot.model.body_mass.sum() * GRAVITY)
    np.testing.assert_allclose(loads.mean(axis=0), 1.0, rtol=0.0, atol=0.02)
    np.testing.assert_allclose(loads, 1.0, rtol=0.0, atol=0.04)


def test_the_motors_of_a_standing_robot_balance_weight_and_floor(robot, stance):
    """MuJoCo C's inverse dynamics gives the forces that MJX's motion needs beside those of the floor: those
    of the motors, and none on the root. They agree to 0.3 of 353 N, since one iteration of Newton's method is
    not the last word on the floor's forces."""
    model = with_implicit_motors(robot.model)
    data = mujoco.MjData(model)
    for taken in stance[::3]:
        for i in range(ROBOTS):
            data.qpos[:], data.qvel[:], data.qacc[:] = taken.qpos[i], taken.qvel[i], taken.acceleration[i]
            mujoco.mj_inverse(model, data)
            np.testing.assert_allclose(data.qfrc_inverse, taken.motors[i], rtol=0.0, atol=0.5)
        assert not taken.motors[:, :6].any()
        assert np.abs(taken.motors).max() > 5.0


# Motors ------------------------------------------------------------------------------------------------


def assert_motors_keep_to_their_limits(robot: Robot, taken: Physics, targets: np.ndarray) -> np.ndarray:
    """Hold the motors to their definition, and return which of them (N, 29) give all that they can."""
    limit, torque = robot.effort_limit, taken.motors[:, 6:]
    assert np.all(np.abs(torque) <= limit * (1.0 + 1e-6))
    shifted = shifted_target(targets, taken.qvel[:, 6:], np.float32(DT))
    wanted = robot.kp * (shifted - taken.qpos[:, 7:]) - robot.kd * taken.qvel[:, 6:]
    np.testing.assert_allclose(torque, np.clip(wanted, -limit, limit), rtol=1e-5, atol=1e-3)
    return np.abs(torque) > 0.999 * limit


@pytest.mark.parametrize("case", STRAINS)
def test_motors_never_exceed_their_effort_limits(robot, strained, case):
    taken, targets = strained[case]
    saturated = assert_motors_keep_to_their_limits(robot, taken, targets.astype(np.float32)).mean()
    assert (saturated == 0.0) if case == "mild" else (saturated > 0.01)


@pytest.mark.parametrize("size", [1.0, 1e6, np.inf])
@pytest.mark.parametrize("action", ["reference", "mimickit"])
def test_no_action_exceeds_the_effort_limits(robot, env, moments, simulate, action, size):
    """Actions of any size ask for what those of size 1 do."""
    chosen = replace(env, config=replace(env.config, action=action))
    state = jax.tree.map(lambda array: array[:ROBOTS], moments)
    sign = np.random.default_rng(4).choice([-1.0, 1.0], (ROBOTS, JOINTS)).astype(np.float32)
    pd_target = jax.jit(jax.vmap(chosen.pd_target))
    targets = np.asarray(pd_target(state, size * sign))
    np.testing.assert_array_equal(targets, pd_target(state, sign))
    taken = simulate(state.qpos, state.qvel, targets[None])[0]
    saturated = assert_motors_keep_to_their_limits(robot, taken, targets)
    assert saturated.any()  # an action of 1 asks for the whole effort limit, or for more


# Observations, rewards and ends --------------------------------------------------------------------------


YAW = Rotation.from_euler("z", -2.2)
MOMENTS = 16 * 20
REWARDS = {name: preset.env for name, preset in PRESETS.items()} | {
    "rootless": EnvConfig(track_root=False),
    "paper's, our observation": EnvConfig(reward="paper"),
}


def turned_clip(motion: Motion) -> Motion:
    """The clip turned about the vertical and moved."""
    frames = np.zeros((motion.num_frames, 36))
    frames[:, :3], frames[:, 3:7] = motion.root_pos, motion.root_quat
    qpos, _ = turned_about(YAW, frames, np.zeros((motion.num_frames, 35)))
    return replace(motion, root_pos=qpos[:, :3], root_quat=qpos[:, 3:7])


@pytest.fixture(scope="module")
def env(robot) -> ImitationEnv:
    """All bundled clips, and then the same turned."""
    motions = load_clips(bundled_clips()).motions
    return make_env([*motions, *map(turned_clip, motions)], robot=robot)


@pytest.fixture(scope="module")
def moments(env) -> EnvState:
    """States on the reference: all clips from all their times, at the start of an episode and later in it."""
    draw = np.random.default_rng(5)
    clip = np.arange(MOMENTS) % (env.library.num_clips // 2)
    start = draw.uniform(size=MOMENTS) * np.asarray(env.library.length)[clip]
    state = jax.jit(jax.vmap(env.reset_to))(jnp.asarray(clip), jnp.asarray(start, jnp.float32))
    state = replace(state, steps=jnp.asarray(draw.integers(0, 3, MOMENTS) * 40))
    qpos, qvel = jax.jit(jax.vmap(env.reference_coordinates))(state)
    return jax.tree.map(np.asarray, replace(state, qpos=qpos, qvel=qvel))


@dataclass
class Seen:
    """What the task makes of states: parts of observations by layout, rewards by `REWARDS`, ends."""

    parts: dict[str, dict[str, np.ndarray]]
    rewards: dict[str, np.ndarray]
    terminated: np.ndarray


@pytest.fixture(scope="module")
def see(env) -> Callable[[EnvState], Seen]:
    """Of `MOMENTS` states, compiled once."""

    def look(state: EnvState) -> tuple:
        # Kinematics once, of own state and of the reference now and at coming steps: else it compiles long.
        blind = replace(env, config=replace(env.config, track_root=False))
        coordinates = [
            (state.qpos, state.qvel),
            blind.shown_coordinates(state),
            *(env.reference_coordinates(state, ahead) for ahead in range(4)),
        ]
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *coordinates)
        characters = jax.vmap(env.robot.character_state)(*stacked)
        own, carried, *targets = (jax.tree.map(lambda array, i=i: array[i], characters) for i in range(6))
        parts = {
            name: layout.parts(
                env.robot,
                own,
                {ahead: targets[ahead] for ahead in layout.target_steps},
                Phase(env.phase(state), 4 if layout.phase else 0),
            )
            for name, layout in LAYOUTS.items()
        }
        tasks = {name: replace(env, config=config) for name, config in REWARDS.items()}
        rewards = {
            name: task.compute_reward(own, targets[0] if task.track_root else carried)[0]
            for name, task in tasks.items()
        }
        return parts, rewards, env.causes(state, own, targets[0]).terminated

    compiled = jax.jit(jax.vmap(look))
    return lambda state: Seen(*jax.tree.map(np.asarray, compiled(state)))


@pytest.fixture(scope="module")
def rollouts(env, moments, simulate) -> EnvState:
    """Sixteen episodes of 20 control steps of random actions, some beyond bounds, as `MOMENTS` states."""
    draw, pd_target = np.random.default_rng(6), jax.jit(jax.vmap(env.pd_target))
    state = jax.tree.map(lambda array: array[:ROBOTS], moments)
    states = []
    for _ in range(MOMENTS // ROBOTS):
        action = np.linspace(0.2, 3.0, ROBOTS)[:, None] * draw.normal(size=(ROBOTS, JOINTS))
        targets = np.asarray(pd_target(state, action.astype(np.float32)))
        reached = simulate(state.qpos, state.qvel, np.repeat(targets[None], SUBSTEPS, axis=0))[-1]
        state = replace(state, qpos=reached.next_qpos, qvel=reached.next_qvel, steps=state.steps + 1)
        states.append(state)
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *states)


@pytest.fixture(scope="module")
def seen(see, rollouts) -> Seen:
    return see(rollouts)


@pytest.fixture(scope="module")
def alive(seen) -> np.ndarray:
    """Which of the states of `rollouts` their episodes come to without a failure before."""
    failed = np.cumsum(seen.terminated.reshape(-1, ROBOTS), axis=0) > 0
    assert 0.2 < 1.0 - failed.mean() < 0.999
    return ~failed.ravel()


def test_the_reference_itself_earns_1(see, moments):
    """In every bundled clip, at any time, in later cycles and after the end, by every preset's reward."""
    found = see(moments)
    assert not found.terminated.any()
    for name, reward in found.rewards.items():
        np.testing.assert_allclose(reward, 1.0, rtol=0.0, atol=1e-6, err_msg=name)


def test_random_episodes_earn_between_0_and_1(seen, alive):
    for name, reward in seen.rewards.items():
        assert np.all((reward >= 0.0) & (reward <= 1.0)), name
        assert np.all(reward[alive] > 0.0), name
        assert np.ptp(reward) > 0.3, name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_observations_of_random_episodes_are_bounded(seen, alive, layout):
    """Rotations and waves by 1; places by what ends an episode, the robot's size, and three steps of the
    reference; angles by half a turn and what a soft limit gives way; velocities by what counts as broken."""
    bounds = {
        "rotation": 1.0 + 1e-5,
        "phase": 1.0 + 1e-5,
        "velocit": 1e3,
        "angles": 1.1 * np.pi,
        "gyro": 1e3,
        "gravity": 1.0 + 1e-5,
        "action": 1.0,
    }
    for name, part in seen.parts[layout].items():
        bound = next((bound for word, bound in bounds.items() if word in name), 2.0)
        assert np.isfinite(part).all()
        assert np.abs(part[alive]).max() <= bound, name


@pytest.fixture(scope="module")
def turned(see, env, rollouts) -> Seen:
    """The same episodes with robots and clips turned about the vertical and moved, together."""
    qpos, qvel = turned_about(YAW, rollouts.qpos, rollouts.qvel)
    clip = rollouts.clip + env.library.num_clips // 2
    return see(replace(rollouts, qpos=qpos.astype(np.float32), qvel=qvel.astype(np.float32), clip=clip))


def test_rewards_and_ends_do_not_see_the_common_heading(seen, turned, alive):
    np.testing.assert_array_equal(turned.terminated[alive], seen.terminated[alive])
    for name, reward in turned.rewards.items():
        np.testing.assert_allclose(
            reward[alive], seen.rewards[name][alive], rtol=0.0, atol=5e-6, err_msg=name
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_layout_in_the_worlds_frame_sees_the_heading(seen, turned, alive, layout):
    """The others come out the same but for rounding, 1e-7 of lengths of metres and velocities of 30 rad/s."""
    unlike = {
        name: np.abs(part - seen.parts[layout][name])[alive].max()
        for name, part in turned.parts[layout].items()
    }
    seeing = {name for name, difference in unlike.items() if difference > 2e-5}
    if LAYOUTS[layout].frame == "world":
        assert min(unlike[name] for name in seeing) > 0.1
        assert {"root velocity", "key bodies from the root", "reference +1: horizontal offset"} < seeing
    else:
        assert not seeing
