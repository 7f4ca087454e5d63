"""Running moments of observations against those of all data together, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mjx_mimic.learning import normalizer
from mjx_mimic.learning.normalizer import Normalizer


def merged(batches: list[np.ndarray]) -> Normalizer:
    moments = normalizer.empty(batches[0].shape[-1])
    for batch in batches:
        moments = normalizer.update(moments, jnp.asarray(batch))
    return moments


def rows(batches: list[np.ndarray]) -> np.ndarray:
    """All rows together, in float64."""
    size = batches[0].shape[-1]
    return np.concatenate([np.asarray(batch, np.float64).reshape(-1, size) for batch in batches])


def test_merging_batches_gives_the_moments_of_all_rows_together():
    rng = np.random.default_rng(0)
    shapes = [(7, 3), (1, 3), (5, 4, 3), (200, 3), (2, 3, 2, 3)]  # a batch may have several leading axes
    batches = [
        rng.normal(rng.normal(size=3) * 5.0, [0.1, 1.0, 10.0], shape).astype(np.float32) for shape in shapes
    ]
    moments, together = merged(batches), rows(batches)
    np.testing.assert_array_equal(moments.count, len(together))
    assert len(together) == 240
    np.testing.assert_allclose(moments.mean, together.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, together.var(axis=0), rtol=1e-5)


def test_small_variance_far_from_zero_survives():
    # The textbook E[x^2] - E[x]^2 in float32 is off by about 0.06 here, where the variance is 0.0001.
    rng = np.random.default_rng(1)
    batches = [rng.normal([1e3, -1e3], [1e-2, 3e-2], (64, 2)).astype(np.float32) for _ in range(50)]
    moments, together = merged(batches), rows(batches)
    np.testing.assert_allclose(moments.mean, together.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(np.sqrt(moments.variance), together.std(axis=0), rtol=0.02)
    assert np.abs(np.std(moments(jnp.asarray(batches[0])), axis=0) - 1.0).max() < 0.3


def test_many_small_batches_after_many_samples_still_count():
    rng = np.random.default_rng(2)
    old = Normalizer(count=jnp.full(1, 1e6), mean=jnp.zeros(1), variance=jnp.ones(1))
    batches = [rng.normal(2.0, 1.0, (1000, 1)).astype(np.float32) for _ in range(100)]
    update = jax.jit(normalizer.update)
    moments = old
    for batch in batches:
        moments = update(moments, batch)
    share, together = 1e5 / 1.1e6, rows(batches)
    np.testing.assert_allclose(moments.count, 1.1e6)
    np.testing.assert_allclose(moments.mean, share * together.mean(axis=0), rtol=1e-4)
    variance = (
        (1.0 - share) + share * together.var(axis=0) + share * (1.0 - share) * together.mean(axis=0) ** 2
    )
    np.testing.assert_allclose(moments.variance, variance, rtol=1e-4)


def test_constant_numbers_become_zero_and_stay_finite():
    constants = np.array([0.0, 0.7, -3.0])
    batches = [np.broadcast_to(constants, (n, 3)).astype(np.float32) for n in (5, 33, 100)]
    moments = merged(batches)
    np.testing.assert_allclose(moments.variance, 0.0, atol=1e-10)
    np.testing.assert_allclose(moments(jnp.asarray(batches[0])), 0.0, atol=1e-3)
    # A number that starts to move after all is seen in units of MIN_STD.
    np.testing.assert_allclose(moments(jnp.asarray(constants + 2e-3)), 2.0, atol=1e-2)


def test_an_empty_normalizer_changes_nothing_but_the_clip():
    values = jnp.array([[-3.0, 0.5], [20.0, -9.0]])
    np.testing.assert_array_equal(normalizer.empty(2)(values), [[-3.0, 0.5], [10.0, -9.0]])


def test_normalised_values_are_standard_deviations_from_the_mean_clipped():
    moments = Normalizer(count=jnp.ones(2), mean=jnp.array([1.0, -2.0]), variance=jnp.array([4.0, 0.25]))
    values = jnp.array([[2.0, -2.5], [1e6, -1e6], [-19.5, 3.5]])
    expected = [[0.5, -1.0], [normalizer.CLIP, -normalizer.CLIP], [-normalizer.CLIP, normalizer.CLIP]]
    np.testing.assert_allclose(moments(values), expected, rtol=1e-6)
    np.testing.assert_allclose(moments(jnp.array([-18.0, 2.5])), [-9.5, 9.0], rtol=1e-6)


@pytest.mark.parametrize("mapping", [jax.pmap, jax.vmap])
def test_two_devices_merge_to_the_moments_of_one(mapping):
    rng = np.random.default_rng(3)
    # The devices see different means: the spread between them is part of the variance.
    batches = [rng.normal([[[0.0]], [[5.0]]], [1.0, 2.0], (2, 16, 2)).astype(np.float32) for _ in range(3)]
    update = mapping(lambda moments, batch: normalizer.update(moments, batch, "devices"), axis_name="devices")
    moments = jax.tree.map(lambda x: jnp.stack([x, x]), normalizer.empty(2))
    for batch in batches:
        moments = update(moments, batch)
    single, together = merged(batches), rows(batches)
    for name in ("count", "mean", "variance"):
        first, second = np.asarray(getattr(moments, name))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, getattr(single, name), rtol=1e-5)
    np.testing.assert_allclose(moments.variance[0], together.var(axis=0), rtol=1e-5)


def test_more_samples_than_an_int32_counts_are_a_limit_too():
    batch = jnp.arange(8.0)[:, None]
    moments = jax.jit(lambda m: normalizer.update(m, batch, samples=5_000_000_000))(normalizer.empty(1))
    np.testing.assert_allclose(moments.mean, 3.5)


def test_after_so_many_samples_the_moments_stay():
    batch = jnp.arange(8.0)[:, None]
    moments = normalizer.update(normalizer.empty(1), batch, samples=10)
    np.testing.assert_array_equal(moments.count, 8.0)
    moments = normalizer.update(moments, batch + 1.0, samples=10)  # not yet 10
    np.testing.assert_array_equal(moments.count, 16.0)
    later = normalizer.update(moments, batch + 100.0, samples=10)
    jax.tree.map(np.testing.assert_array_equal, later, moments)


def test_the_least_deviation_is_a_setting():
    moments = Normalizer(jnp.ones(1), jnp.zeros(1), jnp.zeros(1), min_std=0.5)
    np.testing.assert_array_equal(moments(jnp.array([2.0])), [4.0])
