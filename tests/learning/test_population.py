"""Trainings side by side are the trainings alone."""

from dataclasses import replace
from operator import attrgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.point_env import POINT_CONFIG, TRACED_STEPS, PointEnv

from mjx_mimic.clips import load_motion
from mjx_mimic.config import TrainConfig, with_field
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import Learner
from mjx_mimic.learning.population import (
    NUMBERS,
    Population,
    member_state,
    numbers_of,
    stack_states,
    structure,
    with_numbers,
)
from mjx_mimic.presets import PRESETS
from mjx_mimic.task.making import make_env

UPDATES = 3


def members() -> list[Learner]:
    """Three trainings of one structure: other numbers, another seed, another task."""
    devices = tuple(jax.local_devices())
    quick = replace(POINT_CONFIG, ppo=replace(POINT_CONFIG.ppo, target_kl=0.05, discount=0.9))
    toward, away = PointEnv(sign=jnp.float32(1.0)), PointEnv(sign=jnp.float32(-1.0))
    wide = replace(POINT_CONFIG, seed=3, network=replace(POINT_CONFIG.network, initial_std=0.5))
    return [Learner(toward, quick, devices), Learner(toward, wide, devices), Learner(away, wide, devices)]


@pytest.fixture(scope="module")
def together():
    """The three after some updates, with the metrics of the last and an evaluation."""
    group = members()
    population = Population(group)
    arguments, state = population.arguments(group), population.init(group)
    for _ in range(UPDATES):
        state, metrics = population.train_step(arguments, state)
    keys = [jax.random.key(9 + i) for i in range(len(group))]
    return population, state, first_device(metrics), first_device(population.evaluate(arguments, state, keys))


def test_clips_that_turn_and_clips_that_do_not_train_apart(robot):
    def learner(clip: str) -> Learner:
        return Learner(make_env([load_motion(clip)], robot=robot), TrainConfig(), tuple(jax.local_devices()))

    assert structure(learner("walk")) == structure(learner("kick"))
    assert structure(learner("walk")) != structure(learner("turn_left"))


def test_networks_of_a_population_are_symmetric_as_those_of_its_members(robot):
    env = make_env([load_motion("walk")], robot=robot)
    alone = Learner(env, TrainConfig(), tuple(jax.local_devices()))
    other = replace(alone, config=with_field(alone.config, "network.initial_std", 0.3))
    population = Population([alone, other])
    _, _, actor, critic = population._learner(env, numbers_of(other.config))
    assert (actor.reflection, critic.reflection) == (env.reflection, env.reflection)
    assert actor.config.initial_std == 0.3


@pytest.mark.parametrize("index", range(3))
def test_each_member_is_its_training_alone(together, index):
    _, state, metrics, evaluation = together
    alone = members()[index]
    expected = alone.init(jax.random.key(alone.config.seed))
    for _ in range(UPDATES):
        expected, expected_metrics = alone.train_step(expected)
    found = member_state(state, index)
    for name in ("actor", "critic", "normalizer"):
        left, right = jax.tree.leaves(getattr(found, name)), jax.tree.leaves(getattr(expected, name))
        for a, b in zip(left, right, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(
        metrics.actor.kl[index], first_device(expected_metrics).actor.kl, rtol=1e-2, atol=1e-4
    )
    expected_evaluation = first_device(alone.evaluate(expected, jax.random.key(9 + index)))
    np.testing.assert_allclose(evaluation.eval_return[index], expected_evaluation.eval_return, rtol=1e-2)


def test_members_differ(together):
    _, state, _, evaluation = together
    weights = jax.tree.leaves(state.actor.params)[0]
    assert np.abs(np.asarray(weights[:, 0] - weights[:, 1])).max() > 1e-3
    assert evaluation.eval_return[2] < 0.0 < evaluation.eval_return[1]


def test_states_taken_apart_and_put_together_are_the_same(together):
    _, state, _, _ = together
    again = stack_states([member_state(state, index) for index in range(3)])
    for a, b in zip(jax.tree.leaves(state.actor), jax.tree.leaves(again.actor), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_compiled_step_serves_members_one_after_the_other():
    group = members()
    population = Population(group)
    for member in group:
        arguments, state = population.arguments([member]), population.init([member])
        before = len(TRACED_STEPS)
        population.train_step(arguments, state)
        if member is not group[0]:
            assert len(TRACED_STEPS) == before


@pytest.mark.parametrize("preset", PRESETS)
def test_numbers_come_back_from_a_configuration(preset):
    config = PRESETS[preset]
    numbers = numbers_of(config)
    assert with_numbers(config, numbers) == config
    assert set(numbers) == {name for name in NUMBERS if attrgetter(name)(config) is not None}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_alone_does_not_change_the_structure(name):
    devices = tuple(jax.local_devices())
    env = PointEnv(sign=jnp.float32(1.0))
    base = Learner(env, TrainConfig(), devices)
    other = replace(base, config=with_field(TrainConfig(), name, 0.123))
    assert structure(other) == structure(base)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ppo.target_kl", None), ("unroll_length", 32), ("network.activation", "relu"), ("push", 0.5)],
)
def test_anything_else_does(name, value):
    devices = tuple(jax.local_devices())
    base = Learner(PointEnv(sign=jnp.float32(1.0)), TrainConfig(), devices)
    assert structure(replace(base, config=with_field(TrainConfig(), name, value))) != structure(base)
