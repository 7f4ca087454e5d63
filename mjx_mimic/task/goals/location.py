"""The goal of walking to a point; once there, to the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import LocationConfig
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.goals.base import GoalState, Situation, drawing
from mjx_mimic.task.goals.heading import errors
from mjx_mimic.task.observation import Parts

FARTHEST = 10.0
"""Of what people can set, along each axis of the world, m."""


@struct.dataclass
class LocationState(GoalState):
    """Where to walk to, and how many points were reached."""

    point: jax.Array  # (2,) m in the world
    distance: jax.Array  # () m from the root
    reached: jax.Array  # () int, points
    seconds: jax.Array  # () s until the last one of them was reached


@dataclass(frozen=True)
class Location:
    """See `Goal`."""

    config: LocationConfig

    @property
    def measures(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of each number of `results`."""
        return {
            "success": ("share", f"came within {self.config.radius:g} m of a point"),
            "points": ("", "points reached"),
            "seconds_per_point": ("s", "mean time from one point to the next"),
        }

    def begin(self, situation: Situation, key: jax.Array) -> LocationState:
        """Draw a point in front of the robot."""
        kept, own = drawing(jax.random.key_data(key))
        point = self.draw(situation.character, own)
        distance = jnp.linalg.norm(point - situation.character.root_pos[:2])
        zero = jnp.float32(0.0)
        return LocationState(kept, zero, point, distance, jnp.int32(0), zero)

    def advance(self, state: LocationState, situation: Situation) -> LocationState:
        """Reward the walk towards the point as the heading's goal does.

        A reward of the distance instead would be larger beside the point than where a new one is drawn.
        """
        c, character = self.config, situation.character
        offset = state.point - character.root_pos[:2]
        _, turn, square = errors(character, jnp.arctan2(offset[1], offset[0]), jnp.float32(c.speed))
        kept, own = drawing(state.key)
        distance = jnp.linalg.norm(offset)
        is_there = distance <= c.radius
        return replace(
            state,
            key=jnp.where(is_there, kept, state.key),
            reward=jnp.where(
                is_there, 1.0, jnp.exp(-(c.speed_scale * square + c.heading_scale * jnp.square(turn)))
            ),
            point=jnp.where(is_there, self.draw(character, own), state.point),
            distance=distance,
            reached=state.reached + is_there,
            seconds=jnp.where(is_there, situation.steps * situation.dt, state.seconds),
        )

    def parts(self, state: LocationState, character: CharacterState) -> Parts:
        """Return the direction of the point and its distance, at most `LocationConfig.distance`'s."""
        offset = state.point - character.root_pos[:2]
        turn = jnp.arctan2(offset[1], offset[0]) - rotation.heading(character.root_quat)
        distance = jnp.minimum(jnp.linalg.norm(offset), self.config.distance[1])
        return {
            "goal: direction": jnp.stack([jnp.cos(turn), jnp.sin(turn)]),
            "goal: distance": distance[None],
        }

    def markers(self, state: LocationState, character: CharacterState) -> jax.Array:
        """Return the point."""
        return jnp.append(state.point, 0.0)[None]

    @property
    def dials(self) -> Mapping[str, tuple[float, float, str]]:
        """Place of the point in the world."""
        return {"x": (-FARTHEST, FARTHEST, "m"), "y": (-FARTHEST, FARTHEST, "m")}

    def dial_values(self, state: LocationState, character: CharacterState) -> dict[str, jax.Array]:
        """Return the place of the point."""
        return {"x": state.point[0], "y": state.point[1]}

    def aim(self, values: Mapping[str, jax.Array], character: CharacterState) -> dict[str, jax.Array]:
        """Set the point."""
        return {"point": jnp.stack([values["x"], values["y"]])}

    def aim_at(
        self, state: LocationState, point: jax.Array, character: CharacterState
    ) -> dict[str, jax.Array]:
        """Set the point."""
        return {"point": point}

    def results(self, state: LocationState) -> dict[str, jax.Array]:
        """Return what was reached."""
        any_reached = state.reached > 0
        return {
            "success": any_reached.astype(jnp.float32),
            "points": state.reached.astype(jnp.float32),
            "seconds_per_point": jnp.where(
                any_reached, state.seconds / jnp.maximum(state.reached, 1), jnp.nan
            ),
        }

    def draw(self, character: CharacterState, key: jax.Array) -> jax.Array:
        """Draw a point (2,) in front of the robot."""
        angle_key, distance_key = jax.random.split(key)
        turn = jax.random.uniform(angle_key, minval=-self.config.turn, maxval=self.config.turn)
        angle = rotation.heading(character.root_quat) + turn
        low, high = self.config.distance
        distance = jax.random.uniform(distance_key, minval=low, maxval=high)
        return character.root_pos[:2] + distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
