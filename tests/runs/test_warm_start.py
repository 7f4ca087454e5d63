"""A new run from the networks of another one: what comes along, what does not, what cannot fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from helpers.point_env import POINT_CONFIG, PointEnv
from helpers.refusals import refusal
from helpers.robots import RigidRobot
from helpers.small_run import STEPS, command, sway

from mjx_mimic import config_yaml
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import (
    EnvConfig,
    NetworkConfig,
    NormalizerConfig,
    PPOConfig,
    RandomizationConfig,
    TrainConfig,
)
from mjx_mimic.config_checks import sized
from mjx_mimic.learning import normalizer as normalizing
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import Learner, make_learner
from mjx_mimic.learning.networks import LOG_STD
from mjx_mimic.robot.model import load_robot
from mjx_mimic.runs import folder, warm_start
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.task import making

CLIPS = Clips((sway(),), (1.0,))


@pytest.fixture
def rigid(monkeypatch):
    """Only what is observed is counted: a robot of as many bodies will do, whose kinematics are none."""
    monkeypatch.setattr(making, "load_robot", lambda *of, **by: RigidRobot(**vars(load_robot(*of, **by))))


counts_alone = pytest.mark.usefixtures("rigid")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The checkpoints of a training of two updates."""
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, tuple(jax.local_devices()))
    state, checkpoints = learner.init(jax.random.key(0)), Checkpoints(tmp_path_factory.mktemp("source"))
    for _ in range(2):
        state, _ = learner.train_step(state)
    checkpoints.save(state, Progress(1024, 1.0, 7.0, 1024), is_best=True)
    return checkpoints


@pytest.mark.parametrize("learn_std", [True, False])
def test_networks_and_normaliser_come_along_and_all_else_is_new(trained, learn_std):
    """With another learner, on another number of devices."""
    settings = replace(
        POINT_CONFIG,
        network=replace(POINT_CONFIG.network, learn_std=learn_std, initial_std=0.05),
        ppo=PPOConfig(optimizer="sgd", actor_rate=1e-4, critic_rate=1e-4, target_kl=None),
    )
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), settings, tuple(jax.local_devices()[:1]))
    stored = trained.restore_policy("last")
    fresh = learner.init(jax.random.key(1))
    source = warm_start.Source(Path("runs/a"), "last", POINT_CONFIG, stored)
    state = warm_start.start_from(learner, fresh, source)
    expected = dict(stored.actor["params"])
    if not learn_std:
        del expected["log_std"]
    jax.tree.map(np.testing.assert_array_equal, first_device(state.actor.params)["params"], expected)
    jax.tree.map(np.testing.assert_array_equal, first_device(state.critic.params), stored.critic)
    jax.tree.map(np.testing.assert_array_equal, first_device(state.normalizer), stored.normalizer)
    for name in ("env", "observation", "tally", "iteration"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(fresh, name))
    jax.tree.map(np.testing.assert_array_equal, state.actor.optimizer, fresh.actor.optimizer)
    _, log_std = learner.policy(state).network.apply(
        first_device(state.actor.params), first_device(state.observation)
    )
    np.testing.assert_allclose(log_std, expected.get("log_std", np.log([0.05, 0.05])), rtol=1e-6)
    state, metrics = learner.train_step(state)
    assert not first_device(metrics).skipped


def test_a_standard_deviation_that_was_fixed_is_learned_from_there(trained):
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, tuple(jax.local_devices()))
    stored = trained.restore_policy("last")
    params = {name: values for name, values in stored.actor["params"].items() if name != "log_std"}
    past = replace(POINT_CONFIG, network=replace(POINT_CONFIG.network, learn_std=False, initial_std=0.07))
    source = warm_start.Source(Path("runs/a"), "last", past, replace(stored, actor={"params": params}))
    state = warm_start.start_from(learner, learner.init(jax.random.key(0)), source)
    log_std = first_device(state.actor.params)["params"]["log_std"]
    np.testing.assert_allclose(np.exp(log_std), [0.07, 0.07], rtol=1e-6)


@struct.dataclass
class WidePointEnv(PointEnv):
    """Whose value function sees one number more than the policy."""

    def observe(self, state):
        return jnp.concatenate([super().observe(state), state.angle[None]])


