"""The robot and its mirror image: coordinates, observations in every layout, actions, physics."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.editing import mirrored
from mjx_mimic.config import EnvConfig, PenaltyConfig
from mjx_mimic.presets import PRESETS
from mjx_mimic.task import reflection
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.observation import LAYOUTS
from mjx_mimic.task.states import EnvState


@pytest.fixture(scope="module")
def kick():
    return load_clips(("kick",)).motions[0]  # with one leg


def test_what_is_reflected_twice_is_what_it_was():
    rng = np.random.default_rng(1)
    qpos, qvel = rng.normal(size=(5, 36)), rng.normal(size=(5, 35))
    once = reflection.reflected_coordinates(jnp.asarray(qpos), jnp.asarray(qvel))
    twice = reflection.reflected_coordinates(*once)
    np.testing.assert_allclose(twice[0], qpos, rtol=1e-6)
    np.testing.assert_allclose(twice[1], qvel, rtol=1e-6)
    assert np.abs(np.asarray(once[0]) - qpos).max() > 0.1


def somewhere(env: ImitationEnv, key: jax.Array) -> EnvState:
    """A state near the reference, in the middle of an episode, and one that is its mirror image."""
    state = env.reset_to(jnp.int32(0), jnp.float32(0.37))
    keys = jax.random.split(key, 3)
    turn = jax.random.normal(keys[0], (4,)) * 0.2
    quat = state.qpos[3:7] + turn
    qpos = state.qpos + 0.1 * jax.random.normal(keys[1], (36,))
    qpos = qpos.at[3:7].set(quat / jnp.linalg.norm(quat))
    return replace(state, qpos=qpos, qvel=state.qvel + jax.random.normal(keys[2], (35,)), steps=jnp.int32(4))


@pytest.mark.parametrize("layout", [*LAYOUTS, "onboard, history 3", "compact, no root"])
def test_the_mirror_image_observes_the_reflected_observation(robot, kick, layout):
    """Of the mirrored clip, in a task of its own."""
    name, _, more = layout.partition(", ")
    config = EnvConfig(
        observation=name,
        history=3 if more == "history 3" else 1,
        target_steps=(1, 2) if name == "paper" else (),
        track_root=more != "no root",
        penalty=PenaltyConfig(action_change=1.0),
    )
    here, there = (make_env([clip], config, robot=robot) for clip in (kick, mirrored(kick)))
    reflected = here.reflection
    actions = jax.random.uniform(jax.random.key(1), (2, 29), minval=-1.0)

    def observe(env: ImitationEnv, is_mirrored: bool) -> jax.Array:
        for number, key in enumerate(jax.random.split(jax.random.key(0), 2)):
            now = somewhere(here, key)
            coordinates, action = (now.qpos, now.qvel), actions[number]
            if is_mirrored:
                coordinates = reflection.reflected_coordinates(*coordinates)
                action = reflection.JOINTS(action)
            if number == 0:
                state = env.reset_to(jnp.int32(0), jnp.float32(0.37))
            state = replace(state, qpos=coordinates[0], qvel=coordinates[1], steps=now.steps)
            if number == 0:
                state, _ = env.command(env.with_dynamics(state, state.dynamics), action)
        return env.observe(replace(state, action=action))

    seen, mirror = observe(here, False), observe(there, True)
    np.testing.assert_allclose(reflected(seen), mirror, atol=2e-4)
    assert np.abs(np.asarray(seen - mirror)).max() > 0.1
    np.testing.assert_array_equal(reflected(reflected(seen)), seen)


def test_targets_of_the_motors_are_reflected_with_the_action(robot, kick):
    for action_is in ("reference", "mimickit"):
        config = EnvConfig(action=action_is)
        here, there = (make_env([clip], config, robot=robot) for clip in (kick, mirrored(kick)))
        action = jax.random.uniform(jax.random.key(1), (29,), minval=-1.0)
        start = jnp.int32(0), jnp.float32(0.37)
        target = here.pd_target(here.reset_to(*start), action)
        other = there.pd_target(there.reset_to(*start), reflection.JOINTS(action))
        np.testing.assert_allclose(reflection.JOINTS(target), other, atol=1e-5)


MIRROR = jnp.array([1.0, -1.0, 1.0])
GOALS = {
    "heading": lambda goal: {"direction": -goal.direction},
    "location": lambda goal: {"point": goal.point * MIRROR[:2]},
    "strike": lambda goal: {"target": goal.target * MIRROR},
    "throw": lambda goal: {"target": goal.target * MIRROR},
}


@pytest.mark.parametrize("goal", GOALS)
def test_goals_and_skills_are_reflected(robot, kick, goal):
    config = EnvConfig(goal=goal, clips="skills" if goal == "heading" else "one")
    here, there = (make_env([clip, clip], config, robot=robot) for clip in (kick, mirrored(kick)))
    start = jnp.int32(1), jnp.float32(0.37), jax.random.key(3)
    state, mirror = here.reset_to(*start), there.reset_to(*start)
    qpos, qvel = reflection.reflected_coordinates(state.qpos, state.qvel)
    reflected_goal = replace(state.goal, **GOALS[goal](state.goal))
    mirror = replace(mirror, qpos=qpos, qvel=qvel, goal=reflected_goal)
    seen = here.observe(state)
    np.testing.assert_allclose(here.reflection(seen), there.observe(mirror), atol=2e-4)
    sizes = here.observation_sizes()
    assert any(name.startswith("goal: ") for name in sizes)
    assert ("skill: wanted clip" in sizes) == (goal == "heading")


@pytest.mark.parametrize("preset", ["robust", "deploy"])
def test_what_only_the_value_function_sees_is_reflected(kick, preset):
    config = replace(PRESETS[preset].env, contacts="legs")
    here, there = (make_env([clip], config) for clip in (kick, mirrored(kick)))
    state = here.draw_start(jax.random.key(5))
    _, state = here.motor_targets(state, jax.random.normal(jax.random.key(1), (29,)), here.substeps)
    state = replace(state, action=jax.random.uniform(jax.random.key(2), (29,)))
    qpos, qvel = reflection.reflected_coordinates(state.qpos, state.qvel)
    mirror = replace(
        there.reset_to(state.clip, state.start_time),
        qpos=qpos,
        qvel=qvel,
        action=reflection.JOINTS(state.action),
        targets=reflection.JOINTS(state.targets),
        dynamics=reflection.reflected_dynamics(state.dynamics),
        history=state.history,
    )
    if state.history is not None:
        past = here.reflection.first(here.reading(state).shape[0])
        mirror = replace(mirror, history=past(state.history))
    seen = here.observe(state)
    np.testing.assert_allclose(here.reflection(seen), there.observe(mirror), atol=2e-4)
    assert len(seen) > here.policy_inputs


def test_where_the_policy_sees_no_reference_nothing_is_reflected(robot, kick):
    assert make_env([kick], EnvConfig(observation="paper"), robot=robot).reflection is None


@pytest.mark.parametrize("actuated", [False, True])
def test_the_model_of_the_robot_is_its_own_mirror_image(robot, actuated):
    """In MuJoCo C, a control step of the reflected state is the reflected control step."""
    model = robot.model
    rng = np.random.default_rng(4)
    qpos, qvel = model.key("stand").qpos + 0.05 * rng.normal(size=36), 0.3 * rng.normal(size=35)
    qpos[2] += 0.5
    qpos[3:7] /= np.linalg.norm(qpos[3:7])
    action = rng.normal(size=29) if actuated else np.zeros(29)

    def after(qpos: np.ndarray, qvel: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        data = mujoco.MjData(model)
        data.qpos, data.qvel, data.ctrl = qpos, qvel, action
        for _ in range(3):
            mujoco.mj_step(model, data)
        return data.qpos.copy(), data.qvel.copy()

    def mirror(*coordinates: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(x) for x in reflection.reflected_coordinates(*map(jnp.asarray, coordinates))]

    expected = mirror(*after(qpos, qvel, action))
    found = after(*mirror(qpos, qvel), np.asarray(reflection.JOINTS(jnp.asarray(action))))
    moved = np.abs(found[1] - qvel).max()
    np.testing.assert_allclose(found[0], expected[0], atol=5e-3)
    np.testing.assert_allclose(found[1], expected[1], atol=0.03 * moved)
