"""Where episodes start: in which clip, and at which time in it.

Reference state initialisation of DeepMimic. Clips share the starts or the control steps by their weights;
within a clip starts are uniform, or more often where the policy fails.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

KEEP = 0.98
"""Share of the tally that is kept from one training step to the next."""
LOOK_AHEAD = 3
"""Segments whose failures make a start likelier: that of the start and those after it, since what ends in a
fall began earlier."""
FADE = 0.5
"""How much the failures of each further segment count, relative to the one before."""
UNIFORM_SHARE = 0.2
"""Share of the starts that is uniform whatever fails, so that what is mastered is not forgotten."""
PRIOR_STEPS = 100.0
"""Control steps at the average rate of failure that every segment is credited with, visited or not; and every
clip with as many in episodes of the average length."""


@struct.dataclass
class StartDistribution:
    """B segments that cover C clips; an episode starts at a time in one of them."""

    clip: jax.Array  # (B,) int
    time: jax.Array  # (B,) s, its beginning in the clip
    length: jax.Array  # (B,) s
    following: jax.Array  # (B,) int, the next one of the same clip; at the end of a clamped clip itself
    share: jax.Array  # (B,) chance of being sampled whatever fails; sums to 1
    cumulative: jax.Array  # (B,) running sum of the chances in force
    first: jax.Array  # (C,) int, of each clip
    count: jax.Array  # (C,) int, of each clip


@struct.dataclass
class Tally:
    """What happened in every segment, the older the less it counts."""

    steps: jax.Array  # (B,) control steps
    episodes: jax.Array  # (B,) that ended
    failures: jax.Array  # (B,) of those, ended by a failure


def make_starts(
    lengths: Sequence[float], wraps: Sequence[bool], weights: Sequence[float], seconds: float | None = None
) -> StartDistribution:
    """Cut clips into segments of equal length, each clip by itself.

    Args:
        lengths: (C,) s.
        wraps: (C,) whether the clip is cyclic.
        weights: (C,) how often episodes start in each clip, relative to the others.
        seconds: longest length of a segment, s; None: each clip is one.
    """
    count = np.ones(len(lengths), int) if seconds is None else np.ceil(np.array(lengths) / seconds)
    count = np.maximum(count, 1).astype(int)
    clip = np.repeat(np.arange(len(lengths)), count)
    first = np.cumsum(count) - count
    index = np.arange(len(clip)) - first[clip]
    last = index == count[clip] - 1
    length = (np.array(lengths) / count)[clip]
    share = (np.array(weights, float) / np.sum(weights) / count)[clip]
    after_last = np.where(np.array(wraps)[clip], first[clip], np.arange(len(clip)))
    return StartDistribution(
        clip=jnp.asarray(clip, jnp.int32),
        time=jnp.asarray(index * length, jnp.float32),
        length=jnp.asarray(length, jnp.float32),
        following=jnp.asarray(np.where(last, after_last, np.arange(len(clip)) + 1), jnp.int32),
        share=jnp.asarray(share, jnp.float32),
        cumulative=jnp.asarray(np.cumsum(share), jnp.float32),
        first=jnp.asarray(first, jnp.int32),
        count=jnp.asarray(count, jnp.int32),
    )


def sample(starts: StartDistribution, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw a clip () and a time () s in it."""
    return at_quantile(starts, jax.random.uniform(key))


