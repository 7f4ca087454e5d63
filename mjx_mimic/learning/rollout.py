"""Rollouts of a policy: with its noise for training, without it for evaluation."""

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.learning.networks import log_prob
from mjx_mimic.learning.policy import Policy, ValueFunction
from mjx_mimic.task.disturbances import disturbed
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.reward import RewardTerms
from mjx_mimic.task.states import EnvState
from mjx_mimic.task.termination import Causes
from mjx_mimic.task.tracking_errors import TrackingErrors

CONTROL_STEPS = "control_steps"
"""Scope (`jax.named_scope`) of a rollout in a compiled program."""


@struct.dataclass
class Transition:
    """One control step of N environments; a rollout is T of them, (T, N, ...)."""

    observation: jax.Array  # (N, O) as observed, not normalised
    action: jax.Array  # (N, A)
    log_prob: jax.Array  # (N,)
    value: jax.Array  # (N,)
    next_value: jax.Array  # (N,) before any reset; 0 after a failure, and perhaps after the clip's end
    done: jax.Array  # (N,)
    reward: jax.Array  # (N,) less the penalty
    reward_terms: RewardTerms
    causes: Causes
    episode_return: jax.Array  # (N,)
    episode_length: jax.Array  # (N,)
    segment: jax.Array  # (N,) int, of the clips; see `start_sampling`
    goal_reward: jax.Array | None = None  # (N,) None: imitation alone


def rollout(
    env: ImitationEnv,
    policy: Policy,
    value_function: ValueFunction,
    start: tuple[EnvState, jax.Array],
    length: int,
    key: jax.Array,
    *,
    push: float = 0.0,
    push_turn: float = 0.0,
    noise: float = 0.0,
    bootstrap_clip_end: bool = True,
) -> tuple[EnvState, jax.Array, Transition]:
    """Sample pieces of trajectories tau ~ p_theta(tau) under the policy; see `ppo` for the notation.

    Args:
        env: the task.
        policy: chooses the actions, with its noise.
        value_function: values of the states on the way.
        start: states of N environments and their observations (N, O), from the rollout before.
        length: T control steps.
        key: of the actions, resets and disturbances.
        push: m/s, see `disturbances.disturbed`.
        push_turn: rad/s, likewise.
        noise: scale, see `disturbances.disturbed`.
        bootstrap_clip_end: whether the value after the end of a clip is the critic's, or 0.

    Returns:
        States and observations to go on from, and the transitions (T, N, ...).
    """

    def control_step(
        carry: tuple[EnvState, jax.Array], key: jax.Array
    ) -> tuple[tuple[EnvState, jax.Array], Transition]:
        state, observation = carry
        count = observation.shape[0]
        action_key, env_key, disturbance_key = jax.random.split(key, 3)
        env_keys = jax.random.split(env_key, count)
        sensed = None
        if push or noise:
            keys = jax.random.split(disturbance_key, count)
            state, sensed = jax.vmap(lambda s, k: disturbed(env, s, push, push_turn, noise, k))(state, keys)
            observation = jax.vmap(env.observe)(state, sensed)
        mean, log_std = policy.distribution(observation)
        std = jnp.broadcast_to(jnp.exp(log_std), mean.shape)
        action = mean + std * jax.random.normal(action_key, mean.shape)
        state, result = jax.vmap(env.step)(state, action, env_keys, sensed)
        causes = result.causes
        worthless = causes.terminated if bootstrap_clip_end else causes.terminated | causes.clip_end
        transition = Transition(
            observation=observation,
            action=action,
            log_prob=log_prob(mean, log_std, action),
            value=value_function(observation),
            next_value=jnp.where(worthless, 0.0, value_function(result.final_observation)),
            done=causes.terminated | causes.truncated,
            reward=result.reward - result.penalty,
            reward_terms=result.reward_terms,
            causes=causes,
            episode_return=result.episode_return,
            episode_length=result.episode_length,
            segment=result.segment,
            goal_reward=result.goal_reward,
        )
        return (state, result.observation), transition

    keys = jax.random.split(key, length)
    with jax.named_scope(CONTROL_STEPS):
        (state, observation), transitions = jax.lax.scan(control_step, start, keys)
    return state, observation, transitions


