"""A trained policy at play: one deterministic episode, recorded for drawing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.learner import Learner
from mjx_mimic.normalizer import Normalizer


@struct.dataclass
class Recording:
    """T + 1 moments of an episode, control steps apart; the first is the start."""

    qpos: np.ndarray  # (T + 1, 36) simulated
    reference: np.ndarray  # (T + 1, 36)
    reward: np.ndarray  # (T,)


def record(learner: Learner, policy: dict[str, Any], clip: int = 0, start_time: float = 0.0) -> Recording:
    """Plays from the reference at `start_time` s until the episode ends or fails.

    Args:
        policy: actor parameters and normaliser moments, as `Checkpoints.restore_policy` gives them.
    """
    env, moments = learner.env, Normalizer(**policy["normalizer"])

    def act(state: Any, nothing: None) -> tuple[Any, tuple]:
        mean, _ = learner.policy(policy["actor"], moments(env.observe(state)))
        reached, result = env.step(state, mean, jax.random.key(0))
        done = result.causes.terminated | result.causes.truncated
        return reached, (reached.qpos, env.reference_coordinates(reached)[0], result.reward, done)

    start = env.reset_to(jnp.int32(clip), jnp.float32(start_time))
    _, (qpos, reference, reward, done) = jax.jit(
        lambda s: jax.lax.scan(act, s, None, length=env.episode_steps)
    )(start)
    # The step that ends the episode already shows the reset.
    steps = int(np.argmax(done)) if np.any(done) else len(reward)
    first = np.asarray(start.qpos)[None]
    return Recording(
        qpos=np.concatenate([first, np.asarray(qpos)[:steps]]),
        reference=np.concatenate([first, np.asarray(reference)[:steps]]),
        reward=np.asarray(reward)[:steps],
    )
