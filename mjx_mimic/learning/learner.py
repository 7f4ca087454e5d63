"""The fused training step: rollout, GAE, all epochs of PPO, normaliser and statistics, compiled as one.

This is the only place that maps over devices. Every device holds its own environments and a copy of the
networks; gradients, advantage moments, observation moments and metrics are averaged over the devices, so
the copies stay equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.config import TrainConfig
from mjx_mimic.learning import normalizer, ppo
from mjx_mimic.learning.metrics import DEVICES, Metrics, TestMetrics, Transition, average, summarize
from mjx_mimic.learning.networks import Actor, Critic, log_prob
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.robot.model import load_robot
from mjx_mimic.task import start_sampling
from mjx_mimic.task.env import EnvState, ImitationEnv
from mjx_mimic.task.randomization import disturbed
from mjx_mimic.task.reference import make_library

STRETCH_SECONDS = 0.5
"""Failures are counted in stretches of clips so long; a fall takes about as long."""


@struct.dataclass
class TrainState:
    """All of a training. On its devices every leaf has a leading axis of devices."""

    actor: ppo.Optimization
    critic: ppo.Optimization
    normalizer: Normalizer
    env: EnvState  # (N, ...)
    observation: jax.Array  # (N, O), what the next action is chosen on
    key: jax.Array
    failures: start_sampling.FailureTally
    iteration: jax.Array  # () int, updates so far


def first_device(tree: Any) -> Any:
    """The first device's copy of a mapped tree, as NumPy, with no gathering."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


