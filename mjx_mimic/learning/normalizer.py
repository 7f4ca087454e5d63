"""Running mean and variance of observations, the same on every device."""

import jax
import jax.numpy as jnp
from flax import struct

MIN_STD = 1e-3
"""Least standard deviation, so that a number that never varies stays at 0 instead of exploding."""
CLIP = 10.0
"""Limit of a normalised observation, standard deviations."""


@struct.dataclass
class Normalizer:
    """Running moments of observations."""

    count: jax.Array  # ()
    mean: jax.Array  # (O,)
    variance: jax.Array  # (O,)

    def __call__(self, observation: jax.Array) -> jax.Array:
        """Return observations (..., O) in standard deviations from the mean, clipped."""
        std = jnp.maximum(jnp.sqrt(self.variance), MIN_STD)
        mean, std = (jnp.broadcast_to(moment, observation.shape) for moment in (self.mean, std))
        return jnp.clip((observation - mean) / std, -CLIP, CLIP)


def empty(size: int) -> Normalizer:
    """Return moments of no observations of `size` numbers."""
    return Normalizer(count=jnp.zeros(()), mean=jnp.zeros(size), variance=jnp.ones(size))


def update(normalizer: Normalizer, batch: jax.Array, axis_name: str | None = None) -> Normalizer:
    """Merge a batch (..., O) into the moments (Chan, Golub and LeVeque 1979, eq. 2.1).

    With `axis_name` the batch is the union over that mapped axis and all devices agree on the result.
    """
    rows = batch.reshape(-1, batch.shape[-1])

    def average(values: jax.Array) -> jax.Array:
        local = jnp.mean(values, axis=0)
        return local if axis_name is None else jax.lax.pmean(local, axis_name)

    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    added = jnp.float32(rows.shape[0] * devices)
    mean = average(rows)
    variance = average(jnp.square(rows - mean[None]))

    total = normalizer.count + added
    share = added / total
    offset = mean - normalizer.mean
    return Normalizer(
        count=total,
        mean=normalizer.mean + share * offset,
        variance=(1.0 - share) * normalizer.variance
        + share * variance
        + share * (1.0 - share) * jnp.square(offset),
    )
