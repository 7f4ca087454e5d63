"""Kicks and sensor noise: their size and rate, and that they are in training and not in its evaluations."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.robots import GlidingEnv, RigidRobot
from scipy import stats
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.config import NetworkConfig, NoiseConfig, PPOConfig, TrainConfig
from mjx_mimic.learning.learner import Learner, TrainState, make_learner
from mjx_mimic.task import disturbances

pytestmark = pytest.mark.slow

ENVS = 64


def learner_with(push: float, noise: float, ramp: float = 0.0) -> Learner:
    config = TrainConfig(
        motion=("walk",),
        num_envs=ENVS,
        eval_envs=ENVS,
        unroll_length=16,
        push=push,
        noise=noise,
        disturbance_ramp=ramp,
        total_steps=10 * 16 * ENVS,
        network=NetworkConfig((8,), (8,)),
        ppo=PPOConfig(actor_epochs=1, critic_epochs=1, actor_minibatches=1, critic_minibatches=1),
    )
    learner = make_learner(config, load_clips(config.motion), jax.local_devices())
    robot = RigidRobot(**vars(learner.env.robot))
    return replace(learner, env=GlidingEnv(**{**vars(learner.env), "robot": robot}))


@pytest.fixture(scope="module")
def plain() -> Learner:
    return learner_with(0.0, 0.0)


@pytest.fixture(scope="module")
def rough() -> Learner:
    """Its disturbances grow over five updates."""
    return learner_with(0.3, 1.0, ramp=0.5)


def drift_after_a_step(learner: Learner, updates: int = 0) -> tuple[np.ndarray, TrainState]:
    """Horizontal speed (ENVS,) beyond the reference's after one training step, and the state.

    `updates` are said to have been made before it.
    """
    begun = learner.init(jax.random.key(0))
    begun = replace(begun, iteration=begun.iteration + jnp.int32(updates))
    state, _ = learner.train_step(begun)
    after = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.env)
    wanted = jax.vmap(learner.env.reference_coordinates)(after)[1]
    return np.linalg.norm(np.asarray(after.qvel - wanted)[:, :2], axis=1), state


def test_training_is_disturbed_and_its_evaluations_are_not(plain, rough):
    calm, state = drift_after_a_step(plain)
    assert calm.max() < 1e-5
    kicked, _ = drift_after_a_step(rough, updates=5)
    # 16 steps of 1/30 s, a kick every 2 s: about a quarter have one or more.
    assert 0.1 < (kicked > 1e-3).mean() < 0.45
    assert kicked.max() < 0.9
    evaluations = [learner.evaluate(state, jax.random.key(1)) for learner in (plain, rough)]
    jax.tree.map(np.testing.assert_array_equal, *evaluations)


def test_disturbances_grow_with_the_training(rough):
    """From none in the first of the five updates that a ramp of half the training has."""
    first, state = drift_after_a_step(rough)
    assert first.max() < 1e-5
    for _ in range(4):
        state, _ = rough.train_step(state)
    after = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.env)
    wanted = jax.vmap(rough.env.reference_coordinates)(after)[1]
    assert np.linalg.norm(np.asarray(after.qvel - wanted)[:, :2], axis=1).max() > 0.05


def test_a_training_on_noise_alone_moves_no_robot():
    drift, state = drift_after_a_step(learner_with(0.0, 1.0))
    assert drift.max() < 1e-5
    assert np.isfinite(np.asarray(state.normalizer.mean)).all()


def test_kicks_have_their_rate_size_and_direction(plain):
    env, count = plain.env, 40_000
    start = env.reset_to(jnp.int32(0), jnp.float32(0.3))
    keys = jax.random.split(jax.random.key(0), count)
    after, sensed = jax.jit(jax.vmap(lambda key: disturbances.disturbed(env, start, 0.6, 0.0, 0.0, key)))(
        keys
    )
    np.testing.assert_array_equal(after.qpos, np.broadcast_to(start.qpos, after.qpos.shape))
    np.testing.assert_array_equal(after.qvel[:, 2:], np.broadcast_to(start.qvel[2:], (count, 33)))
    kick = np.asarray(after.qvel - start.qvel)[:, :2]
    speed = np.linalg.norm(kick, axis=1)
    hit = speed > 1e-5
    assert stats.binomtest(int(hit.sum()), count, 1 / 60).pvalue > 1e-3
    # Uniform in a disc: a share r^2 of the kicks is weaker than r times the strongest.
    assert stats.kstest((speed[hit] / 0.6) ** 2, stats.uniform(0.0, 1.0).cdf).pvalue > 1e-3
    angle = np.arctan2(kick[hit, 1], kick[hit, 0])
    assert stats.kstest(angle, stats.uniform(-np.pi, 2.0 * np.pi).cdf).pvalue > 1e-3
    assert sensed is None  # the policy sees the kick at once, and without noise exactly


def test_a_kick_turns_the_root_about_each_axis(plain):
    start = plain.env.reset_to(jnp.int32(0), jnp.float32(0.3))
    keys = jax.random.split(jax.random.key(0), 4000)
    kick = jax.vmap(lambda key: disturbances.pushed(start, 0.0, key, jnp.float32(0.8)))(keys)
    turn = np.asarray(kick.qvel - start.qvel)
    for axis in range(3):
        assert stats.kstest(turn[:, 3 + axis], stats.uniform(-0.8, 1.6).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(np.delete(turn, [3, 4, 5], axis=1), 0.0)
    after, _ = jax.jit(jax.vmap(lambda key: disturbances.disturbed(plain.env, start, 0.6, 0.8, 0.0, key)))(
        keys
    )
    difference = np.abs(np.asarray(after.qvel - start.qvel)) > 1e-6
    hit = difference[:, :2].any(axis=1)
    assert 0 < hit.sum() < 150
    np.testing.assert_array_equal(hit, difference[:, 3:6].any(axis=1))  # only with a kick


def test_noise_is_only_in_what_is_seen(plain):
    env = plain.env
    start = env.reset_to(jnp.int32(0), jnp.float32(0.3))
    after, sensed = disturbances.disturbed(env, start, 0.0, 0.0, 1.0, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, after, start)
    assert np.abs(np.asarray(env.observe(start, sensed) - env.observe(start))).max() > 0.01


def test_noise_has_the_stated_size_and_keeps_the_quaternion_unit(plain):
    state = plain.env.reset_to(jnp.int32(0), jnp.float32(0.3))
    keys = jax.random.split(jax.random.key(0), 4000)
    noise = NoiseConfig(spin=0.3)
    seen = jax.vmap(lambda key: disturbances.sensed(state, noise, 2.0, key))(keys)
    np.testing.assert_allclose(np.linalg.norm(seen.qpos[:, 3:7], axis=1), 1.0, atol=1e-6)
    offset = np.asarray(seen.qpos - state.qpos)
    turn = Rotation.from_quat(seen.qpos[:, 3:7], scalar_first=True)
    tilt = (turn * Rotation.from_quat(state.qpos[3:7], scalar_first=True).inv()).as_rotvec()
    speed = np.asarray(seen.qvel - state.qvel)
    for name, values in {
        "position": offset[:, :3],
        "tilt": tilt,
        "joint": offset[:, 7:],
        "velocity": speed[:, :3],
        "spin": speed[:, 3:6],
        "joint_velocity": speed[:, 6:],
    }.items():
        size = getattr(noise, name)
        np.testing.assert_allclose(values.std(axis=0), 2.0 * size, rtol=0.06, err_msg=name)
        assert np.abs(values.mean(axis=0)).max() < 0.12 * size