def test_a_value_function_that_sees_more_starts_anew(trained):
    env = WidePointEnv(sign=jnp.float32(1.0), policy_inputs=4)
    learner = Learner(env, POINT_CONFIG, tuple(jax.local_devices()))
    fresh, stored = learner.init(jax.random.key(1)), trained.restore_policy("last")
    source = warm_start.Source(Path("runs/a"), "last", POINT_CONFIG, stored, has_new_value_function=True)
    state = warm_start.start_from(learner, fresh, source)
    actor, critic, moments = first_device((state.actor.params, state.critic.params, state.normalizer))
    jax.tree.map(np.testing.assert_array_equal, actor["params"], dict(stored.actor["params"]))
    jax.tree.map(np.testing.assert_array_equal, critic, first_device(fresh.critic.params))
    for name in ("count", "mean", "variance"):  # of what only it sees, the new run's own
        expected = [*getattr(stored.normalizer, name), first_device(getattr(fresh.normalizer, name))[4]]
        np.testing.assert_array_equal(getattr(moments, name), expected)
    _, metrics = learner.train_step(state)
    assert not first_device(metrics).skipped


@counts_alone
@pytest.mark.parametrize(
    ("there", "words"),
    [
        (TrainConfig(network=NetworkConfig(actor_hidden=(64,))), ("network.actor_hidden", "(64,)", "(256,")),
        (TrainConfig(network=NetworkConfig(critic_hidden=(64,))), ("network.critic_hidden", "(64,)")),
        (TrainConfig(network=NetworkConfig(activation="relu")), ("network.activation", "relu", "elu")),
        (TrainConfig(network=NetworkConfig(symmetric=False)), ("network.symmetric", "False", "True")),
        (TrainConfig(env=EnvConfig(observation="paper")), ("env.observation", "paper", "compact")),
        (TrainConfig(env=EnvConfig(target_steps=(1, 5))), ("a part of the observation", "+5", "none")),
    ],
)
def test_networks_that_cannot_fit_are_refused_with_both_values(tmp_path, there, words):
    folder.create(tmp_path / "run", sized(there, "cpu", 2), CLIPS, 2)
    learner = make_learner(sized(TrainConfig(), "cpu", 2), CLIPS, jax.local_devices())
    message = refusal(warm_start.read_source, str(tmp_path / "run"), learner, CLIPS)
    assert message.startswith("option --init-from: ")
    assert all(word in message for word in words)


@counts_alone
@pytest.mark.parametrize("layout", ["mimickit", "paper", "compact"])
def test_other_key_bodies_are_refused_where_the_policy_sees_them(trained, tmp_path, layout):
    """As many others, or the same in another order, are as many numbers."""
    run, env = tmp_path / "run", EnvConfig(observation=layout)
    folder.create(run, sized(TrainConfig(env=env), "cpu", 2), CLIPS, 2)
    shutil.copytree(trained.folder, run / "checkpoints")
    other = replace(env, key_bodies=env.key_bodies[::-1])
    learner = make_learner(sized(TrainConfig(env=other), "cpu", 2), CLIPS, jax.local_devices())
    if layout == "compact":
        assert warm_start.read_source(str(run), learner, CLIPS).added == slice(123, 123)
    else:
        assert "field 'env.key_bodies'" in refusal(warm_start.read_source, str(run), learner, CLIPS)


@counts_alone
def test_actions_that_mean_something_else_are_warned_of(trained, tmp_path, capsys):
    there = TrainConfig(env=EnvConfig(action="mimickit"))
    run = tmp_path / "run"
    folder.create(run, sized(there, "cpu", 2), CLIPS, 2)
    shutil.copytree(trained.folder, run / "checkpoints")
    learner = make_learner(sized(TrainConfig(), "cpu", 2), CLIPS, jax.local_devices())
    warm_start.read_source(str(run), learner, CLIPS)
    printed = capsys.readouterr().out
    assert "field 'env.action' is mimickit" in printed
    assert printed.count("warning") == 1


@counts_alone
@pytest.mark.parametrize(
    ("suffix", "which"), [("", "best"), (":best", "best"), (":last", "last"), (":1024", 1024)]
)
def test_a_checkpoint_is_named_after_a_colon(trained, tmp_path, suffix, which):
    run = tmp_path / "a:b"
    other = TrainConfig(push=1.0, ppo=PPOConfig(optimizer="sgd"), env=EnvConfig(reward="paper"))
    folder.create(run, sized(other, "cpu", 2), CLIPS, 2)
    (run / "checkpoints").symlink_to(trained.folder)
    learner = make_learner(sized(TrainConfig(), "cpu", 2), CLIPS, jax.local_devices())
    source = warm_start.read_source(f"{run}{suffix}", learner, CLIPS)
    assert source.record == {"run": str(run), "checkpoint": which, "samples": 1024}
    assert "use one of these: 1024" in refusal(warm_start.read_source, f"{run}:7", learner, CLIPS)


