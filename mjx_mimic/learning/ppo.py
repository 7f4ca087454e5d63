"""Proximal policy optimisation on arrays: returns, advantages, losses and the minibatch update.

No physics here. In the notation of DeepMimic (Peng et al. 2018, sec. 4), a policy pi_theta(a|s) draws
trajectories tau = (s_0, a_0, r_0, s_1, ...) from

    p_theta(tau) = p(s_0) prod_t p(s_{t+1} | s_t, a_t) pi_theta(a_t | s_t)        (trajectory distribution)

and is to maximise

    J(theta) = E_{tau ~ p_theta} [ sum_t gamma^t r_t ]                             (expected return)

along the gradient

    grad J = E [ grad log pi_theta(a_t | s_t) A_t ],   A_t = R_t - V(s_t)         (policy gradient, advantage)

Arrays of a rollout are time-major: (T, N) for T steps of N environments.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from mjx_mimic.config import PPOConfig
from mjx_mimic.learning import networks
from mjx_mimic.learning.networks import Params

LOG_STD_GAIN = 10.0
"""How many times faster than a weight the log standard deviation learns with Adam.

Adam moves every parameter about equally far. A mean is the sum of hundreds of them, a log standard deviation
is one: without this it would take ten times as many updates to follow."""


@struct.dataclass
class Batch:
    """Samples of a rollout, flattened to (M, ...)."""

    observation: jax.Array  # (M, O), normalised
    action: jax.Array  # (M, A)
    log_prob: jax.Array  # (M,) under the policy that acted
    advantage: jax.Array  # (M,)
    value_target: jax.Array  # (M,)


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    done: jax.Array,
    discount: float,
    lambda_: float,
) -> jax.Array:
    """Estimate the advantages A(s_t, a_t), (T, N) (Schulman et al. 2016, eq. 16).

        A_t = delta_t + gamma lambda (1 - done_t) A_{t+1},   delta_t = r_t + gamma V'_t - V(s_t)

    Args:
        reward: (T, N) r_t.
        value: (T, N) V(s_t).
        next_value: (T, N) V'_t: V of the state before any reset, 0 after a failure.
        done: (T, N) whether the episode ended at t, by failure or time; cuts the trace.
        discount: gamma.
        lambda_: lambda.
    """
    chex.assert_equal_shape([reward, value, next_value, done])
    delta = reward + discount * next_value - value
    return _sum_backwards(delta, discount * lambda_ * (1.0 - done))


def td_lambda_return(
    reward: jax.Array, next_value: jax.Array, done: jax.Array, discount: float, lambda_: float
) -> jax.Array:
    """Compute the TD(lambda) returns (T, N), the targets of the value V(s_t) = E[R_t | s_t].

        R_t = r_t + gamma ((1 - lambda) V'_t + lambda R_{t+1})
        R_t = r_t + gamma V'_t                                   where done or t = T - 1

    Sutton and Barto, sec. 12.1; MimicKit `rl_util.compute_td_lambda_return`. Arguments as for `gae`. Equal to
    gae + value where V'_t is V(s_{t+1}) inside an episode.
    """
    chex.assert_equal_shape([reward, next_value, done])
    # A rollout that stops inside an episode is cut there like a time-out.
    cut = jnp.concatenate([done[:-1], jnp.ones_like(done[-1:])])
    trace = lambda_ * (1.0 - cut)
    return _sum_backwards(reward + discount * (1.0 - trace) * next_value, discount * trace)


def _sum_backwards(addend: jax.Array, factor: jax.Array) -> jax.Array:
    """Solve x_t = addend_t + factor_t x_{t+1} with x_T = 0; all (T, N)."""

    def backward(later: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        total = step[0] + step[1] * later
        return total, total

    _, total = jax.lax.scan(backward, jnp.zeros_like(addend[0]), (addend, factor), reverse=True, unroll=8)
    return total


def clipped_objective(log_ratio: jax.Array, advantage: jax.Array, clip: float) -> jax.Array:
    """Return PPO's surrogate of the policy gradient, (), which is to be maximised.

    Schulman et al. 2017, eq. 7:

        E [ min(w A, clip(w, 1 - eps, 1 + eps) A) ],   w = pi_theta(a|s) / pi_old(a|s)
    """
    ratio = jnp.exp(log_ratio)
    return jnp.mean(jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage))


def action_bound_loss(mean: jax.Array) -> jax.Array:
    """Return the mean squared excess () of mean actions (..., A) over [-1, 1], where the environment clips.

    MimicKit `ppo_agent._compute_action_bound_loss`.
    """
    return jnp.mean(jnp.sum(jnp.square(mean - jnp.clip(mean, -1.0, 1.0)), axis=-1))


def approximate_kl(log_ratio: jax.Array) -> jax.Array:
    """Estimate KL(old || new) () from samples of the old policy.

    E[w - 1 - log w], which is low in variance and never negative.
    """
    return jnp.mean(jnp.exp(log_ratio) - 1.0 - log_ratio)


@struct.dataclass
class ActorMetrics:
    """What a minibatch step of the policy reports."""

    objective: jax.Array
    action_bound: jax.Array
    entropy: jax.Array
    kl: jax.Array
    clip_fraction: jax.Array


def actor_loss(
    params: Params, apply: Callable, batch: Batch, config: PPOConfig
) -> tuple[jax.Array, ActorMetrics]:
    """Return the policy's loss (): bound loss, less the clipped objective, less the entropy bonus."""
    mean, log_std = apply(params, batch.observation)
    log_ratio = networks.log_prob(mean, log_std, batch.action) - batch.log_prob
    metrics = ActorMetrics(
        objective=clipped_objective(log_ratio, batch.advantage, config.clip),
        action_bound=action_bound_loss(mean),
        entropy=networks.entropy(log_std),
        kl=approximate_kl(log_ratio),
        clip_fraction=jnp.mean(jnp.abs(jnp.exp(log_ratio) - 1.0) > config.clip),
    )
    loss = (
        -metrics.objective
        + config.action_bound_weight * metrics.action_bound
        - config.entropy_weight * metrics.entropy
    )
    return loss, metrics


def critic_loss(params: Params, apply: Callable, batch: Batch) -> jax.Array:
    """Return the mean squared error () of the values V(s_t) against their targets R_t."""
    return jnp.mean(jnp.square(apply(params, batch.observation) - batch.value_target))


@struct.dataclass
class NetworkState:
    """A network in training."""

    params: Params
    optimizer: optax.OptState
    learning_rate: jax.Array  # ()


def init_network(params: Params, learning_rate: float, config: PPOConfig) -> NetworkState:
    """Start the training of a network from its first parameters."""
    return NetworkState(params, make_optimizer(config).init(params), jnp.float32(learning_rate))


def make_optimizer(config: PPOConfig) -> optax.GradientTransformation:
    """Make the transformation from gradients to the direction of a step.

    The step's size is `NetworkState.learning_rate`, which the KL rule may change.
    """
    adam = config.optimizer == "adam"
    direction = optax.scale_by_adam() if adam else optax.trace(decay=0.9)
    parts = [direction, _scale_log_std(LOG_STD_GAIN if adam else 1.0)]
    if config.max_grad_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(config.max_grad_norm))
    return optax.chain(*parts)


