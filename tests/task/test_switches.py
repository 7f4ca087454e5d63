"""What can be switched off or chosen in the task: ends, starts, and what the observation shows."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refusal
from helpers.robots import RigidRobot

from mjx_mimic import train
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.config import EnvConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.presets import PRESETS
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env


@pytest.fixture(scope="module")
def env(robot) -> ImitationEnv:
    return make_env([load_motion("walk")], robot=RigidRobot(**vars(robot)))


def configured(env: ImitationEnv, *options: str) -> ImitationEnv:
    """The same with options as `train` has them."""
    return replace(env, config=train.parse(options).train.env)


@pytest.mark.parametrize(
    ("options", "fall", "deviation"),
    [
        ([], True, True),
        (["--env.no-fall-ends"], False, True),
        (["--env.max-deviation", "None"], True, False),
        (["--env.no-fall-ends", "--env.max-deviation", "None"], False, False),
    ],
)
def test_early_termination_can_be_switched_off(env, options, fall, deviation):
    env = configured(env, *options)
    state = env.reset_to(jnp.int32(0), jnp.float32(0.3))
    state = replace(state, qpos=state.qpos.at[2].add(-1.0))  # the pelvis is in the floor
    causes = env.causes(state, env.character(state), env.reference(state))
    assert (bool(causes.fall), bool(causes.deviation)) == (fall, deviation)
    assert bool(causes.terminated) == (fall or deviation)


def test_episodes_can_start_at_the_first_frame(env):
    keys = jax.random.split(jax.random.key(0), 32)
    times = jax.vmap(configured(env, "--env.start", "first").draw_start)(keys).start_time
    np.testing.assert_array_equal(times, 0.0)
    times = jax.vmap(env.draw_start)(keys).start_time
    assert np.ptp(times) > 0.8 * env.library.length[0]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ([], 123),
        (["--env.target-steps", "1", "2", "3"], 123 + 2 * 44),
        (["--env.phase", "False"], 123 - 8),
        (["--env.phase-frequencies", "2"], 123 - 4),
        (["--env.observation", "mimickit"], 849),
        (["--env.observation", "mimickit", "--env.phase", "True"], 858),
        (["--env.observation", "mimickit-local"], 858),
        (["--env.observation", "paper", "--env.target-steps", "1", "2", "3"], 858),
    ],
)
def test_look_ahead_and_phase_are_settings(env, options, size):
    env = configured(env, *options)
    assert sum(env.observation_sizes().values()) == size
    assert env.observe(env.reset_to(jnp.int32(0), jnp.float32(0.2))).shape == (size,)


def test_layouts_that_do_not_show_the_place_do_not_count_it(env):
    tracked = [configured(env, "--env.observation", layout).track_root for layout in ("compact", "mimickit")]
    assert tracked == [True, True]
    for layout in ("mimickit-local", "paper", "onboard"):
        blind = configured(env, "--env.observation", layout)
        assert not blind.track_root
        state = blind.reset_to(jnp.int32(0), jnp.float32(0.2))
        state = replace(state, qvel=blind.reference_coordinates(state)[1])  # a start's is smoothed
        away = replace(state, qpos=state.qpos.at[0].add(5.0))
        rewards = [blind.compute_reward(blind.character(s), blind.reference(s))[0] for s in (state, away)]
        np.testing.assert_allclose(rewards, 1.0, atol=1e-5)
        assert not blind.causes(away, blind.character(away), blind.reference(away)).terminated


def test_several_clips_need_an_observation_that_tells_them_apart(robot):
    clips = [load_motion(name) for name in ("walk", "kick")]
    paper = EnvConfig(observation="paper")
    assert "--env.target-steps 1" in refusal(make_env, clips, paper, robot=robot)
    make_env(clips, replace(paper, target_steps=(1,)), robot=robot)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--env.joint-weights", "1", "2"], "--env.joint-weights"),
        (["--env.joint-weights", *["0"] * 29], "not all 0"),
        (["--env.mimickit-reward.pose-weight", "-1"], "--env.mimickit-reward.pose-weight"),
        (["--env.observation", "paper", "--env.phase", "False"], "neither phase nor reference"),
        (["--env.start", "first", "--start-sampling", "failure"], "use uniform"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    assert words in refusal(sized, train.parse(options).train, "cpu", 2)


def test_a_reward_without_any_weight_is_refused():
    names = ("pose", "velocity", "root-pose", "root-velocity", "key-position")
    options = [part for name in names for part in (f"--env.mimickit-reward.{name}-weight", "0")]
    assert "all weights 0" in refusal(sized, train.parse(options).train, "cpu", 2)


def test_mimickits_environments_are_per_accelerator():
    assert sized(PRESETS["mimickit"], "gpu", 4).num_envs == 4 * 4096
    assert sized(PRESETS["mimickit"], "cpu", 2).num_envs == 4096
