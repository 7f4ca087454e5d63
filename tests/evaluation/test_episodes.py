"""The evaluation of a policy: errors by their definitions, tallies by counting, MJX held to MuJoCo in C."""

import copy
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from flax import struct
from helpers.refusals import refusal
from helpers.robots import GlidingEnv, ObedientEnv, RigidRobot
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig, HeadingConfig, NetworkConfig
from mjx_mimic.evaluation import mjx_engine, mujoco_engine, summary
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episode import Outcome
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.protocol import Protocol
from mjx_mimic.evaluation.recording import Snapshot, recordings
from mjx_mimic.evaluation.report import evaluate
from mjx_mimic.learning import rollout
from mjx_mimic.learning.networks import Actor
from mjx_mimic.learning.normalizer import empty
from mjx_mimic.learning.policy import Policy
from mjx_mimic.task import tracking_errors
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.termination import Causes

pytestmark = pytest.mark.slow

EPISODES = 4
RANDOM = np.zeros(EPISODES, bool)
SECONDS = 1.0
STEPS = 30


@pytest.fixture(scope="module")
def env(robot) -> ImitationEnv:
    return make_env(load_clips(["walk"]).motions, EnvConfig(max_deviation=0.4), robot=robot)


@pytest.fixture(scope="module")
def policy(env) -> Policy:
    """Untrained: acts as a PD controller that plays the clip."""
    observation = jax.jit(env.observe)(env.reset_to(jnp.int32(0), jnp.float32(0.0)))
    actor = Actor(NetworkConfig((8,), (8,)), env.num_actions)
    return Policy(actor.init(jax.random.key(0), observation), empty(len(observation)), actor)


@pytest.fixture(scope="module")
def evaluation(env, policy) -> Callable[..., Evaluation]:
    """(push, noise) -> an evaluation of a second, which some of the episodes survive."""
    lenient = env.with_config(replace(env.config, max_deviation=1.2))
    return lambda **protocol: Evaluation(lenient, policy, Protocol(seconds=SECONDS, **protocol))


@pytest.fixture(scope="module")
def in_c(evaluation) -> Outcome:
    model = evaluation().env.robot.model
    return mujoco_engine.run_in_mujoco(evaluation(), RANDOM, 0, model, recorded=EPISODES)


@pytest.fixture(scope="module")
def in_mjx(evaluation) -> Outcome:
    return mjx_engine.run_in_mjx(evaluation(), RANDOM, 0, jax.local_devices(), recorded=EPISODES)


# Errors of a step --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(robot) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (2, 36) and (2, 35): a state and its reference."""
    rng = np.random.default_rng(0)
    quat = Rotation.from_rotvec(rng.normal(scale=0.4, size=(2, 3))).as_quat(scalar_first=True)
    qpos = np.concatenate([rng.normal(size=(2, 3)), quat, rng.uniform(-0.5, 0.5, (2, 29))], axis=1)
    return qpos, rng.normal(size=(2, 35))


def test_errors_are_those_of_mujocos_bodies(robot, pair):
    qpos, qvel = pair
    found = jax.jit(
        lambda q, v: tracking_errors.tracking_errors(*(robot.character_state(q[i], v[i]) for i in (0, 1)))
    )(*(jnp.asarray(x, jnp.float32) for x in pair))
    bodies, turns, velocity = [], [], []
    for position, speed in zip(qpos, qvel, strict=True):
        data = mujoco.MjData(robot.model)
        data.qpos[:], data.qvel[:] = position, speed
        mujoco.mj_forward(robot.model, data)
        bodies.append(data.xpos[1:].copy())
        turns.append(Rotation.from_quat(data.xquat[1:], scalar_first=True))
        whole = np.zeros(6)
        mujoco.mj_objectVelocity(robot.model, data, mujoco.mjtObj.mjOBJ_XBODY, 1, whole, 0)
        velocity.append(whole)
    local = [b - b[0] for b in bodies]
    expected = {
        "root_position": np.linalg.norm(qpos[0, :3] - qpos[1, :3]),
        "root_rotation": (turns[0][0].inv() * turns[1][0]).magnitude(),
        "body_position": np.linalg.norm(local[0] - local[1], axis=1).mean(),
        "body_rotation": (turns[0].inv() * turns[1]).magnitude().mean(),
        "joint_velocity": np.abs(qvel[0, 6:] - qvel[1, 6:]).mean(),
        "root_velocity": np.abs(velocity[0][3:] - velocity[1][3:]).mean(),
        "root_angular_velocity": np.abs(velocity[0][:3] - velocity[1][:3]).mean(),
        "global_body_position": np.linalg.norm(bodies[0] - bodies[1], axis=1).mean(),
    }
    assert set(vars(found)) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-4, err_msg=name)


