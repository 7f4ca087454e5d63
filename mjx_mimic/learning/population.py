"""Trainings side by side: settings, clips and seeds that differ in numbers alone share one compiled step.

The training step of `learner` is mapped once more, over M members, each with its own numbers, clips and
networks. On an accelerator they learn at the same time; with one member at a time, the step is compiled once
for all of them.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp

from mjx_mimic.config import MimicKitRewardConfig, PaperRewardConfig, PPOConfig, TrainConfig, with_field
from mjx_mimic.learning.devices import map_devices, place, replicate
from mjx_mimic.learning.learner import Learner, TrainState, evaluate, init_state, train_step
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.policy import Policy
from mjx_mimic.learning.rollout import EvaluationMetrics
from mjx_mimic.task.env import ImitationEnv

NUMBERS = (
    *(f"ppo.{f.name}" for f in fields(PPOConfig) if isinstance(f.default, float)),
    *(f"env.mimickit_reward.{f.name}" for f in fields(MimicKitRewardConfig)),
    *(f"env.paper_reward.{f.name}" for f in fields(PaperRewardConfig)),
    "env.action_scale",
    "env.max_deviation",
    "network.initial_std",
)
"""Settings that a compiled step can take as numbers, by their dotted names. One that is None stays None."""


def numbers_of(config: TrainConfig) -> dict[str, float]:
    """Return the numbers of a configuration, by their names in `NUMBERS`."""
    values = {name: attrgetter(name)(config) for name in NUMBERS}
    return {name: float(value) for name, value in values.items() if value is not None}


def with_numbers(config: TrainConfig, numbers: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration with other numbers, which may be traced."""
    for name, value in numbers.items():
        config = with_field(config, name, value)
    return config


def structure(learner: Learner) -> Hashable:
    """Return what two trainings must have in common to share a step.

    These are all settings but the numbers, clips and seed, and how many clips there are in how many segments.
    """
    config = with_numbers(learner.config, dict.fromkeys(numbers_of(learner.config), 0.0))
    shapes = tuple(x.shape for x in jax.tree.leaves(learner.env.starts))
    leaves, _ = jax.tree_util.tree_flatten_with_path(learner.env)
    fields = tuple(jax.tree_util.keystr(path) for path, _ in leaves)  # clips that turn have one more
    return replace(config, motion=(), motion_weights=(), seed=0), shapes, fields


@dataclass(frozen=True, eq=False)
class Population:
    """The functions of `learner`, compiled for members of one structure; leaves are (D, M, ...).

    Attributes:
        group: all that will ever be members, some at a time.
    """

    group: Sequence[Learner]

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices, each of which holds environments of every member."""
        return self.group[0].devices

    @cached_property
    def init(self) -> Callable[[Sequence[Learner]], TrainState]:
        """(members) -> their first states, each that of a training alone."""
        mapped = map_devices(self.devices, jax.vmap(self._init))

        def keys(members: Sequence[Learner]) -> tuple[jax.Array, jax.Array]:
            pairs = [jax.random.split(jax.random.key(member.config.seed)) for member in members]
            own = jnp.stack([jax.random.split(pair[1], len(self.devices)) for pair in pairs], axis=1)
            shared = replicate(self.devices, jnp.stack([pair[0] for pair in pairs]))
            return shared, place(self.devices, own)

        return lambda members: mapped(*self.arguments(members), *keys(members))

    @cached_property
    def train_step(self) -> Callable[[Any, TrainState], tuple[TrainState, Metrics]]:
        """(arguments of the members, states) -> the next states and metrics. Donates the states."""
        mapped = map_devices(self.devices, jax.vmap(self._train_step), donate=(2,))
        return lambda arguments, state: mapped(*arguments, state)

    @cached_property
    def evaluate(self) -> Callable[[Any, TrainState, Sequence[jax.Array]], EvaluationMetrics]:
        """(arguments of the members, states, their keys) -> metrics of deterministic episodes."""
        mapped = map_devices(self.devices, jax.vmap(self._evaluate))

        def run(arguments: Any, state: TrainState, keys: Sequence[jax.Array]) -> EvaluationMetrics:
            devices = self.devices
            own = [jax.random.split(jax.random.split(key)[1], len(devices)) for key in keys]
            return mapped(*arguments, state, place(devices, jnp.stack(own, axis=1)))

        return run

    def arguments(self, members: Sequence[Learner]) -> tuple[ImitationEnv, dict[str, jax.Array]]:
        """Return the tasks and the numbers of members, placed on the devices.

        Clips of a group differ in their number of frames: the last one is repeated, and never looked up.
        """
        leaves = [jax.tree.leaves(member.env) for member in self.group]
        lengths = [max(map(_length, rows)) for rows in zip(*leaves, strict=True)]
        task = jax.tree.structure(self.group[0].env)
        envs = [
            jax.tree.unflatten(task, map(_padded, jax.tree.leaves(member.env), lengths)) for member in members
        ]
        numbers = [numbers_of(member.config) for member in members]
        return replicate(self.devices, (jax.tree.map(_stack, *envs), jax.tree.map(_stack, *numbers)))

    def _learner(self, env: ImitationEnv, numbers: Mapping[str, jax.Array]) -> tuple:
        """Return task, configuration and networks of one member, whose numbers are traced."""
        config = with_numbers(self.group[0].config, numbers)
        env = env.with_config(config.env)
        actor, critic = self.group[0].networks
        return env, config, actor.copy(config=config.network), critic.copy(config=config.network)

    def _init(
        self, env: ImitationEnv, numbers: Mapping[str, jax.Array], shared: jax.Array, own: jax.Array
    ) -> TrainState:
        env, config, actor, critic = self._learner(env, numbers)
        return init_state(env, config, actor, critic, (shared, own))

    def _train_step(
        self, env: ImitationEnv, numbers: Mapping[str, jax.Array], state: TrainState
    ) -> tuple[TrainState, Metrics]:
        env, config, actor, critic = self._learner(env, numbers)
        return train_step(env, config, actor, critic, self.group[0].updates, state)

    def _evaluate(
        self, env: ImitationEnv, numbers: Mapping[str, jax.Array], state: TrainState, key: jax.Array
    ) -> EvaluationMetrics:
        env, config, actor, _ = self._learner(env, numbers)
        return evaluate(env, config, Policy(state.actor.params, state.normalizer, actor), key)


def member_state(state: TrainState, member: int) -> TrainState:
    """Return the state of one member, as that of a training alone: leaves (D, ...)."""
    return jax.tree.map(lambda x: x[:, member], state)


def stack_states(states: Sequence[TrainState]) -> TrainState:
    """Put the states of members together, leaves (D, M, ...)."""
    return jax.tree.map(lambda *x: jnp.stack(x, axis=1), *states)


def _stack(*values: Any) -> jax.Array:
    return jnp.stack([jnp.asarray(value) for value in values])


def _length(x: jax.Array) -> int:
    return x.shape[0] if x.ndim else 0


def _padded(x: jax.Array, length: int) -> jax.Array:
    """Repeat the last row of an array until it has so many."""
    missing = length - _length(x)
    return jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x
