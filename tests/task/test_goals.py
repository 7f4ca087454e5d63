"""Goals beside imitation: drawn, seen, rewarded and counted as their pages say; the reference comes along."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refusal
from helpers.robots import GlidingEnv, RigidRobot
from helpers.small_run import sway
from scipy.spatial.transform import Rotation

from mjx_mimic.clips import load_motion
from mjx_mimic.clips.editing import with_loop
from mjx_mimic.config import (
    EnvConfig,
    HeadingConfig,
    LocationConfig,
    RandomizationConfig,
    StrikeConfig,
    ThrowConfig,
    TrainConfig,
)
from mjx_mimic.config_checks import sized
from mjx_mimic.evaluation.recording import snapshot
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.goals import Situation, doubts, heading, targets, throw
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState

ACTION = jnp.zeros(29)
BODY = "left_wrist_yaw_link"


@pytest.fixture(scope="module")
def rigid(robot) -> RigidRobot:
    return RigidRobot(**vars(robot))


def made(rigid: RigidRobot, **config: object) -> ImitationEnv:
    return make_env([sway()], EnvConfig(**config), robot=rigid)


def run(env: ImitationEnv, state: EnvState, steps: int) -> list[EnvState]:
    """The states after each control step of a robot that stands still, in a clip of a second."""
    pursue = jax.jit(lambda state: env.pursue(state, env.character(state)))
    states = []
    for _ in range(steps):
        state = pursue(replace(state, steps=state.steps + 1))
        states.append(state)
    return states


def at(env: ImitationEnv, time: float = 0.0, key: int = 0) -> EnvState:
    return env.reset_to(jnp.int32(0), jnp.float32(time), jax.random.key(key))


def moved(state: EnvState, place: tuple[float, float], turn: float) -> EnvState:
    """The same robot elsewhere on the floor."""
    yaw = Rotation.from_euler("z", turn)
    quat = yaw * Rotation.from_quat(np.asarray(state.qpos[3:7]), scalar_first=True)
    pose = [*(yaw.apply(state.qpos[:3]) + np.array([*place, 0.0])), *quat.as_quat(scalar_first=True)]
    return replace(
        state,
        qpos=state.qpos.at[:7].set(jnp.asarray(pose)),
        qvel=state.qvel.at[:3].set(jnp.asarray(yaw.apply(state.qvel[:3]), jnp.float32)),
    )


# The reference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "turn"), [((3.0, -2.0), 0.7), ((0.0, 0.0), -2.9)])
def test_the_reference_goes_where_the_robot_goes(rigid, place, turn):
    """With a goal, nothing but the goal depends on where the robot is and where it faces."""
    env = made(rigid, goal="heading")
    here = at(env, 0.3)
    here = replace(here, qpos=here.qpos.at[2].add(0.05).at[20].add(0.2), qvel=here.qvel.at[:6].add(0.3))
    there = moved(here, place, turn)
    parts = [jax.jit(env.observation_parts)(state) for state in (here, there)]
    for name, part in parts[0].items():
        if name != "goal: direction":
            np.testing.assert_allclose(parts[1][name], part, atol=2e-5, err_msg=name)
    for config in ("mimickit", "paper"):
        judged = env.with_config(replace(env.config, reward=config))
        rewards = [judged.compute_reward(judged.character(s), judged.reference(s))[0] for s in (here, there)]
        assert rewards[0] == pytest.approx(float(rewards[1]), abs=1e-5)
        assert rewards[0] < 0.99
    sine, cosine = (np.asarray(p["goal: direction"])[::-1] for p in parts)
    angle = np.arctan2(*sine) - np.arctan2(*cosine)
    assert np.remainder(angle - turn + np.pi, 2.0 * np.pi) - np.pi == pytest.approx(0.0, abs=1e-5)


def test_place_and_heading_that_do_not_count_are_not_observed_either(rigid):
    env = made(rigid, track_root=False, privileged_critic=True)
    here = at(env, 0.3)
    here = replace(here, qpos=here.qpos.at[2].add(0.05).at[20].add(0.2), qvel=here.qvel.at[:6].add(0.3))
    there = moved(here, (5.0, -2.0), 1.6)
    seen = [jax.jit(env.observe)(state) for state in (here, there)]
    np.testing.assert_allclose(seen[1], seen[0], atol=2e-5)
    # A robot on its reference sees what it sees where they count, and is as far from the next one.
    on_it = at(env, 0.3)
    tracking = env.with_config(replace(env.config, track_root=True))
    np.testing.assert_allclose(env.observe(on_it), tracking.observe(on_it), atol=2e-5)
    assert np.abs(np.asarray(tracking.observe(there) - tracking.observe(here))).max() > 1.0
    # Nor is it drawn elsewhere.
    drawn = snapshot(env, there).reference
    np.testing.assert_allclose(drawn[:2], there.qpos[:2], atol=1e-5)
    np.testing.assert_allclose(snapshot(tracking, there).reference[:2], on_it.qpos[:2], atol=1e-5)


def test_without_a_goal_nothing_of_one_is_there(rigid):
    env = made(rigid)
    assert at(env).goal is None
    assert env.goal_results(at(env)) == {}
    assert env.goal_markers(at(env)) is None
    assert not any(name.startswith("goal") for name in env.observation_sizes())
    _, result = jax.eval_shape(env.step, at(env), ACTION, jax.random.key(0))
    assert result.goal_reward is None


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, 0.0), (0.0, 1.0)])
def test_rewards_add_up_by_their_weights(rigid, weights):
    env = made(rigid, goal="heading", imitation_weight=weights[0], goal_weight=weights[1])
    state = replace(at(env), goal=replace(at(env).goal, reward=jnp.float32(0.25)))
    assert env.total_reward(jnp.float32(0.8), state) == pytest.approx(0.8 * weights[0] + 0.25 * weights[1])


def test_a_control_step_rewards_both_and_draws_a_new_goal_with_a_new_episode(rigid):
    env = GlidingEnv(**vars(made(rigid, goal="heading", episode_seconds=0.1)))
    step = jax.jit(env.step)
    state = at(env)
    for number in range(1, 4):
        before = state
        state, result = step(state, ACTION, jax.random.key(1))
        pursued = env.pursue(replace(before, steps=before.steps + 1), env.character(before)).goal
        assert result.goal_reward == pytest.approx(float(pursued.reward), abs=1e-5)
        assert 0.0 < result.goal_reward < 1.0
        assert result.reward == pytest.approx(0.7 + 0.3 * float(result.goal_reward), abs=1e-5)
        assert result.episode_length == number
        assert set(result.goal_results) == set(env.goal.measures)
        np.testing.assert_allclose(result.observation, env.observe(state), atol=1e-5)
    assert result.causes.time_out
    assert (state.steps, state.goal.steps) == (0, 0)
    assert state.goal.direction != before.goal.direction


def test_a_goal_for_a_body_that_there_is_not_is_refused(rigid):
    message = refusal(made, rigid, goal="strike", strike=StrikeConfig(body="tail"))
    assert message.startswith("option --env.strike.body: no body tail; use pelvis")
    message = refusal(made, rigid, goal="throw", throw=ThrowConfig(body="tail"))
    assert message.startswith("option --env.throw.body: no body tail")


@pytest.mark.parametrize(
    ("goal", "clips", "warns"),
    [
        ("heading", ["squat"], True),
        ("location", ["squat", "kick"], True),
        ("heading", ["squat", "walk"], False),
        ("strike", ["kick"], False),
        ("none", ["squat"], False),
    ],
)
def test_who_is_to_walk_needs_a_clip_that_does(goal, clips, warns):
    found = doubts(EnvConfig(goal=goal), [load_motion(clip) for clip in clips])
    assert len(found) == warns
    assert all(f"the goal {goal} is to walk, and no clip goes anywhere" in line for line in found)


def test_whoever_strikes_once_is_told_where_that_counts():
    once = [replace(load_motion("kick"), loop="clamp")]
    (found,) = doubts(EnvConfig(goal="strike"), once)
    assert "evaluate --start first" in found
    assert doubts(EnvConfig(goal="heading"), [load_motion("walk")]) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (EnvConfig(heading=HeadingConfig(speed=(1.0, 0.5))), "--env.heading.speed: (1.0, 0.5) will not do"),
        (EnvConfig(strike=StrikeConfig(height=(1.0, 0.5))), "--env.strike.height: (1.0, 0.5) will not do"),
        (EnvConfig(throw=ThrowConfig(release=1.5)), "--env.throw.release: 1.5 will not do"),
        (EnvConfig(goal="throw", goal_weight=0.0, imitation_weight=0.0), "--env.goal-weight: 0 will not do"),
    ],
)
def test_settings_that_make_no_goal_are_refused(config, words):
    assert refusal(sized, TrainConfig(env=config), "cpu", 2).startswith(f"option {words}")


# Heading -----------------------------------------------------------------------------------------------


def test_direction_and_speed_change_when_they_are_due(rigid):
    config = HeadingConfig(turn=0.5, speed=(0.4, 1.1), interval=0.2)  # every 6 control steps
    env = made(rigid, goal="heading", heading=config)
    start = at(env)
    goals = [state.goal for state in [start, *run(env, start, 60)]]
    changes = np.diff([float(goal.direction) for goal in goals])
    due = (np.arange(1, 61) % 6) == 0
    assert np.all((changes != 0.0) == due)
    assert np.abs(changes).max() <= 0.5
    assert np.abs(changes[due]).max() > 0.25  # of 10 draws
    speeds = np.array([float(goal.speed) for goal in goals])
    assert 0.4 <= speeds.min() < 0.6
    assert 0.9 < speeds.max() <= 1.1
    # A robot that stands is off by the wanted speed, and by the direction that it does not face.
    results = env.goal.results(goals[-1])
    angles = np.array([float(goal.direction) for goal in goals])[:-1]
    assert np.abs(angles).max() < np.pi
    assert results["speed_error"] == pytest.approx(np.mean(speeds[:-1]), rel=1e-4)
    assert results["heading_error"] == pytest.approx(np.rad2deg(np.abs(angles)).mean(), rel=1e-3)
    assert results["success"] == 0.0
    reward = np.exp(-(2.5 * speeds[-2] ** 2 + 2.0 * angles[-1] ** 2))
    assert goals[-1].reward == pytest.approx(reward, rel=1e-3)


def test_errors_of_a_walk_are_those_of_its_velocity(rigid):
    rng = np.random.default_rng(0)
    for turn in (0.0, 1.0, 3.0, -3.0):
        quat = Rotation.from_euler("ZYX", [turn, 0.2, -0.1])
        velocity = rng.normal(size=3)
        qpos = np.concatenate([[1.0, 2.0, 0.8], quat.as_quat(scalar_first=True), np.zeros(29)])
        character = rigid.character_state(jnp.asarray(qpos), jnp.asarray([*velocity, *np.zeros(32)]))
        speed_error, angle, square = heading.errors(character, jnp.float32(-2.5), jnp.float32(0.8))
        wanted = 0.8 * np.array([np.cos(-2.5), np.sin(-2.5)])
        assert square == pytest.approx(np.sum((velocity[:2] - wanted) ** 2), rel=1e-4)
        assert speed_error == pytest.approx(abs(velocity[:2] @ wanted / 0.8 - 0.8), rel=1e-4)
        assert angle == pytest.approx((Rotation.from_euler("z", -2.5 - turn)).magnitude(), abs=1e-4)


def test_who_walks_as_wanted_succeeds(rigid):
    env = made(rigid, goal="heading", heading=HeadingConfig(turn=0.0, speed=(0.8, 0.8)))
    state = run(env, replace(at(env), qvel=at(env).qvel.at[0].set(0.8)), 3)[-1]
    assert state.goal.reward == pytest.approx(1.0, abs=1e-4)
    assert env.goal_results(state)["success"] == 1.0
    np.testing.assert_allclose(env.goal_markers(state), [[*(state.qpos[:2] + jnp.array([0.8, 0.0])), 0.0]])


@pytest.mark.parametrize("release", [0.0, 0.5, 0.98, 1.0])
def test_a_phase_is_passed_once_in_each_cycle(release):
    """Also between the last control step of a cycle and its end."""
    phases = (np.arange(91) / 45.0) % 1.0
    situations = [
        SimpleNamespace(phase=now, previous_phase=before) for before, now in itertools.pairwise(phases)
    ]
    assert sum(bool(Situation.passes(situation, release)) for situation in situations) == 2


def test_a_target_that_does_not_vary_has_no_beyond():
    fixed = ((0.6, 0.6), (0.0, 0.0), (0.5, 0.5))
    point = targets.draw_cylindrical(jax.random.key(0), fixed, beyond=0.5)
    np.testing.assert_allclose(point, [0.6, 0.0, 0.5], atol=1e-6)


@pytest.mark.parametrize("goal", ["heading", "location", "strike", "throw"])
def test_a_goal_that_is_counted_anew_is_the_same_goal(rigid, goal):
    """What a training's robots have achieved is no success of the policy that goes on from there."""
    env = made(rigid, goal=goal, location=LocationConfig(radius=10.0))
    state = run(env, at(env), 70)[-1]
    fresh = state.goal.counted_from_here()
    assert all(np.all(getattr(fresh, name) == 0) for name in fresh.TALLY)
    assert any(np.any(getattr(state.goal, name) != 0) for name in fresh.TALLY)
    kept = set(vars(fresh)) - set(fresh.TALLY)
    assert all(np.array_equal(getattr(fresh, name), getattr(state.goal, name)) for name in kept)


