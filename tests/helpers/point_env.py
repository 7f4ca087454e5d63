"""Tiny environments for the learner, where every number is known or learning takes seconds."""

from dataclasses import replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import EnvConfig, NetworkConfig, PPOConfig, TrainConfig
from mjx_mimic.task.reward import MimicKitTerms
from mjx_mimic.task.start_sampling import StartDistribution, make_starts
from mjx_mimic.task.states import StepResult
from mjx_mimic.task.termination import Causes
from mjx_mimic.task.tracking_errors import no_errors

TRACED_STEPS: list[str] = []
"""Grows whenever JAX traces `step` of an environment below, so whenever something is compiled anew."""


def causes(
    fall: Any = False, deviation: Any = False, nonfinite: Any = False, time_out: Any = False
) -> Causes:
    return Causes(*(jnp.asarray(flag) for flag in (fall, deviation, nonfinite, time_out, False)))


def step_result(
    state: Any, reached: Any, observe: Any, reward: jax.Array, causes: Causes, **kw
) -> StepResult:
    return StepResult(
        observation=observe(state),
        final_observation=kw.get("final_observation", observe(reached)),
        reward=reward,
        penalty=jnp.float32(0.0),
        reward_terms=MimicKitTerms(*(jnp.abs(reward) for _ in range(5))),
        errors=kw.get("errors", no_errors()),
        causes=causes,
        episode_return=reached.episode_return,
        episode_length=reached.steps,
        segment=jnp.int32(0),
    )


ONE_CLIP = make_starts([1.0], [True], [1.0])


# A point that should follow a target on a circle -----------------------------------------------------


@struct.dataclass
class PointState:
    position: jax.Array  # (2,)
    angle: jax.Array  # () of the target
    steps: jax.Array
    episode_return: jax.Array

    @property
    def target(self) -> jax.Array:
        return jnp.stack([jnp.cos(self.angle), jnp.sin(self.angle)])


@struct.dataclass
class PointEnv:
    """Actions are velocities; an episode fails away from the target and times out after 40 steps."""

    sign: jax.Array  # () of the reward
    starts: StartDistribution = ONE_CLIP
    num_actions: int = struct.field(pytree_node=False, default=2)
    policy_inputs: int | None = struct.field(pytree_node=False, default=None)
    episode_steps: int = struct.field(pytree_node=False, default=40)
    reflection: None = struct.field(pytree_node=False, default=None)

    def goal_results(self, state: "PointState") -> dict[str, jax.Array]:
        return {}

    def with_config(self, config: EnvConfig) -> Self:
        return self

    def reset(self, key: jax.Array, quantile: jax.Array | None = None) -> tuple[PointState, jax.Array]:
        angle_key, offset_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, maxval=2.0 * jnp.pi)
        state = PointState(jnp.zeros(2), angle, jnp.int32(0), jnp.float32(0.0))
        state = replace(state, position=state.target + 0.1 * jax.random.normal(offset_key, (2,)))
        return state, self.observe(state)

    def observe(self, state: PointState) -> jax.Array:
        return jnp.concatenate([state.target - state.position, state.target])

    def step(
        self, state: PointState, action: jax.Array, key: jax.Array, sensed: PointState | None = None
    ) -> tuple[PointState, StepResult]:
        TRACED_STEPS.append("point")
        position = state.position + 0.1 * jnp.clip(action, -1.0, 1.0)
        reached = replace(state, position=position, angle=state.angle + 0.05, steps=state.steps + 1)
        distance = jnp.linalg.norm(reached.target - reached.position)
        reward = self.sign * jnp.exp(-10.0 * jnp.square(distance))
        reached = replace(reached, episode_return=state.episode_return + reward)
        ended = causes(deviation=distance > 0.5, time_out=reached.steps >= self.episode_steps)
        fresh, _ = self.reset(key)
        done = ended.terminated | ended.truncated
        following = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, reached)
        return following, step_result(following, reached, self.observe, reward, ended)


POINT_CONFIG = TrainConfig(
    num_envs=32,
    unroll_length=16,
    eval_envs=16,
    eval_interval=2048,
    network=NetworkConfig((16,), (16,), "tanh", initial_std=0.3),
    ppo=PPOConfig(actor_rate=1e-3, critic_rate=3e-3, max_rate=1e-2, target_kl=0.02),
)
