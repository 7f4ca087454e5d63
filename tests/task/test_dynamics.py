"""Robots that differ from the model: their numbers, their delays, and the same physics as MuJoCo in C."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refusal

from mjx_mimic.clips import load_motion
from mjx_mimic.config import EnvConfig, RandomizationConfig, TrainConfig
from mjx_mimic.config_checks import check
from mjx_mimic.evaluation.mujoco_engine import Simulations, with_fields
from mjx_mimic.presets import PRESETS
from mjx_mimic.robot.model import load_robot
from mjx_mimic.task import dynamics, make_env
from mjx_mimic.task.dynamics import Dynamics

EVERYTHING = RandomizationConfig(
    friction=(0.3, 0.4),
    mass=(1.2, 1.3),
    trunk_com=0.05,
    joint_offset=0.03,
    joint_damping=(0.5, 1.0),
    armature=(1.5, 2.0),
    kp=(0.7, 0.9),
    kd=(1.1, 1.3),
    motor_strength=(0.1, 0.2),
    delay=(0.5, 2.0),
    gravity_tilt=0.1,
    start_position=0.05,
    start_rotation=0.1,
    start_joint=0.1,
    start_velocity=0.3,
)


@pytest.fixture(scope="module")
def robot():
    return load_robot()


def test_what_does_not_vary_is_not_drawn(robot):
    assert jax.tree.leaves(dynamics.draw(RandomizationConfig(), robot, jax.random.key(0))) == []
    one = dynamics.draw(RandomizationConfig(kp=(0.9, 1.1)), robot, jax.random.key(0))
    assert len(jax.tree.leaves(one)) == 1
    assert one.kp is not None
    assert dynamics.model_fields(robot, Dynamics()) == {}


def test_numbers_are_drawn_within_their_ranges_and_fill_them(robot):
    drawn = jax.vmap(lambda key: dynamics.draw(EVERYTHING, robot, key))(
        jax.random.split(jax.random.key(1), 400)
    )
    for name, config in {
        "friction": "friction",
        "mass": "mass",
        "damping": "joint_damping",
        "armature": "armature",
        "kp": "kp",
        "kd": "kd",
        "strength": "motor_strength",
        "delay": "delay",
    }.items():
        low, high = getattr(EVERYTHING, config)
        values = np.asarray(getattr(drawn, name))
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        if values.ndim == 2:  # joints differ
            assert np.corrcoef(values[:, 0], values[:, 1])[0, 1] < 0.2
    for name, limit in {"trunk_com": 0.05, "joint_offset": 0.03}.items():
        values = np.asarray(getattr(drawn, name))
        assert 0.95 * limit < np.abs(values).max() <= limit
        assert abs(values.mean()) < 0.1 * limit
    gravity = np.asarray(drawn.gravity)
    np.testing.assert_allclose(np.linalg.norm(gravity, axis=1), 9.81, rtol=1e-5)
    tilt = np.arccos(-gravity[:, 2] / 9.81)
    assert 0.1 < tilt.max() <= 0.1 * np.sqrt(2.0) + 1e-4


@pytest.mark.parametrize("strength", [0.9, 1.2])
def test_every_motor_is_as_strong_as_is_said(robot, strength):
    """Also those of the wrists, which are weaker than their joints."""
    fields = dynamics.model_fields(robot, Dynamics(strength=jnp.full(29, strength)))
    model = robot.model
    motor = np.where(model.actuator_forcelimited, fields["actuator_forcerange"][:, 1], np.inf)
    limit = np.minimum(fields["jnt_actfrcrange"][1:, 1], motor)
    np.testing.assert_allclose(limit, strength * robot.effort_limit, rtol=1e-6)


@pytest.mark.parametrize("substeps", [2, 3, 4])
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 1.0, 1.3, 1.5, 2.0])
def test_a_target_arrives_so_many_control_steps_late(delay, substeps):
    """Also within a physics step, by the mean over it; the mean over a control step is late by the delay."""
    history, robot = jnp.array([[10.0], [20.0]]), Dynamics(delay=jnp.float32(delay))
    found = dynamics.motor_targets(robot, jnp.array([0.0]), history, substeps)
    instants = (np.arange(1200) + 0.5) / 1200  # of the control step
    ages = np.ceil(delay - instants).clip(0).reshape(substeps, -1).mean(1)
    np.testing.assert_allclose(found[:, 0], 10.0 * ages, atol=1e-2)
    np.testing.assert_allclose(found.mean(), 10.0 * delay, atol=1e-4)


def test_an_encoder_that_shows_too_much_lowers_the_target_behind_it():
    robot = Dynamics(joint_offset=jnp.array([0.1]), delay=jnp.float32(1.0))
    found = dynamics.motor_targets(robot, jnp.array([1.0]), jnp.array([[2.0], [3.0]]), 2)
    np.testing.assert_allclose(found, [[1.9], [1.9]])
    alone = dynamics.motor_targets(replace(robot, delay=None), jnp.array([1.0]), None, 2)
    np.testing.assert_allclose(alone, [[0.9], [0.9]])


def test_the_start_is_moved_by_no_more_than_the_limits(robot):
    qpos = jnp.asarray(
        robot.model.key("stand").qpos if robot.model.nkey else np.r_[0, 0, 0.8, 1, 0, 0, 0, [0] * 29]
    )
    qvel = jnp.zeros(35)
    keys = jax.random.split(jax.random.key(2), 300)
    moved, speed = jax.vmap(lambda key: dynamics.perturbed_start(EVERYTHING, qpos, qvel, key))(keys)
    offset = np.asarray(moved - qpos)
    assert 0.045 < np.abs(offset[:, :2]).max() <= 0.05 + 1e-6
    assert np.abs(offset[:, 2]).max() == 0.0
    assert 0.095 < np.abs(offset[:, 7:]).max() <= 0.1 + 1e-6
    assert 0.28 < np.abs(np.asarray(speed)[:, :6]).max() <= 0.3 + 1e-6
    assert np.abs(np.asarray(speed)[:, 6:]).max() == 0.0
    np.testing.assert_allclose(np.linalg.norm(np.asarray(moved)[:, 3:7], axis=1), 1.0, rtol=1e-5)
    turn = 2.0 * np.arccos(np.clip(np.abs(np.asarray(moved)[:, 3:7] @ np.asarray(qpos[3:7])), 0.0, 1.0))
    assert 0.1 < turn.max() <= 0.1 * np.sqrt(3.0) + 1e-3


@pytest.mark.slow
def test_every_field_has_the_effect_in_mjx_that_it_has_in_mujoco():
    """In a control step at the rates of the preset `deploy`."""
    rates = EnvConfig(control_hz=50.0, physics_hz=100.0)
    env = make_env([load_motion("walk")], replace(rates, randomization=EVERYTHING))
    assert env.substeps * env.robot.model.opt.timestep == pytest.approx(1.0 / 50.0)
    state = jax.jit(env.draw_start)(jax.random.key(3))
    drawn = [f.name for f in fields(Dynamics) if getattr(state.dynamics, f.name) is not None]
    assert len(drawn) == len(fields(Dynamics))
    # In the air: on the floor one solver iteration is not where MuJoCo's own is (tests of the engines).
    state = replace(state, qpos=state.qpos.at[2].add(0.5), targets=state.targets + jnp.array([[0.2], [0.3]]))
    target = state.qpos[7:] + 0.2
    after, _ = jax.jit(env.simulate)(state, target)
    np.testing.assert_array_equal(after.targets, [target, state.targets[0]])

    model_fields = dynamics.model_fields(env.robot, state.dynamics)
    targets, _ = env.motor_targets(state, target, env.substeps)

    def in_mujoco(without: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        kept = {name: value for name, value in model_fields.items() if name != without}
        model = with_fields(env.robot.model, kept)
        qpos, qvel = (np.asarray(x, float)[None] for x in (state.qpos, state.qvel))
        positions, velocities = Simulations(model, qpos, qvel).step(qvel, np.asarray(targets, float)[None])
        return positions[0, -1], velocities[0, -1]

    qpos, qvel = in_mujoco()
    np.testing.assert_allclose(after.qpos, qpos, atol=1e-5)
    np.testing.assert_allclose(after.qvel, qvel, atol=1e-4)
    # And each one has an effect; friction has none in the air.
    for name in set(model_fields) - {"geom_friction"}:
        assert np.abs(in_mujoco(name)[1] - qvel).max() > 1e-3, name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"friction": (1.2, 0.4)}, "--env.randomization.friction"),
        ({"friction": (-1.0, 1.0)}, "--env.randomization.friction"),
        ({"delay": (0.0, 3.0)}, "--env.randomization.delay"),
        ({"delay": (0.0,)}, "--env.randomization.delay"),
        ({"mass": (0.0, 1.0)}, "--env.randomization.mass"),
        ({"joint_offset": -0.1}, "--env.randomization.joint-offset"),
    ],
)
def test_ranges_that_will_not_do(values, message):
    config = TrainConfig(num_envs=4, env=EnvConfig(randomization=replace(RandomizationConfig(), **values)))
    assert message in refusal(check, config, 1)


def test_a_delay_is_shorter_than_an_episode():
    one_step = EnvConfig(episode_seconds=0.034, randomization=RandomizationConfig(delay=(0.0, 1.0)))
    assert "less than the 1 control steps" in refusal(check, TrainConfig(num_envs=4, env=one_step), 1)
    check(TrainConfig(num_envs=4, env=replace(one_step, episode_seconds=0.067)), 1)


def test_a_preset_that_is_contradicted_is_refused():
    """What only `onboard` has cannot go with another observation."""
    deploy = PRESETS["deploy"]
    compact = replace(deploy, num_envs=4, env=replace(deploy.env, observation="compact"))
    assert "only the observation onboard" in refusal(check, compact, 1)


def test_a_share_of_the_randomisation_is_nearer_to_the_model(robot):
    config = PRESETS["deploy"].env.randomization
    whole, half, none = (dynamics.draw(config, robot, jax.random.key(0), share) for share in (1.0, 0.5, 0.0))
    qpos = jnp.asarray(robot.model.key("stand").qpos, jnp.float32)
    for drawn, nominal in ((whole, none), (half, none)):
        assert jax.tree.structure(drawn) == jax.tree.structure(nominal)
    around_zero = ("trunk_com", "joint_offset", "damping", "delay")
    for name, value in vars(none).items():
        nominal = np.asarray(
            robot.model.opt.gravity if name == "gravity" else 0.0 if name in around_zero else 1.0
        )
        np.testing.assert_allclose(value, np.broadcast_to(nominal, value.shape), atol=1e-5, err_msg=name)
        if name != "gravity":
            expected = nominal + 0.5 * (np.asarray(getattr(whole, name)) - nominal)
            np.testing.assert_allclose(getattr(half, name), expected, atol=1e-5, err_msg=name)
    start = dynamics.perturbed_start(config, qpos, jnp.zeros(35), jax.random.key(1), 0.0)
    np.testing.assert_allclose(start[0], qpos, atol=1e-6)
