"""The fused training step: rollout, advantages, all epochs of PPO, normaliser, statistics, compiled as one.

`init_state`, `train_step` and `evaluate` are written for one device; `Learner` compiles them for all. Every
device holds its own environments and a copy of the networks; gradients, advantage moments, observation
moments and metrics are averaged over the devices, so that the copies stay equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.config import PPOConfig, RandomizationConfig, TrainConfig
from mjx_mimic.learning import normalizer as normalizing
from mjx_mimic.learning import ppo
from mjx_mimic.learning import rollout as rollouts
from mjx_mimic.learning.devices import DEVICES, average, map_devices, place, replicate
from mjx_mimic.learning.metrics import AdvantageMoments, Metrics, summarize
from mjx_mimic.learning.networks import Actor, Critic, make_networks, std_limits, with_std_within
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.learning.policy import Policy, ValueFunction
from mjx_mimic.learning.rollout import EvaluationMetrics, Transition
from mjx_mimic.task import start_sampling, termination
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState

SEGMENT_SECONDS = 0.5
"""Length of the segments of clips in which failures are counted, s; a fall takes about as long."""


@struct.dataclass
class TrainState:
    """Everything that a training changes, so all that a resumed one needs.

    On the devices every leaf has a leading axis of devices.
    """

    actor: ppo.NetworkState
    critic: ppo.NetworkState
    normalizer: Normalizer
    env: EnvState  # (N, ...)
    observation: jax.Array  # (N, O), what the next action is chosen on
    key: jax.Array
    tally: start_sampling.Tally
    iteration: jax.Array  # () int, updates so far


def init_state(
    env: ImitationEnv, config: TrainConfig, actor: Actor, critic: Critic, keys: tuple[jax.Array, jax.Array]
) -> TrainState:
    """Make the first state of one device.

    Args:
        env: the task.
        config: of the training.
        actor: the policy's network.
        critic: the value function's network.
        keys: one that all devices share, for the networks, and one of this device, for its environments.
    """
    network_key, device_key = keys
    env_key, key = jax.random.split(device_key)
    count = config.num_envs // jax.lax.axis_size(DEVICES)
    first = replace(env, disturbance=jnp.float32(0.0)) if config.disturbance_ramp else env
    env_state, observation = jax.vmap(first.reset)(jax.random.split(env_key, count))
    moments = normalizing.empty(observation.shape[-1], config.normalizer.min_std)
    if config.normalizer.first == "reference":  # so that the first policy sees sane numbers
        moments = normalizing.update(moments, observation, DEVICES, reflection=critic.reflection)
        # What is the same in all first states, such as the last action, is not yet known to be constant.
        is_constant = moments.variance < moments.min_std**2
        variance = jnp.where(is_constant, 1.0, moments.variance)
        moments = replace(moments, variance=variance)
    actor_key, critic_key = jax.random.split(network_key)
    state = TrainState(
        actor=ppo.init_network(actor.init(actor_key, observation), config.ppo.actor_rate, config.ppo),
        critic=ppo.init_network(critic.init(critic_key, observation), config.ppo.critic_rate, config.ppo),
        normalizer=moments,
        env=env_state,
        observation=observation,
        key=key,
        tally=start_sampling.empty_tally(env.starts),
        iteration=jnp.int32(0),
    )
    # The types that a training step returns: from a weak one it would be compiled again for its second call.
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)


def redistribute(state: TrainState, devices: int) -> TrainState:
    """Return a state of any number of devices, on the host, for `devices` of them.

    The environments are dealt out in their order; all else is the same on every device, and is copied; the
    random numbers are others from here on. Of as many devices, it stays as it is.
    """
    if len(state.iteration) == devices:
        return state

    def deal(values: np.ndarray) -> np.ndarray:
        return values.reshape(devices, -1, *values.shape[2:])

    def copy(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values[:1], (devices, *values.shape[1:]))

    own = {name: getattr(state, name) for name in ("env", "observation")}
    shared = {name: value for name, value in vars(state).items() if name not in (*own, "key")}
    key = jax.random.split(state.key[0], devices)
    return TrainState(**jax.tree.map(deal, own), **jax.tree.map(copy, shared), key=key)


def train_step(
    env: ImitationEnv,
    config: TrainConfig,
    actor: Actor,
    critic: Critic,
    updates: jax.Array | float,
    state: TrainState,
) -> tuple[TrainState, Metrics]:
    """Take one training step on one device: act, estimate advantages, update networks and normaliser.

    What changes over a training does so over `updates` () of them, a number like any other, so that a longer
    training is not another program.

    An update that yields a number that is not finite, in a loss, a parameter or a moment, is skipped:
    networks and normaliser stay as they were, while the environments go on.
    """
    key, rollout_key, actor_key, critic_key = jax.random.split(state.key, 4)
    env = replace(env, starts=starts_in_force(env, config, state.tally))
    progress = jnp.minimum(state.iteration / updates, 1.0)
    if config.disturbance_ramp:
        env = replace(env, disturbance=jnp.minimum(progress / config.disturbance_ramp, 1.0))
    ppo_config, limits = ppo.at_progress(config.ppo, progress), std_limits(config.network, progress)
    # The limits may be others than those of the last update.
    state = replace(state, actor=replace(state.actor, params=with_std_within(state.actor.params, limits)))
    env_state, observation, transitions = rollouts.rollout(
        env,
        Policy(state.actor.params, state.normalizer, actor),
        ValueFunction(state.critic.params, state.normalizer, critic),
        (state.env, state.observation),
        config.unroll_length,
        rollout_key,
        push=config.push,
        push_turn=config.push_turn,
        noise=config.noise,
        bootstrap_clip_end=config.ppo.bootstrap_clip_end,
    )
    batch, advantage = make_batch(state.normalizer, transitions, config.ppo)
    new_critic, critic_losses = ppo.update_critic(
        state.critic, critic.apply, batch, ppo_config, critic_key, average
    )
    new_actor, actor_metrics = ppo.update_actor(
        state.actor, actor.apply, batch, ppo_config, actor_key, average, limits
    )
    new_moments = normalizing.update(
        state.normalizer,
        transitions.observation,
        DEVICES,
        config.normalizer.samples,
        reflection=critic.reflection,
    )
    # One number that is not finite would spread to all of them with the next update.
    networks = (new_actor, new_critic, new_moments)
    is_finite = all_finite((networks, actor_metrics, critic_losses))
    new_actor, new_critic, new_moments = jax.tree.map(
        lambda new, old: jnp.where(is_finite, new, old),
        networks,
        (state.actor, state.critic, state.normalizer),
    )
    _, log_std = cast(tuple[jax.Array, jax.Array], actor.apply(new_actor.params, batch.observation[:1]))
    metrics = summarize(
        transitions,
        batch,
        advantage,
        actor_metrics,
        critic_losses,
        log_std,
        new_actor.learning_rate,
        new_moments,
        env.starts,
        is_skipped=~is_finite,
    )
    new_state = TrainState(
        actor=new_actor,
        critic=new_critic,
        normalizer=new_moments,
        env=env_state,
        observation=observation,
        key=key,
        tally=start_sampling.update_tally(
            state.tally, transitions.segment, transitions.done, transitions.causes.terminated, DEVICES
        ),
        iteration=state.iteration + 1,
    )
    return new_state, metrics


def starts_in_force(
    env: ImitationEnv, config: TrainConfig, tally: start_sampling.Tally
) -> start_sampling.StartDistribution:
    """Return where episodes start after what has happened so far."""
    starts = env.starts
    if config.motion_share == "steps" and len(starts.first) > 1 and env.config.clips == "one":
        starts = start_sampling.share_steps(starts, tally, env.episode_steps)
    if config.start_sampling == "failure":
        starts = start_sampling.prioritize_failures(starts, tally)
    return starts


def all_finite(tree: Any) -> jax.Array:
    """Return whether every number of a tree is finite, ()."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def make_batch(
    normalizer: Normalizer, transitions: Transition, config: PPOConfig
) -> tuple[ppo.Batch, AdvantageMoments]:
    """Turn a rollout (T, N, ...) into samples (T N, ...).

    Advantages are normalised over the samples of all devices; observations by the normaliser that the policy
    acted with.

    Returns:
        The samples, and the moments of the advantages before they are normalised.
    """
    done = transitions.done.astype(jnp.float32)
    reward, value, next_value = transitions.reward, transitions.value, transitions.next_value
    advantage = ppo.gae(reward, value, next_value, done, config.discount, config.gae_lambda)
    target = ppo.td_lambda_return(reward, next_value, done, config.discount, config.td_lambda)
    mean = average(jnp.mean(advantage))
    std = jnp.sqrt(average(jnp.mean(jnp.square(advantage - mean))))
    advantage = jnp.clip((advantage - mean) / (std + 1e-5), -config.advantage_clip, config.advantage_clip)
    batch = ppo.Batch(
        observation=normalizer(transitions.observation),
        action=transitions.action,
        log_prob=transitions.log_prob,
        advantage=advantage,
        value_target=target,
    )
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    return flat, AdvantageMoments(advantage_mean=mean, advantage_std=std)


