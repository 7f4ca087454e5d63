"""Several clips in one episode: the best of them at each control step, or one after the other as skills.

DeepMimic (Peng et al. 2018), Multi-Skill Integration: multi-clip reward, skill selector, composite policy.
"""

from dataclasses import replace
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.task.observation import Parts

PLAN = 32
"""Cycles that are drawn for an episode; a longer one stays with the last clip."""
WANTED = "skill: wanted clip"
"""Name of the part of the observation that shows the skill."""
MOST_WANTED_S = 6.0
"""Longest time for which a skill is wanted in training, s."""

OPEN = -1
"""In a plan, a clip that `Choice` is to draw when its time comes."""


class Choice(Protocol):
    """How the next skill is drawn: a pytree, asked with what would be observed if each clip began now."""

    def logits(self, observations: jax.Array) -> jax.Array:
        """Return the logarithms (C,) of the clips' chances, up to a constant, of observations (C, O)."""


@struct.dataclass
class SkillState:
    """The skills that an episode is to go through, one cycle of a clip each."""

    plan: jax.Array  # (K,) int, clips that follow the first one; `OPEN`: to be drawn
    begun: jax.Array  # () int, how many of them have begun
    since: jax.Array  # () int, control step at which the current clip began
    key: jax.Array | None = None  # (2,) uint32, of what is drawn next; None: nothing is

    @property
    def wanted(self) -> jax.Array:
        """The clip () that begins when the current cycle ends; after the whole plan its last one."""
        return self.plan[jnp.minimum(self.begun, len(self.plan) - 1)]

    def next(self, step: jax.Array) -> "SkillState":
        """Return the plan after its next skill has begun at control step `step` ()."""
        return replace(self, begun=self.begun + 1, since=step)

    def draw(self, logits: jax.Array) -> tuple["SkillState", jax.Array]:
        """Draw a clip () by its `logits` (C,); return the state with the key for the next one, and it."""
        assert self.key is not None
        kept, own = jax.random.split(jax.random.wrap_key_data(self.key))
        return replace(self, key=jax.random.key_data(kept)), jax.random.categorical(own, logits)

    def followed_by(self, plan: jax.Array) -> "SkillState":
        """Return the state of the current clip with another plan (K,) after it."""
        return replace(self, plan=plan, begun=jnp.int32(0))


def draw_plan(first: jax.Array, lengths: jax.Array, shares: jax.Array, key: jax.Array) -> SkillState:
    """Draw skills by the clips' shares, each wanted for some time and then until its cycle ends.

    The time is uniform up to `MOST_WANTED_S`, as if somebody changed his mind. So short cycles follow one
    another, and get as much practice as long ones.

    Args:
        first: () int, clip that the episode starts in; it is wanted for some time too.
        lengths: (C,) s, of the clips' cycles.
        shares: (C,) how often each is drawn, relative to the others.
        key: of all.
    """
    clip_key, time_key = jax.random.split(key)
    clips = jax.random.categorical(clip_key, jnp.log(shares), shape=(PLAN,)).at[0].set(first)
    seconds = jax.random.uniform(time_key, (PLAN,), maxval=MOST_WANTED_S)
    cycles = jnp.maximum(jnp.ceil(seconds / lengths[clips]).astype(jnp.int32), 1)
    following = cycles.at[0].add(-1)  # the episode starts in the first one
    plan = jnp.repeat(clips, following, total_repeat_length=PLAN)
    return SkillState(plan, jnp.int32(0), jnp.int32(0))


def open_plan(key: jax.Array) -> SkillState:
    """Return the plan of a task with a `Choice`, which draws every skill."""
    # Of two, as a plan of one skill and an open one after it, so that what is compiled serves both.
    return SkillState(jnp.array([OPEN, OPEN]), jnp.int32(0), jnp.int32(0), jax.random.key_data(key))


def parts(clip: jax.Array, num_clips: int) -> Parts:
    """Return the skill that is wanted, as 1 at its place among all clips (C,)."""
    return {WANTED: jax.nn.one_hot(clip, num_clips)}