@counts_alone
def test_a_goal_may_be_added_at_the_end_of_what_the_policy_sees(trained, tmp_path):
    plain, critic = EnvConfig(), EnvConfig(privileged_critic=True)
    for name, env in (("plain", plain), ("heading", replace(plain, goal="heading")), ("critic", critic)):
        folder.create(tmp_path / name, sized(TrainConfig(env=env), "cpu", 2), CLIPS, 2)
        (tmp_path / name / "checkpoints").symlink_to(trained.folder)

    def added(run: str, env: EnvConfig) -> slice:
        learner = make_learner(sized(TrainConfig(env=env), "cpu", 2), CLIPS, jax.local_devices())
        return warm_start.read_source(str(tmp_path / run), learner, CLIPS).added

    assert added("plain", replace(plain, goal="heading")) == slice(123, 126)
    assert added("critic", replace(critic, goal="heading")) == slice(123, 126)  # before what is privileged
    assert added("heading", replace(plain, goal="heading")) == slice(126, 126)
    message = refusal(added, "heading", replace(plain, goal="strike"))
    assert "goal: direction (2 numbers)" in message
    assert "goal: direction (2 numbers)" in refusal(added, "heading", plain)


@counts_alone
def test_a_value_function_of_other_numbers_starts_anew(trained, tmp_path, monkeypatch):
    """Mass is one number, and so is friction; an earlier version may have shown fewer."""
    friction, mass = RandomizationConfig(friction=(0.5, 1.0)), RandomizationConfig(mass=(0.9, 1.1))
    env = EnvConfig(privileged_critic=True, randomization=friction)
    folder.create(tmp_path / "run", sized(TrainConfig(env=env), "cpu", 2), CLIPS, 2)
    (tmp_path / "run" / "checkpoints").symlink_to(trained.folder)
    stored = trained.restore_policy("best")
    past = making.make_env(CLIPS.motions, env)
    seen = sum((past.observation_sizes() | past.privileged_sizes()).values())
    for now, observed, is_new in (
        (env, seen, False),
        (env, seen - 29, True),
        (replace(env, randomization=mass), seen, True),
        (replace(env, goal="heading"), seen, False),
        (replace(env, privileged_critic=False), seen, True),
    ):
        of_its_time = replace(stored, normalizer=normalizing.empty(observed, 0.1))
        monkeypatch.setattr(Checkpoints, "restore_policy", lambda self, which, s=of_its_time: s)
        learner = make_learner(sized(TrainConfig(env=now), "cpu", 2), CLIPS, jax.local_devices())
        source = warm_start.read_source(str(tmp_path / "run"), learner, CLIPS)
        assert source.has_new_value_function == is_new


@counts_alone
def test_skills_of_another_number_of_clips_are_refused_and_one_clip_serves_any(trained, tmp_path):
    two, three = (Clips(tuple(sway(0.1 * i) for i in range(1, n + 1)), (1.0,) * n) for n in (2, 3))
    settings = {
        name: TrainConfig(motion=("a", "b"), env=EnvConfig(clips=name)) for name in ("skills", "best")
    }
    for name, config in settings.items():
        folder.create(tmp_path / name, sized(config, "cpu", 2), two, 2)
        (tmp_path / name / "checkpoints").symlink_to(trained.folder)

    def added(run: str, config: TrainConfig, clips: Clips) -> slice:
        learner = make_learner(sized(config, "cpu", 2), clips, jax.local_devices())
        return warm_start.read_source(str(tmp_path / run), learner, clips).added

    assert added("skills", settings["skills"], two) == slice(125, 125)
    message = refusal(added, "skills", replace(settings["skills"], motion=("a", "b", "c")), three)
    assert "skill: wanted clip (2 numbers)" in message
    assert "skill: wanted clip (3 numbers)" in message
    assert added("best", TrainConfig(), CLIPS) == slice(123, 123)


def test_a_standard_deviation_below_the_floor_is_raised_to_it(trained):
    network = replace(POINT_CONFIG.network, learn_std=True, min_std=3.0)
    learner = Learner(
        PointEnv(sign=jnp.float32(1.0)), replace(POINT_CONFIG, network=network), jax.local_devices()
    )
    source = warm_start.Source(Path("runs/a"), "last", POINT_CONFIG, trained.restore_policy("last"))
    state = warm_start.start_from(learner, learner.init(jax.random.key(1)), source)
    np.testing.assert_allclose(np.exp(first_device(state.actor.params)["params"]["log_std"]), 3.0, rtol=1e-6)


