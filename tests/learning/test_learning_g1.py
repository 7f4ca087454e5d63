"""The real robot learns to walk for longer, within a minute of compiling and twenty seconds of running."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from helpers.compiling import compilations

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.config import EnvConfig, NetworkConfig, TrainConfig
from mjx_mimic.learning.devices import first_device, place
from mjx_mimic.learning.learner import Learner
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.reward import RewardTerms

pytestmark = pytest.mark.slow

UPDATES, WINDOW = 80, 10
CONFIG = TrainConfig(
    num_envs=32,
    unroll_length=16,
    env=EnvConfig(episode_seconds=4.0),
    network=NetworkConfig(actor_hidden=(64,), critic_hidden=(64,)),
)


@struct.dataclass
class SignedEnv(ImitationEnv):
    """The imitation task with the reward's sign as data, so that one compiled step serves both."""

    sign: jax.Array | np.float32 = np.float32(1.0)

    def compute_reward(self, state: CharacterState, target: CharacterState) -> tuple[jax.Array, RewardTerms]:
        reward, terms = ImitationEnv.compute_reward(self, state, target)
        return self.sign * reward, terms


@pytest.fixture(scope="module")
def histories() -> dict[int, list[Metrics]]:
    """Metrics of every update, by the reward's sign; the same seed and settings otherwise."""
    env = SignedEnv(**vars(make_env([load_motion("walk")], CONFIG.env)), sign=jnp.float32(1.0))
    learner = Learner(env, CONFIG, tuple(jax.local_devices()))
    step = learner.compile_train_step()

    def train(sign: int) -> list[Metrics]:
        env = replace(learner.placed_env, sign=place(learner.devices, jnp.full(2, sign, jnp.float32)))
        given = env, learner.placed_updates
        state, metrics = step(*given, learner.init(jax.random.key(0)))
        history = [metrics]
        with jax.transfer_guard("disallow"):  # neither the simulation nor the learner visits the host
            with compilations() as compiled:
                state, metrics = step(*given, state)
            assert not compiled, "the types of the first state are not those that a training step returns"
            history.append(metrics)
            for _ in range(UPDATES - 2):
                state, metrics = step(*given, state)
                history.append(metrics)
        return [first_device(metrics) for metrics in history]

    return {sign: train(sign) for sign in (1, -1)}


def over_episodes(window: list[Metrics], name: str) -> float:
    """Mean over the whole episodes that ended in a window."""
    episodes = np.array([metrics.episodes for metrics in window])
    assert episodes.sum() > 50
    return float(np.sum(episodes * [getattr(metrics, name) for metrics in window]) / episodes.sum())


def test_the_robot_stays_up_longer_and_earns_more_and_less_with_the_rewards_sign_flipped(histories):
    # The return goes from 8.3 to 17.8, flipped to 1.8, and the length from 12.7 control steps to 27.8,
    # flipped to 5.3. The standard error of a window's mean is about 3 %.
    first, last, fled = histories[1][:WINDOW], histories[1][-WINDOW:], histories[-1][-WINDOW:]
    earned, lasted = over_episodes(first, "train_return"), over_episodes(first, "train_episode_length")
    assert over_episodes(last, "train_return") > 1.6 * earned
    assert over_episodes(last, "train_episode_length") > 1.6 * lasted
    assert -over_episodes(fled, "train_return") < 0.7 * earned
    assert over_episodes(fled, "train_episode_length") < 0.8 * lasted


def test_the_critic_explains_the_returns_and_no_simulation_breaks(histories):
    for history in histories.values():
        explained = np.mean([metrics.explained_variance for metrics in history[-WINDOW:]])
        assert 0.7 < explained < 1.0
        assert all(metrics.ended_by.nonfinite == 0.0 for metrics in history)
        assert all(np.isfinite(leaf) for metrics in history for leaf in jax.tree.leaves(metrics))