def test_effort_is_the_motors(robot, pair):
    rng = np.random.default_rng(1)
    target = rng.uniform(-0.6, 0.6, 29)
    data = mujoco.MjData(robot.model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = pair[0][0], 3.0 * pair[1][0], target
    mujoco.mj_forward(robot.model, data)
    torque = data.qfrc_actuator[6:]  # inside the joints' limits too
    assert np.any(np.abs(torque) > 0.99 * robot.effort_limit)  # some motors are at their limits
    found = tracking_errors.effort(robot, target, data.qpos[7:], data.qvel[6:])
    np.testing.assert_allclose(found.torque, np.abs(torque).mean(), rtol=1e-5)
    np.testing.assert_allclose(found.power, np.abs(torque * data.qvel[6:]).sum(), rtol=1e-5)


def test_a_foot_slips_only_where_it_stays_on_the_floor(robot):
    stand = np.array(robot.model.key("stand").qpos, np.float32)
    still = np.zeros(35, np.float32)
    see = jax.jit(lambda qpos: robot.character_state(qpos, still))
    before, moved, lifted = see(stand), see(stand + 0.02 * np.eye(36)[0]), see(stand + 0.02 * np.eye(36)[2])
    assert tracking_errors.foot_contact(before.sole_pos).all()
    assert not tracking_errors.foot_contact(lifted.sole_pos).any()
    assert tracking_errors.foot_slip(before.sole_pos, before.sole_pos, 0.1) == 0.0
    np.testing.assert_allclose(
        tracking_errors.foot_slip(before.sole_pos, moved.sole_pos, 0.1), 0.2, rtol=1e-3
    )
    flying = moved.sole_pos + jnp.array([0.0, 0.0, 0.02])
    assert tracking_errors.foot_slip(before.sole_pos, flying, 0.1) == 0.0


# Episodes ----------------------------------------------------------------------------------------------


def test_mjx_and_mujoco_in_c_agree(in_c, in_mjx):
    """The same starts, policy and model; float32 against float64, and Newton's single iteration."""
    c, x = in_c.episode, in_mjx.episode
    np.testing.assert_array_equal(c.clip, x.clip)
    np.testing.assert_array_equal(c.steps, x.steps)
    assert np.abs(c.episode_length - x.episode_length).max() <= 3
    for name, low, high in (("global_body_position", 0.8, 1.25), ("joint_velocity", 0.8, 1.25)):
        ratio = getattr(x.errors, name).sum() / getattr(c.errors, name).sum()
        assert low < ratio < high, name
    np.testing.assert_allclose(x.effort.torque.sum(), c.effort.torque.sum(), rtol=0.1)
    np.testing.assert_allclose(x.reward.sum(), c.reward.sum(), rtol=0.1)


def test_an_episode_is_tallied_to_its_end_and_early_termination_noted(in_c):
    episode, figures = in_c.episode, in_c.figures
    assert episode.steps.tolist() == [STEPS] * EPISODES
    assert not episode.broken.any()
    # The untrained walker falls, or is 1.2 m from its reference, within the second in some episodes.
    ended = ~episode.running
    assert 0 < ended.sum() < EPISODES
    assert (episode.episode_length <= STEPS).all()
    assert (episode.episode_length[~ended] == STEPS).all()
    assert (episode.episode_return[ended] < episode.reward[ended]).any()
    np.testing.assert_allclose(episode.episode_return[~ended], episode.reward[~ended], rtol=1e-5)
    assert figures.failures.sum() == ended.sum()
    assert figures.steps.sum() == STEPS * EPISODES
    np.testing.assert_allclose(figures.deviation.sum(), episode.errors.global_body_position.sum(), rtol=1e-4)
    assert (figures.contact <= figures.steps[..., None]).all()
    feet_down = figures.reference_contact.sum((0, 1)) / figures.steps.sum()
    assert ((feet_down > 0.5) & (feet_down < 0.8)).all()  # a walk's stance is about 62 % of its cycle


@struct.dataclass
class SlippingEnv(GlidingEnv):
    """From its 40th control step on, an episode is a metre aside."""

    def simulate(self, state, pd_target, *, force=None):
        next_state, trace = GlidingEnv.simulate(self, state, pd_target, force=force)
        aside = jnp.where(next_state.steps >= 40, 1.0, 0.0)
        return replace(next_state, qpos=next_state.qpos.at[0].add(aside)), trace


def test_a_clip_that_does_not_repeat_is_survived_at_its_end(env, policy):
    """An early termination after its end no longer counts; one before it does, and is listed."""
    clip = load_clips(["stop_walking"]).motions[0]
    short = make_env([clip], env.config)
    task = SlippingEnv(**{**vars(short), "robot": RigidRobot(**vars(short.robot))})
    whole = Evaluation(task, policy, Protocol(seconds=2.0 * clip.length))
    outcome = mjx_engine.run_in_mjx(whole, np.zeros(8, bool), 0, jax.local_devices())
    found = outcome.episode
    left = (1.0 - found.start_phase) * clip.length * 30.0
    np.testing.assert_array_equal(found.horizon, np.ceil(left - 1e-3))
    failed = found.horizon >= 40
    assert 0 < failed.sum() < len(failed)
    np.testing.assert_array_equal(found.survived, ~failed)
    np.testing.assert_array_equal(found.episode_length, np.minimum(found.horizon, 40))
    listed = summary.failures(found, ["stop"])
    assert [entry["episode_length"] for entry in listed] == [40] * failed.sum()
    assert {entry["ended_by"] for entry in listed} == {"deviation"}
    np.testing.assert_allclose([entry["start_phase"] for entry in listed], found.start_phase[failed])
    assert outcome.figures.failures.sum() == failed.sum()


@struct.dataclass
class BreakingEnv(GlidingEnv):
    """From its 40th control step on, the state of an episode is not finite."""

    def simulate(self, state, pd_target, *, force=None):
        next_state, trace = GlidingEnv.simulate(self, state, pd_target, force=force)
        return replace(next_state, qvel=jnp.where(next_state.steps >= 40, jnp.nan, next_state.qvel)), trace


def test_what_breaks_after_the_end_of_a_clip_is_no_failure_by_any_metric(env, policy):
    clip = load_clips(["stop_walking"]).motions[0]
    short = make_env([clip], env.config)
    task = BreakingEnv(**{**vars(short), "robot": RigidRobot(**vars(short.robot))})
    whole = Evaluation(task, policy, Protocol(seconds=2.0 * clip.length))
    found = mjx_engine.run_in_mjx(whole, np.zeros(8, bool), 0, jax.local_devices()).episode
    whole_ones = found.horizon < 40
    assert 0 < whole_ones.sum() < 8
    np.testing.assert_array_equal(found.survived, whole_ones)
    np.testing.assert_array_equal(found.broken, ~whole_ones)
    assert not (found.mjlab_running & ~whole_ones).any()
    assert {entry["ended_by"] for entry in summary.failures(found, ["stop"])} == {"nonfinite"}
    metrics = {metric.name: metric.values for metric in summary.episode_metrics(found, env.control_dt)}
    np.testing.assert_array_equal(metrics["mjlab_success"] > 0, found.mjlab_running)


def test_an_episode_of_the_best_clip_ends_where_that_does(policy):
    """A clip that repeats and one that does not: the reference of the second is followed to its end."""
    clips = load_clips(["stop_walking", "walk"]).motions
    short = make_env(clips, EnvConfig(clips="best"))
    task = GlidingEnv(**{**vars(short), "robot": RigidRobot(**vars(short.robot))})
    whole = Evaluation(task, policy, Protocol(seconds=2.0 * clips[0].length))
    found = mjx_engine.run_in_mjx(whole, np.ones(2, bool), 0, jax.local_devices()[:1]).episode
    assert found.horizon[0] == np.ceil(clips[0].length * 30.0 - 1e-3)
    assert found.horizon[1] == whole.steps
    assert found.survived.all()


@struct.dataclass
class FallingEnv(GlidingEnv):
    """From its 40th control step on, an episode is a metre lower."""

    def simulate(self, state, pd_target, *, force=None):
        next_state, trace = GlidingEnv.simulate(self, state, pd_target, force=force)
        down = jnp.where(next_state.steps >= 40, 1.0, 0.0)
        return replace(next_state, qpos=next_state.qpos.at[2].add(-down)), trace


@struct.dataclass
class Still:
    """A policy that leaves the motors to the reference."""

    def act(self, observation: jax.Array) -> jax.Array:
        return jnp.zeros(29)


def test_a_recording_of_skills_has_the_reward_of_the_clip_in_which_a_step_was_taken(robot):
    """Also in the step at whose end the next clip begins, in a pose far from the last one's."""
    short = make_env(load_clips(["walk", "kick"]).motions, EnvConfig(clips="skills"), robot=robot)
    task = GlidingEnv(**{**vars(short), "robot": RigidRobot(**vars(short.robot))})
    whole = Evaluation(task, Still(), Protocol(seconds=1.5))
    at_first = np.ones(4, bool)
    outcomes = (
        mjx_engine.run_in_mjx(whole, at_first, 0, jax.local_devices()[:1], recorded=4),
        mujoco_engine.run_in_mujoco(whole, at_first, 0, robot.model, recorded=4),
    )
    for outcome in outcomes:
        changed = [recording.clip[0] != recording.clip[-1] for recording in outcome.recordings]
        assert any(changed)
        rewards = [recording.reward[1:].sum() for recording in outcome.recordings]
        np.testing.assert_allclose(rewards, outcome.episode.reward, rtol=1e-6)
        failed = [recording.failure is not None for recording in outcome.recordings]
        np.testing.assert_array_equal(failed, ~outcome.episode.running)
    into_kick = outcomes[0].recordings[2]
    np.testing.assert_allclose(into_kick.reward[: into_kick.clip.argmax() + 1], 1.0, atol=1e-4)


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_transition_counts_from_its_beginning(seconds):
    """The kick lasts longer than a second; whoever falls in the first clip has made no transition."""
    clips = load_clips(["walk", "kick"]).motions
    short = make_env(clips, EnvConfig(clips="skills"))
    task = FallingEnv(**{**vars(short), "robot": RigidRobot(**vars(short.robot))})
    whole = Evaluation(task, Still(), Protocol(seconds=seconds))
    found = mjx_engine.run_in_mjx(whole, np.ones(4, bool), 0, jax.local_devices()[:1]).episode
    assert found.survived.all() == (seconds < 40 / 30)
    lenient = replace(whole, env=task.with_config(replace(task.config, fall_ends=False, max_deviation=None)))
    again = mjx_engine.run_in_mjx(lenient, np.ones(4, bool), 0, jax.local_devices()[:1]).episode
    np.testing.assert_array_equal(again.survived, found.survived)
    length = np.array([clips[clip].length for clip in found.clip])
    begins = length < min(seconds, 40 / 30)
    np.testing.assert_array_equal(found.following, np.where(begins, [0, 0, 1, 1], -1))
    assert begins.any() == (seconds > 1.0)


TRACES: list[int] = []
"""An entry for each time that a policy `Traced` is compiled."""


@struct.dataclass
class Traced(Still):
    """A policy that notes when it is compiled."""

    def act(self, observation: jax.Array) -> jax.Array:
        TRACES.append(len(observation))
        return jnp.zeros(29)


def test_mjx_compiles_once_for_all_robots_and_floors(env):
    task = GlidingEnv(**{**vars(env), "robot": RigidRobot(**vars(env.robot))})
    whole = Evaluation(task, Traced(), Protocol(seconds=0.2))
    other = {"noise": 1.0, "friction": 1.2, "mass": 1.1, "delay": 0.6}
    counts = []
    for conditions in (dict.fromkeys(other, 0.5), other):
        mjx_engine.run_in_mjx(whole.under(conditions), RANDOM, 0, jax.local_devices())
        counts.append(len(TRACES))
    assert counts[0] == counts[1] > 0
    begun = jax.jit(Evaluation.begin_all, static_argnums=3)(whole.under(other), np.arange(4), RANDOM, 0)[0]
    for name in ("friction", "mass", "delay"):
        np.testing.assert_allclose(getattr(begun.dynamics, name), np.full(4, other[name]))


def test_episodes_that_only_fill_the_devices_do_not_count(env):
    task = GlidingEnv(**{**vars(env), "robot": RigidRobot(**vars(env.robot))})
    whole = Evaluation(task, Still(), Protocol(seconds=0.5))
    devices = jax.local_devices()
    assert len(devices) == 2
    outcome = mjx_engine.run_in_mjx(whole, np.zeros(3, bool), 0, devices, recorded=3)
    np.testing.assert_array_equal(outcome.episode.steps, np.full(3, 15))
    assert outcome.figures.steps.sum() == 3 * 15
    assert [len(recording.qpos) for recording in outcome.recordings] == [16] * 3


def test_the_change_of_actions_is_that_of_the_motors(env, policy):
    """A policy far beyond the limits of the action does not shake."""

    class Saturated:
        def act(self, observation):
            return 100.0 + observation[:29]

    whole = Evaluation(env, Saturated(), Protocol(seconds=SECONDS))
    state, episode = whole.begin(jnp.int32(0), jnp.bool_(True), jax.random.key(0), jax.random.key(1))
    _, action, _ = whole.act(state, episode, jax.random.key(2))
    np.testing.assert_array_equal(action, 1.0)


@pytest.mark.parametrize("track_root", [True, False])
def test_who_is_elsewhere_succeeds_where_the_place_does_not_count(env, policy, track_root):
    task = env.with_config(replace(env.config, track_root=track_root))
    whole = Evaluation(task, policy, Protocol(seconds=SECONDS))
    state, episode = whole.begin(jnp.int32(0), jnp.bool_(True), jax.random.key(0), jax.random.key(1))
    away = replace(state, qpos=state.qpos.at[:2].add(jnp.array([3.0, -1.0])), steps=jnp.int32(1))
    _, episode, _, _ = whole.measure(episode, away, jnp.zeros(29), tracking_errors.Effort(0.0, 0.0))
    found = {m.name: m.values for m in summary.episode_metrics(jax.tree.map(lambda x: x[None], episode), 1.0)}
    assert found["success_0.25m"] == (0.0 if track_root else 1.0)
    assert (found["mpjpe_global"] > 3000.0) == track_root
    assert found["mjlab_mpkpe"] > 3000.0  # by its definition
    low = replace(away, qpos=away.qpos.at[2].add(-0.3))
    _, episode, _, _ = whole.measure(episode, low, jnp.zeros(29), tracking_errors.Effort(0.0, 0.0))
    found = {m.name: m.values for m in summary.episode_metrics(jax.tree.map(lambda x: x[None], episode), 1.0)}
    assert found["success_0.25m"] == 0.0  # a fall is none, wherever


def test_metrics_follow_from_the_tallies(in_c, env):
    episode = in_c.episode
    found = {metric.name: metric for metric in summary.episode_metrics(episode, env.control_dt)}
    length = np.asarray(episode.episode_length, float)
    np.testing.assert_allclose(found["survival"].values, length / 30.0)
    np.testing.assert_allclose(found["return_per_step"].values, episode.episode_return / length)
    np.testing.assert_allclose(
        found["mpjpe_global"].values, 1000.0 * episode.errors.global_body_position / STEPS
    )
    np.testing.assert_allclose(found["mpjpe_root"].values, 1000.0 * found["body_position"].values)
    np.testing.assert_array_equal(found["survived"].values, episode.running & (length == STEPS))
    for limit in (0.5, 0.25):
        np.testing.assert_array_equal(found[f"success_{limit}m"].values, episode.deviation <= limit)
    found_summary = found["eval_return"].summary()
    assert found_summary["mean"] == pytest.approx(episode.episode_return.mean(), rel=1e-6)
    assert found_summary["std"] == pytest.approx(episode.episode_return.std(), rel=1e-5)


def test_whoever_fails_has_not_reached_the_goal_and_who_had_no_try_does_not_count(in_c, env):
    reached = {"success": np.array([1.0, np.nan, 1.0, np.nan])}
    running = np.array([True, True, False, False])
    length = np.array([30, 30, 10, 10])
    episode = replace(
        in_c.episode, goal=reached, running=running, episode_length=length, horizon=np.full(4, 30)
    )
    measures = {"success": ("share", "hits")}
    found = {m.name: m.values for m in summary.episode_metrics(episode, env.control_dt, measures)}
    np.testing.assert_array_equal(found["goal_success"], [1.0, np.nan, 0.0, 0.0])


def test_broken_episodes_count_as_failed_and_not_as_zero_error(in_c, env):
    episode = in_c.episode
    broken = replace(episode, broken=np.array([True, False, False, False]), steps=np.array([0, 30, 30, 30]))
    found = {metric.name: metric for metric in summary.episode_metrics(broken, env.control_dt)}
    assert found["success_0.5m"].values[0] == 0.0
    assert not np.isfinite(found["mpjpe_global"].values[0])
    rest = found["mpjpe_global"].values[1:]
    assert found["mpjpe_global"].summary()["mean"] == pytest.approx(rest.mean())


def test_the_errors_of_a_training_are_those_of_an_evaluation(evaluation, env):
    """Of whole episodes from the clip's first frame, so the same states in both, and in physics without
    contacts: the two are compiled apart, and contacts make a difference of rounding grow."""
    config = replace(env.config, start="first", max_deviation=None, fall_ends=False, episode_seconds=0.5)
    whole = evaluation().under({"seconds": 0.5})
    rigid = RigidRobot(**vars(env.robot))  # has errors too, and compiles sooner
    whole = replace(whole, env=ObedientEnv(**{**vars(env), "config": config, "robot": rigid}))
    devices = jax.local_devices()[:1]
    outcome = mjx_engine.run_in_mjx(whole, np.array([True]), 0, devices)
    found = jax.jit(lambda w, key: rollout.evaluate(w.env, w.policy, 2, key))(whole, jax.random.key(0))
    expected = {metric.name: metric for metric in summary.episode_metrics(outcome.episode, env.control_dt)}
    assert found.eval_episode_length == outcome.episode.steps[0] == STEPS // 2
    for name in set(vars(found.errors)) - {"global_body_position"}:
        value = expected[name].values[0]
        assert value > 0.0
        np.testing.assert_allclose(getattr(found.errors, name), value, rtol=1e-3, err_msg=name)
    mpjpe = expected["mpjpe_global"].values[0] / 1000.0
    np.testing.assert_allclose(found.errors.global_body_position, mpjpe, rtol=1e-3)


def test_the_table_has_total_and_clips(in_c, env):
    found = summary.episode_metrics(in_c.episode, env.control_dt)
    clip = np.array([0, 1, 0, 1])
    two = summary.table(found, clip, ["a", "b"])
    assert [row["name"] for row in two["clips"]] == ["a", "b"]
    (returns,) = (metric.values for metric in found if metric.name == "eval_return")
    assert two["clips"][1]["eval_return"]["mean"] == pytest.approx(returns[1::2].mean())
    assert two["total"]["eval_return"]["mean"] == pytest.approx(returns.mean())
    assert "clips" not in summary.table(found, clip * 0, ["a"])


def test_a_line_tells_why_episodes_failed(in_c, evaluation, capsys):
    class Ran(Engine):
        def run(self, evaluation, at_first, recorded=0):
            return in_c

    report = evaluate(evaluation(), ["walk"], Ran(), episodes=EPISODES, start="random")
    counts = report.results["random"]["ended_by"]
    assert sum(counts.values()) == (~in_c.episode.survived).sum() > 0
    report.show("a run")
    causes = ", ".join(f"ended_by_{name} {count}" for name, count in counts.items())
    assert f"from random phases, episodes that failed: {causes}\n" in capsys.readouterr().out


def test_mujoco_does_not_go_on_from_robots_that_differ(evaluation, env):
    state = env.reset_to(jnp.int32(0), jnp.float32(0.0))
    states = jax.tree.map(lambda x: x[None], replace(state, dynamics=Dynamics(mass=jnp.float32(1.1))))
    whole = replace(evaluation(), starts=states)
    message = refusal(Engine("mujoco").run, whole, RANDOM)
    assert message.startswith("option --engine: mujoco simulates one robot")


def test_where_each_clip_has_its_own_phase_an_evaluation_does_not_go_on_from_a_training(robot):
    env = make_env(load_clips(["walk", "kick"]).motions, EnvConfig(clips="best"), robot=robot)
    starts = jax.tree.map(lambda x: x[None], env.reset_to(jnp.int32(0), jnp.float32(0.5)))
    whole = Evaluation(env, Still(), Protocol(), starts)
    message = refusal(evaluate, whole, ["walk", "kick"], start="training")
    assert message.startswith("option --start: training does not go on with a run of --env.clips best")


def test_a_broken_simulation_stays_in_its_last_finite_state():
    """So does a reference that goes with the robot, and what shows a goal; the gravest cause has the name."""
    flags = np.zeros((4, 1), bool)
    broken = np.array([[False], [False], [True], [True]])
    qpos = np.arange(4.0)[:, None, None] * np.ones((1, 1, 36))
    lost = np.where(broken[..., None], np.nan, qpos)
    snapshots = Snapshot(
        qpos=lost,
        qvel=lost[..., :35],
        reference=lost,
        phase=flags * 0.0,
        reward=flags * 0.0,
        causes=Causes(broken, broken, broken, flags, flags),
        clip=flags * 0,
        markers=lost[..., None, :3],
    )
    (found,) = recordings(snapshots, np.array([3]), 30.0)
    for name in ("qpos", "qvel", "reference", "markers"):
        values = getattr(found, name)
        np.testing.assert_array_equal(values.reshape(4, -1)[:, 0], [0.0, 1.0, 1.0, 1.0], err_msg=name)
    assert found.failure == (2, "nonfinite")


def test_the_same_seed_gives_the_same_episodes(evaluation, in_c):
    again = mujoco_engine.run_in_mujoco(evaluation(), RANDOM, 0, evaluation().env.robot.model)
    jax.tree.map(np.testing.assert_array_equal, again.episode, in_c.episode)
    assert again.recordings == []


def test_recordings_are_the_episodes(in_c, in_mjx):
    for outcome in (in_c, in_mjx):
        assert len(outcome.recordings) == EPISODES
        causes = [recording.failure[1] for recording in outcome.recordings if recording.failure]
        assert [entry["ended_by"] for entry in summary.failures(outcome.episode, ["walk"])] == causes
        for i, recording in enumerate(outcome.recordings):
            episode = jax.tree.map(lambda x, i=i: x[i], outcome.episode)
            assert recording.qpos.shape == recording.reference.shape == (STEPS + 1, 36)
            assert recording.fps == 30.0
            np.testing.assert_array_equal(recording.qpos[0], recording.reference[0])
            np.testing.assert_allclose(recording.reward[0], 1.0, atol=0.01)  # a start's velocity is smoothed
            np.testing.assert_allclose(recording.reward[1:].sum(), episode.reward, rtol=1e-5)
            steps = recording.failure[0] if recording.failure else STEPS
            assert steps == episode.episode_length
            assert bool(recording.failure) == (not episode.running)
            np.testing.assert_allclose(np.diff(recording.phase) % 1.0, 1.0 / 33.0, atol=1e-4)


def test_a_broken_simulation_is_recorded_up_to_its_last_finite_state(in_c):
    (first, *_) = in_c.recordings
    flags = {name: np.stack([values, values], axis=1) for name, values in vars(first.causes).items()}
    flags["nonfinite"][5:, 0] = True
    fields = {
        name: np.stack([value] * 2, axis=1)
        for name, value in vars(first).items()
        if name not in ("fps", "causes") and value is not None
    }
    fields["qpos"][5:, 0] = np.nan
    broken, whole = recordings(Snapshot(**fields, causes=Causes(**flags)), [STEPS, 10], 30.0)
    assert broken.failure == (5, "nonfinite")
    np.testing.assert_array_equal(broken.qpos[5:], np.tile(first.qpos[4], (STEPS - 4, 1)))
    assert whole.qpos.shape == (11, 36)


def test_a_push_comes_every_two_seconds_horizontally(evaluation):
    pushing = evaluation(push=0.7)
    state, episode, _ = jax.jit(pushing.begin_all)(jnp.arange(16), jnp.zeros(16, bool), 0)

    @jax.jit
    def kicks(number: jax.Array) -> jax.Array:
        """(16, 35) change of qvel at control step `number` + 1."""
        here = replace(state, steps=jnp.full(16, number, jnp.int32))
        return pushing.act_all(here, episode, jnp.arange(16), number + 1, 0)[0].qvel - state.qvel

    found = np.asarray(jax.lax.map(kicks, jnp.arange(300)))  # 10 s
    speed = np.linalg.norm(found[..., :2], axis=-1)
    assert (np.abs(found[..., 2:]) == 0.0).all()
    assert ((speed > 0).sum(axis=0) == 5).all()
    np.testing.assert_allclose(speed[speed > 0], 0.7, rtol=1e-3)
    directions = np.arctan2(found[..., 1], found[..., 0])[speed > 0]
    assert np.abs(np.exp(1j * directions).mean()) < 0.3
    assert len(np.unique(speed.argmax(axis=0))) > 8  # not all at the same moment


def test_noise_reaches_the_policy_and_not_the_robot(evaluation, policy):
    awake = replace(policy, params=jax.tree.map(lambda x: 20.0 * x, policy.params))
    acts = []
    act = jax.jit(Evaluation.act_all, static_argnums=5)
    state, episode, _ = jax.jit(evaluation().begin_all)(jnp.arange(4), RANDOM, 0)
    for noise in (0.0, 1.0):
        noisy = replace(evaluation(noise=noise), policy=awake)
        after, action, _ = act(noisy, state, episode, jnp.arange(4), 1, 0)
        jax.tree.map(np.testing.assert_array_equal, after, state)
        acts.append(np.asarray(action))
    assert (np.abs(acts[0] - acts[1]).max(axis=1) > 0.01).all()


def test_episodes_that_go_through_the_same_skills_start_at_different_phases(policy, robot):
    env = make_env(load_clips(["walk", "kick"]).motions, EnvConfig(clips="skills"), robot=robot)
    whole = Evaluation(env, policy, plan=(0, 1))
    phases = jax.vmap(whole.start_phase, (0, None))(jnp.arange(8), jax.random.key(0))
    assert len(set(np.round(np.asarray(phases), 4))) == 8


def test_episodes_start_at_the_first_frame_or_anywhere(evaluation, env):
    at_first = np.arange(64) < 3
    begin = jax.jit(Evaluation.begin_all)
    states, _, _ = begin(evaluation(), jnp.arange(64), at_first, 0)
    assert (states.start_time[:3] == 0.0).all()
    np.testing.assert_array_equal(states.qpos[0], states.qpos[2])
    for seed in (0, 1):
        states, _, _ = begin(evaluation(), jnp.arange(64), at_first, seed)
        phases = np.sort(states.start_time[3:] / env.library.length[states.clip[3:]])
        # Evenly: no gap is twice as long as the mean one.
        assert np.diff(phases, append=phases[0] + 1.0).max() < 2.0 / 61


# Another model -----------------------------------------------------------------------------------------


def test_another_g1_is_driven_by_our_motors_alone(env, robot, shared, tmp_path):
    spec = mujoco.MjSpec.from_file(str(shared / "g1" / "g1_mimickit.xml"))
    for part in [geom for geom in spec.geoms if geom.meshname] + list(spec.meshes):
        spec.delete(part)  # their files are not there
    spec.add_key(name="rest", ctrl=np.zeros(len(spec.actuators)))
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.add_sensor(
        type=mujoco.mjtSensor.mjSENS_ACTUATORFRC,
        objtype=mujoco.mjtObj.mjOBJ_ACTUATOR,
        objname=spec.actuators[0].name,
        name="load",
    )
    ball = '<body name="ball" pos="2 0 0.1"><freejoint/><geom size="0.1"/></body>'  # before the robot
    (tmp_path / "other.xml").write_text(spec.to_xml().replace("<worldbody>", f"<worldbody>{ball}", 1))
    other = mujoco_engine.load_other(tmp_path / "other.xml", robot)
    assert other.nu == 29
    assert not other.jnt_stiffness.any()
    assert not other.dof_damping.any()
    positions, velocities, controls = mujoco_engine.addresses(other)
    np.testing.assert_array_equal(positions, 7 + np.arange(36))
    np.testing.assert_array_equal(velocities, 6 + np.arange(35))
    np.testing.assert_array_equal(controls, np.arange(29))
    np.testing.assert_allclose(other.actuator_gainprm[:, 0], robot.kp)
    np.testing.assert_allclose(-other.actuator_biasprm[:, 2], robot.kd)
    np.testing.assert_allclose(other.actuator_forcerange[:, 1], robot.effort_limit)
    assert other.opt.timestep == robot.model.opt.timestep
    assert other.opt.integrator == robot.model.opt.integrator  # another would damp the motors twice
    heavy = other.body_mass.sum() - other.body("ball").mass[0]
    found = Engine("mujoco", mjcf=tmp_path / "other.xml").mass(Evaluation(env, policy=None))
    assert found == pytest.approx(heavy)
    # Fixed to the world, it is refused, also where something else is free.
    spec.delete(next(joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE))
    ball_after = f"{ball}</worldbody>"
    (tmp_path / "fixed.xml").write_text(spec.to_xml().replace("</worldbody>", ball_after, 1))
    message = refusal(mujoco_engine.load_other, tmp_path / "fixed.xml", robot)
    assert "--mjcf has no free joint of the robot" in message


BAD_MODELS = {
    "no XML": ("not xml", "cannot be read"),
    "no joints": ("<mujoco><worldbody/></mujoco>", "has no joint left_hip_pitch_joint (29 missing)"),
}


@pytest.mark.parametrize("defect", BAD_MODELS)
def test_a_bad_model_is_refused_in_a_line(robot, tmp_path, defect):
    text, words = BAD_MODELS[defect]
    (tmp_path / "other.xml").write_text(text)
    with pytest.raises(UserError) as caught:
        mujoco_engine.load_other(tmp_path / "other.xml", robot)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# MJX and MuJoCo in C -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hundred_steps(env) -> tuple[np.ndarray, np.ndarray]:
    """Largest difference of a joint angle, rad, or root coordinate, each (17, 8), over 17 control steps, 102
    physics steps, of random actions; four robots in the air, four on the floor: between MJX and MuJoCo in C,
    and between MuJoCo in C with the solver's one iteration and with a hundred."""
    rng = np.random.default_rng(0)
    stand = env.robot.model.key("stand").qpos
    qpos, qvel = np.tile(stand, (8, 1)), np.zeros((8, 35))
    qpos[:4, 2] += 5.0
    state = jax.vmap(env.reset_to)(jnp.zeros(8, jnp.int32), jnp.zeros(8))
    state = replace(state, qpos=jnp.asarray(qpos, jnp.float32), qvel=jnp.zeros((8, 35)))
    simulate = jax.jit(jax.vmap(env.simulate))
    converged = copy.copy(env.robot.model)
    converged.opt.iterations = converged.opt.ls_iterations = 100
    simulations = [mujoco_engine.Simulations(model, qpos, qvel) for model in (env.robot.model, converged)]
    velocities, unlike = [qvel, qvel], []
    for _ in range(17):
        target = (stand[7:] + 0.2 * rng.normal(size=(8, 29))).astype(np.float32)
        state, _ = simulate(state, target)
        places = [np.asarray(state.qpos)]
        for i, simulation in enumerate(simulations):
            moved, speeds = simulation.step(velocities[i], np.repeat(target[:, None], env.substeps, axis=1))
            velocities[i] = speeds[:, -1]
            places.append(moved[:, -1])
        unlike.append([np.abs(places[i] - places[1]).max(axis=1) for i in (0, 2)])
    assert np.asarray(state.qpos)[4:, 2].max() < stand[2] + 0.1
    in_mjx, in_converged = np.moveaxis(np.array(unlike), 1, 0)
    return in_mjx, in_converged


def test_a_hundred_random_steps_in_the_air_are_mujocos(hundred_steps):
    assert hundred_steps[0][:, :4].max() < 1e-4


def test_a_hundred_random_steps_on_the_floor_stay_near_mujocos(hundred_steps):
    """One iteration of Newton's method is not the last word, and MJX and C search lines differently: MJX must
    be no farther from C than C is from itself with a converged solver."""
    in_mjx, in_converged = (unlike[:, 4:] for unlike in hundred_steps)
    assert np.median(in_mjx) < np.median(in_converged)
    assert in_mjx.max() < 0.2


def test_a_goal_is_the_same_in_both_engines_and_in_the_table(env, policy):
    """Drawn, changed and counted alike; the policy acts on what it saw without the goal."""
    goal = env.with_config(replace(env.config, goal="heading", heading=HeadingConfig(interval=0.2)))
    goal = replace(goal, robot=RigidRobot(**vars(env.robot)))  # a heading is the root's alone
    sees_goal = Policy(policy.params, empty(126), policy.network.clone(inputs=123))
    walk = Evaluation(goal, sees_goal, Protocol(seconds=0.5))
    c = mujoco_engine.run_in_mujoco(walk, RANDOM, 0, env.robot.model).episode
    x = mjx_engine.run_in_mjx(walk, RANDOM, 0, jax.local_devices()).episode
    assert set(c.goal) == set(goal.goal.measures)
    for name in ("speed_error", "heading_error"):
        np.testing.assert_allclose(c.goal[name], x.goal[name], rtol=0.15, atol=0.02, err_msg=name)
    assert np.all(c.goal["heading_error"] > 5.0)
    metrics = {m.name: m for m in summary.episode_metrics(c, 1.0 / 30.0, goal.goal.measures)}
    np.testing.assert_array_equal(metrics["goal_speed_error"].values, c.goal["speed_error"])
    assert metrics["goal_speed_error"].unit == "m/s"
    fallen = replace(c, goal={**c.goal, "success": np.ones(EPISODES)}, running=np.arange(EPISODES) > 1)
    metrics = {m.name: m for m in summary.episode_metrics(fallen, 1.0 / 30.0, goal.goal.measures)}
    np.testing.assert_array_equal(metrics["goal_success"].values, metrics["survived"].values)
    assert metrics["goal_success"].values[0] == 0.0
