"""The goal of hitting a target with a body, once in every cycle of the clip (DeepMimic, Strike)."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import StrikeConfig
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.goals import targets
from mjx_mimic.task.goals.base import GoalState, Situation, drawing
from mjx_mimic.task.observation import Parts


@struct.dataclass
class StrikeState(GoalState):
    """What is to be hit, whether it was, and the tally of the whole cycles before."""

    target: jax.Array  # (3,) m in the world
    hit: jax.Array  # () bool, in this cycle
    nearest: jax.Array  # () m, least distance in this cycle
    is_whole: jax.Array  # () bool, the episode has all of this cycle
    cycles: jax.Array  # () int, whole ones before this one
    hits: jax.Array  # () int, in those
    miss: jax.Array  # () m, sum of the least distances in those

    TALLY = ("is_whole", "cycles", "hits", "miss")


@dataclass(frozen=True)
class Strike:
    """See `Goal`."""

    config: StrikeConfig
    body: int
    """Row of `CharacterState.body_pos`."""

    @property
    def measures(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of each number of `results`."""
        return {
            "success": ("share", f"whole cycles with a hit, within {self.config.radius:g} m"),
            "nearest": ("m", "mean over whole cycles of the least distance to the target"),
        }

    def begin(self, situation: Situation, key: jax.Array) -> StrikeState:
        """Draw a target before the place where the cycle began."""
        kept, own = drawing(jax.random.key_data(key))
        zero, none = jnp.float32(0.0), jnp.int32(0)
        return StrikeState(
            key=kept,
            reward=zero,
            target=self._draw(situation.home, own),
            hit=jnp.bool_(False),
            nearest=jnp.float32(jnp.inf),
            is_whole=situation.phase == 0.0,
            cycles=none,
            hits=none,
            miss=zero,
        )

    def advance(self, state: StrikeState, situation: Situation) -> StrikeState:
        """Reward nearness, r = exp(-scale distance^2), and after a hit 1 until the end of the cycle."""
        position = situation.character.body_pos[self.body]
        distance = jnp.linalg.norm(position - state.target)
        nearest = jnp.minimum(state.nearest, distance)
        hit = state.hit | (distance <= self.config.radius)
        reward = jnp.where(hit, 1.0, jnp.exp(-self.config.scale * jnp.square(distance)))
        kept, own = drawing(state.key)
        ends = situation.ends_cycle
        counts = ends & state.is_whole
        return StrikeState(
            key=jnp.where(ends, kept, state.key),
            reward=reward,
            target=jnp.where(ends, self._draw(situation.home, own), state.target),
            hit=hit & ~ends,
            nearest=jnp.where(ends, jnp.inf, nearest),
            is_whole=state.is_whole | ends,
            cycles=state.cycles + counts,
            hits=state.hits + (counts & hit),
            miss=state.miss + jnp.where(counts, nearest, 0.0),
        )

    def parts(self, state: StrikeState, character: CharacterState) -> Parts:
        """Return the target from the floor below the root, and whether it was hit."""
        return {
            "goal: target": targets.seen_from_below(character, state.target),
            "goal: hit": state.hit.astype(jnp.float32)[None],
        }

    def markers(self, state: StrikeState, character: CharacterState) -> jax.Array:
        """Return the target."""
        return state.target[None]

    @property
    def dials(self) -> Mapping[str, tuple[float, float, str]]:
        """Distance, azimuth and height of the target from the robot, also outside of training's ranges."""
        c = self.config
        return targets.cylindrical_dials(c.distance, c.azimuth) | {"height": (0.0, 1.5, "m")}

    def dial_values(self, state: StrikeState, character: CharacterState) -> dict[str, jax.Array]:
        """Return where the target is."""
        return targets.cylindrical_values(character, state.target) | {"height": state.target[2]}

    def aim(self, values: Mapping[str, jax.Array], character: CharacterState) -> dict[str, jax.Array]:
        """Set the target, which then stays where it is."""
        return {"target": targets.aimed(character, values, values["height"])}

    def aim_at(self, state: StrikeState, point: jax.Array, character: CharacterState) -> dict[str, jax.Array]:
        """Set the target over the point, as high as it is."""
        return {"target": jnp.append(point, state.target[2])}

    def results(self, state: StrikeState) -> dict[str, jax.Array]:
        """Return the share of hits; not a number before the first whole cycle ends."""
        cycles = jnp.where(state.cycles > 0, state.cycles, jnp.nan)
        return {"success": state.hits / cycles, "nearest": state.miss / cycles}

    def _draw(self, home: jax.Array, key: jax.Array) -> jax.Array:
        c = self.config
        return targets.place(home, targets.draw_cylindrical(key, (c.distance, c.azimuth, c.height), c.beyond))
