"""Separately trained policies as one: each acts during its own clips, and their values choose the next clip.

DeepMimic (Peng et al. 2018), Multi-Skill Integration, composite policy.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.learning.policy import Policy, ValueFunction


@dataclass(frozen=True)
class Seats:
    """Where a composite's observation (O,) has what its members see of it.

    It is a member's with the wanted clip among all clips (C,) as 1 inserted, behind what a policy sees.
    """

    inputs: int
    """Numbers that a member's policy sees, the first ones."""
    member_of: tuple[int, ...]
    """(C,) number of the member that each clip is of."""

    def member(self, observation: jax.Array) -> jax.Array:
        """Return the number (...) of the member whose clip is wanted in observations (..., O)."""
        wanted = observation[..., self.inputs : self.inputs + len(self.member_of)]
        return jnp.array(self.member_of)[jnp.argmax(wanted, axis=-1)]

    def own(self, observation: jax.Array) -> jax.Array:
        """Return what a member observes, policy and value function, of observations (..., O)."""
        first, rest = self.inputs, self.inputs + len(self.member_of)
        return jnp.concatenate([observation[..., :first], observation[..., rest:]], axis=-1)


@struct.dataclass
class CompositePolicy:
    """The policies of several runs; the one whose clip is wanted acts. See `Policy`."""

    members: tuple[Policy, ...]
    seats: Seats = struct.field(pytree_node=False)

    def act(self, observation: jax.Array) -> jax.Array:
        """Return the member's mean action (..., A) for observations (..., O) of the composite's task."""
        seen = observation[..., : self.seats.inputs]
        actions = jnp.stack([member.act(seen) for member in self.members], axis=-2)
        member = self.seats.member(observation)[..., None, None]
        return jnp.take_along_axis(actions, member, axis=-2)[..., 0, :]


AnyPolicy = Policy | CompositePolicy
"""What acts."""


@struct.dataclass
class BoltzmannChoice:
    """Draws clips by the values of the members that they are of: p_i = exp(V_i(s_i) / T) / sum. See `Choice`.

    s_i is what member i observes when its clip begins where the robot is.
    """

    members: tuple[ValueFunction, ...]
    temperature: jax.Array  # () T, in units of the return
    seats: Seats = struct.field(pytree_node=False)

    def values(self, observations: jax.Array) -> jax.Array:
        """Return V (...) of the member whose clip is wanted, of observations (..., O)."""
        own = self.seats.own(observations)
        values = jnp.stack([member(own) for member in self.members], axis=-1)
        member = self.seats.member(observations)[..., None]
        return jnp.take_along_axis(values, member, axis=-1)[..., 0]

    def logits(self, observations: jax.Array) -> jax.Array:
        """Return V / T (...) of observations (..., O)."""
        return self.values(observations) / self.temperature
