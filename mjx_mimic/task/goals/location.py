"""The goal of walking to a point; once there, to the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.config import LocationConfig
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.goals.base import GoalState, Situation, drawing
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

    TALLY = ("reached", "seconds")


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
        """Draw a point around the robot."""
        kept, own = drawing(jax.random.key_data(key))
        point = self._draw(situation.character, own)
        distance = jnp.linalg.norm(point - situation.character.root_pos[:2])
        zero = jnp.float32(0.0)
        return LocationState(kept, zero, point, distance, jnp.int32(0), zero)

    def advance(self, state: LocationState, situation: Situation) -> LocationState:
        """Reward the speed at which the robot approaches the point, as a share of the wanted one.

        r = (1 + clip(v d / v*, -1, 1)) / 2 with the horizontal velocity v of the root and the direction d of
        the point: it rises with every turn towards the point, also of a robot that walks away from it, where
        the heading's reward is flat. A reward of the distance would be larger beside the point than where a
        new one is drawn.
        """
        c, character = self.config, situation.character
        offset = state.point - character.root_pos[:2]
        distance = jnp.linalg.norm(offset)
        approach = jnp.dot(character.root_vel[:2], offset) / jnp.maximum(distance * c.speed, 1e-6)
        kept, own = drawing(state.key)
        is_there = distance <= c.radius
        return replace(
            state,
            key=jnp.where(is_there, kept, state.key),
            reward=jnp.where(is_there, 1.0, 0.5 + 0.5 * jnp.clip(approach, -1.0, 1.0)),
            point=jnp.where(is_there, self._draw(character, own), state.point),
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

    def _draw(self, character: CharacterState, key: jax.Array) -> jax.Array:
        """Draw a point (2,) in any direction from the robot."""
        angle_key, distance_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, maxval=2.0 * np.pi)
        low, high = self.config.distance
        distance = jax.random.uniform(distance_key, minval=low, maxval=high)
        return character.root_pos[:2] + distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