@dataclass(frozen=True, eq=False)
class Learner:
    """The compiled functions of one training."""

    env: ImitationEnv
    config: TrainConfig
    devices: tuple[jax.Device, ...]

    @cached_property
    def actor(self) -> Actor:
        network = self.config.network
        return Actor(
            network.actor_hidden,
            self.env.num_actions,
            network.activation,
            network.initial_std,
            network.learn_std,
        )

    @cached_property
    def critic(self) -> Critic:
        return Critic(self.config.network.critic_hidden, self.config.network.activation)

    def policy(self, params: ppo.Params, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean (..., A) and log standard deviation (A,) for normalised observations (..., O)."""
        return cast(tuple[jax.Array, jax.Array], self.actor.apply(params, observation))

    def value(self, params: ppo.Params, observation: jax.Array) -> jax.Array:
        """V(s) (...) for normalised observations (..., O)."""
        return cast(jax.Array, self.critic.apply(params, observation))

    @property
    def samples_per_step(self) -> int:
        return self.config.num_envs * self.config.unroll_length

    @cached_property
    def init(self) -> Callable[[jax.Array], TrainState]:
        """(key) -> a fresh state: equal networks, different environments on every device."""
        mapped = self.map(self._init)
        return lambda key: mapped(self.placed_env, *self._keys(key))

    @cached_property
    def train_step(self) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
        """(state) -> the next state and metrics. Donates `state`; nothing in it visits the host."""
        mapped = self.map(self._train_step, donate=(1,))
        return lambda state: mapped(self.placed_env, state)

    @cached_property
    def evaluate(self) -> Callable[[TrainState, jax.Array], TestMetrics]:
        """(state, key) -> metrics of deterministic episodes."""
        mapped = self.map(self._evaluate)
        return lambda state, key: mapped(
            self.placed_env, state.actor.params, state.normalizer, self._keys(key)[1]
        )

    def map(self, function: Callable, donate: tuple[int, ...] = ()) -> Callable:
        """Compiles a function for all devices, over the leading axis of its arguments' leaves."""
        return jax.pmap(function, axis_name=DEVICES, devices=self.devices, donate_argnums=donate)

    def place(self, tree: Any) -> Any:
        """Puts a tree, whose leaves lead with the axis of devices, on them."""
        sharding = NamedSharding(Mesh(np.array(self.devices), (DEVICES,)), PartitionSpec(DEVICES))
        return jax.device_put(tree, sharding)

    @cached_property
    def placed_env(self) -> ImitationEnv:
        """The environment on every device."""
        count = len(self.devices)
        return self.place(jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), self.env))

    def _keys(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A key that all devices share, and one for each."""
        shared, own = jax.random.split(key)
        count = len(self.devices)
        return self.place(jnp.broadcast_to(shared, (count, *shared.shape))), self.place(
            jax.random.split(own, count)
        )

    def _init(self, env: ImitationEnv, network_key: jax.Array, key: jax.Array) -> TrainState:
        env_key, key = jax.random.split(key)
        count = self.config.num_envs // len(self.devices)
        env_state, observation = jax.vmap(env.reset)(jax.random.split(env_key, count))
        # The first normaliser comes from reference states, so that the first policy sees sane numbers.
        moments = normalizer.update(normalizer.empty(observation.shape[-1]), observation, DEVICES)
        actor_key, critic_key = jax.random.split(network_key)
        config, optimizer = self.config.ppo, ppo.make_optimizer(self.config.ppo)
        actor, critic = self.actor.init(actor_key, observation), self.critic.init(critic_key, observation)
        return TrainState(
            actor=ppo.Optimization(actor, optimizer.init(actor), jnp.float32(config.actor_rate)),
            critic=ppo.Optimization(critic, optimizer.init(critic), jnp.float32(config.critic_rate)),
            normalizer=moments,
            env=env_state,
            observation=observation,
            key=key,
            failures=start_sampling.empty_tally(env.starts),
            iteration=jnp.int32(0),
        )

    def _rollout(
        self, env: ImitationEnv, state: TrainState, key: jax.Array
    ) -> tuple[EnvState, jax.Array, Transition]:
        """Pieces of trajectories tau ~ p_theta(tau): T steps of N environments under the current policy,
        (T, N, ...); see `ppo` for the notation."""
        push, noise = self.config.push, self.config.noise

        def act(carry: tuple[EnvState, jax.Array], key: jax.Array) -> tuple[tuple, Transition]:
            env_state, raw = carry
            action_key, env_key, disturbance_key = jax.random.split(key, 3)
            env_keys = jax.random.split(env_key, raw.shape[0])
            if push or noise:
                keys = jax.random.split(disturbance_key, raw.shape[0])
                env_state, raw = jax.vmap(lambda s, k: disturbed(env, s, push, noise, k))(env_state, keys)
            observation = state.normalizer(raw)
            mean, log_std = self.policy(state.actor.params, observation)
            action = mean + jnp.exp(log_std) * jax.random.normal(action_key, mean.shape)
            env_state, result = jax.vmap(env.step)(env_state, action, env_keys)
            next_value = self.value(state.critic.params, state.normalizer(result.final_observation))
            return (env_state, result.observation), Transition(
                observation=raw,
                action=action,
                log_prob=log_prob(mean, log_std, action),
                value=self.value(state.critic.params, observation),
                next_value=jnp.where(result.causes.terminated, 0.0, next_value),
                done=result.causes.terminated | result.causes.truncated,
                reward=result.reward,
                reward_terms=result.reward_terms,
                causes=result.causes,
                episode_return=result.episode_return,
                episode_length=result.episode_length,
                stretch=result.stretch,
            )

        keys = jax.random.split(key, self.config.unroll_length)
        (env_state, observation), steps = jax.lax.scan(act, (state.env, state.observation), keys)
        return env_state, observation, steps

    def _batch(self, moments: Normalizer, steps: Transition) -> ppo.Batch:
        """Advantages, normalised over all devices' samples, and value targets; flattened to (T N, ...)."""
        config = self.config.ppo
        done = steps.done.astype(jnp.float32)
        advantage = ppo.gae(
            steps.reward, steps.value, steps.next_value, done, config.discount, config.gae_lambda
        )
        target = ppo.td_lambda_return(steps.reward, steps.next_value, done, config.discount, config.td_lambda)
        mean = average(jnp.mean(advantage))
        std = jnp.sqrt(average(jnp.mean(jnp.square(advantage - mean))))
        advantage = jnp.clip((advantage - mean) / (std + 1e-5), -config.advantage_clip, config.advantage_clip)
        batch = ppo.Batch(
            observation=moments(steps.observation),
            action=steps.action,
            log_prob=steps.log_prob,
            advantage=advantage,
            value_target=target,
        )
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

    def _train_step(self, env: ImitationEnv, state: TrainState) -> tuple[TrainState, Metrics]:
        key, rollout_key, actor_key, critic_key = jax.random.split(state.key, 4)
        if self.config.start_sampling == "failure":
            env = env.starting(start_sampling.aimed(env.starts, state.failures))
        env_state, observation, steps = self._rollout(env, state, rollout_key)
        batch = self._batch(state.normalizer, steps)
        config = self.config.ppo
        critic, critic_losses = ppo.update_critic(
            state.critic, self.value, batch, config, critic_key, average
        )
        actor, actor_metrics = ppo.update_actor(state.actor, self.policy, batch, config, actor_key, average)
        _, log_std = self.policy(actor.params, batch.observation[:1])
        metrics = summarize(steps, batch, actor_metrics, critic_losses, log_std, actor.rate, env.starts)
        return (
            TrainState(
                actor=actor,
                critic=critic,
                normalizer=normalizer.update(state.normalizer, steps.observation, DEVICES),
                env=env_state,
                observation=observation,
                key=key,
                failures=start_sampling.tallied(
                    state.failures, steps.stretch, steps.causes.terminated, DEVICES
                ),
                iteration=state.iteration + 1,
            ),
            metrics,
        )

    def _evaluate(
        self, env: ImitationEnv, params: ppo.Params, moments: Normalizer, key: jax.Array
    ) -> TestMetrics:
        """One episode in each environment, every action the policy's mean: the expected return J(theta),
        undiscounted, of the policy without its noise."""
        reset_key, step_key = jax.random.split(key)
        count = self.config.eval_envs // len(self.devices)
        env_state, observation = jax.vmap(env.reset)(jax.random.split(reset_key, count))

        def act(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            env_state, observation, running, total, length = carry
            mean, _ = self.policy(params, moments(observation))
            keys = jax.random.split(key, count)
            env_state, result = jax.vmap(env.step)(env_state, mean, keys)
            total = total + jnp.where(running, result.reward, 0.0)
            length = length + running
            running = running & ~(result.causes.terminated | result.causes.truncated)
            return (env_state, result.observation, running, total, length), None

        keys = jax.random.split(step_key, env.episode_steps)
        start = (env_state, observation, jnp.ones(count, bool), jnp.zeros(count), jnp.zeros(count))
        (*_, total, length), _ = jax.lax.scan(act, start, keys)
        return average(TestMetrics(test_return=total.mean(), test_episode_length=length.mean()))


def make_learner(config: TrainConfig, clips: Clips, devices: Sequence[jax.Device]) -> Learner:
    """The learner of a run: its robot, its clips, its settings, on these devices."""
    robot = load_robot(config.env.contacts, config.env.physics_hz)
    stretch_seconds = STRETCH_SECONDS if config.start_sampling == "failure" else None
    library = make_library(clips.motions, clips.weights, stretch_seconds)
    return Learner(ImitationEnv(library, robot, config.env), config, tuple(devices))
