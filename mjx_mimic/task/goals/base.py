"""What a goal is to the task: its state, its observation, its reward, its drawing, and its success."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Protocol, Self

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.observation import Parts


@struct.dataclass
class Situation:
    """What a goal sees of the end of a control step, or of the start of an episode."""

    character: CharacterState
    # Where the root would have begun this cycle of the clip, had it followed it since; at the end of a clip
    # that is not cyclic, where it is.
    home: jax.Array  # (7,)
    steps: jax.Array  # () int, control steps of the episode so far
    phase: jax.Array  # () of the clip
    previous_phase: jax.Array  # () one control step before; at the start of an episode the same
    ends_cycle: jax.Array  # () bool, whether a cycle has ended in this control step, be it the only one
    dt: float = struct.field(pytree_node=False)

    def passes(self, phase: float) -> jax.Array:
        """Return whether the clip has reached `phase` in this control step, ()."""
        begins_again = self.phase < self.previous_phase
        at_the_end = begins_again & (self.previous_phase < phase)
        before = self.previous_phase - begins_again
        return at_the_end | ((before < phase) & (phase <= self.phase))


@struct.dataclass
class GoalState:
    """A goal of one episode, and what has been achieved in it; each goal has further fields of its own."""

    key: jax.Array  # (2,) uint32, of what is drawn next
    reward: jax.Array  # () in [0, 1], of the last control step

    TALLY: ClassVar[tuple[str, ...]] = ()
    """Fields that count what the episode has achieved."""

    def counted_from_here(self) -> Self:
        """Return the same goal of which nothing is achieved yet."""
        return replace(self, **{name: jnp.zeros_like(getattr(self, name)) for name in self.TALLY})


class Goal[State: GoalState](Protocol):
    """A goal beside imitation: pure functions of its state, and hashable settings."""

    @property
    def measures(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of each number of `results`, by its name; `success` is one of them."""

    def begin(self, situation: Situation, key: jax.Array) -> State:
        """Draw the goal with which an episode starts."""

    def advance(self, state: State, situation: Situation) -> State:
        """Reward a control step for the goal that it was taken for, count it, and draw a new goal if due."""

    def parts(self, state: State, character: CharacterState) -> Parts:
        """Return what the policy sees of the goal, in the heading frame of the robot.

        Parts of two or three numbers are vectors, whose second number changes its sign where the robot is
        reflected left to right; all others are single numbers, which do not.
        """

    def markers(self, state: State, character: CharacterState) -> jax.Array:
        """Return the points (K, 3) m in the world that show the goal to people, where it is first."""

    @property
    def dials(self) -> Mapping[str, tuple[float, float, str]]:
        """Lowest value, highest value and unit of each number with which people set the goal, by its name."""

    def dial_values(self, state: State, character: CharacterState) -> dict[str, jax.Array]:
        """Return the numbers () that `dials` names, as the goal is."""

    def aim(self, values: Mapping[str, jax.Array], character: CharacterState) -> dict[str, jax.Array]:
        """Return the fields of a state whose goal is set to the values () of `dials`, seen from the robot."""

    def aim_at(self, state: State, point: jax.Array, character: CharacterState) -> dict[str, jax.Array]:
        """Return the fields of a state whose goal is set to a point (2,) m on the floor of the world."""

    def results(self, state: State) -> dict[str, jax.Array]:
        """Return what the episode has achieved so far, by the names of `measures`."""


def drawing(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the key data (2,) to keep, and a key to draw with."""
    kept, own = jax.random.split(jax.random.wrap_key_data(key))
    return jax.random.key_data(kept), own
