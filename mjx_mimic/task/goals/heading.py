"""The goal of walking in a direction at a speed, which change on the way (DeepMimic, Target Heading)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.config import HeadingConfig
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.goals.base import GoalState, Situation, drawing
from mjx_mimic.task.observation import Parts

SPEED_LIMIT, HEADING_LIMIT_DEG = 0.15, 10.0
"""Mean errors up to which an episode succeeds, m/s and degrees."""


@struct.dataclass
class HeadingState(GoalState):
    """Where to walk, and the errors so far."""

    direction: jax.Array  # () rad in the world
    speed: jax.Array  # () m/s
    steps: jax.Array  # () int, control steps in the sums
    speed_error: jax.Array  # () m/s, sum
    heading_error: jax.Array  # () rad, sum

    TALLY = ("steps", "speed_error", "heading_error")


@dataclass(frozen=True)
class Heading:
    """See `Goal`."""

    config: HeadingConfig

    @property
    def measures(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of each number of `results`."""
        return {
            "success": ("share", f"mean errors up to {SPEED_LIMIT} m/s and {HEADING_LIMIT_DEG:g} degrees"),
            "speed_error": ("m/s", "mean absolute difference of the root's speed in the wanted direction"),
            "heading_error": ("deg", "mean angle between the root's heading and the wanted direction"),
        }

    def begin(self, situation: Situation, key: jax.Array) -> HeadingState:
        """Draw a direction around the robot's own."""
        kept, own = drawing(jax.random.key_data(key))
        direction, speed = self._draw(rotation.heading(situation.character.root_quat), own)
        zero = jnp.float32(0.0)
        return HeadingState(kept, zero, direction, speed, jnp.int32(0), zero, zero)

    def advance(self, state: HeadingState, situation: Situation) -> HeadingState:
        """Reward velocity and heading: r = exp(-(a |v - v* d|^2 + b turn^2)), horizontal, of the root.

        DeepMimic's is exp(-2.5 max(0, v* - v d)^2), which neither holds a robot back nor turns it.
        """
        speed_error, heading_error, square = errors(situation.character, state.direction, state.speed)
        c = self.config
        reward = jnp.exp(-(c.speed_scale * square + c.heading_scale * jnp.square(heading_error)))
        kept, own = drawing(state.key)
        direction, speed = self._draw(state.direction, own)
        due = situation.steps % max(1, round(c.interval / situation.dt)) == 0
        return replace(
            state,
            key=jnp.where(due, kept, state.key),
            reward=reward,
            direction=jnp.where(due, direction, state.direction),
            speed=jnp.where(due, speed, state.speed),
            steps=state.steps + 1,
            speed_error=state.speed_error + speed_error,
            heading_error=state.heading_error + heading_error,
        )

    def parts(self, state: HeadingState, character: CharacterState) -> Parts:
        """Return direction and speed."""
        turn = state.direction - rotation.heading(character.root_quat)
        return {
            "goal: direction": jnp.stack([jnp.cos(turn), jnp.sin(turn)]),
            "goal: speed": state.speed[None],
        }

    def markers(self, state: HeadingState, character: CharacterState) -> jax.Array:
        """Return where on the floor the wanted walk would be in a second."""
        step = state.speed * jnp.stack([jnp.cos(state.direction), jnp.sin(state.direction)])
        return jnp.append(character.root_pos[:2] + step, 0.0)[None]

    @property
    def dials(self) -> Mapping[str, tuple[float, float, str]]:
        """Direction in the world and speed, as in training."""
        return {"direction": (-180.0, 180.0, "deg"), "speed": (*self.config.speed, "m/s")}

    def dial_values(self, state: HeadingState, character: CharacterState) -> dict[str, jax.Array]:
        """Return direction and speed."""
        degrees = jnp.rad2deg(state.direction)
        return {"direction": jnp.remainder(degrees + 180.0, 360.0) - 180.0, "speed": state.speed}

    def aim(self, values: Mapping[str, jax.Array], character: CharacterState) -> dict[str, jax.Array]:
        """Set direction and speed."""
        return {"direction": jnp.deg2rad(values["direction"]), "speed": values["speed"]}

    def aim_at(
        self, state: HeadingState, point: jax.Array, character: CharacterState
    ) -> dict[str, jax.Array]:
        """Set the direction to where the point is from here."""
        x, y = point - character.root_pos[:2]
        return {"direction": jnp.arctan2(y, x), "speed": state.speed}

    def results(self, state: HeadingState) -> dict[str, jax.Array]:
        """Return the mean errors."""
        steps = jnp.maximum(state.steps, 1)
        speed, heading = state.speed_error / steps, jnp.rad2deg(state.heading_error / steps)
        success = (speed <= SPEED_LIMIT) & (heading <= HEADING_LIMIT_DEG)
        return {"success": success.astype(jnp.float32), "speed_error": speed, "heading_error": heading}

    def _draw(self, direction: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Draw a direction () rad around another one, and a speed () m/s."""
        turn_key, speed_key = jax.random.split(key)
        turn = jax.random.uniform(turn_key, minval=-self.config.turn, maxval=self.config.turn)
        low, high = self.config.speed
        return direction + turn, jax.random.uniform(speed_key, minval=low, maxval=high)


def errors(
    character: CharacterState, direction: jax.Array, speed: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return how far a walk is off.

    Args:
        character: of the robot.
        direction: () rad in the world.
        speed: () m/s.

    Returns:
        The absolute error of the speed in the direction, m/s; the angle between direction and heading in
        [0, pi], rad; the squared norm of the error of the horizontal velocity, m^2/s^2.
    """
    along = jnp.stack([jnp.cos(direction), jnp.sin(direction)])
    velocity = character.root_vel[:2]
    turn = direction - rotation.heading(character.root_quat)
    wrapped = jnp.abs(jnp.remainder(turn + np.pi, 2.0 * np.pi) - np.pi)
    return jnp.abs(velocity @ along - speed), wrapped, jnp.sum(jnp.square(velocity - speed * along))
