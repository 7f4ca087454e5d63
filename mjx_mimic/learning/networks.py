"""Policy and value networks, and the diagonal Gaussian between them and the actions."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mjx_mimic.config import NetworkConfig
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.reflection import EACH_JOINT, JOINTS, Reflection

Params = Any
"""Parameters of a Flax module."""

LOG_STD = "log_std"
"""Name of the parameter in an actor."""

ACTIVATIONS = {"elu": nn.elu, "relu": nn.relu, "silu": nn.silu, "tanh": nn.tanh}


Initializer = Callable[[jax.Array, Sequence[int], Any], jax.Array]


def uniform(limit: float | None = None) -> Initializer:
    """Return first weights in +-`limit`; None: in +-1/sqrt(inputs), torch's default."""

    def initialize(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        most = shape[0] ** -0.5 if limit is None else limit
        return jax.random.uniform(key, shape, dtype, -most, most)

    return initialize


def first_weights(
    initialization: str, output_scale: float, output_limit: float | None
) -> tuple[Initializer, Initializer]:
    """Return the first weights of the hidden layers and of the output layer.

    Args:
        initialization: a value of `NetworkConfig.initialization`.
        output_scale: of the output layer, with `orthogonal`.
        output_limit: of the output layer, with `torch`; see `uniform`.
    """
    if initialization == "torch":
        return uniform(), uniform(output_limit)
    return nn.initializers.orthogonal(2**0.5), nn.initializers.orthogonal(output_scale)


class MLP(nn.Module):
    """Hidden layers with an activation, then a linear layer."""

    hidden: Sequence[int]
    outputs: int
    activation: str
    hidden_init: Initializer
    output_init: Initializer

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Map inputs (..., I) to outputs (..., outputs)."""
        for width in self.hidden:
            inputs = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=self.hidden_init)(inputs))
        return nn.Dense(self.outputs, kernel_init=self.output_init)(inputs)


class Actor(nn.Module):
    """The policy's network: observations to means (..., A) and log standard deviations (A,)."""

    config: NetworkConfig
    num_actions: int
    inputs: int | None = None
    """Numbers of the observation that the policy sees, the first ones; None: all of them."""
    reflection: Reflection | None = None
    """Of those, under which the network is symmetric; None: it need not be."""

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map normalised observations (..., O) to means (..., A) and log standard deviations (A,)."""
        c = self.config
        inits = first_weights(c.initialization, output_scale=0.01, output_limit=0.01)
        mlp = MLP(c.actor_hidden, self.num_actions, c.activation, *inits)
        seen = observation[..., : self.inputs]
        mean = mlp(seen)
        log_std = jnp.full((self.num_actions,), jnp.log(c.initial_std))
        log_std = self.param(LOG_STD, lambda _: log_std) if c.learn_std else log_std
        if self.reflection is not None:
            mean = 0.5 * (mean + JOINTS(mlp(self.reflection(seen))))
            log_std = 0.5 * (log_std + EACH_JOINT(log_std))
        return mean, log_std


class Critic(nn.Module):
    """The value function's network: observations to V(s) (...)."""

    config: NetworkConfig
    reflection: Reflection | None = None
    """Of the observation, under which the network is symmetric; None: it need not be."""

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Map normalised observations (..., O) to values (...)."""
        c = self.config
        inits = first_weights(c.initialization, output_scale=1.0, output_limit=None)
        mlp = MLP(c.critic_hidden, 1, c.activation, *inits)
        value = mlp(observation)
        if self.reflection is not None:
            value = 0.5 * (value + mlp(self.reflection(observation)))
        return value[..., 0]


def make_networks(env: ImitationEnv, config: NetworkConfig) -> tuple[Actor, Critic]:
    """Make the networks of the policy and of the value function for a task."""
    reflection = env.reflection if config.symmetric else None
    seen = env.policy_inputs
    of_policy = None if reflection is None else reflection.first(seen)
    return Actor(config, env.num_actions, seen, of_policy), Critic(config, reflection)


Limits = tuple[jax.Array | float, jax.Array | float]
"""Least and largest standard deviation."""


def std_limits(config: NetworkConfig, progress: jax.Array | float) -> Limits | None:
    """Return between what the standard deviation is held after a share `progress` () of the training.

    At least at `min_std`; with `final_std`, over the last fifth at most on the line from one to the other.
    None: no limits.
    """
    floor, final = config.min_std, config.final_std
    if final is None:
        return (floor, jnp.inf) if floor else None
    is_last = progress > 0.8
    line = jnp.interp(progress, jnp.array([0.8, 1.0]), jnp.array([floor, final]))
    return jnp.where(is_last, final, floor), jnp.where(is_last, line, jnp.inf)


def with_std_within(params: Any, limits: Limits | None) -> Any:
    """Return an actor's parameters with its standard deviations, where it learns them, within limits.

    The parameter itself is held: below a floor in the network it would have no gradient, and stay there.
    """
    if limits is None or LOG_STD not in params["params"]:
        return params
    held = jnp.clip(params["params"][LOG_STD], *(jnp.log(limit) for limit in limits))
    return {**params, "params": {**params["params"], LOG_STD: held}}


def log_prob(mean: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
    """Return the log density (...) of actions (..., A) under independent Gaussians."""
    log_std = jnp.broadcast_to(log_std, action.shape)
    scaled = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(jnp.square(scaled) + 2.0 * log_std + jnp.log(2.0 * jnp.pi), axis=-1)


def entropy(log_std: jax.Array) -> jax.Array:
    """Return the differential entropy (...), nats, of independent Gaussians (..., A)."""
    return jnp.sum(log_std + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e), axis=-1)
