"""How long the episodes of an evaluation are, and what disturbs them."""

import jax.numpy as jnp
from flax import struct

from mjx_mimic.task.dynamics import Dynamics


@struct.dataclass
class Protocol:
    """How long episodes are and what disturbs them.

    A pytree whose leaves are noise, friction, mass and delay: what is compiled for some serves all others.
    """

    seconds: float = struct.field(pytree_node=False, default=10.0)
    """Length of an episode; a clip that is not cyclic ends it earlier."""
    push: float = struct.field(pytree_node=False, default=0.0)
    """Speed of a horizontal kick to the root every 2 s, m/s, its direction random."""
    push_turn: float = struct.field(pytree_node=False, default=0.0)
    """Turn that comes with a kick: up to this about each axis, rad/s."""
    noise: float | None = None
    """Noise on what the policy observes; 1 is about a real robot's. None: none, which is compiled away."""
    friction: float | None = None
    """Coefficient of sliding friction; None: the model's."""
    mass: float | None = None
    """Masses of all links, relative to the model's."""
    delay: float | None = None
    """Control steps until an action reaches the motors."""
    force_seconds: float = struct.field(pytree_node=False, default=0.2)
    """How long a force of `Evaluation.forces` acts, in whole control steps."""

    @property
    def dynamics(self) -> Dynamics:
        """The robot of the episodes."""
        return Dynamics(
            **{
                name: jnp.float32(value)
                for name in ("friction", "mass", "delay")
                if (value := getattr(self, name)) is not None
            }
        )
