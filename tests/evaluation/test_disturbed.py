"""Forces on the pelvis, the search for the largest, grids of conditions, and mjlab's metrics."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refusal
from helpers.small_run import sway
from scipy.spatial.transform import Rotation

from mjx_mimic.config import DIRECTIONS, EnvConfig, NetworkConfig
from mjx_mimic.evaluate import EvaluateCommand, check, conditions
from mjx_mimic.evaluation import force_limit, mjlab_metrics, mujoco_engine
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.grid import Grid, evaluate_grid
from mjx_mimic.evaluation.protocol import Protocol
from mjx_mimic.evaluation.report import evaluate
from mjx_mimic.learning.networks import Actor
from mjx_mimic.learning.normalizer import empty
from mjx_mimic.learning.policy import Policy
from mjx_mimic.task.making import make_env


@pytest.fixture(scope="module")
def evaluation(robot) -> Evaluation:
    env = make_env([sway()], EnvConfig(), robot=robot)
    size = len(jax.jit(env.observe)(env.reset_to(jnp.int32(0), jnp.float32(0.0))))
    actor = Actor(NetworkConfig((4,), (4,)), env.num_actions)
    policy = Policy(actor.init(jax.random.key(0), jnp.zeros(size)), empty(size), actor)
    return Evaluation(env, policy, Protocol(seconds=4.0, force_seconds=0.2))


def test_a_force_changes_the_momentum_by_its_impulse(evaluation):
    """A robot in the air: the same in both engines, beside one that only falls."""
    env = evaluation.env
    state = env.reset_to(jnp.int32(0), jnp.float32(0.0))
    qpos = state.qpos.at[2].add(5.0)
    state = replace(state, qpos=qpos, qvel=jnp.zeros(35))
    force = jnp.array([60.0, -30.0, 0.0])
    simulate = jax.jit(lambda f: env.simulate(state, qpos[7:], force=f)[0])
    simulation = mujoco_engine.Simulations(env.robot.model, np.asarray(qpos, float)[None], np.zeros((1, 35)))
    targets = np.tile(np.asarray(qpos[7:], float), (1, env.substeps, 1))
    in_c = simulation.step(np.zeros((1, 35)), targets, np.asarray(force, float)[None])
    states = [
        simulate(force),
        simulate(0.0 * force),
        replace(state, qpos=in_c[0][0, -1], qvel=in_c[1][0, -1]),
    ]
    momentum = [linear_momentum(env.robot.model, state) for state in states]
    impulse = np.asarray(force) * env.control_dt
    np.testing.assert_allclose(momentum[0] - momentum[1], impulse, atol=1e-2)  # of Euler's method
    np.testing.assert_allclose(momentum[2], momentum[0], atol=5e-3)


def linear_momentum(model, state) -> np.ndarray:
    data = mujoco_engine.mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco_engine.mujoco.mj_forward(model, data)
    mujoco_engine.mujoco.mj_subtreeVel(model, data)
    return model.body_mass.sum() * data.subtree_linvel[0]


def test_a_force_acts_once_for_its_time_in_the_robots_heading(evaluation):
    whole = evaluation.with_force("left", 100.0)
    state, episode = evaluation.begin(jnp.int32(0), jnp.bool_(False), *jax.random.split(jax.random.key(3)))
    heading = 0.7
    turn = Rotation.from_euler("ZYX", [heading, 0.2, 0.1]).as_quat(scalar_first=True)
    state = replace(state, qpos=state.qpos.at[3:7].set(jnp.asarray(turn)))

    def at(step):
        return whole.force(replace(state, steps=step), episode, jnp.int32(5))

    forces = np.asarray(jax.jit(jax.vmap(at))(jnp.arange(120)))
    acting = np.flatnonzero(np.abs(forces).max(axis=1))
    first = 30 + int(episode.push_offset)
    np.testing.assert_array_equal(acting, np.arange(first, first + 6))
    np.testing.assert_allclose(
        forces[acting], np.tile([-100.0 * np.sin(heading), 100.0 * np.cos(heading), 0.0], (6, 1)), atol=1e-3
    )
    assert evaluation.force(state, episode, jnp.int32(5)) is None


def test_the_largest_force_is_found_in_each_direction(evaluation, capsys):
    """Of robots that survive 333 N forward, 50 N backward, anything to the left, nothing to the right."""
    limits = dict(zip(DIRECTIONS, (333.0, 50.0, 1e9, -1.0), strict=True))

    class Stub(Engine):
        def run(self, evaluation, at_first, recorded=0):
            forces = np.asarray(evaluation.forces)
            assert len(forces) == len(at_first)
            episode = np.arange(len(forces))
            reach = np.zeros(len(forces))
            for name, direction in DIRECTIONS.items():
                is_of = forces @ direction > 0.0
                assert {0, 1} == set(episode[is_of] % 2)  # each direction has all clips
                reach[is_of] = limits[name]
            # Of two clips the second ends half a second after the force, and is survived by all.
            short = episode % 2 == 1
            early = episode % 8 == 0  # fails in the last step before the force
            survived = short | (np.linalg.norm(forces, axis=1) <= reach) & ~early
            horizon = np.where(short, 67, 300)
            length = np.where(early, 50, np.where(survived, horizon, 60))
            offset = np.full(len(forces), 20)
            found = SimpleNamespace(
                survived=survived, horizon=horizon, push_offset=offset, episode_length=length
            )
            return SimpleNamespace(episode=found)

    evaluation = evaluation.under({"mass": 0.8, "force_seconds": 0.05})
    found = force_limit.find_limits(evaluation, Stub())
    resolution = force_limit.MOST_FORCE / 2**force_limit.ROUNDS
    for name, newtons in found.newtons.items():
        assert 0.0 <= min(limits[name], force_limit.MOST_FORCE) - newtons <= resolution or name == "right"
    assert found.newtons["right"] == 0.0
    # Of the others, half have no second left to fall in, and an eighth fail before.
    assert found.episodes == force_limit.EPISODES * 3 // 8
    found.show("a run")
    shown = " ".join(capsys.readouterr().out.split())
    assert "left at least 1588 N" in shown
    assert "forward 325 N" in shown
    assert "right less than 12.5 N warning: only 24 episodes count" in shown
    assert found.mass == pytest.approx(0.8 * evaluation.env.robot.model.body_mass.sum(), rel=1e-5)
    assert found.seconds == pytest.approx(2.0 / 30.0)  # whole control steps


def test_every_direction_has_all_pairs_of_skills(robot, evaluation, capsys):
    """Also where there are more of them than episodes are asked for."""
    clips = [replace(sway(), name=f"sway {number}") for number in range(9)]
    env = make_env(clips, EnvConfig(clips="skills"), robot=robot)
    evaluation = replace(evaluation, env=env)
    assert evaluation.kinds > force_limit.EPISODES

    class Stub(Engine):
        def run(self, evaluation, at_first, recorded=0):
            first, following = evaluation.skills_of(np.arange(len(at_first)))
            forces = np.asarray(evaluation.forces)
            for direction in DIRECTIONS.values():
                is_of = forces @ direction > 0.0
                _, counts = np.unique([first[is_of], following[0][is_of]], axis=1, return_counts=True)
                np.testing.assert_array_equal(counts, np.ones(81))
            survived = np.ones(len(at_first), bool)
            episode = SimpleNamespace(
                survived=survived,
                horizon=300 * survived,
                push_offset=np.zeros(len(at_first), int),
                episode_length=300 * survived,
            )
            return SimpleNamespace(episode=episode)

    found = force_limit.find_limits(evaluation, Stub())
    assert found.episodes == 81
    found.show("a run")
    shown = " ".join(capsys.readouterr().out.split())
    assert "90% of 81 episodes" in shown
    assert "warning" not in shown


@pytest.mark.parametrize(("horizon", "length"), [(50, 50), (300, 20)])
def test_a_search_in_episodes_that_end_before_the_force_is_refused(evaluation, horizon, length):
    class Stub(Engine):
        def run(self, evaluation, at_first, recorded=0):
            columns = {"horizon": horizon, "episode_length": length, "push_offset": 15}
            columns = {name: np.full(len(at_first), value) for name, value in columns.items()}
            survived = columns["episode_length"] >= horizon
            return SimpleNamespace(episode=SimpleNamespace(survived=survived, **columns))

    message = refusal(force_limit.find_limits, evaluation, Stub())
    assert message.startswith("option --find-limit: in some direction every episode fails before the force")


def test_a_search_has_time_for_the_force_and_a_second_after_it():
    command = EvaluateCommand("run", find_limit=True, seconds=4.4, duration=0.5)
    message = refusal(check, command)
    assert message.startswith("option --seconds: --find-limit has a force after 1 to 3 s")
    assert message.endswith("give at least 4.5")
    check(replace(command, seconds=4.5))


@pytest.fixture(scope="module")
def short_and_long(robot, evaluation) -> Evaluation:
    """Of two clips the second does not repeat, and lasts a second."""
    env = make_env([sway(), replace(sway(), name="short", loop="clamp")], EnvConfig(), robot=robot)
    return replace(evaluation, env=env)


class Begun(Engine):
    """Does not run episodes, and has all of them survive to their end."""

    def run(self, evaluation, at_first, recorded=0):
        index = jnp.arange(len(at_first))
        begun = jax.jit(Evaluation.begin_all, static_argnums=3)(evaluation, index, at_first, 0)
        episode = jax.tree.map(np.asarray, replace(begun[1], episode_length=begun[1].horizon))
        return SimpleNamespace(episode=episode)


@pytest.mark.parametrize("what", ["kick", "force"])
def test_clips_too_short_for_what_disturbs_them_are_named(short_and_long, what, capsys):
    is_kick = what == "kick"
    whole = short_and_long.under({"push": 0.5}) if is_kick else short_and_long.with_force("left", 50.0)
    report = evaluate(whole, ["sway", "short"], Begun(), episodes=4, start="random")
    name = "the first kick" if is_kick else "the force"
    line = f"2 of 4 episodes end before {name}, or within a second after it"
    assert report.results["warnings"] == [f"{line}, and do not tell who survives it: short 2"]
    report.show("a run")
    printed = capsys.readouterr().out
    assert f"warning: {line}" in printed
    assert "episodes that failed" not in printed
    undisturbed = evaluate(short_and_long, ["sway", "short"], Begun(), episodes=4, start="random")
    assert undisturbed.results["warnings"] == []


def test_each_clip_has_as_many_episodes_and_a_grid_says_so_once(short_and_long, capsys):
    masses = [{"mass": 0.9}, {"mass": 1.1}]
    grid = evaluate_grid(short_and_long, ["sway", "short"], masses, Begun(), episodes=3)
    grid.show("a run")
    assert len(grid.rows) == 2
    assert capsys.readouterr().out.count("warning: option --episodes: 4 instead of 3, so that each clip") == 1
    report = evaluate(short_and_long, ["sway", "short"], Begun(), episodes=3, start="random")
    assert [row["survived"]["count"] for row in report.results["random"]["clips"]] == [2, 2]


def test_conditions_are_every_combination():
    command = EvaluateCommand("run", friction=(0.4, 1.2), delay=(0.6,))
    assert conditions(command, 30.0) == [{"friction": 0.4, "delay": 0.6}, {"friction": 1.2, "delay": 0.6}]
    assert conditions(EvaluateCommand("run"), 30.0) == [{}]
    whole = conditions(EvaluateCommand("run", grid=True, mass=(2.0,)), 50.0)
    assert len(whole) == 2 * 3 * 2
    assert {row["mass"] for row in whole} == {2.0}
    assert {row["delay"] for row in whole} == {0.0, 1.0}


def test_a_grid_is_printed_drawn_and_written(tmp_path, capsys):
    rows = [
        {"noise": 0.0, "mass": mass, "survived": share, "eval_return": 1.0, "mpjpe_global": None}
        for mass, share in ((0.9, 0.25), (1.1, 1.0))
    ]
    grid = Grid("mujoco", rows, 1.0 / 30.0)
    grid.show("a run")
    assert "0.25" in capsys.readouterr().out
    grid.write_plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    grid.write_json(tmp_path / "a.json", {"run": "a"})
    assert json.loads((tmp_path / "a.json").read_text())["grid"] == rows


def test_a_grid_prints_the_delay_that_it_has(capsys):
    """At 200 control steps per second the longest delay, of two of them, is less than 20 ms."""
    rows = [
        {**row, "survived": 1.0, "eval_return": 1.0, "mpjpe_global": 1.0}
        for row in conditions(EvaluateCommand("run", grid=True), 200.0)
    ]
    Grid("mjx", rows, 1.0 / 200.0).show("a run")
    printed = capsys.readouterr().out
    assert "0 (0 ms)" in printed
    assert "2 (10 ms)" in printed


def test_what_is_compiled_for_one_combination_of_a_grid_serves_all(evaluation):
    whole = conditions(EvaluateCommand("run", grid=True), 30.0)
    assert len({jax.tree.structure(evaluation.under(condition)) for condition in whole}) == 1
    assert jax.tree.structure(evaluation) != jax.tree.structure(evaluation.under(whole[0]))


def test_mjlabs_errors_are_those_of_its_definitions(robot, character_of):
    rng = np.random.default_rng(0)
    stand = robot.model.key("stand").qpos
    qpos = np.tile(stand, (2, 1))
    qpos[:, 7:] += 0.1 * rng.normal(size=(2, 29))
    qpos[:, :2] = rng.normal(size=(2, 2))
    for row, angles in enumerate(([0.4, 0.1, 0.0], [-0.9, 0.0, 0.2])):
        qpos[row, 3:7] = Rotation.from_euler("zyx", angles).as_quat(scalar_first=True)
    qvel = rng.normal(size=(2, 35))
    both = character_of(qpos, qvel)
    state, target = (jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), both) for i in (0, 1))
    errors, ends = mjlab_metrics.mjlab_errors(robot, state, target)
    rows = [robot.body_names.index(name) for name in mjlab_metrics.TRACKED]
    hands = [robot.body_names.index(name) for name in mjlab_metrics.END_EFFECTORS]
    torso = robot.body_names.index("torso_link")
    assert len(set(rows)) == 14

    def mean_distance(a, b):
        return np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).mean()

    here, there = np.asarray(state.body_pos, float), np.asarray(target.body_pos, float)
    np.testing.assert_allclose(errors.mpkpe, mean_distance(here[rows], there[rows]), rtol=1e-5)
    square = sum((qvel[0, 6:] - qvel[1, 6:]) ** 2) / 29
    np.testing.assert_allclose(errors.joint_velocity, square**0.5, rtol=1e-5)
    turns = [Rotation.from_quat(np.asarray(s.body_quat, float), scalar_first=True) for s in (state, target)]
    forward = (turns[0][torso] * turns[1][torso].inv()).apply([1.0, 0.0, 0.0])
    yaw = Rotation.from_euler("z", np.arctan2(forward[1], forward[0]))
    origin = np.array([*here[torso, :2], there[torso, 2]])
    moved = origin + yaw.apply(there - there[torso])
    np.testing.assert_allclose(errors.mpkpe_root, mean_distance(moved[rows], here[rows]), rtol=1e-4)
    expected = mean_distance(moved[hands], here[hands])
    np.testing.assert_allclose(errors.end_effector_position, expected, rtol=1e-4)
    angle = ((yaw * turns[1][hands]).inv() * turns[0][hands]).magnitude().mean()
    np.testing.assert_allclose(errors.end_effector_rotation, angle, rtol=1e-4)
    heights = np.abs([*(moved[hands, 2] - here[hands, 2]), there[torso, 2] - here[torso, 2]])
    assert bool(ends) == bool((heights > 0.25).any())
    lying = replace(state, body_pos=state.body_pos - jnp.array([0.0, 0.0, 0.3]))
    assert mjlab_metrics.mjlab_errors(robot, lying, target)[1]


def test_by_mjlab_a_pose_elsewhere_that_is_turned_has_no_error_from_its_root(robot, character_of):
    rng = np.random.default_rng(1)
    qpos = np.tile(robot.model.key("stand").qpos, (2, 1))
    qpos[:, 7:] += 0.1 * rng.normal(size=29)
    lean = Rotation.from_euler("yx", [0.1, -0.05])
    turn = Rotation.from_euler("z", 30.0, degrees=True)
    qpos[0, 3:7] = lean.as_quat(scalar_first=True)
    qpos[1, 3:7] = (turn * lean).as_quat(scalar_first=True)
    qpos[1, :2] += [0.3, -0.2]
    both = character_of(qpos, np.zeros((2, 35)))
    state, target = (jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), both) for i in (0, 1))
    errors, ends = mjlab_metrics.mjlab_errors(robot, state, target)
    np.testing.assert_allclose(errors.mpkpe_root, 0.0, atol=1e-6)
    np.testing.assert_allclose(errors.end_effector_position, 0.0, atol=1e-6)
    assert errors.mpkpe > 0.3
    assert not ends
