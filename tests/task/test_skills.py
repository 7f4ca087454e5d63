"""Several clips in one episode: the best of them, or one after the other."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refusal
from helpers.robots import RigidRobot
from helpers.small_run import sway

from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.motion import Motion
from mjx_mimic.config import EnvConfig
from mjx_mimic.evaluation.summary import transitions
from mjx_mimic.task import skills
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState

CYCLIC, ONCE, LARGE = 0, 1, 2
CLIPS = [sway(), with_loop(sway(), "clamp"), sway(0.6)]


@pytest.fixture(scope="module")
def rigid(robot) -> RigidRobot:
    return RigidRobot(**vars(robot))


def resampled(motion: Motion, frames: int) -> Motion:
    """As many of a clip's poses."""
    rows = np.linspace(0, motion.num_frames - 1, frames).astype(int)
    poses = {name: getattr(motion, name)[rows] for name in ("root_pos", "root_quat", "dof_pos")}
    return replace(motion, **poses)


def at(env: ImitationEnv, clip: int, time: float, key: int = 0) -> EnvState:
    return env.reset_to(jnp.int32(clip), jnp.float32(time), jax.random.key(key))


def follow(env: ImitationEnv, state: EnvState, steps: int) -> list[EnvState]:
    """The states after each control step of a robot that is where its reference is."""

    @jax.jit
    def advance(state: EnvState) -> EnvState:
        qpos, qvel = env.reference_coordinates(state, ahead=1)
        state = replace(state, qpos=qpos, qvel=qvel, steps=state.steps + 1)
        return env.pursue(state, env.character(state))

    states = []
    for _ in range(steps):
        state = advance(state)
        states.append(state)
    return states


# Skills ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [CYCLIC, ONCE])
def test_the_wanted_skill_begins_when_a_cycle_ends(rigid, first):
    env = make_env(CLIPS, EnvConfig(clips="skills"), robot=rigid)
    start = at(env, first, 0.5)
    plan = [int(clip) for clip in start.skills.plan[:3]]
    states = [start, *follow(env, start, 80)]
    clips = np.array([int(state.clip) for state in states])
    np.testing.assert_array_equal(clips[:15], first)
    for number, clip in enumerate(plan[:2]):  # every clip lasts a second
        np.testing.assert_array_equal(clips[15 + 30 * number : 45 + 30 * number], clip)
    assert clips[75] == plan[2]
    for step in (14, 15, 16, 45):
        assert env.phase(states[step]) == pytest.approx((0.5 + step / 30.0) % 1.0, abs=5e-5)
        seen = env.observation_parts(states[step])["skill: wanted clip"]
        np.testing.assert_array_equal(seen, np.eye(3)[clips[step]])
        assert not env.causes(states[step], *2 * [env.character(states[step])]).truncated


@pytest.mark.parametrize(("frames", "fps"), [(31, 30.0), (68, 60.0), (24, 50.0), (62, 59.94), (120, 23.976)])
def test_every_cycle_ends_exactly_once(rigid, frames, fps):
    """Of 10,000 in one episode, 3 hours and more, where a float32 of the time has steps of 1 ms."""
    cyclic = replace(resampled(sway(), frames), fps=fps)
    env = make_env([cyclic, cyclic], EnvConfig(), robot=rigid)
    start = at(env, 0, 0.0)
    length = Fraction(frames - 1) / Fraction(fps).limit_denominator(1000)
    steps = np.arange(1, int(10_000 * length * 30) + 2)
    states = jax.vmap(lambda step: replace(start, steps=step))(jnp.asarray(steps, jnp.int32))
    ends = np.flatnonzero(jax.jit(jax.vmap(env.ends_cycle))(states)) + 1
    phase = np.asarray(jax.jit(jax.vmap(env.phase))(states))
    np.testing.assert_array_equal(ends, np.flatnonzero(np.diff(phase, prepend=0.0) < 0.0) + 1)
    exact = [math.ceil(cycle * length * 30) for cycle in range(1, 10_001)]
    assert len(ends) == 10_000
    if float(fps).is_integer():
        np.testing.assert_array_equal(ends, exact)
    else:  # the rate itself is rounded
        assert np.abs(ends - exact).max() <= 1