# Location ----------------------------------------------------------------------------------------------


def test_a_point_that_is_reached_is_counted_and_drawn_anew(rigid):
    env = made(rigid, goal="location", location=LocationConfig(distance=(1.0, 2.0), radius=0.2))
    state = at(env)
    assert 1.0 <= float(jnp.linalg.norm(state.goal.point - state.qpos[:2])) <= 2.0
    beside = replace(state, goal=replace(state.goal, point=state.qpos[:2] + 0.1))
    (after,) = run(env, beside, 1)
    assert after.goal.reward == 1.0
    assert env.goal_results(after)["points"] == 1.0
    np.testing.assert_array_equal(env.goal_markers(after), [[*after.goal.point, 0.0]])
    assert env.goal_results(after)["seconds_per_point"] == pytest.approx(1.0 / 30.0)
    assert 1.0 <= float(jnp.linalg.norm(after.goal.point - after.qpos[:2])) <= 2.0
    (far,) = run(env, state, 1)
    assert far.goal.reward < 1.0
    assert np.isnan(env.goal_results(far)["seconds_per_point"])
    np.testing.assert_array_equal(far.goal.point, state.goal.point)
    offset = np.asarray(state.goal.point - state.qpos[:2])
    seen = env.observation_parts(state)
    np.testing.assert_allclose(seen["goal: direction"], offset / np.linalg.norm(offset), atol=1e-5)
    assert seen["goal: distance"] == pytest.approx(np.linalg.norm(offset), rel=1e-5)


