"""Policy and value networks, and the diagonal Gaussian between them and the actions."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mjx_mimic.config import NetworkConfig

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

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map normalised observations (..., O) to means (..., A) and log standard deviations (A,)."""
        c = self.config
        inits = first_weights(c.initialization, output_scale=0.01, output_limit=0.01)
        mlp = MLP(c.actor_hidden, self.num_actions, c.activation, *inits)
        mean = mlp(observation[..., : self.inputs])
        log_std = jnp.full((self.num_actions,), jnp.log(c.initial_std))
        return mean, self.param(LOG_STD, lambda _: log_std) if c.learn_std else log_std


class Critic(nn.Module):
    """The value function's network: observations to V(s) (...)."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Map normalised observations (..., O) to values (...)."""
        c = self.config
        inits = first_weights(c.initialization, output_scale=1.0, output_limit=None)
        return MLP(c.critic_hidden, 1, c.activation, *inits)(observation)[..., 0]


def min_std_at(config: NetworkConfig, progress: jax.Array) -> jax.Array | float:
    """Return the floor under the standard deviation () after a share `progress` () of the training.

    It falls linearly from `min_std` to `final_min_std` over the last fifth.
    """
    if config.final_min_std is None:
        return config.min_std
    return jnp.interp(progress, jnp.array([0.8, 1.0]), jnp.array([config.min_std, config.final_min_std]))


def with_min_std(params: Any, min_std: jax.Array | float) -> Any:
    """Return an actor's parameters with its standard deviations, where it learns them, at least `min_std`.

    The parameter itself is held: below a floor in the network it would have no gradient, and stay there.
    """
    is_none = isinstance(min_std, float) and min_std == 0.0
    if is_none or LOG_STD not in params["params"]:
        return params
    floored = jnp.maximum(params["params"][LOG_STD], jnp.log(min_std))
    return {**params, "params": {**params["params"], LOG_STD: floored}}


def log_prob(mean: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
    """Return the log density (...) of actions (..., A) under independent Gaussians."""
    log_std = jnp.broadcast_to(log_std, action.shape)
    scaled = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(jnp.square(scaled) + 2.0 * log_std + jnp.log(2.0 * jnp.pi), axis=-1)


def entropy(log_std: jax.Array) -> jax.Array:
    """Return the differential entropy (...), nats, of independent Gaussians (..., A)."""
    return jnp.sum(log_std + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e), axis=-1)
