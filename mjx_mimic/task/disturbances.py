"""What disturbs a robot: kicks to its root, noise on what it senses, in training and in evaluation."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from mjx_mimic.config import NoiseConfig
from mjx_mimic.robot import rotation
from mjx_mimic.task.dynamics import Scalar
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.states import EnvState

PUSH_INTERVAL_S = 2.0
"""Time between two kicks, s; in training on average."""


def disturbed(
    env: ImitationEnv, state: EnvState, push: float, push_turn: float, noise: float, key: jax.Array
) -> tuple[EnvState, EnvState | None]:
    """Disturb a state in training, by the task's share of what follows.

    Args:
        env: the task.
        state: unbatched.
        push: m/s; in a control step the root is kicked with a chance that makes it once every
            `PUSH_INTERVAL_S`, by a velocity uniform in a disc of this radius: half of the kicks are above
            0.7 of it, since the strong ones are what is to be learned.
        push_turn: rad/s; with a kick the root is turned about each axis by up to this.
        noise: scale of `NoiseConfig` on what is observed.
        key: of all.

    Returns:
        The state, and the state as the sensors show it to the policy; None: as it is.
    """
    when_key, speed_key, push_key, noise_key = jax.random.split(key, 4)
    if push:
        due = jax.random.bernoulli(when_key, env.control_dt / PUSH_INTERVAL_S)
        share = jnp.where(due, env.disturbance, 0.0)
        speed = share * push * jnp.sqrt(jax.random.uniform(speed_key))
        state = pushed(state, speed, push_key, share * push_turn if push_turn else None)
    return state, sensed(state, env.config.noise, noise * env.disturbance, noise_key) if noise else None


def pushed(
    state: EnvState, speed: float | jax.Array, key: jax.Array, turn: jax.Array | None = None
) -> EnvState:
    """Kick the root by `speed` m/s in a random horizontal direction, and turn it by up to `turn` rad/s."""
    angle = jax.random.uniform(key, maxval=2.0 * jnp.pi)
    kick = speed * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    qvel = state.qvel.at[:2].add(kick)
    if turn is not None:
        spin = jax.random.uniform(jax.random.fold_in(key, 1), (3,), minval=-1.0)
        qvel = qvel.at[3:6].add(turn * spin)
    return replace(state, qvel=qvel)


def sensed(state: EnvState, noise: NoiseConfig, scale: Scalar, key: jax.Array) -> EnvState:
    """Return the state as sensors with `scale` times `noise` see it; its quaternion stays a unit one."""
    keys = dict(zip(vars(noise), jax.random.split(key, len(vars(noise))), strict=True))

    def drawn(name: str, size: int) -> jax.Array:
        return scale * getattr(noise, name) * jax.random.normal(keys[name], (size,))

    joints = len(state.qpos) - 7
    return replace(
        state,
        qpos=jnp.concatenate(
            [
                state.qpos[:3] + drawn("position", 3),
                rotation.turned(state.qpos[3:7], drawn("tilt", 3)),
                state.qpos[7:] + drawn("joint", joints),
            ]
        ),
        qvel=state.qvel
        + jnp.concatenate([drawn("velocity", 3), drawn("spin", 3), drawn("joint_velocity", joints)]),
    )
