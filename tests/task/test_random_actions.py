"""Uniformly random actions, over a thousand episodes, break no simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.common.paths import bundled_clips
from mjx_mimic.config import EnvConfig
from mjx_mimic.task.making import make_env

pytestmark = pytest.mark.faults

ENVS, STEPS, EPISODES = 128, 150, 1000


def test_a_thousand_episodes_of_random_actions_stay_finite(pytestconfig):
    """On every bundled clip; an episode ends as in training, mostly by the fall that such actions lead to."""
    if pytestconfig.option.markexpr != "faults":
        pytest.skip("takes two minutes; run with -m faults")
    env = make_env([load_motion(name) for name in bundled_clips()], EnvConfig())

    @jax.jit
    def step(state, key):
        act_key, *reset_keys = jax.random.split(key, ENVS + 1)
        action = jax.random.uniform(act_key, (ENVS, env.num_actions), minval=-1.0, maxval=1.0)
        state, result = jax.vmap(env.step)(state, action, jnp.stack(reset_keys))
        ended = result.causes.terminated | result.causes.truncated
        leaves = jax.tree.leaves((state.qpos, state.qvel, result.reward, result.final_observation))
        is_finite = jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in leaves]))
        return state, (ended.sum(), result.causes.nonfinite.sum(), is_finite)

    state, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), ENVS))
    _, (ended, broken, finite) = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), STEPS))
    assert int(ended.sum()) >= EPISODES
    assert int(broken.sum()) == 0
    assert np.asarray(finite).all()
