"""Several clips in one episode: the best of them at each control step, or one after the other as skills.

DeepMimic (Peng et al. 2018), Multi-Skill Integration: multi-clip reward and skill selector.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.task.observation import Parts

PLAN = 16
"""Skills that are drawn for an episode; a longer one stays with the last."""


@struct.dataclass
class SkillState:
    """The skills that an episode is to go through, one cycle of a clip each."""

    plan: jax.Array  # (K,) int, clips that follow the first one
    begun: jax.Array  # () int, how many of them have begun
    since: jax.Array  # () int, control step of the episode at which the current clip was at its start time

    @property
    def wanted(self) -> jax.Array:
        """The clip () that begins when the current cycle ends; after the whole plan its last one."""
        return self.plan[jnp.minimum(self.begun, len(self.plan) - 1)]

    def next(self, step: jax.Array) -> "SkillState":
        """Return the plan after its next skill has begun at control step `step` ()."""
        return replace(self, begun=self.begun + 1, since=step)

    def followed_by(self, plan: jax.Array) -> "SkillState":
        """Return the state of the current clip with another plan (K,) after it."""
        return replace(self, plan=plan, begun=jnp.int32(0))


def draw_plan(num_clips: int, key: jax.Array) -> SkillState:
    """Draw skills, all clips equally often, also the same one again."""
    return SkillState(jax.random.randint(key, (PLAN,), 0, num_clips), jnp.int32(0), jnp.int32(0))


def parts(clip: jax.Array, num_clips: int) -> Parts:
    """Return the skill that is wanted, as 1 at its place among all clips (C,)."""
    return {"skill: wanted clip": jax.nn.one_hot(clip, num_clips)}