def _scale_log_std(factor: float) -> optax.GradientTransformation:
    """Let the log standard deviation learn `factor` times as fast as everything else."""

    def labels(params: Params) -> Params:
        def label(path: tuple, _: jax.Array) -> str:
            return networks.LOG_STD if path[-1].key == networks.LOG_STD else "network"

        return jax.tree_util.tree_map_with_path(label, params)

    transforms = {networks.LOG_STD: optax.scale(factor), "network": optax.identity()}
    return optax.multi_transform(transforms, labels)


def apply_gradient(
    state: NetworkState, gradient: Params, optimizer: optax.GradientTransformation
) -> NetworkState:
    """Take one step down the gradient."""
    direction, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
    params = jax.tree.map(lambda p, d: p - state.learning_rate * d, state.params, direction)
    return replace(state, params=params, optimizer=optimizer_state)


def at_progress(config: PPOConfig, progress: jax.Array) -> PPOConfig:
    """Return the settings of an update after a share `progress` () of the training, from 0 to 1.

    The wanted KL divergence falls linearly from `target_kl` to `final_kl`, if that is less.
    """
    if config.target_kl is None:
        return config
    final = jnp.minimum(config.final_kl, config.target_kl)
    target = config.target_kl + progress * (final - config.target_kl)
    return replace(config, target_kl=target)  # type: ignore[arg-type]