@struct.dataclass
class EvaluationMetrics:
    """Of deterministic episodes from phases spread evenly, with early termination, as in MimicKit's test."""

    eval_return: jax.Array  # () mean
    eval_episode_length: jax.Array  # () mean, control steps
    eval_survived: jax.Array  # () share without a failure
    errors: TrackingErrors  # () mean of the episodes' means over their control steps
    goal: dict[str, jax.Array]  # () mean of what the episodes achieved; see `Goal.results`


def evaluate(
    env: ImitationEnv, policy: Policy, num_episodes: int, key: jax.Array, axis_name: str | None = None
) -> EvaluationMetrics:
    """Estimate the expected return J(theta), undiscounted, of the policy without its noise.

    Args:
        env: the task.
        policy: acts by its mean.
        num_episodes: episodes side by side, each the first one of its environment. Their starts are spread
            evenly over the clips, so that the share of them where the policy fails is no matter of luck.
        key: of where each starts in its part of the clips, and of goals and skills.
        axis_name: of the devices whose episodes count as well, inside a mapped function.
    """
    reset_key, step_key, start_key = jax.random.split(key, 3)
    index, episodes = jnp.arange(num_episodes), num_episodes
    if axis_name is not None:
        index += jax.lax.axis_index(axis_name) * num_episodes
        episodes *= jax.lax.axis_size(axis_name)
    quantile = (index + jax.random.uniform(start_key, (num_episodes,))) / episodes
    state, observation = jax.vmap(env.reset)(jax.random.split(reset_key, num_episodes), quantile)

    def control_step(carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        state, observation = carry
        keys = jax.random.split(key, num_episodes)
        state, result = jax.vmap(env.step)(state, policy.act(observation), keys)
        yielded = (result.reward, result.causes, result.errors, result.goal_results)
        return (state, result.observation), yielded

    keys = jax.random.split(step_key, env.episode_steps)
    _, (reward, causes, errors, goal) = jax.lax.scan(control_step, (state, observation), keys)
    ends = causes.terminated | causes.truncated  # (T, N)
    running = jnp.cumsum(ends, axis=0) - ends == 0  # to its first end, that control step included
    measured = running & ~causes.nonfinite
    steps = measured.sum(axis=0)
    survived = ~jnp.any(running & causes.terminated, axis=0)
    # An episode whose first control step breaks the simulation has no errors.
    errors = jax.tree.map(lambda x: jnp.where(measured, x, 0.0).sum(axis=0) / steps, errors)
    last = jnp.maximum(steps - 1, 0)
    goal = jax.tree.map(lambda x: jnp.where(steps > 0, x[last, jnp.arange(num_episodes)], 0.0), goal)
    if "success" in goal:  # whoever falls has not succeeded
        goal = goal | {"success": jnp.where(survived, goal["success"], 0.0)}
    figures = EvaluationMetrics(
        eval_return=jnp.where(running, reward, 0.0).sum(axis=0),
        eval_episode_length=running.sum(axis=0),
        eval_survived=survived,
        errors=errors,
        goal=goal,
    )
    return jax.tree.map(lambda values: mean_of_known(values, axis_name), figures)


def mean_of_known(values: jax.Array, axis_name: str | None = None) -> jax.Array:
    """Average values (N,) that are not NaN, those of other devices too inside a mapped function."""
    known = ~jnp.isnan(values)
    sums = jnp.where(known, values, 0.0).sum(), known.sum()
    total, count = sums if axis_name is None else jax.lax.psum(sums, axis_name)
    return total / count
