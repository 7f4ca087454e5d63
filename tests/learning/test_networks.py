"""Networks that are symmetric left to right, and what their normaliser must be for that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small_run import sway

from mjx_mimic.config import EnvConfig, NetworkConfig
from mjx_mimic.learning import normalizer as normalizing
from mjx_mimic.learning.networks import make_networks
from mjx_mimic.learning.policy import Policy, ValueFunction
from mjx_mimic.presets import PRESETS
from mjx_mimic.task.making import make_env
from mjx_mimic.task.reflection import EACH_JOINT, JOINTS


@pytest.fixture(scope="module", params=[EnvConfig(), PRESETS["robust"].env], ids=["default", "robust"])
def env(request):
    return make_env([sway()], request.param)


def networks(env, config: NetworkConfig, batch: jax.Array) -> tuple[Policy, ValueFunction]:
    """Of random weights, with the moments of a batch (N, O)."""
    actor, critic = make_networks(env, config)
    empty = normalizing.empty(batch.shape[-1], 0.1)
    moments = normalizing.update(empty, batch, reflection=critic.reflection)
    noise = jax.random.normal(jax.random.key(3), (29,))
    params = actor.init(jax.random.key(1), batch)
    params = jax.tree.map(lambda x: 3.0 * x + (noise if x.shape == (29,) else 0.0), params)
    return Policy(params, moments, actor), ValueFunction(
        critic.init(jax.random.key(2), batch), moments, critic
    )


def test_the_mirror_image_is_answered_with_the_mirror_image_and_the_same_value(env):
    reflect, size = env.reflection, len(env.observe(env.reset(jax.random.key(0))[0]))
    batch = 2.0 + 3.0 * jax.random.normal(jax.random.key(0), (50, size))  # not symmetric itself
    policy, value = networks(env, NetworkConfig((8,), (8,)), batch)
    mean, log_std = policy.distribution(batch)
    mirrored, _ = policy.distribution(reflect(batch))
    np.testing.assert_allclose(mirrored, JOINTS(mean), atol=1e-4)
    np.testing.assert_allclose(EACH_JOINT(log_std), log_std, atol=1e-6)
    np.testing.assert_allclose(value(reflect(batch)), value(batch), atol=1e-4)
    assert np.std(np.asarray(mean)) > 0.05
    assert np.std(np.asarray(value(batch))) > 0.05
    plain, value = networks(env, NetworkConfig((8,), (8,), symmetric=False), batch)
    apart = plain.act(reflect(batch)) - JOINTS(plain.act(batch))
    assert np.abs(np.asarray(apart)).max() > 0.1
    assert np.abs(np.asarray(value(reflect(batch)) - value(batch))).max() > 0.1


def test_moments_are_those_of_a_batch_with_its_mirror_image(env):
    reflect, size = env.reflection, len(env.observe(env.reset(jax.random.key(0))[0]))
    batch = 2.0 + 3.0 * jax.random.normal(jax.random.key(4), (2, 40, size))
    moments = normalizing.empty(size, 0.1)
    for part in batch:
        moments = normalizing.update(moments, part, reflection=reflect)
    seen = np.asarray(batch, np.float64).reshape(-1, size)
    both = np.concatenate([seen, np.asarray(reflect(jnp.asarray(seen)))])
    np.testing.assert_allclose(moments.mean, both.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(moments.variance, both.var(axis=0), rtol=1e-3)
    assert moments.count[0] == 80
