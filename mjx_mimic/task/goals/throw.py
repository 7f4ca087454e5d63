"""The goal of throwing a ball at a spot on the floor, once in every cycle of the clip (DeepMimic, Throw).

The ball is where the hand is until its release, and flies freely afterwards, which is closed form: nothing is
simulated but the robot.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import ThrowConfig
from mjx_mimic.robot.constants import GRAVITY
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task.goals import targets
from mjx_mimic.task.goals.base import GoalState, Situation, drawing
from mjx_mimic.task.observation import Parts

FAR = 1e3
"""The miss of a ball that has not been released, m."""


@struct.dataclass
class ThrowState(GoalState):
    """The spot, the ball, and the tally of the throws."""

    target: jax.Array  # (3,) m in the world, on the floor
    ball: jax.Array  # (3,) m, at the end of the last control step; before its release that of the hand
    velocity: jax.Array  # (3,) m/s, of the ball after its release
    released: jax.Array  # () bool, in this cycle
    miss: jax.Array  # () m, from the spot to where the ball of this cycle lands; `FAR` before its release
    throws: jax.Array  # () int, so far
    hits: jax.Array  # () int, of those
    misses: jax.Array  # () m, sum over those

    TALLY = ("throws", "hits", "misses")


@dataclass(frozen=True)
class Throw:
    """See `Goal`."""

    config: ThrowConfig
    body: int
    """Row of `CharacterState.body_pos`."""

    @property
    def measures(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of each number of `results`."""
        return {
            "success": ("share", f"throws that land within {self.config.radius:g} m of the target"),
            "miss": ("m", "mean distance of the landing from the target"),
        }

    def begin(self, situation: Situation, key: jax.Array) -> ThrowState:
        """Draw a spot before the place where the cycle began."""
        kept, own = drawing(jax.random.key_data(key))
        zero, none = jnp.float32(0.0), jnp.int32(0)
        return ThrowState(
            key=kept,
            reward=zero,
            target=self._draw(situation.home, own),
            ball=situation.character.body_pos[self.body],
            velocity=jnp.zeros(3),
            released=situation.phase >= self.config.release,  # too late for a throw in this cycle
            miss=jnp.float32(FAR),
            throws=none,
            hits=none,
            misses=zero,
        )

    def advance(self, state: ThrowState, situation: Situation) -> ThrowState:
        """Reward a landing near the spot, r = exp(-scale miss^2), from the release to the cycle's end."""
        hand = situation.character.body_pos[self.body]
        now = situation.passes(self.config.release) & ~state.released
        swing = (hand - state.ball) / situation.dt  # before the release, the ball was in the hand
        landing = landing_point(hand, swing)
        miss = jnp.where(now, jnp.linalg.norm(landing - state.target[:2]), state.miss)
        reward = jnp.exp(-self.config.scale * jnp.square(miss))
        kept, own = drawing(state.key)
        ends = situation.ends_cycle
        flown, velocity = fly(state.ball, state.velocity, situation.dt)
        return ThrowState(
            key=jnp.where(ends, kept, state.key),
            reward=reward,
            target=jnp.where(ends, self._draw(situation.home, own), state.target),
            ball=jnp.where(state.released & ~ends, flown, hand),
            velocity=jnp.where(now, swing, velocity),
            released=(state.released | now) & ~ends,
            miss=jnp.where(ends, FAR, miss),
            throws=state.throws + now,
            hits=state.hits + (now & (miss <= self.config.radius)),
            misses=state.misses + jnp.where(now, miss, 0.0),
        )

    def parts(self, state: ThrowState, character: CharacterState) -> Parts:
        """Return the spot, and whether the ball is gone."""
        return {
            "goal: target": targets.seen_from_below(character, state.target)[:2],
            "goal: released": state.released.astype(jnp.float32)[None],
        }

    def markers(self, state: ThrowState, character: CharacterState) -> jax.Array:
        """Return the spot and the ball."""
        return jnp.stack([state.target, state.ball])

    @property
    def dials(self) -> Mapping[str, tuple[float, float, str]]:
        """Distance and azimuth of the spot as the robot sees it, also outside of training's ranges."""
        return targets.cylindrical_dials(self.config.distance, self.config.azimuth)

    def dial_values(self, state: ThrowState, character: CharacterState) -> dict[str, jax.Array]:
        """Return where the spot is."""
        return targets.cylindrical_values(character, state.target)

    def aim(self, values: Mapping[str, jax.Array], character: CharacterState) -> dict[str, jax.Array]:
        """Set the spot, which then stays where it is."""
        return {"target": targets.aimed(character, values, jnp.float32(0.0))}

    def aim_at(self, state: ThrowState, point: jax.Array, character: CharacterState) -> dict[str, jax.Array]:
        """Set the spot."""
        return {"target": jnp.append(point, 0.0)}

    def results(self, state: ThrowState) -> dict[str, jax.Array]:
        """Return the share of hits; not a number before the first throw."""
        throws = jnp.where(state.throws > 0, state.throws, jnp.nan)
        return {"success": state.hits / throws, "miss": state.misses / throws}

    def _draw(self, home: jax.Array, key: jax.Array) -> jax.Array:
        c = self.config
        ranges = c.distance, c.azimuth, (0.0, 0.0)
        return targets.place(home, targets.draw_cylindrical(key, ranges, c.beyond))


def landing_point(position: jax.Array, velocity: jax.Array) -> jax.Array:
    """Return where (2,) m a ball comes down on the floor, from its position (3,) m and velocity (3,) m/s.

    z + v_z t - g t^2 / 2 = 0 at t = (v_z + sqrt(v_z^2 + 2 g z)) / g.
    """
    height, climb = position[2], velocity[2]
    time = (climb + jnp.sqrt(jnp.square(climb) + 2.0 * GRAVITY * jnp.maximum(height, 0.0))) / GRAVITY
    return position[:2] + time * velocity[:2]


def fly(position: jax.Array, velocity: jax.Array, dt: float) -> tuple[jax.Array, jax.Array]:
    """Return where (3,) m and how fast (3,) m/s a ball is `dt` s later. It stays where it lands."""
    drop = jnp.array([0.0, 0.0, GRAVITY * dt])
    later = position + dt * (velocity - 0.5 * drop)
    lands = later[2] <= 0.0
    landed = jnp.append(landing_point(position, velocity), 0.0)
    return jnp.where(lands, landed, later), jnp.where(lands, 0.0, velocity - drop)
