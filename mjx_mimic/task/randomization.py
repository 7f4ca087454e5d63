"""What disturbs a robot: kicks to its root, noise on what it senses, in training and in evaluation."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from mjx_mimic.robot import rotation
from mjx_mimic.task.env import EnvState, ImitationEnv

PUSH_INTERVAL_S = 2.0
"""Time between two kicks, s; in training on average."""
NOISE = {"position": 0.02, "tilt": 0.02, "velocity": 0.1, "spin": 0.1, "joint": 0.01, "joint_velocity": 0.5}
"""Standard deviations of noise 1, of the size of a real robot's state estimate: m, rad, m/s, rad/s."""


def disturbed(
    env: ImitationEnv, state: EnvState, push: float, noise: float, key: jax.Array
) -> tuple[EnvState, jax.Array]:
    """Disturb a state in training.

    Args:
        env: the task.
        state: unbatched.
        push: m/s; in a control step the root is kicked with a chance that makes it once every
            `PUSH_INTERVAL_S`, by a speed uniform from 0 to this.
        noise: scale of `NOISE` on what is observed.
        key: of both.

    Returns:
        The state, and the observation (O,) that the policy has of it.
    """
    when_key, speed_key, push_key, noise_key = jax.random.split(key, 4)
    if push:
        due = jax.random.bernoulli(when_key, env.control_dt / PUSH_INTERVAL_S)
        speed = jnp.where(due, jax.random.uniform(speed_key, maxval=push), 0.0)
        state = pushed(state, speed, push_key)
    return state, env.observe(state, sensed(state, noise, noise_key) if noise else None)


def pushed(state: EnvState, speed: float | jax.Array, key: jax.Array) -> EnvState:
    """Kick the root by `speed` m/s in a random horizontal direction."""
    angle = jax.random.uniform(key, maxval=2.0 * jnp.pi)
    kick = speed * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return replace(state, qvel=state.qvel.at[:2].add(kick))


def sensed(state: EnvState, scale: float, key: jax.Array) -> EnvState:
    """Return the state as noisy sensors see it, `scale` times `NOISE`; its quaternion stays a unit one."""
    keys = dict(zip(NOISE, jax.random.split(key, len(NOISE)), strict=True))

    def noise(name: str, size: int) -> jax.Array:
        return scale * NOISE[name] * jax.random.normal(keys[name], (size,))

    joints = len(state.qpos) - 7
    return replace(
        state,
        qpos=jnp.concatenate(
            [
                state.qpos[:3] + noise("position", 3),
                rotation.turned(state.qpos[3:7], noise("tilt", 3)),
                state.qpos[7:] + noise("joint", joints),
            ]
        ),
        qvel=state.qvel
        + jnp.concatenate([noise("velocity", 3), noise("spin", 3), noise("joint_velocity", joints)]),
    )