@pytest.mark.parametrize(
    ("speed", "reward"), [(0.9, 1.0), (0.45, 0.75), (0.0, 0.5), (-0.45, 0.25), (-2.0, 0.0)]
)
def test_a_location_rewards_the_share_of_the_speed_at_which_it_comes_nearer(rigid, speed, reward):
    """Whatever is across does not count; it is never flat while the robot walks away."""
    env = made(rigid, goal="location")
    state = at(env)
    offset = state.goal.point - state.qpos[:2]
    along = offset / jnp.linalg.norm(offset)
    across = jnp.array([-along[1], along[0]])
    (after,) = run(env, replace(state, qvel=state.qvel.at[:2].set(speed * along + 0.3 * across)), 1)
    assert after.goal.reward == pytest.approx(reward, abs=1e-5)


# Strike ------------------------------------------------------------------------------------------------


def striking(rigid: RigidRobot, **options: object) -> ImitationEnv:
    return made(rigid, goal="strike", strike=StrikeConfig(body=BODY, **options))


def test_hits_are_counted_once_in_each_whole_cycle(rigid):
    env = striking(rigid, radius=50.0)  # whatever the body does, it hits
    start = at(env, 0.5)
    states = run(env, start, 80)  # half a cycle, then two whole ones and a bit
    assert all(state.goal.reward == 1.0 for state in states)
    assert (states[-1].goal.cycles, states[-1].goal.hits) == (2, 2)
    assert env.goal_results(states[-1])["success"] == 1.0
    assert [bool(state.goal.hit) for state in [start, *states[:2]]] == [False, True, True]
    assert len({tuple(np.asarray(state.goal.target)) for state in states}) == 4
    never = striking(rigid, radius=1e-3)
    last = run(never, at(never), 31)[-1]
    assert (last.goal.cycles, last.goal.hits) == (1, 0)
    assert never.goal_results(last)["success"] == 0.0
    assert never.goal_results(last)["nearest"] == pytest.approx(float(last.goal.miss))