def test_a_quiet_policy_is_not_thrown_about_by_its_first_update(trained):
    """The first learning rate is for a loud policy; with a small standard deviation its step is a leap."""
    learner = Learner(
        PointEnv(sign=jnp.float32(1.0)),
        replace(POINT_CONFIG, ppo=PPOConfig(actor_rate=1e-3)),
        jax.local_devices(),
    )
    stored = trained.restore_policy("last")
    params = dict(stored.actor["params"]) | {LOG_STD: jnp.log(jnp.full(2, 0.005))}
    source = warm_start.Source(
        Path("runs/a"), "last", POINT_CONFIG, replace(stored, actor={"params": params})
    )
    state = warm_start.start_from(learner, learner.init(jax.random.key(0)), source)
    _, metrics = learner.train_step(state)
    assert float(first_device(metrics).actor.kl) < 2.0 * learner.config.ppo.target_kl


@pytest.mark.parametrize("min_std", [NormalizerConfig.min_std, 0.5])
def test_added_numbers_change_nothing_at_first(trained, min_std):
    """Networks and moments of a run that observed the first and the last number of four."""
    config = replace(POINT_CONFIG, normalizer=replace(POINT_CONFIG.normalizer, min_std=min_std))
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), config, tuple(jax.local_devices()))
    fresh = learner.init(jax.random.key(1))
    seen = jnp.array([[0.3, -0.2], [1.0, 0.5]])
    stored = replace(
        trained.restore_policy("last"),
        actor=jax.tree.map(np.asarray, learner.actor.init(jax.random.key(2), seen)),
        critic=jax.tree.map(np.asarray, learner.critic.init(jax.random.key(3), seen)),
        normalizer=replace(
            trained.restore_policy("last").normalizer,
            count=np.full(2, 99.0),
            mean=np.ones(2),
            variance=np.full(2, 4.0),
        ),
    )
    source = warm_start.Source(Path("runs/a"), "last", POINT_CONFIG, stored, slice(1, 3))
    state = warm_start.start_from(learner, fresh, source)
    actor, critic, normalizer = first_device((state.actor.params, state.critic.params, state.normalizer))
    whole = jnp.stack([seen[:, 0], jnp.array([9.0, -7.0]), jnp.array([3.0, 5.0]), seen[:, 1]], axis=1)
    for network, before, after in (
        (learner.actor, stored.actor, actor),
        (learner.critic, stored.critic, critic),
    ):
        jax.tree.map(np.testing.assert_array_equal, network.apply(before, seen), network.apply(after, whole))
    moments = first_device(fresh.normalizer)
    for name, value in (("count", 99.0), ("mean", 1.0), ("variance", 4.0)):
        expected = [value, *getattr(moments, name)[1:3], value]
        np.testing.assert_array_equal(getattr(normalizer, name), expected)
    assert normalizer.min_std == min_std


def test_what_begins_anew_is_said(trained):
    """Of disturbances with the samples over which they grow."""
    stored = trained.restore_policy("last")
    source = warm_start.Source(Path("runs/a"), "last", POINT_CONFIG, stored, has_new_value_function=True)
    (line,) = warm_start.described(source, replace(POINT_CONFIG, push=1.0))
    assert line == (
        "networks and normaliser of runs/a (last, at 1,024 samples); the value function starts anew"
    )
    ramp = replace(POINT_CONFIG, push=1.0, disturbance_ramp=0.4, total_steps=20_000_000)
    _, line = warm_start.described(source, ramp)
    assert "grow from 0 over the first 8,000,000 samples; with --disturbance-ramp 0 " in line


def test_a_run_goes_on_from_another_and_says_so(finished, capsys):
    """With another seed and reward; a killed one is not resumed as if it had been a first run."""
    source = finished / "whole"
    options = ("--init-from", f"{source}:last", "--seed", "5", "--total-steps", str(STEPS), "--no-video")
    assert command(finished, "warm", *options) == 0
    assert f"networks and normaliser of {source} (last, at {4 * STEPS:,} samples)" in capsys.readouterr().out
    record = config_yaml.read_run(finished / "warm")[1]
    assert record["init_from"] == {"run": str(source), "checkpoint": "last", "samples": 4 * STEPS}
    first = Checkpoints(finished / "warm").restore_policy(0)
    jax.tree.map(np.testing.assert_array_equal, first.actor, Checkpoints(source).restore_policy("last").actor)
    (row,) = (finished / "warm" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(row)["samples"] == STEPS
    for checkpoint in (finished / "warm" / "checkpoints").iterdir():
        checkpoint.rename(finished / f"moved_{checkpoint.name}")
    with pytest.raises(UserError, match="was stopped before its first checkpoint"):
        command(finished, "warm", "--resume", "--total-steps", str(STEPS), "--no-video")