def test_each_of_ten_thousand_skills_lasts_one_cycle(rigid):
    short = replace(resampled(sway(), 5), fps=60.0)  # two control steps
    env = make_env([short, with_loop(short, "clamp")], EnvConfig(clips="skills"), robot=rigid)

    def advance(state: EnvState, _: None) -> tuple[EnvState, tuple[jax.Array, jax.Array]]:
        qpos, qvel = env.reference_coordinates(state, ahead=1)
        state = replace(state, qpos=qpos, qvel=qvel, steps=state.steps + 1)
        state = env.pursue(state, env.character(state))
        return state, (state.skills.begun, env.phase(state))

    _, (begun, phase) = jax.jit(lambda s: jax.lax.scan(advance, s, length=20_000))(at(env, 0, 0.0))
    np.testing.assert_array_equal(begun, np.arange(1, 20_001) // 2)
    np.testing.assert_array_equal(phase, np.arange(1, 20_001) % 2 / 2.0)


def test_skills_are_wanted_equally_often_and_for_about_as_long_whatever_their_cycle():
    lengths = jnp.array([0.5, 1.0, 2.0, 8.0])
    draw = jax.jit(jax.vmap(lambda key: skills.draw_plan(jnp.int32(1), lengths, jnp.ones(4), key).plan))
    plans = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    cycles: dict[int, list[int]] = {clip: [] for clip in range(4)}
    after_first = np.zeros(4)
    for plan in plans:
        runs = [(int(clip), len(list(run))) for clip, run in itertools.groupby(plan)]
        if runs[0][0] != 1:
            after_first[runs[0][0]] += 1
        for clip, count in runs[1:-1]:  # the first and the last one may be cut
            cycles[clip].append(count)
    # The first clip's time is over after one cycle in 1 of 6 episodes; then each of the others is as likely.
    np.testing.assert_allclose(after_first[[0, 2, 3]] / len(plans), 1 / 6 / 4, atol=0.01)
    assert after_first[1] == 0
    drawn = np.array([len(cycles[clip]) for clip in range(4)])
    # A skill follows itself in a quarter of the draws, which lengthens a run by a third.
    for clip, length in enumerate(np.asarray(lengths)):
        expected = np.mean(np.ceil(np.linspace(1e-3, skills.MOST_WANTED_S, 10_000) / length)) * 4 / 3
        if length >= 1.0:  # of the shortest one, long runs reach the plan's end
            assert np.mean(cycles[clip]) == pytest.approx(expected, rel=0.12), clip
    assert drawn.min() > 0.7 * drawn.max()


def test_skills_are_drawn_by_the_weights_of_their_clips(rigid):
    clips = [with_loop(resampled(sway(x), 5), "wrap") for x in (0.1, 0.2, 0.3)]
    env = make_env(clips, EnvConfig(clips="skills"), weights=(3.0, 0.0, 1.0), robot=rigid)
    reset = jax.jit(jax.vmap(lambda key: env.reset(key)[0].skills.plan))
    plans = np.asarray(reset(jax.random.split(jax.random.key(2), 2000)))
    for plan in (plans[:, 0], plans[:, -1]):  # the first, and one that was drawn after it
        np.testing.assert_allclose(np.bincount(plan, minlength=3) / 2000, [0.75, 0.0, 0.25], atol=0.04)


def test_transitions_are_counted_by_the_clips_before_and_after():
    survived, clip, following = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), [0, 0, 0, 1, 1], [0, 1, 1, 0, 1]
    found = transitions(survived, np.array(clip), np.array(following), ["walk", "kick"])
    assert found == {"walk": {"walk": 1.0, "kick": 0.5}, "kick": {"walk": 1.0, "kick": 0.0}}


# The best clip -----------------------------------------------------------------------------------------


def test_a_control_step_earns_what_the_best_clip_gives(rigid):
    env = make_env(CLIPS, EnvConfig(clips="best"), robot=rigid)
    alone = make_env(CLIPS, EnvConfig(goal="heading"), robot=rigid)  # each clip in the robot's own place
    state = replace(at(env, CYCLIC, 0.2), steps=jnp.int32(3))
    for amplitude in (0.1, 0.3, 0.5, 0.6):
        angle = amplitude * np.sin(2.0 * np.pi * 0.3)
        moved = replace(state, qpos=state.qpos.at[7 + 15].set(angle).at[0].add(4.0))
        character = env.character(moved)
        chosen = jax.jit(env.with_best_clip)(moved, character)
        rewards = [
            float(alone.compute_reward(character, alone.reference(replace(moved, clip=jnp.int32(clip))))[0])
            for clip in range(3)
        ]
        assert int(chosen.clip) == int(np.argmax(rewards))
        assert env.compute_reward(character, env.reference(chosen))[0] == pytest.approx(max(rewards))
    assert int(chosen.clip) == LARGE


def test_each_clip_keeps_its_own_phase(rigid):
    """An episode that starts at a fifth of one clip is at a fifth of all, and goes on at their speeds."""
    slow = replace(sway(0.6), fps=15.0)  # two seconds
    env = make_env([sway(), slow], EnvConfig(clips="best"), robot=rigid)
    state = replace(at(env, 0, 0.2), steps=jnp.int32(12))  # at 0.6 of the one, and at 0.4 of the other
    moved = replace(state, qpos=state.qpos.at[7 + 15].set(0.6 * np.sin(2.0 * np.pi * 0.4)))
    chosen = env.with_best_clip(moved, env.character(moved))
    assert int(chosen.clip) == 1
    assert env.phase(chosen) == pytest.approx(0.4, abs=1e-5)
    back = env.with_best_clip(replace(chosen, qpos=state.qpos), env.character(state))
    assert env.phase(back) == pytest.approx({0: 0.6, 1: 0.4}[int(back.clip)], abs=1e-5)


@pytest.mark.parametrize("clips", ["best", "skills"])
def test_one_clip_is_not_several(rigid, clips):
    message = refusal(make_env, CLIPS[:1], EnvConfig(clips=clips), robot=rigid)
    assert message == f"option --env.clips: {clips} needs several clips; name more with --motion"