def test_a_clip_that_ends_is_a_cycle_too(rigid):
    """With skills, which go on after it, its hit is counted, and the next target is before the robot."""
    clips = [with_loop(sway(), "clamp"), with_loop(sway(), "clamp")]
    settings = StrikeConfig(body=BODY, radius=50.0, distance=(0.5, 0.5), azimuth=(0.0, 0.0))
    env = make_env(clips, EnvConfig(goal="strike", strike=settings, clips="skills"), robot=rigid)
    states = run(env, moved(at(env), (2.0, 1.0), 0.0), 61)
    assert [int(states[step - 1].goal.cycles) for step in (29, 30, 59, 60)] == [0, 1, 1, 2]
    assert [bool(states[step - 1].goal.hit) for step in (29, 30, 31)] == [True, False, True]
    np.testing.assert_allclose(states[30].goal.target[:2], [2.5, 1.0], atol=1e-5)
    throwing = EnvConfig(goal="throw", throw=ThrowConfig(body=BODY, release=0.5), clips="skills")
    env = make_env(clips, throwing, robot=rigid)
    states = run(env, at(env), 61)
    assert [int(states[step - 1].goal.throws) for step in (14, 15, 44, 45)] == [0, 1, 1, 2]
    alone = make_env(clips[:1], EnvConfig(goal="strike", strike=settings), robot=rigid)
    assert alone.goal_results(run(alone, at(alone), 30)[-1])["success"] == 1.0


