"""What a training step reports: of every control step, and averaged over all of them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.learning import ppo
from mjx_mimic.task import termination
from mjx_mimic.task.reward import RewardTerms
from mjx_mimic.task.start_sampling import Starts

DEVICES = "devices"
"""Name of the mapped axis of devices."""


def average(tree: Any) -> Any:
    """Mean over devices of every leaf."""
    return jax.lax.pmean(tree, DEVICES)


@struct.dataclass
class ClipMetrics:
    """Sums over a training step and all devices, of each of C clips."""

    steps: jax.Array  # (C,) control steps
    reward: jax.Array  # (C,)
    episodes: jax.Array  # (C,) that ended
    failures: jax.Array  # (C,) of those, ended by a failure
    episode_return: jax.Array  # (C,) over those that ended
    episode_length: jax.Array  # (C,) likewise, control steps


@struct.dataclass
class Metrics:
    """Of one training step, over all devices. Means over steps, but for the two of whole episodes."""

    episodes: jax.Array  # () that ended
    train_return: jax.Array  # () mean over those
    train_episode_length: jax.Array  # () mean over those, control steps
    reward: jax.Array
    reward_terms: RewardTerms
    ended_by: termination.Causes  # share of the steps that ended so
    actor: ppo.ActorMetrics
    critic_loss: jax.Array
    explained_variance: jax.Array  # of the value targets by the values
    std: jax.Array  # of the policy, mean over joints
    rate: jax.Array
    clips: ClipMetrics


@struct.dataclass
class TestMetrics:
    """Of deterministic episodes from random phases with early termination (MimicKit's test)."""

    test_return: jax.Array
    test_episode_length: jax.Array


@struct.dataclass
class Transition:
    observation: jax.Array  # (N, O) as observed, not normalised
    action: jax.Array  # (N, A)
    log_prob: jax.Array  # (N,)
    value: jax.Array  # (N,)
    next_value: jax.Array  # (N,) before any reset; 0 after a failure
    done: jax.Array  # (N,)
    reward: jax.Array  # (N,)
    reward_terms: RewardTerms
    causes: termination.Causes
    episode_return: jax.Array  # (N,)
    episode_length: jax.Array  # (N,)
    stretch: jax.Array  # (N,) int, of the clips; see `sampling`


def summarize(
    steps: Transition,
    batch: ppo.Batch,
    actor_metrics: ppo.ActorMetrics,
    critic_losses: jax.Array,
    log_std: jax.Array,
    rate: jax.Array,
    starts: Starts,
) -> Metrics:
    """Averages of a training step over time, environments, updates and devices."""
    done = steps.done.astype(jnp.float32)
    ended = jax.lax.psum(done.sum(), DEVICES)

    def over_episodes(values: jax.Array) -> jax.Array:
        return jax.lax.psum((values * done).sum(), DEVICES) / jnp.maximum(ended, 1.0)

    residual = batch.value_target - steps.value.reshape(-1)
    target_variance = average(jnp.square(batch.value_target).mean()) - jnp.square(
        average(batch.value_target.mean())
    )
    means = average(
        jax.tree.map(
            lambda x: jnp.mean(x.astype(jnp.float32)),
            (steps.reward, steps.reward_terms, steps.causes, actor_metrics, critic_losses),
        )
    )
    reward, reward_terms, causes, actor, critic_loss = means
    return Metrics(
        episodes=ended,
        train_return=over_episodes(steps.episode_return),
        train_episode_length=over_episodes(steps.episode_length),
        reward=reward,
        reward_terms=reward_terms,
        ended_by=causes,
        actor=actor,
        critic_loss=critic_loss,
        explained_variance=1.0 - average(jnp.square(residual).mean()) / jnp.maximum(target_variance, 1e-8),
        std=jnp.mean(jnp.exp(log_std)),
        rate=rate,
        clips=_of_clips(steps, starts),
    )


def _of_clips(steps: Transition, starts: Starts) -> ClipMetrics:
    """Sums over the steps of each clip, over all devices."""
    done, failed = steps.done, steps.causes.terminated

    def total(values: jax.Array) -> jax.Array:
        sums = jnp.zeros(len(starts.first)).at[starts.clip[steps.stretch]].add(values.astype(jnp.float32))
        return jax.lax.psum(sums, DEVICES)

    return ClipMetrics(
        steps=total(jnp.ones_like(steps.reward)),
        reward=total(steps.reward),
        episodes=total(done),
        failures=total(failed),
        episode_return=total(done * steps.episode_return),
        episode_length=total(done * steps.episode_length),
    )
