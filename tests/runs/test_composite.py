"""Runs that are composed of others: who acts, what is chosen, what is refused, and the commands on them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import command_refusal, refusal
from helpers.robots import RigidRobot
from helpers.small_run import sway

from mjx_mimic import compose, evaluate, export, render, train, view
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.formats import native
from mjx_mimic.config import (
    EnvConfig,
    HeadingConfig,
    NetworkConfig,
    PPOConfig,
    RandomizationConfig,
    TrainConfig,
)
from mjx_mimic.config_yaml import read_run
from mjx_mimic.display.side_by_side import open_run
from mjx_mimic.learning.learner import Learner
from mjx_mimic.runs import folder, own_clips
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.task import making
from mjx_mimic.task.making import make_env
from mjx_mimic.task.skills import OPEN

ENV = EnvConfig(contacts="feet", episode_seconds=0.4)
ROBOTS = RandomizationConfig(friction=(0.4, 1.2), kp=(0.9, 1.1), delay=(0.0, 1.0))
PRIVILEGED = replace(ENV, privileged_critic=True, randomization=ROBOTS)
CONFIG = TrainConfig(num_envs=2, network=NetworkConfig((16,), (16,)), env=ENV)
OTHER = replace(CONFIG, network=NetworkConfig((8, 8), (24,), "tanh", learn_std=False))


@pytest.fixture(scope="module", autouse=True)
def rigid(robot) -> Iterator[RigidRobot]:
    """The robot of all tasks here: what is asked is who acts, and when."""
    light = RigidRobot(**vars(robot))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "load_robot", lambda *_, **__: light)
        yield light


@pytest.fixture(scope="module")
def make_run(tmp_path_factory, rigid) -> Callable[..., Path]:
    """A run of random networks, of which none has been trained, on the clips of these amplitudes."""
    home = tmp_path_factory.mktemp("members")

    def make(name: str, amplitudes: tuple[float, ...], config: TrainConfig = CONFIG, seed: int = 0) -> Path:
        path = home / name
        files = [home / f"sway {amplitude}.npz" for amplitude in amplitudes]
        for file, amplitude in zip(files, amplitudes, strict=True):
            native.write(file, replace(sway(amplitude), name=file.stem))
        config = replace(config, motion=tuple(map(str, files)))
        clips = load_clips(config.motion)
        folder.create(path, config, clips, 1)
        task = make_env(clips.motions, config.env, robot=rigid)
        learner = Learner(task, config, tuple(jax.local_devices()[:1]))
        state = learner.init(jax.random.key(seed))
        larger = jax.tree.map(lambda x: 5.0 * x, state.actor.params)
        state = replace(state, actor=replace(state.actor, params=larger))
        Checkpoints(path).save(state, Progress(512 + seed, 1.0, 7.0), is_best=True)
        return path

    return make


@pytest.fixture(scope="module")
def members(make_run) -> tuple[Path, Path]:
    """Two runs with other networks, one of them of two clips."""
    return make_run("one", (0.1,)), make_run("two", (0.3, 0.6), OTHER, seed=1)


@pytest.fixture(scope="module")
def composite(members, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("composite") / "run"
    assert compose.main([*map(str, members), "--out", str(path), "--temperature", "0.5"]) == 0
    return path


@pytest.fixture(scope="module")
def task(composite, rigid):
    policy, env = folder.load_policy(composite)
    return policy, replace(env, robot=rigid)


# Who acts ----------------------------------------------------------------------------------------------


def test_the_member_whose_clip_is_active_acts(composite, members, rigid, task):
    policy, env = task
    for clip, (member, own_clip) in enumerate([(0, 0), (1, 0), (1, 1)]):
        own_policy, own_env = folder.load_policy(members[member])
        own_env = replace(own_env, robot=rigid)
        seen = env.observe(env.reset_to(jnp.int32(clip), jnp.float32(0.3)))
        own_seen = own_env.observe(own_env.reset_to(jnp.int32(own_clip), jnp.float32(0.3)))
        assert len(seen) == len(own_seen) + 3
        np.testing.assert_allclose(seen[: len(own_seen)], own_seen, atol=1e-5)
        np.testing.assert_array_equal(policy.act(seen), own_policy.act(seen[: len(own_seen)]))
        np.testing.assert_allclose(policy.act(jnp.stack([seen, seen]))[1], policy.act(seen), atol=1e-6)


# What is chosen ----------------------------------------------------------------------------------------


def values_by_hand(composite: Path, env, state) -> np.ndarray:
    """V (C,) of each clip's member, with the clip's number taken out of its observation."""
    found = []
    for clip, member in enumerate([0, 1, 1]):
        alone = env.with_config(replace(env.config, clips="one"))
        _, value = folder.load_networks(folder.member_folder(composite, member), "best", alone)
        seen = env.observe(env.begin_skill(state, jnp.int32(clip)))
        inputs = sum(alone.observation_sizes().values())
        found.append(float(value(jnp.concatenate([seen[:inputs], seen[inputs + 3 :]]))))
    return np.array(found)


def test_chances_are_boltzmanns(composite, task):
    _, env = task
    state = env.reset_to(jnp.int32(1), jnp.float32(0.4), jax.random.key(3))
    values = values_by_hand(composite, env, state)
    assert np.ptp(values) > 0.01
    chances = np.exp(values / 0.5) / np.exp(values / 0.5).sum()
    logits = env.choice.logits(env.observations_of_skills(state))
    np.testing.assert_allclose(jax.nn.softmax(logits), chances, rtol=1e-4)

    def draw(key):
        keyed = replace(state, skills=replace(state.skills, key=jax.random.key_data(key)))
        return env.begin_next_skill(keyed).clip

    drawn = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 3000))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 3000, chances, atol=0.03)


@pytest.mark.slow
def test_the_values_see_what_a_privileged_critic_sees(make_run, rigid, tmp_path):
    config = replace(CONFIG, env=PRIVILEGED)
    runs = [make_run("all a", (0.1,), config), make_run("all b", (0.3, 0.6), config, seed=1)]
    compose.main([*map(str, runs), "--out", str(tmp_path / "run")])
    _, env = folder.load_policy(tmp_path / "run")
    env = replace(env, robot=rigid)
    state = env.reset_to(jnp.int32(1), jnp.float32(0.4))
    found = env.choice.values(env.observations_of_skills(state))
    np.testing.assert_allclose(found, values_by_hand(tmp_path / "run", env, state), rtol=1e-5)


def test_a_seed_reproduces_the_choices_which_come_with_the_cycles(task):
    _, env = task

    @jax.jit
    def clips(key):
        def advance(state, _):
            qpos, qvel = env.reference_coordinates(state, ahead=1)
            state = replace(state, qpos=qpos, qvel=qvel, steps=state.steps + 1)
            state = env.pursue(state, env.character(state))
            return state, (state.clip, env.phase(state))

        return jax.lax.scan(advance, env.reset_to(jnp.int32(0), jnp.float32(0.0), key), length=600)[1]

    (first, phase), (again, _), (other, _) = (clips(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(np.asarray(first)) == {0, 1, 2}
    changes = np.flatnonzero(np.diff(first)) + 1
    np.testing.assert_array_equal(changes % 30, 29)  # each cycle is a second; the first entry is step 1
    np.testing.assert_array_equal(np.asarray(phase)[29::30], 0.0)


# The commands ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_evaluate_finds_every_transition_and_what_is_chosen(composite, tmp_path, capsys):
    shared = ["--run", str(composite), "--engine", "mujoco", "--seconds", "1.2", "--start", "first"]
    names = ["sway 0.1", "sway 0.3", "sway 0.6"]
    assert evaluate.main([*shared, "--json", str(tmp_path / "each.json")]) == 0
    each = json.loads((tmp_path / "each.json").read_text())["first"]
    assert each["episodes"] == 9
    assert list(each["transitions"]) == names
    shares = [share for row in each["transitions"].values() for share in row.values()]
    assert all(share is None or 0.0 <= share <= 1.0 for share in shares)
    assert shares.count(None) < 9  # who falls in the first clip goes on to no other
    chosen = [*shared, "--episodes", "9", "--transitions", "chosen", "--json", str(tmp_path / "chosen.json")]
    assert evaluate.main(chosen) == 0
    found = json.loads((tmp_path / "chosen.json").read_text())["first"]
    assert found["episodes"] == 9
    assert list(found["transitions"]) == names
    assert "survived from sway 0.1 to: sway 0.1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.render
def test_render_shows_the_composite(composite, tmp_path):
    out = tmp_path / "frames"
    options = ["--seconds", "0.5", "--fps", "4", "--width", "64", "--height", "64"]
    assert render.main(["--run", str(composite), "--out", str(out), *options]) == 0
    assert len(list(out.glob("*.png"))) >= 2


@pytest.mark.slow
def test_the_live_view_goes_on_to_what_is_chosen(composite):
    shown = open_run(composite, "best", 0)
    (live,) = shown.robots
    assert live.clips == ("sway 0.1", "sway 0.3", "sway 0.6")
    np.testing.assert_array_equal(live.state.skills.plan, [OPEN, OPEN])
    live.select(2)
    for _ in range(30 * live.single_step):
        live.step()
    assert live.clip == 2
    np.testing.assert_array_equal(live.state.skills.wanted, OPEN)


def test_clips_of_the_same_name_are_told_apart(make_run, tmp_path):
    runs = [make_run("same a", (0.1,)), make_run("same b", (0.1, 0.3))]
    compose.main([*map(str, runs), "--out", str(tmp_path / "run")])
    names = [motion.name for motion in folder.load_run_clips(tmp_path / "run").motions]
    assert names == ["sway 0.1 1", "sway 0.1 2", "sway 0.3"]
    member = folder.member_folder(tmp_path / "run", 1)  # a run itself, wherever it is
    assert own_clips.read(member, read_run(member)[1]).motions[1].digest == sway(0.3).digest


# What is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"env": replace(ENV, observation="paper")}, "field 'env.observation' is 'paper' in the run and"),
        ({"env": replace(ENV, control_hz=60.0)}, "field 'env.control_hz' is 60.0 in the run and 30.0 in"),
        ({"env": replace(ENV, contacts="legs")}, "field 'env.contacts' is 'legs' in the run and 'feet' in"),
        ({"env": replace(ENV, self_collision=True)}, "field 'env.self_collision' is True in the run"),
        ({"env": replace(ENV, goal="heading")}, "field 'env.goal' is 'heading' in the run and 'none' in"),
        ({"env": replace(ENV, heading=HeadingConfig(turn=0.5))}, "field 'env.heading.turn' is 0.5"),
        ({"ppo": PPOConfig(discount=0.9)}, "field 'ppo.discount' is 0.9 in the run and 0.97 in"),
    ],
)
def test_runs_of_other_tasks_are_refused(members, tmp_path, change, words):
    path = tmp_path / "other"
    config = replace(CONFIG, motion=("walk",), **change)
    folder.create(path, config, load_clips(["walk"]), 1)
    message = refusal(compose.main, [str(members[0]), str(path), "--out", str(tmp_path / "run")])
    assert message.startswith(f"{path}: {words}")
    assert message.endswith("; compose runs of the same task")
    assert not (tmp_path / "run").exists()


def test_a_compose_that_fails_can_be_said_again(members, tmp_path, monkeypatch):
    def lost(*_: object) -> None:
        raise OSError("lost")

    arguments = [*map(str, members), "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy", lost)
        assert "cannot be written (lost)" in refusal(compose.main, arguments)
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patch:
        patch.setattr("mjx_mimic.runs.composite.yaml_bytes", lost)
        assert "cannot be written (lost)" in refusal(compose.main, arguments)
    assert not (tmp_path / "run").exists()
    assert compose.main(arguments) == 0


def test_skills_are_as_many_as_were_learned_and_do_not_change_with_their_files(make_run):
    run = make_run("skills", (0.15, 0.35), replace(CONFIG, env=replace(ENV, clips="skills")))
    clip = folder.load_run_clips(run).motions[0]
    message = refusal(folder.load_policy, run, "best", Clips((clip,), (1.0,)))
    assert "has learned 2 skills, and 1 clips cannot stand for them" in message
    native.write(run.parent / "sway 0.15.npz", replace(sway(0.16), name="sway 0.15"))
    assert folder.load_run_clips(run).motions[0].digest == clip.digest


def test_what_is_no_member_is_refused(composite, members, make_run, tmp_path, capsys):
    def said(*runs: Path, options: tuple[str, ...] = ()) -> str:
        arguments = [*map(str, runs), "--out", str(tmp_path / "run"), *options]
        message = command_refusal(compose.main, arguments, capsys)
        assert not (tmp_path / "run").exists()
        return message

    assert said(members[0]) == "a composite is of several runs; name at least two run folders"
    assert "no run in this folder" in said(members[0], tmp_path / "nowhere")
    assert "is composed of several runs and cannot be composed again" in said(members[0], composite)
    assert "option --temperature: 0.0 will not do" in said(*members, options=("--temperature", "0"))
    untrained = tmp_path / "untrained"
    folder.create(untrained, replace(CONFIG, motion=("walk",)), load_clips(["walk"]), 1)
    assert "there is no checkpoint; train for longer" in said(members[0], untrained)
    several = tmp_path / "several"
    skills = replace(CONFIG, motion=("walk", "kick"), env=replace(ENV, clips="skills"))
    folder.create(several, skills, load_clips(["walk", "kick"]), 1)
    assert "an episode has several clips already (--env.clips skills)" in said(members[0], several)
    changed = make_run("changed", (0.2,))
    native.write(changed / own_clips.FOLDER / "0.npz", sway(0.25))
    assert "0.npz: is not the clip that the run was trained on" in said(members[0], changed)
    used = command_refusal(compose.main, [*map(str, members), "--out", str(composite)], capsys)
    assert used.startswith(f"{composite}: holds a run already")


def test_a_composite_is_no_training(composite, members, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = str(composite)
    cannot = f"{composite}: is composed of several runs and cannot be"
    motion = str(members[0].parent / "sway 0.1.npz")
    for main, arguments, words in (
        (train.main, ["--config", run, "--out", run, "--resume", "--no-video"], f"{cannot} trained further"),
        (train.main, ["--motion", motion, "--init-from", run, "--no-video"], f"{cannot} started from"),
        (
            export.main,
            ["--run", run, "--out", "policy.onnx"],
            f"{cannot} exported; name one of them, such as",
        ),
        (view.main, ["--run", run, "--follow", "--browser", "--port", "0"], f"{cannot} followed"),
        (
            evaluate.main,
            ["--run", run, "--start", "training"],
            f"{cannot} evaluated from a training's states",
        ),
        (evaluate.main, ["--run", run, "--motion", motion], "act on their own clips only; leave --motion"),
        (evaluate.main, ["--run", run, "--checkpoint", "512"], "option --checkpoint: 512 is of no run"),
        (
            evaluate.main,
            ["--run", str(members[0]), "--transitions", "chosen"],
            "option --transitions: chosen needs a run made by `compose`",
        ),
    ):
        assert words in command_refusal(main, arguments, capsys)