def test_a_goal_begins_where_the_robot_is(robot):
    """Also where the start of an episode is moved off the reference."""
    randomization = RandomizationConfig(start_position=0.05, start_joint=0.1)
    config = EnvConfig(goal="throw", throw=ThrowConfig(body=BODY), randomization=randomization)
    env = make_env([sway()], config, robot=robot)
    state = jax.jit(env.draw_start)(jax.random.key(0))
    hand = env.character(state).body_pos[env.goal.body]
    np.testing.assert_allclose(state.goal.ball, hand, atol=1e-6)
    on_it = env.reset_to(state.clip, state.start_time)
    assert np.linalg.norm(env.character(on_it).body_pos[env.goal.body] - hand) > 5e-3


def test_targets_are_where_the_settings_say_from_where_the_cycle_began(rigid):
    config = {"distance": (0.3, 0.5), "azimuth": (0.2, 0.4), "height": (0.6, 0.9)}
    env = striking(rigid, **config)
    draw = jax.jit(jax.vmap(lambda key: env.reset_to(jnp.int32(0), jnp.float32(0.4), key).goal.target))
    target = np.asarray(draw(jax.random.split(jax.random.key(0), 300)))
    found = (np.hypot(*target.T[:2]), np.arctan2(target[:, 1], target[:, 0]), target[:, 2])
    for values, (low, high) in zip(found, config.values(), strict=True):
        assert low - 1e-5 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-5
    outside = striking(rigid, **config, beyond=0.2).goal.config
    ranges = (outside.distance, outside.azimuth, outside.height)
    draw = jax.jit(jax.vmap(lambda key: targets.draw_cylindrical(key, ranges, outside.beyond)))
    target = np.asarray(draw(jax.random.split(jax.random.key(1), 300)))
    found = np.stack([np.hypot(*target.T[:2]), np.arctan2(target[:, 1], target[:, 0]), target[:, 2]])
    low, high = np.array(ranges).T[..., None]
    out = np.abs(found - 0.5 * (low + high)) / (0.5 * (high - low))
    assert np.all(out.max(axis=0) >= 1.0 - 1e-4)
    assert np.all(out <= 1.2 + 1e-4)
    assert np.all(out.max(axis=1) > 1.1)  # in all three directions
    # A robot elsewhere has the next one before itself.
    last = run(env, moved(at(env, 0.99), (4.0, 1.0), 2.0), 1)[-1]
    relative = Rotation.from_euler("z", -2.0).apply(np.asarray(last.goal.target) - [4.0, 1.0, 0.0])
    assert 0.2 <= np.arctan2(relative[1], relative[0]) <= 0.4
    assert 0.3 <= np.hypot(*relative[:2]) <= 0.5
    np.testing.assert_allclose(env.observation_parts(last)["goal: target"], relative, atol=1e-4)


