"""What a robot's sensors show to the policy, and what only the value function sees."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from helpers.small_run import sway
from scipy.spatial.transform import Rotation

from mjx_mimic.config import EnvConfig, NetworkConfig, PenaltyConfig, RandomizationConfig
from mjx_mimic.config_checks import check, sized
from mjx_mimic.learning import normalizer as normalizing
from mjx_mimic.learning.networks import Actor
from mjx_mimic.learning.policy import Policy
from mjx_mimic.presets import PRESETS
from mjx_mimic.robot.model import load_robot
from mjx_mimic.task.disturbances import sensed
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.penalty import penalty
from mjx_mimic.task.states import EnvState, PhysicsTrace


@pytest.fixture(scope="module")
def env(robot) -> ImitationEnv:
    config = EnvConfig(
        observation="onboard", privileged_critic=True, randomization=RandomizationConfig(joint_offset=0.05)
    )
    return make_env([sway()], config, robot=robot)


@pytest.fixture(scope="module")
def parts(env):
    """(state, state that is sensed) -> what the policy sees, by name; what only the value function sees."""

    @jax.jit
    def split(state: EnvState, seen: EnvState):
        policy = env.observation_parts(seen)
        return policy, env.privileged_parts(state), env.observe(state, seen)

    return split


def some_state(env: ImitationEnv) -> EnvState:
    state = env.reset_to(jnp.int32(0), jnp.float32(0.2))
    turn = Rotation.from_euler("zyx", [0.8, 0.3, -0.2]).as_quat(scalar_first=True)
    qpos = state.qpos.at[:2].set(jnp.array([3.0, -2.0])).at[3:7].set(jnp.asarray(turn))
    return replace(
        state,
        qpos=qpos,
        qvel=state.qvel.at[:6].set(jnp.arange(6.0)),
        action=jnp.linspace(-1.0, 1.0, 29),
        dynamics=Dynamics(joint_offset=jnp.full(29, 0.01)),
    )


def test_on_a_tilted_floor_the_inertial_sensor_shows_gravity_not_the_floor(env, parts):
    down = np.array([0.1, -0.05, -9.8])
    state = some_state(env)
    state = replace(state, dynamics=replace(state.dynamics, gravity=jnp.asarray(down, jnp.float32)))
    seen, _, _ = parts(state, state)
    turn = Rotation.from_quat(np.asarray(state.qpos[3:7]), scalar_first=True)
    np.testing.assert_allclose(seen["gravity"], turn.inv().apply(down / np.linalg.norm(down)), atol=1e-6)
    np.testing.assert_allclose(seen["gyro"], [3.0, 4.0, 5.0], atol=1e-5)


def test_the_inertial_sensor_is_in_the_pelvis(env, parts):
    state = some_state(env)
    seen, _, _ = parts(state, state)
    turn = Rotation.from_quat(np.asarray(state.qpos[3:7]), scalar_first=True)
    np.testing.assert_allclose(seen["gravity"], turn.inv().apply([0.0, 0.0, -1.0]), atol=1e-6)
    np.testing.assert_allclose(
        seen["gyro"], [3.0, 4.0, 5.0], atol=1e-5
    )  # MuJoCo's own is in the root's frame
    np.testing.assert_allclose(seen["last action"], state.action)


def test_encoders_show_their_offset_and_the_value_function_the_truth(env, parts):
    state = some_state(env)
    seen, privileged, _ = parts(state, state)
    np.testing.assert_allclose(seen["joint angles"], state.qpos[7:] + 0.01, atol=1e-6)
    np.testing.assert_allclose(privileged["value function: joint angles"], state.qpos[7:], atol=1e-6)
    np.testing.assert_allclose(privileged["value function: joint_offset"], 0.01 * np.ones(29), atol=1e-6)


def test_the_value_function_sees_what_is_on_its_way_to_the_motors_and_what_a_change_is_measured_from(robot):
    config = EnvConfig(
        privileged_critic=True,
        penalty=PenaltyConfig(action_change=1.0),
        randomization=RandomizationConfig(delay=(0.0, 1.0), joint_offset=0.05),
    )
    env = make_env([sway()], config, robot=robot)
    state = env.draw_start(jax.random.key(3))
    first = env.privileged_parts(state)
    encoded = np.asarray(env.encoded(state).qpos[7:])
    np.testing.assert_array_equal(first["value function: targets on their way"], np.tile(encoded, 2))
    np.testing.assert_array_equal(first["value function: last action"], np.zeros(29))
    actions = jnp.stack([jnp.full(29, 0.3), jnp.linspace(-1.0, 1.0, 29)])
    targets = []
    for action in actions:
        state, target = env.command(state, action)
        _, state = env.motor_targets(state, target, env.substeps)
        targets.append(target)
    then = env.privileged_parts(state)
    on_their_way = np.concatenate([targets[1], targets[0]])
    np.testing.assert_array_equal(then["value function: targets on their way"], on_their_way)
    np.testing.assert_array_equal(then["value function: last action"], actions[1])
    assert env.privileged_sizes() == {name: part.shape[-1] for name, part in then.items()}
    # The nominal robot, whose motors follow at once, shows what a robot with a drawn delay of 0 would.
    state = env.reset_to(jnp.int32(0), jnp.float32(0.2))
    at_once, state = env.motor_targets(state, targets[0], env.substeps)
    assert at_once is None
    nominal = env.privileged_parts(state)["value function: targets on their way"]
    np.testing.assert_allclose(nominal, np.concatenate([targets[0], state.qpos[7:]]), atol=1e-6)


def test_a_policy_acts_on_an_observation_whose_other_numbers_another_version_added(env):
    """A run of before keeps its normaliser, which has moments of what was observed then."""
    network = Actor(NetworkConfig((8,), (8,)), 29, inputs=env.policy_inputs)
    state = env.reset_to(jnp.int32(0), jnp.float32(0.2))
    seen = env.observe(state)
    params = network.init(jax.random.key(0), seen)
    moments = normalizing.empty(len(seen), 0.1)
    earlier = jax.tree.map(lambda x: x[: env.policy_inputs + 5], moments)
    actions = [Policy(params, which, network).act(seen) for which in (moments, earlier)]
    np.testing.assert_array_equal(*actions)


def test_place_and_heading_are_not_seen(env, parts):
    state = some_state(env)
    turn = Rotation.from_euler("z", 1.1) * Rotation.from_quat(np.asarray(state.qpos[3:7]), scalar_first=True)
    moved = replace(
        state,
        qpos=state.qpos.at[:2].add(5.0).at[3:7].set(jnp.asarray(turn.as_quat(scalar_first=True))),
        qvel=state.qvel.at[:3].add(2.0),  # nor the linear velocity
    )
    (before, truth, _), (after, moved_truth, _) = parts(state, state), parts(moved, moved)
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-5, err_msg=name)
    assert not env.track_root
    for name in truth:  # the value function is not told what does not count, but what the sensors do not show
        if name == "value function: root velocity":
            assert np.abs(np.asarray(truth[name] - moved_truth[name])).max() > 1.0
        else:
            np.testing.assert_allclose(truth[name], moved_truth[name], atol=2e-5, err_msg=name)


def test_noise_is_on_the_policys_part_alone_and_comes_first(env, parts):
    state = some_state(env)
    noisy = sensed(state, env.config.noise, 1.0, jax.random.key(0))
    _, _, clean = parts(state, state)
    _, _, seen = parts(state, noisy)
    count = env.policy_inputs
    assert count == sum(env.observation_sizes().values())
    np.testing.assert_array_equal(clean[count:], seen[count:])
    assert np.abs(np.asarray(clean - seen)[:count]).max() > 0.01


def test_the_policy_does_not_depend_on_what_it_does_not_see(env):
    actor = Actor(NetworkConfig((8,), (8,)), 29, inputs=10)
    observation = jax.random.normal(jax.random.key(1), (20,))
    params = actor.init(jax.random.key(0), observation)
    assert params["params"]["MLP_0"]["Dense_0"]["kernel"].shape == (10, 8)
    mean, _ = actor.apply(params, observation)
    other, _ = actor.apply(params, observation.at[10:].set(9.0))
    np.testing.assert_array_equal(mean, other)
    changed, _ = actor.apply(params, observation.at[9].set(9.0))
    assert np.abs(np.asarray(mean - changed)).max() > 1e-4
    moments = normalizing.update(normalizing.empty(20), jax.random.normal(jax.random.key(2), (9, 20)))
    policy = Policy(params, moments, actor)
    np.testing.assert_allclose(policy.act(observation), policy.act(observation[:10]), rtol=1e-6)


def test_the_last_action_is_remembered_as_it_was_clipped(env):
    state = env.reset_to(jnp.int32(0), jnp.float32(0.0))
    np.testing.assert_array_equal(state.action, np.zeros(29))
    after, target = env.command(state, jnp.full(29, 2.0))
    np.testing.assert_array_equal(after.action, np.ones(29))
    np.testing.assert_allclose(target, env.pd_target(state, jnp.ones(29)))
    plain = make_env([sway()], EnvConfig(), robot=env.robot)
    assert plain.reset_to(jnp.int32(0), jnp.float32(0.0)).action is None
    assert plain.policy_inputs is None


def test_the_history_holds_what_the_sensors_showed(env):
    now = env.with_config(replace(env.config, history=3))
    state = now.reset_to(jnp.int32(0), jnp.float32(0.2))
    first = now.reading(state)
    np.testing.assert_array_equal(state.history, np.stack([first, first]))
    noisy = sensed(state, now.config.noise, 1.0, jax.random.key(0))
    seen = now.reading(noisy)
    assert np.abs(np.asarray(seen - first)).max() > 0.01
    after, _ = now.command(state, jnp.full(29, 0.5), noisy)
    np.testing.assert_array_equal(after.history, np.stack([seen, first]))  # before this action
    later, _ = now.command(after, jnp.zeros(29))
    np.testing.assert_array_equal(later.history[1], seen)
    np.testing.assert_array_equal(later.history[0, -29:], np.full(29, 0.5))
    parts = now.observation_parts(later)
    np.testing.assert_array_equal(parts["the same at 2 control steps before"], later.history.ravel())
    assert list(parts)[:6] == [
        *("gravity", "gyro", "joint angles", "joint velocities", "last action"),
        "the same at 2 control steps before",
    ]


def test_every_episode_starts_with_a_history_of_its_own(env):
    config = replace(env.config, history=2)
    config = replace(config, randomization=replace(config.randomization, start_joint=0.2))
    states = jax.vmap(env.with_config(config).draw_start)(jax.random.split(jax.random.key(0), 4))
    angles = states.qpos[:, 7:] + states.dynamics.joint_offset
    np.testing.assert_allclose(states.history[:, 0, 6:35], angles, atol=1e-6)


def test_penalties_are_what_their_weights_say(robot):
    weights = PenaltyConfig(action_change=2.0, torque=3.0, joint_limit=5.0)
    env = make_env([sway()], EnvConfig(penalty=weights), robot=robot)
    before = replace(
        env.reset_to(jnp.int32(0), jnp.float32(0.1)), steps=jnp.int32(4), action=jnp.full(29, 0.5)
    )
    high, low = robot.joint_range[:, 1], robot.joint_range[:, 0]
    angles = np.asarray(before.qpos[7:]).copy()
    angles[0], angles[1] = high[0] + 0.02, low[1] + 0.04  # 0.07 and 0.01 rad into the margin of 0.05
    commanded, target = env.command(before, jnp.full(29, -2.0))  # clipped to -1
    qpos, qvel = before.qpos.at[7:].set(angles), before.qvel.at[6:].set(0.3)
    after = replace(commanded, qpos=qpos, qvel=qvel)
    trace = PhysicsTrace(qpos[None, 7:], qvel[None, 6:])

    def found(before: EnvState = before, **weight: float) -> float:
        return float(penalty(PenaltyConfig(**weight), robot, before, after, target, trace))

    assert found() == 0.0
    assert found(action_change=2.0) == pytest.approx(2.0 * 1.5**2)
    margin = np.maximum(angles - high + 0.05, 0.0) + np.maximum(low + 0.05 - angles, 0.0)
    assert margin.sum() == pytest.approx(0.08, abs=1e-5)
    assert found(joint_limit=5.0) == pytest.approx(5.0 * margin.sum(), rel=1e-5)
    asked = robot.kp * (np.asarray(target) - angles) - robot.kd * 0.3
    torque = np.clip(asked / robot.effort_limit, -1.0, 1.0)
    assert found(torque=3.0) == pytest.approx(3.0 * np.mean(torque**2), rel=1e-4)
    assert found(replace(before, steps=jnp.int32(0)), action_change=2.0) == 0.0


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_to_their_own_limits(preset, devices):
    check(sized(PRESETS[preset], "cpu", devices), devices)


def test_parts_in_one_another_are_penalised_by_their_depth():
    """Arms swung through the trunk, against MuJoCo in C; standing, nothing touches."""
    robot = load_robot(self_collision=True)
    config = EnvConfig(self_collision=True, penalty=PenaltyConfig(self_contact=7.0))
    env = make_env([sway()], config, robot=robot)
    stand = env.reset_to(jnp.int32(0), jnp.float32(0.0))
    stand = replace(stand, qpos=jnp.asarray(robot.model.key("stand").qpos, jnp.float32).at[2].add(3.0))
    crossed = stand.qpos
    for name in ("left_shoulder_roll_joint", "right_shoulder_roll_joint"):
        joint = robot.model.joint(name).id - 1
        inward = robot.joint_range[joint, 0] if name.startswith("left") else robot.joint_range[joint, 1]
        crossed = crossed.at[7 + joint].set(float(inward))
    step = jax.jit(lambda state: env.simulate(state, state.qpos[7:], substeps=1))
    depths = []
    for qpos in (stand.qpos, crossed):
        state = replace(stand, qpos=qpos, qvel=jnp.zeros(35))
        after, trace = step(state)
        found = penalty(config.penalty, robot, state, after, qpos[7:], trace)
        data = mujoco.MjData(robot.model)
        data.qpos[:] = qpos
        mujoco.mj_forward(robot.model, data)
        pairs = [c for c in data.contact if robot.model.geom("floor").id not in c.geom and c.dist < 0.0]
        depths.append(-sum(contact.dist for contact in pairs))
        np.testing.assert_allclose(found, 7.0 * depths[-1], atol=1e-3)
    assert depths[0] == 0.0
    assert depths[1] > 0.01