def adapt_learning_rate(learning_rate: jax.Array, kl: jax.Array, config: PPOConfig) -> jax.Array:
    """Steer the learning rate () towards the wanted KL divergence by factors of 1.5.

    Schulman et al. 2017, sec. 4, applied at every minibatch as rsl_rl does. Constant without `target_kl`.
    """
    if config.target_kl is None:
        return learning_rate
    factor = jnp.where(
        kl > 2.0 * config.target_kl, 1.0 / 1.5, jnp.where(kl < 0.5 * config.target_kl, 1.5, 1.0)
    )
    return jnp.clip(learning_rate * factor, config.min_rate, config.max_rate)


def minibatches(batch: Batch, count: int, key: jax.Array) -> Batch:
    """Shuffle a batch and cut it: (M, ...) to (count, M // count, ...)."""
    order = jax.random.permutation(key, batch.action.shape[0])
    return jax.tree.map(lambda x: x[order].reshape(count, -1, *x.shape[1:]), batch)


def update_actor(
    state: NetworkState,
    apply: Callable,
    batch: Batch,
    config: PPOConfig,
    key: jax.Array,
    average: Callable = lambda tree: tree,
    std_limits: networks.Limits | None = None,
) -> tuple[NetworkState, ActorMetrics]:
    """Train the policy on a batch: epochs of minibatch steps.

    Args:
        state: the policy's network.
        apply: (params, observation (M, O)) -> mean (M, A) and log standard deviation (A,).
        batch: M samples.
        config: the update's settings.
        key: shuffles the batch.
        average: averages a tree over devices.
        std_limits: of the standard deviation after a step, if it is learned.

    Returns:
        The new state, and the metrics of every step, (epochs, minibatches).
    """
    optimizer = make_optimizer(config)

    def step(state: NetworkState, minibatch: Batch) -> tuple[NetworkState, ActorMetrics]:
        gradient, metrics = jax.grad(actor_loss, has_aux=True)(state.params, apply, minibatch, config)
        gradient, metrics = average((gradient, metrics))
        learning_rate = adapt_learning_rate(state.learning_rate, metrics.kl, config)
        state = apply_gradient(replace(state, learning_rate=learning_rate), gradient, optimizer)
        return replace(state, params=networks.with_std_within(state.params, std_limits)), metrics

    return _epochs(step, state, batch, config.actor_epochs, config.actor_minibatches, key)


def update_critic(
    state: NetworkState,
    apply: Callable,
    batch: Batch,
    config: PPOConfig,
    key: jax.Array,
    average: Callable = lambda tree: tree,
) -> tuple[NetworkState, jax.Array]:
    """Train the value function on a batch: epochs of minibatch steps.

    Arguments as for `update_actor`, with `apply`: (params, observation (M, O)) -> values (M,).

    Returns:
        The new state, and the losses of every step, (epochs, minibatches).
    """
    optimizer = make_optimizer(config)

    def step(state: NetworkState, minibatch: Batch) -> tuple[NetworkState, jax.Array]:
        loss, gradient = jax.value_and_grad(critic_loss)(state.params, apply, minibatch)
        loss, gradient = average((loss, gradient))
        return apply_gradient(state, gradient, optimizer), loss

    return _epochs(step, state, batch, config.critic_epochs, config.critic_minibatches, key)


def _epochs(
    step: Callable, state: NetworkState, batch: Batch, epochs: int, count: int, key: jax.Array
) -> tuple[NetworkState, Any]:
    """Scan `step` over `count` shuffled minibatches, `epochs` times."""

    def epoch(state: NetworkState, key: jax.Array) -> tuple[NetworkState, Any]:
        return jax.lax.scan(step, state, minibatches(batch, count, key))

    return jax.lax.scan(epoch, state, jax.random.split(key, epochs))