def at_quantile(starts: StartDistribution, quantile: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the clip () and the time () s in it before which a share `quantile` () of the starts lies.

    Clips and times are in order. Searches the running sum of chances, so that the cost grows with log B.
    """
    total = starts.cumulative[-1]
    found = jnp.searchsorted(starts.cumulative, quantile * total, side="right")
    # Rounding up to the total must not choose a segment of chance 0 at the end.
    segment = jnp.minimum(found, jnp.searchsorted(starts.cumulative, total, side="left"))
    end = starts.cumulative[segment]
    begin = jnp.where(segment == 0, 0.0, starts.cumulative[segment - 1])
    passed = jnp.clip((quantile * total - begin) / (end - begin), 0.0, 1.0)
    return starts.clip[segment], starts.time[segment] + passed * starts.length[segment]


def segment_of(starts: StartDistribution, clip: jax.Array, phase: jax.Array) -> jax.Array:
    """Return the index (...) of the segment of `clip` (...) at `phase` (...) in [0, 1]."""
    index = jnp.floor(phase * starts.count[clip]).astype(jnp.int32)
    return starts.first[clip] + jnp.minimum(index, starts.count[clip] - 1)


def empty_tally(starts: StartDistribution) -> Tally:
    """Return a tally before any control step."""
    nothing = jnp.zeros_like(starts.share)
    return Tally(nothing, nothing, nothing)


def update_tally(
    tally: Tally, segment: jax.Array, done: jax.Array, failed: jax.Array, axis_name: str
) -> Tally:
    """Add a rollout of all devices to the tally.

    Args:
        tally: before it.
        segment: (...) int, where each control step was.
        done: (...) bool, whether it ended its episode.
        failed: (...) bool, whether that was a failure.
        axis_name: of the mapped devices.
    """

    def count(values: jax.Array) -> jax.Array:
        sums = jnp.zeros_like(tally.steps).at[segment].add(values.astype(jnp.float32))
        return jax.lax.psum(sums, axis_name)

    new = Tally(count(jnp.ones(segment.shape)), count(done), count(failed))
    return jax.tree.map(lambda old, new: KEEP * old + new, tally, new)


def share_steps(starts: StartDistribution, tally: Tally, longest: float) -> StartDistribution:
    """Return starts by which clips share the control steps by their weights, instead of the starts.

    chance_c ~ weight_c / mean length of its episodes. Where those are equal, nothing changes.

    Args:
        starts: by which clips share the starts.
        tally: of what has happened.
        longest: control steps of a whole episode, the most that a mean length can be. The tally alone cannot
            tell while no episode has ended.
    """
    steps, episodes = of_clips(starts, tally.steps), of_clips(starts, tally.episodes)
    mean_length = jnp.maximum(tally.steps.sum() / jnp.maximum(tally.episodes.sum(), 1.0), 1.0)
    length = jnp.minimum((steps + PRIOR_STEPS) / (episodes + PRIOR_STEPS / mean_length), longest)
    chance = starts.share / length[starts.clip]
    share = chance / chance.sum()
    return replace(starts, share=share, cumulative=jnp.cumsum(share))


def prioritize_failures(starts: StartDistribution, tally: Tally) -> StartDistribution:
    """Return starts whose chances within each clip are in proportion to the rate of failure ahead.

    chance_b ~ share_b (u + (1 - u) score_b / mean score of the clip), score_b = sum_k FADE^k rate_{b + k}:
    failures per control step, not failures, so that being sampled often does not by itself make a segment
    likelier.
    """
    mean_rate = tally.failures.sum() / jnp.maximum(tally.steps.sum(), 1.0)
    rate = (tally.failures + PRIOR_STEPS * mean_rate) / (tally.steps + PRIOR_STEPS)
    score, ahead = jnp.zeros_like(rate), jnp.arange(len(rate))
    for step in range(LOOK_AHEAD):
        score += FADE**step * rate[ahead]
        ahead = starts.following[ahead]
    mean_score = (of_clips(starts, score) / starts.count)[starts.clip]  # segments of a clip are equally long
    relative = jnp.where(mean_score > 0.0, score / jnp.where(mean_score > 0.0, mean_score, 1.0), 1.0)
    chance = starts.share * (UNIFORM_SHARE + (1.0 - UNIFORM_SHARE) * relative)
    return replace(starts, cumulative=jnp.cumsum(chance))


def of_clips(starts: StartDistribution, values: jax.Array) -> jax.Array:
    """Sum numbers (B,) of segments over each clip, (C,)."""
    return jnp.zeros_like(values, shape=starts.first.shape).at[starts.clip].add(values)
