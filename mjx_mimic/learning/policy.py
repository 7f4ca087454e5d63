"""What a run produces: functions of observations, whole with their normaliser."""

from typing import cast

import jax
from flax import struct

from mjx_mimic.learning.networks import Actor, Critic, Params
from mjx_mimic.learning.normalizer import Normalizer


@struct.dataclass
class Policy:
    """The policy pi(a | s): independent Gaussians around a mean that depends on the observation.

    Whoever acts needs this and nothing of the learner.
    """

    params: Params
    normalizer: Normalizer
    network: Actor = struct.field(pytree_node=False)

    def act(self, observation: jax.Array) -> jax.Array:
        """Return the mean action (..., A) for observations (..., O) as the environment gives them.

        Actions outside [-1, 1] are clipped by the environment.
        """
        return self.distribution(observation)[0]

    def distribution(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the mean (..., A) and the log standard deviation (A,) for observations (..., O)."""
        seen = observation[..., : self.network.inputs]  # what only the value function sees follows
        found = self.network.apply(self.params, self.normalizer(seen))
        return cast(tuple[jax.Array, jax.Array], found)


@struct.dataclass
class ValueFunction:
    """The value V(s), the expected discounted return from an observation on."""

    params: Params
    normalizer: Normalizer
    network: Critic = struct.field(pytree_node=False)

    def __call__(self, observation: jax.Array) -> jax.Array:
        """Return V (...) for observations (..., O) as the environment gives them."""
        return cast(jax.Array, self.network.apply(self.params, self.normalizer(observation)))
