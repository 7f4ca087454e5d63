"""Running mean and variance of observations, the same on every device."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import NormalizerConfig
from mjx_mimic.task.reflection import Reflection

CLIP = 10.0
"""Limit of a normalised observation, standard deviations."""


@struct.dataclass
class Normalizer:
    """Running moments of observations."""

    count: jax.Array  # (O,) observations in each; after a warm start some may be new
    mean: jax.Array  # (O,)
    variance: jax.Array  # (O,)
    min_std: float = struct.field(pytree_node=False, default=NormalizerConfig.min_std)

    def __call__(self, observation: jax.Array) -> jax.Array:
        """Return observations (..., O) in standard deviations from the mean, clipped.

        Or their first numbers, without those that only the value function sees.
        """
        std = jnp.maximum(jnp.sqrt(self.variance), self.min_std)
        count = observation.shape[-1]
        mean, std = (jnp.broadcast_to(moment[:count], observation.shape) for moment in (self.mean, std))
        return jnp.clip((observation - mean) / std, -CLIP, CLIP)


def empty(size: int, min_std: float = NormalizerConfig.min_std) -> Normalizer:
    """Return moments of no observations of `size` numbers: 0 and 1."""
    return Normalizer(jnp.zeros(size), jnp.zeros(size), jnp.ones(size), min_std)


def update(
    normalizer: Normalizer,
    batch: jax.Array,
    axis_name: str | None = None,
    samples: int | None = None,
    reflection: Reflection | None = None,
) -> Normalizer:
    """Merge a batch (..., O) into the moments (Chan, Golub and LeVeque 1979, eq. 2.1).

    With `axis_name` the batch is the union over that mapped axis and all devices agree on the result. After
    `samples` the moments stay as they are (MimicKit `normalizer_samples`). With `reflection` the batch is the
    union with its mirror image, so that what is normalised is reflected as the observation is.
    """
    rows = batch.reshape(-1, batch.shape[-1])

    def average(values: jax.Array) -> jax.Array:
        local = jnp.mean(values, axis=0)
        return local if axis_name is None else jax.lax.pmean(local, axis_name)

    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    added = jnp.float32(rows.shape[0] * devices)
    mean = average(rows)
    variance = average(jnp.square(rows - mean[None]))
    if reflection is not None:
        mirrored = reflection(mean)
        variance = 0.5 * (variance + jnp.abs(reflection(variance))) + 0.25 * jnp.square(mean - mirrored)
        mean = 0.5 * (mean + mirrored)

    total = normalizer.count + added
    share = added / total
    offset = mean - normalizer.mean
    merged = replace(
        normalizer,
        count=total,
        mean=normalizer.mean + share * offset,
        variance=(1.0 - share) * normalizer.variance
        + share * variance
        + share * (1.0 - share) * jnp.square(offset),
    )
    if samples is None:
        return merged
    open_still = normalizer.count < jnp.float32(samples)  # an integer of 2^31 is more than int32 holds
    return jax.tree.map(lambda new, old: jnp.where(open_still, new, old), merged, normalizer)
