"""What a training step reports: of every control step, and averaged over all of them."""

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.learning import ppo
from mjx_mimic.learning.devices import DEVICES, average
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.learning.rollout import Transition
from mjx_mimic.task import termination
from mjx_mimic.task.reward import RewardTerms
from mjx_mimic.task.start_sampling import StartDistribution


@struct.dataclass
class ClipMetrics:
    """Sums over a training step and all devices, for each of C clips."""

    steps: jax.Array  # (C,) control steps
    reward: jax.Array  # (C,)
    episodes: jax.Array  # (C,) that ended
    failures: jax.Array  # (C,) of those, ended by a failure
    episode_return: jax.Array  # (C,) over those that ended
    episode_length: jax.Array  # (C,) likewise, control steps


@struct.dataclass
class AdvantageMoments:
    """Of the advantages of all devices, before they are normalised."""

    advantage_mean: jax.Array  # ()
    advantage_std: jax.Array  # ()


@struct.dataclass
class NormalizerMoments:
    """Of the normaliser of observations after a training step."""

    normalizer_mean: jax.Array  # () mean absolute mean of the numbers observed
    normalizer_std: jax.Array  # () mean standard deviation of the numbers observed
    normalizer_samples: jax.Array  # () observations in it


@struct.dataclass
class Metrics:
    """What one training step reports, over all devices.

    Rewards and causes are means over control steps, the losses of actor and critic over minibatch steps, and
    all other fields what they say.
    """

    episodes: jax.Array  # () that ended
    train_return: jax.Array  # () mean over those
    train_episode_length: jax.Array  # () mean over those, control steps
    reward: jax.Array  # ()
    reward_terms: RewardTerms  # ()
    ended_by: termination.Causes  # () share of the steps that ended so
    actor: ppo.ActorMetrics  # ()
    advantage: AdvantageMoments
    critic_loss: jax.Array  # ()
    explained_variance: jax.Array  # () of the value targets by the values
    std: jax.Array  # () of the policy after the update, mean over joints
    learning_rate: jax.Array  # () of the policy after the update
    normalizer: NormalizerMoments
    skipped: jax.Array  # () 1 where the update was skipped because a number was not finite, else 0
    clips: ClipMetrics
    goal_reward: jax.Array | None = None  # () None: imitation alone


def summarize(
    transitions: Transition,
    batch: ppo.Batch,
    advantage: AdvantageMoments,
    actor_metrics: ppo.ActorMetrics,
    critic_losses: jax.Array,
    log_std: jax.Array,
    learning_rate: jax.Array,
    normalizer: Normalizer,
    starts: StartDistribution,
    is_skipped: jax.Array,
) -> Metrics:
    """Average a training step over time, environments, updates and devices."""
    done = transitions.done.astype(jnp.float32)
    ended = jax.lax.psum(done.sum(), DEVICES)

    def over_episodes(values: jax.Array) -> jax.Array:
        return jax.lax.psum((values * done).sum(), DEVICES) / jnp.maximum(ended, 1.0)

    residual = batch.value_target - transitions.value.reshape(-1)
    target_variance = average(jnp.square(batch.value_target).mean()) - jnp.square(
        average(batch.value_target.mean())
    )
    means = average(
        jax.tree.map(
            lambda x: jnp.mean(x.astype(jnp.float32)),
            (
                transitions.reward,
                transitions.reward_terms,
                transitions.causes,
                actor_metrics,
                critic_losses,
                transitions.goal_reward,
            ),
        )
    )
    reward, reward_terms, causes, actor, critic_loss, goal_reward = means
    return Metrics(
        episodes=ended,
        train_return=over_episodes(transitions.episode_return),
        train_episode_length=over_episodes(transitions.episode_length),
        reward=reward,
        reward_terms=reward_terms,
        ended_by=causes,
        actor=actor,
        advantage=advantage,
        critic_loss=critic_loss,
        explained_variance=1.0 - average(jnp.square(residual).mean()) / jnp.maximum(target_variance, 1e-8),
        std=jnp.mean(jnp.exp(log_std)),
        learning_rate=learning_rate,
        normalizer=NormalizerMoments(
            normalizer_mean=jnp.abs(normalizer.mean).mean(),
            normalizer_std=jnp.sqrt(normalizer.variance).mean(),
            normalizer_samples=normalizer.count[0],
        ),
        skipped=is_skipped.astype(jnp.float32),
        clips=_clip_metrics(transitions, starts),
        goal_reward=goal_reward,
    )


def _clip_metrics(transitions: Transition, starts: StartDistribution) -> ClipMetrics:
    """Sum over the control steps of each clip, over all devices."""
    done, failed = transitions.done, transitions.causes.terminated

    def total(values: jax.Array) -> jax.Array:
        sums = (
            jnp.zeros(len(starts.first)).at[starts.clip[transitions.segment]].add(values.astype(jnp.float32))
        )
        return jax.lax.psum(sums, DEVICES)

    return ClipMetrics(
        steps=total(jnp.ones_like(transitions.reward)),
        reward=total(transitions.reward),
        episodes=total(done),
        failures=total(failed),
        episode_return=total(done * transitions.episode_return),
        episode_length=total(done * transitions.episode_length),
    )