def test_nearness_is_rewarded_before_a_hit(rigid):
    env = striking(rigid, radius=1e-3)
    body = env.character(at(env)).body_pos[env.goal.body]
    state = at(env)
    state = replace(state, goal=replace(state.goal, target=body + jnp.array([0.0, 0.3, 0.0])))
    assert run(env, state, 1)[-1].goal.reward == pytest.approx(np.exp(-4.0 * 0.3**2), rel=1e-3)


# Throw -------------------------------------------------------------------------------------------------


def test_a_ball_lands_where_small_steps_take_it():
    rng = np.random.default_rng(1)
    for _ in range(5):
        position, velocity = rng.uniform(0.5, 1.5, 3), rng.normal(scale=3.0, size=3)
        ball, speed, dt = position.copy(), velocity.copy(), 1e-4
        while ball[2] > 0.0:
            ball += dt * speed
            speed[2] -= dt * throw.GRAVITY
        landing = throw.landing_point(jnp.asarray(position), jnp.asarray(velocity))
        np.testing.assert_allclose(landing, ball[:2], atol=3e-3)


@pytest.mark.parametrize("dt", [1.0 / 30.0, 0.02, 0.3])
def test_a_ball_flies_to_where_it_is_said_to_land_and_stays_there(dt):
    start, velocity = jnp.array([0.2, -0.1, 1.2]), jnp.array([2.0, 0.5, 1.5])
    position, speed = start, velocity
    for step in range(1, round(3.0 / dt)):
        position, speed = throw.fly(position, speed, dt)
        time = step * dt
        height = 1.2 + 1.5 * time - 0.5 * throw.GRAVITY * time**2
        if height > 1e-3:
            np.testing.assert_allclose(
                position,
                start + time * velocity - jnp.array([0.0, 0.0, 1.2 + 1.5 * time - height]),
                atol=1e-5,
            )
    np.testing.assert_allclose(position, [*throw.landing_point(start, velocity), 0.0], atol=1e-5)
    np.testing.assert_array_equal(speed, 0.0)


def test_people_see_the_ball_leave_the_hand_and_come_back_to_it(rigid):
    env = made(rigid, goal="throw", throw=ThrowConfig(body=BODY, release=0.5))
    states = run(env, at(env), 40)
    hands = np.array([env.character(state).body_pos[env.goal.body] for state in states])
    spots, balls = np.array([env.goal_markers(state) for state in states]).transpose(1, 0, 2)
    np.testing.assert_array_equal(spots, [state.goal.target for state in states])
    held = np.ones(40, bool)
    held[15:29] = False  # phase 0.5 is reached after 15 control steps, a cycle has 30
    np.testing.assert_allclose(balls[held], hands[held], atol=1e-6)
    times = np.arange(1, 15) / 30.0  # since the release
    falls = np.maximum(hands[15:29, 2] - 0.5 * throw.GRAVITY * times**2, 0.0)
    np.testing.assert_allclose(balls[15:29, 2], falls, atol=1e-5)


def test_a_throw_is_judged_where_the_ball_is_released(rigid):
    env = made(rigid, goal="throw", throw=ThrowConfig(body=BODY, release=0.5, radius=0.5, scale=1.0))
    start = at(env)
    states = run(env, start, 75)
    rewards = np.array([float(state.goal.reward) for state in states])
    phase = np.arange(1, 76) / 30.0 % 1.0
    late = (phase > 0.499) | (phase < 1e-4)  # the reward of a cycle's last control step is still the throw's
    assert np.all(rewards[~late] == 0.0)
    assert np.all(rewards[late] > 0.0)
    # The hand stands still, so the ball falls from it.
    hand = np.asarray(env.character(start).body_pos[env.goal.body][:2])
    miss = [np.linalg.norm(np.asarray(state.goal.target[:2]) - hand) for state in (start, states[35])]
    np.testing.assert_allclose(rewards[[20, 50]], np.exp(-np.square(miss)), rtol=2e-3)
    third = np.linalg.norm(np.asarray(states[-1].goal.target[:2]) - hand)  # at 2.5 s, the last control step
    assert states[-1].goal.throws == 3
    assert env.goal_results(states[-1])["miss"] == pytest.approx(np.mean([*miss, third]), rel=1e-3)
    assert env.goal_results(states[-1])["success"] == 0.0
    # An episode that starts after the release has no ball to throw in this cycle.
    states = run(env, at(env, 0.6), 5)
    assert all(state.goal.reward == 0.0 for state in states)
    assert np.isnan(env.goal_results(states[-1])["success"])