def evaluate(env: ImitationEnv, config: TrainConfig, policy: Policy, key: jax.Array) -> EvaluationMetrics:
    """Evaluate the policy in deterministic episodes of the nominal robot, `eval_envs` over all devices.

    They start anywhere and end early, whatever the training's do; the distance that ends them is the run's.
    """
    nominal = replace(
        config.env, randomization=RandomizationConfig(), privileged_critic=False, start="random"
    )
    env = env.with_config(termination.with_endings(nominal))
    count = config.eval_envs // jax.lax.axis_size(DEVICES)
    return rollouts.evaluate(env, policy, count, key, DEVICES)


@dataclass(frozen=True, eq=False)
class Learner:
    """The functions above, compiled for the devices of one training."""

    env: ImitationEnv
    config: TrainConfig
    devices: tuple[jax.Device, ...]

    @property
    def actor(self) -> Actor:
        """The policy's network."""
        return self.networks[0]

    @property
    def critic(self) -> Critic:
        """The value function's network."""
        return self.networks[1]

    @cached_property
    def networks(self) -> tuple[Actor, Critic]:
        """Both networks."""
        return make_networks(self.env, self.config.network)

    @property
    def samples_per_step(self) -> int:
        """Control steps of all environments in one training step."""
        return self.config.num_envs * self.config.unroll_length

    @property
    def updates(self) -> float:
        """How many training steps there are in all, at least 1."""
        return max(self.config.total_steps / self.samples_per_step, 1.0)

    @cached_property
    def init(self) -> Callable[[jax.Array], TrainState]:
        """(key) -> a fresh state: equal networks, different environments on every device."""
        mapped = self.compile_init()
        return lambda key: mapped(self.placed_env, *self._split(key))

    def compile_init(self) -> Callable[[ImitationEnv, jax.Array, jax.Array], TrainState]:
        """Compile the first state, from the environment and the two keys of `init_state`, on the devices."""

        def on_device(env: ImitationEnv, *keys: jax.Array) -> TrainState:
            return init_state(env, self.config, self.actor, self.critic, keys)  # type: ignore[arg-type]

        return map_devices(self.devices, on_device)

    @cached_property
    def train_step(self) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
        """(state) -> the next state and metrics. Donates `state`; nothing in it visits the host."""
        mapped = self.compile_train_step()
        return lambda state: mapped(self.placed_env, self.placed_updates, state)

    def compile_train_step(
        self,
    ) -> Callable[[ImitationEnv, jax.Array, TrainState], tuple[TrainState, Metrics]]:
        """Compile the training step for any environment of this one's structure and any number of updates.

        Both, and the state, are placed on the devices.
        """

        def on_device(env: ImitationEnv, updates: jax.Array, state: TrainState) -> tuple[TrainState, Metrics]:
            return train_step(env, self.config, self.actor, self.critic, updates, state)

        return map_devices(self.devices, on_device, donate=(2,))

    @cached_property
    def evaluate(self) -> Callable[[TrainState, jax.Array], EvaluationMetrics]:
        """(state, key) -> metrics of deterministic episodes."""

        def on_device(env: ImitationEnv, policy: Policy, key: jax.Array) -> EvaluationMetrics:
            return evaluate(env, self.config, policy, key)

        mapped = map_devices(self.devices, on_device)
        return lambda state, key: mapped(self.placed_env, self.policy(state), self._split(key)[1])

    def policy(self, state: TrainState) -> Policy:
        """Return the policy of a state, on one device or on all, as the state is."""
        return Policy(state.actor.params, state.normalizer, self.actor)

    @cached_property
    def placed_env(self) -> ImitationEnv:
        """The environment on every device."""
        return replicate(self.devices, self.env)

    @cached_property
    def placed_updates(self) -> jax.Array:
        """The number of training steps on every device."""
        return replicate(self.devices, jnp.float32(self.updates))

    def _split(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return a key that all devices share, and one for each; both (D,)."""
        shared, own = jax.random.split(key)
        return replicate(self.devices, shared), place(self.devices, jax.random.split(own, len(self.devices)))


def make_learner(config: TrainConfig, clips: Clips, devices: Sequence[jax.Device]) -> Learner:
    """Make the learner of a run: its robot, clips and settings, on these devices."""
    segment_seconds = SEGMENT_SECONDS if config.start_sampling == "failure" else None
    env = make_env(
        clips.motions,
        config.env,
        weights=clips.weights,
        segment_seconds=segment_seconds,
        impl=config.physics_impl,
    )
    return Learner(env, config, tuple(devices))
