"""Where episodes start: segments of clips, chances by weight, chances by failure."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mjx_mimic.task.start_sampling import (
    FADE,
    KEEP,
    PRIOR_STEPS,
    UNIFORM_SHARE,
    StartDistribution,
    Tally,
    at_quantile,
    empty_tally,
    make_starts,
    prioritize_failures,
    sample,
    segment_of,
    share_steps,
    update_tally,
)

LENGTHS, WRAPS, WEIGHTS = (2.0, 0.3, 1.1), (True, False, False), (1.0, 2.0, 1.0)
DRAWS = 20_000


@pytest.fixture(scope="module")
def starts() -> StartDistribution:
    return make_starts(LENGTHS, WRAPS, WEIGHTS, seconds=0.5)


def drawn(starts: StartDistribution, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips and times of many draws."""
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    clip, time = jax.jit(jax.vmap(sample, (None, 0)))(starts, keys)
    return np.asarray(clip), np.asarray(time)


def chances(starts: StartDistribution) -> np.ndarray:
    return np.diff(np.asarray(starts.cumulative), prepend=0.0)


def test_segments_cover_each_clip_once_in_equal_parts(starts):
    assert starts.clip.tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    np.testing.assert_allclose(starts.time, [0, 0.5, 1, 1.5, 0, 0, 1.1 / 3, 2.2 / 3], atol=1e-6)
    np.testing.assert_allclose(starts.length, [0.5] * 4 + [0.3] + [1.1 / 3] * 3, rtol=1e-6)
    assert starts.following.tolist() == [1, 2, 3, 0, 4, 6, 7, 7]
    np.testing.assert_allclose(starts.share, [1 / 16] * 4 + [1 / 2] + [1 / 12] * 3, rtol=1e-6)


def test_a_segment_is_found_by_phase(starts):
    clip, time = drawn(starts)
    found = np.asarray(segment_of(starts, jnp.asarray(clip), jnp.asarray(time) / jnp.asarray(LENGTHS)[clip]))
    begin, length = np.asarray(starts.time)[found], np.asarray(starts.length)[found]
    np.testing.assert_array_equal(np.asarray(starts.clip)[found], clip)
    assert np.all(time >= begin - 1e-6)
    assert np.all(time <= begin + length + 1e-6)
    assert segment_of(starts, jnp.arange(3), jnp.ones(3)).tolist() == [3, 4, 7]  # the very end


@pytest.mark.parametrize("seconds", [None, 0.5], ids=["whole clips", "segments"])
def test_draws_are_by_weight_and_even_in_time_however_clips_are_cut(seconds):
    clip, time = drawn(make_starts(LENGTHS, WRAPS, WEIGHTS, seconds))
    assert stats.chisquare(np.bincount(clip), np.array([0.25, 0.5, 0.25]) * DRAWS).pvalue > 1e-3
    for index, length in enumerate(LENGTHS):
        assert stats.kstest(time[clip == index] / length, "uniform").pvalue > 1e-3


def test_times_are_drawn_independently_of_clips():
    clip, time = drawn(make_starts(LENGTHS, WRAPS, WEIGHTS), seed=8)
    late = time > 0.5 * np.array(LENGTHS)[clip]
    table = np.histogram2d(clip, late, (len(LENGTHS), 2))[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1e-3)])
def test_a_clip_of_weight_0_is_never_drawn(weights):
    clip, _ = drawn(make_starts(LENGTHS, WRAPS, weights, seconds=0.5))
    assert set(clip) == {int(np.argmax(weights))}


def test_rounding_up_to_the_total_draws_no_segment_of_chance_0(monkeypatch):
    starts = make_starts((1.0, 1.0), (True, True), (1.0, 0.0))
    monkeypatch.setattr(jax.random, "uniform", lambda key: jnp.float32(1.0))
    assert sample(starts, jax.random.key(0))[0] == 0


def test_quantiles_go_through_the_clips_in_order_by_their_weight():
    starts = make_starts(LENGTHS, WRAPS, WEIGHTS, seconds=0.5)
    clip, time = jax.vmap(at_quantile, (None, 0))(starts, (jnp.arange(80) + 0.5) / 80)
    for index, (count, length) in enumerate(zip((20, 40, 20), LENGTHS, strict=True)):
        expected = (np.arange(count) + 0.5) / count * length
        np.testing.assert_allclose(time[clip == index], expected, atol=1e-5)


def tally_of(
    starts: StartDistribution, segment: list, done: list, failed: list, tally: Tally | None = None
) -> Tally:
    """Two devices, each with a row of `segment`, `done` and `failed`."""
    tally = tally or empty_tally(starts)
    count = jax.vmap(update_tally, (None, 0, 0, 0, None), axis_name="devices")
    both = count(tally, *map(jnp.asarray, (segment, done, failed)), "devices")
    np.testing.assert_array_equal(both.steps[0], both.steps[1])
    return jax.tree.map(lambda x: x[0], both)


