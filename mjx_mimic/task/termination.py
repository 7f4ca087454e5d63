"""Why an episode ends: pure functions of the simulated and the reference state."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import EnvConfig
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState

FASTEST = 1e3
"""Velocity, m/s or rad/s, that no simulation reaches unless it has broken down."""


@struct.dataclass
class Causes:
    """One flag (...) per cause. The first three are failures; the others leave a future to bootstrap."""

    fall: jax.Array
    deviation: jax.Array
    nonfinite: jax.Array
    time_out: jax.Array
    clip_end: jax.Array

    @property
    def terminated(self) -> jax.Array:
        """Whether the episode ends in a failure, after which the value is 0."""
        return self.fall | self.deviation | self.nonfinite

    @property
    def failure(self) -> str | None:
        """The failure of one episode, not traced: of several at once the gravest. None: there is none."""
        return next((name for name in ("nonfinite", "fall", "deviation") if getattr(self, name)), None)

    @property
    def truncated(self) -> jax.Array:
        """Whether the episode ends without a failure, so that its value is bootstrapped."""
        return (self.time_out | self.clip_end) & ~self.terminated


def with_endings(config: EnvConfig) -> EnvConfig:
    """Return settings with which falls and deviations are failures, so that runs without can be compared."""
    deviation = EnvConfig.max_deviation if config.max_deviation is None else config.max_deviation
    return replace(config, fall_ends=True, max_deviation=deviation)


def has_fallen(state: CharacterState) -> jax.Array:
    """Return whether a body that may not touch the floor is on it (...)."""
    return jnp.any(state.clearance < 0.0, axis=-1)


def has_deviated(
    state: CharacterState, reference: CharacterState, limit: float, track_root: bool = True
) -> jax.Array:
    """Return whether a body is farther than `limit` m from its reference (...) (MimicKit `compute_done`).

    Without `track_root` each body is seen from its own root, in the root's own frame (MimicKit with
    `global_obs` False): neither place nor heading counts, nor how the robot leans.
    """
    distances = jnp.linalg.norm(_bodies(state, track_root) - _bodies(reference, track_root), axis=-1)
    return jnp.any(distances > limit, axis=-1)


def _bodies(state: CharacterState, track_root: bool) -> jax.Array:
    """Return the bodies (..., B, 3) m in the world, or from the root in its own frame."""
    if track_root:
        return state.body_pos
    return rotation.rotate_inverse(
        state.root_quat[..., None, :], state.body_pos - state.root_pos[..., None, :]
    )


def is_nonfinite(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
    """Return whether the simulation has broken down (...).

    A coordinate in qpos (..., 36) or a velocity in qvel (..., 35) is NaN or infinite, or a velocity is
    `FASTEST` or more.
    """
    return ~(jnp.all(jnp.isfinite(qpos), axis=-1) & jnp.all(jnp.abs(qvel) < FASTEST, axis=-1))
