"""A control step apart from its physics: the robot glides along its reference; every number is known."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.robots import GlidingEnv, RigidRobot
from helpers.small_run import sway

from mjx_mimic.clips.editing import with_loop
from mjx_mimic.config import EnvConfig
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState, StepResult

ACTION = jnp.zeros(29)
CYCLIC, CLAMPED = 0, 1


@pytest.fixture(scope="module")
def env(robot) -> GlidingEnv:
    """Episodes of 15 steps of a cyclic and of a clamped clip of a second."""
    clips = [sway(), with_loop(sway(), "clamp")]
    config = EnvConfig(episode_seconds=0.5)
    return GlidingEnv(**vars(make_env(clips, config, segment_seconds=0.25, robot=RigidRobot(**vars(robot)))))


Step = Callable[[EnvState], tuple[EnvState, StepResult]]


@pytest.fixture(scope="module")
def step(env) -> Step:
    compiled = jax.jit(env.step)
    return lambda state: compiled(state, ACTION, jax.random.key(1))


def at(env: GlidingEnv, clip: int, time: float) -> EnvState:
    return env.reset_to(jnp.int32(clip), jnp.float32(time))


def assert_fresh(env: GlidingEnv, state: EnvState) -> None:
    """A new episode, on its reference."""
    assert (state.steps, state.episode_return) == (0, 0.0)
    qpos, qvel = env.reference_coordinates(state)
    np.testing.assert_allclose(state.qpos, qpos, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(state.qvel, qvel, rtol=0.0, atol=1e-5)
    assert not state.warm_start.any()


def test_an_episode_on_the_reference_earns_1_a_step_until_its_time_is_over(env, step):
    state = at(env, CYCLIC, 0.9)
    for number in range(1, 16):
        before = state
        state, result = step(state)
        assert result.reward == pytest.approx(1.0, abs=1e-6)
        assert result.episode_return == pytest.approx(number, abs=1e-5)
        assert result.episode_length == number
        assert not result.causes.terminated
        assert result.causes.truncated == result.causes.time_out == (number == 15)
        assert result.segment == int((0.9 + before.steps / 30.0) % 1.0 / 0.25 + 1e-4)
        if number < 15:
            assert (state.steps, state.clip, state.start_time) == (number, CYCLIC, before.start_time)
            assert state.episode_return == result.episode_return
            np.testing.assert_array_equal(result.observation, result.final_observation)
    assert_fresh(env, state)
    assert np.abs(result.observation - result.final_observation).max() > 0.01
    np.testing.assert_allclose(result.observation, env.observe(state), rtol=0.0, atol=1e-5)


def test_a_clamped_clip_ends_the_episode_and_a_new_one_begins(env, step):
    state, result = step(at(env, CLAMPED, 0.98))
    assert result.causes.clip_end
    assert result.causes.truncated
    assert result.reward == pytest.approx(1.0, abs=1e-6)
    assert_fresh(env, state)


def test_a_wrong_velocity_costs_its_term(env, step):
    """2 m/s across the reference: the root's velocity counts a tenth."""
    state = at(env, CYCLIC, 0.3)
    _, result = step(replace(state, qvel=state.qvel.at[1].add(2.0)))
    assert result.reward == pytest.approx(0.9 + 0.1 * np.exp(-4.0), abs=1e-5)


def test_a_broken_simulation_earns_nothing_and_begins_anew(env, step):
    state = replace(at(env, CYCLIC, 0.3), episode_return=jnp.float32(2.5))
    state, result = step(replace(state, qvel=state.qvel.at[0].set(jnp.nan)))
    assert result.causes.nonfinite
    assert result.causes.terminated
    assert result.reward == 0.0
    assert not any(jax.tree.leaves(result.reward_terms))
    assert result.episode_return == 2.5
    assert_fresh(env, state)
    assert np.isfinite(result.observation).all()