def test_the_tally_counts_over_devices_and_fades(starts):
    done = [[False, True, True], [True, False, True]]
    first = tally_of(starts, [[0, 1, 1], [1, 6, 6]], done, [[False, True, False], [True, False, True]])
    assert first.steps.tolist() == [1, 3, 0, 0, 0, 0, 2, 0]
    assert first.episodes.tolist() == [0, 3, 0, 0, 0, 0, 1, 0]
    assert first.failures.tolist() == [0, 2, 0, 0, 0, 0, 1, 0]
    second = tally_of(starts, [[0], [0]], [[True], [True]], [[True], [False]], first)
    np.testing.assert_allclose(second.steps, KEEP * np.array(first.steps) + [2, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(second.episodes, KEEP * np.array(first.episodes) + [2, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(second.failures, KEEP * np.array(first.failures) + [1, 0, 0, 0, 0, 0, 0, 0])


def test_where_episodes_last_equally_long_clips_share_starts_and_steps_alike(starts):
    steps = jnp.array([100.0, 300.0, 0.0, 200.0, 50.0, 1e4, 0.0, 0.0])
    for tally in (empty_tally(starts), Tally(steps, steps / 50.0, steps / 100.0)):
        shared = share_steps(starts, tally, 300)
        np.testing.assert_allclose(shared.share, starts.share, rtol=1e-5)
        np.testing.assert_allclose(chances(shared), starts.share, rtol=1e-5)


@pytest.mark.parametrize("seconds", [None, 0.5], ids=["whole clips", "segments"])
def test_clips_share_the_control_steps_by_their_weights(seconds):
    """Whatever their episodes last: 12, 240 and 60 control steps, in updates of 500 starts."""
    starts = make_starts(LENGTHS, WRAPS, WEIGHTS, seconds)
    lengths, tally, clips = np.array([12.0, 240.0, 60.0]), empty_tally(starts), np.asarray(starts.clip)
    for _ in range(200):
        shared = share_steps(starts, tally, 300)
        episodes = 500 * chances(shared)
        new = Tally(*map(jnp.asarray, (episodes * lengths[clips], episodes, 0.0 * episodes)))
        tally = jax.tree.map(lambda old, new: KEEP * old + new, tally, new)
    steps = np.bincount(clips, np.asarray(tally.steps))
    np.testing.assert_allclose(steps / steps.sum(), [0.25, 0.5, 0.25], rtol=0.02)
    np.testing.assert_allclose(shared.share.sum(), 1.0, rtol=1e-5)
    # Uniform within a clip, as before.
    relative = chances(shared) / np.asarray(starts.share)
    for clip in range(3):
        np.testing.assert_allclose(relative[clips == clip], relative[clips == clip][0], rtol=1e-3)


def test_no_mean_length_is_taken_for_longer_than_an_episode():
    """As before the first time-out of a warm start: weights of 10 and 1, and no episode has ended."""
    starts = make_starts((2.0, 2.0), (True, True), (10.0, 1.0))
    none = Tally(jnp.array([56000.0, 5600.0]), jnp.zeros(2), jnp.zeros(2))
    np.testing.assert_allclose(share_steps(starts, none, 300).share, starts.share, rtol=1e-5)
    # Beside one whose episodes last 10 control steps: as if those of the other one lasted 300.
    beside = Tally(jnp.array([56000.0, 56000.0]), jnp.array([0.0, 5600.0]), jnp.zeros(2))
    share = share_steps(starts, beside, 300).share
    assert share[1] / share[0] == pytest.approx(300.0 / 10.0 / 10.0, rel=0.01)


def test_without_failures_chances_are_those_of_the_weights(starts):
    nothing = empty_tally(starts)
    for tally in (nothing, replace(nothing, steps=jnp.full(8, 1e4))):
        np.testing.assert_allclose(chances(prioritize_failures(starts, tally)), starts.share, rtol=1e-5)


def test_chances_follow_the_rate_of_failure_ahead(starts):
    # Visited equally often; segment 1 fails often, 6 a little, and visits do not matter.
    steps = np.full(8, 1e6)
    failures = np.zeros(8)
    failures[[1, 6]] = 1e5, 1e4
    tally = Tally(*(jnp.asarray(x, jnp.float32) for x in (steps, failures, failures)))
    rate = (failures + PRIOR_STEPS * failures.sum() / steps.sum()) / (steps + PRIOR_STEPS)
    # Cyclic clip 0: those before segment 1 are 0 and, over the end, 3.
    ahead = [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1], [4, 4, 4], [5, 6, 7], [6, 7, 7], [7, 7, 7]]
    score = rate[ahead] @ np.array([1.0, FADE, FADE**2])
    share, clips = np.asarray(starts.share, float), np.asarray(starts.clip)
    mean = (np.bincount(clips, score) / np.bincount(clips))[clips]
    expected = share * (UNIFORM_SHARE + (1.0 - UNIFORM_SHARE) * score / mean)
    found = chances(prioritize_failures(starts, tally))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    # Each clip keeps its share.
    np.testing.assert_allclose(np.bincount(clips, found), [0.25, 0.5, 0.25], rtol=1e-4)
    assert np.all(found >= UNIFORM_SHARE * share - 1e-6)
    assert np.argmax(found[:4]) == 1
    assert found[0] > found[3] > found[2]
    assert np.argmax(found[5:]) == 1
    often = Tally(*(x.at[1].mul(10.0) for x in (tally.steps, tally.episodes, tally.failures)))
    np.testing.assert_allclose(chances(prioritize_failures(starts, often)), found, rtol=0.02)


def test_draws_follow_the_chances_in_force(starts):
    failures = jnp.asarray([0, 0, 90, 0, 0, 0, 0, 40], jnp.float32)
    tally = Tally(jnp.full(8, 1e3), failures, failures)
    by_failure = prioritize_failures(starts, tally)
    clip, time = drawn(by_failure, seed=3)
    found = np.asarray(segment_of(starts, jnp.asarray(clip), jnp.asarray(time) / jnp.asarray(LENGTHS)[clip]))
    expected = chances(by_failure)
    assert stats.chisquare(np.bincount(found, minlength=8), expected / expected.sum() * DRAWS).pvalue > 1e-3
