"""MimicKit's files, translated key by key."""

import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import mimickit_recipe
from helpers.mimickit_recipe import AGENT, ARGUMENTS, ENGINE, ENV, FEET, LEFT_OUT
from helpers.refusals import refusal

from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.mimickit_files import KEYS, translate
from mjx_mimic.mimickit_files.reading import read_arguments
from mjx_mimic.presets import PRESETS
from mjx_mimic.robot.constants import ALL_BODIES, G1_BODIES
from mjx_mimic.task.reward import JOINT_WEIGHT
from mjx_mimic.train import TrainCommand


@pytest.fixture
def translated(tmp_path: Path):
    """(keys of env, agent, engine) -> the translation of the recipe with other values of these keys."""
    return lambda **changed: translate(mimickit_recipe.write(tmp_path, **changed))


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def options(config: Any, prefix: str = "") -> set[str]:
    """The options behind the fields of a dataclass."""
    found = set()
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            found |= options(value, f"{prefix}{f.name}.")
        found.add(f"--{prefix}{f.name}".replace("_", "-"))
    return found


def test_the_recipe_is_the_preset(translated, tmp_path):
    found = translated().config
    preset = PRESETS["mimickit"]
    env = replace(
        preset.env,
        target_steps=(1, 2, 3),
        phase=False,
        joint_weights=found.env.joint_weights,
        ground_bodies=tuple(ENV["contact_bodies"]),
    )
    clip = str(tmp_path / "data" / "motions" / "clip.npz")
    assert found == replace(preset, motion=(clip,), eval_envs=32, eval_interval=100 * 32 * 4096, env=env)
    assert found.env.joint_weights == pytest.approx(JOINT_WEIGHT)
    assert sized(found, "gpu", 2).num_envs == 2 * 4096


def test_mimickits_own_files_are_the_recipe(shared, translated):
    root = shared / "mimickit"
    if not root.exists():
        pytest.skip(f"MimicKit's files are not here: {root}")
    found = translate(root / "args" / "deepmimic_g1_ppo_args.txt", motion_is_given=True)
    assert replace(found.config, motion=()) == replace(translated().config, motion=())
    assert str(found.out) == "output"
    for kind, name, ours in (
        ("env", "envs/deepmimic_g1_env.yaml", ENV),
        ("agent", "agents/deepmimic_g1_ppo_agent.yaml", AGENT),
        ("engine", "engines/isaac_gym_engine.yaml", ENGINE),
    ):
        theirs = flat(yaml.safe_load((root / "data" / name).read_text()))
        assert set(theirs) <= set(KEYS[kind])
        assert set(theirs) == set(flat(ours))
    message = refusal(translate, root / "args" / "deepmimic_humanoid_ppo_args.txt", motion_is_given=True)
    assert "'char_file': is data/assets/humanoid/humanoid.xml; the robot here is the Unitree G1" in message
    message = refusal(translate, root / "args" / "view_motion_g1_args.txt")
    assert "--mode: is test" in message
    message = refusal(translate, root / "args" / "deepmimic_g1_ppo_args.txt")
    assert "g1_walk.pkl: no such file from" in message
    assert "--motion" in message


def test_every_key_of_the_recipe_is_translated_or_named(translated):
    """In a report there is what is not as there; everything else has an effect or is so anyway."""
    report = translated().report
    for kind, values in (("env", ENV), ("agent", AGENT), ("engine", ENGINE)):
        for name, value in flat(values).items():
            key = KEYS[kind][name]
            assert key.has_effect or value in key.neutral or f" {kind} " in report, name
            named = re.search(rf"^  {kind} +{re.escape(name)} ", report, re.MULTILINE)
            assert named or key.has_effect or value in key.neutral, name
    assert len(report.splitlines()) < 20
    assert max(map(len, report.splitlines()[1:])) < 140  # the first one holds the file's path


def test_settings_in_the_table_exist():
    known = options(TrainConfig()) | options(TrainCommand()) | {"--no-video", "--run", "--init-from"}
    for kind, keys in KEYS.items():
        for name, key in keys.items():
            if not key.setting.startswith(("evaluate ", "render ", "view ")):
                assert set(re.findall(r"--[\w.-]+", key.setting)) <= known, (kind, name)
            assert key.part_of in ("", "arg_file", *keys), name
            assert key.how.rstrip(".") == key.how, name


@pytest.mark.parametrize(
    ("kind", "keys", "setting", "value"),
    [
        ("env", {"episode_length": 20}, "env.episode_seconds", 20.0),
        ("env", {"global_obs": False}, "env.observation", "mimickit-local"),
        ("env", {"global_obs": False}, "env.track_root", False),
        ("env", {"enable_tar_obs": False, "enable_phase_obs": True}, "env.observation", "paper"),
        ("env", {"enable_tar_obs": False, "enable_phase_obs": True}, "env.track_root", False),
        ("env", {"enable_phase_obs": True, "num_phase_encoding": 2}, "env.phase_frequencies", 2),
        ("env", {"enable_phase_obs": LEFT_OUT}, "env.phase", True),
        ("env", {"tar_obs_steps": [1, 5]}, "env.target_steps", (1, 5)),
        ("env", {"tar_obs_steps": LEFT_OUT}, "env.target_steps", (1,)),
        ("env", {"pose_termination": False}, "env.max_deviation", None),
        ("env", {"pose_termination_dist": 0.5}, "env.max_deviation", 0.5),
        ("env", {"enable_early_termination": False}, "env.fall_ends", False),
        ("env", {"enable_early_termination": False}, "env.max_deviation", None),
        ("env", {"enable_early_termination": False}, "env.contacts", "body"),
        ("env", {"contact_bodies": []}, "env.ground_bodies", ALL_BODIES),
        ("env", {"contact_bodies": LEFT_OUT}, "env.ground_bodies", ALL_BODIES),
        ("env", {"contact_bodies": []}, "env.contacts", "body"),
        ("env", {"contact_bodies": [*FEET]}, "env.contacts", "legs"),
        ("env", {"contact_bodies": [*FEET, "left_elbow_link"]}, "env.contacts", "full"),
        ("env", {"contact_bodies": [*FEET, "torso_link"]}, "env.contacts", "body"),
        ("env", {"key_bodies": ["head_link"]}, "env.key_bodies", ("head_link",)),
        ("env", {"rand_reset": False}, "env.start", "first"),
        ("env", {"joint_err_w": LEFT_OUT}, "env.joint_weights", (1.0,) * 29),
        ("env", {"reward_key_pos_w": 0.3}, "env.mimickit_reward.key_position_weight", 0.3),
        ("env", {"reward_vel_scale": 0.2}, "env.mimickit_reward.velocity_scale", 0.2),
        ("env", {"engine": {"control_freq": 50}}, "env.control_hz", 50.0),
        ("engine", {"control_freq": 50}, "env.physics_hz", 150.0),
        ("engine", {"control_freq": 60}, "env.physics_hz", 120.0),
        ("engine", {"control_freq": LEFT_OUT}, "env.control_hz", 10.0),
        (
            "agent",
            {"model": {"critic_net": "fc_3layers_1024units"}},
            "network.critic_hidden",
            (1024, 1024, 512),
        ),
        ("agent", {"model": {"actor_std_type": "CONSTANT"}}, "network.learn_std", True),
        ("agent", {"actor_optimizer": {"type": "Adam", "learning_rate": 3e-5}}, "ppo.optimizer", "adam"),
        ("agent", {"actor_optimizer": {"type": "Adam", "learning_rate": 3e-5}}, "ppo.actor_rate", 3e-5),
        ("agent", {"critic_optimizer": {"type": "SGD", "grad_clip": 2}}, "ppo.max_grad_norm", 2.0),
        ("agent", {"actor_optimizer": {"type": "SGD", "grad_clip": 3}}, "ppo.max_grad_norm", 3.0),
        ("agent", {"actor_optimizer": LEFT_OUT, "critic_optimizer": LEFT_OUT}, "ppo.optimizer", "sgd"),
        ("agent", {"actor_batch_size": 1}, "ppo.actor_minibatches", 32),
        ("agent", {"critic_batch_size": 64}, "ppo.critic_minibatches", 1),
        ("agent", {"critic_batch_size": 0.5}, "ppo.critic_minibatches", 64),
        ("agent", {"critic_batch_size": 10}, "ppo.critic_minibatches", 4),
        ("agent", {"td_lambda": 0.9}, "ppo.gae_lambda", 0.9),
        ("agent", {"td_lambda": 0.9}, "ppo.td_lambda", 0.9),
        ("agent", {"normalizer_samples": 5000}, "normalizer.samples", 5000),
        ("agent", {"normalizer_samples": LEFT_OUT}, "normalizer.samples", None),
        ("agent", {"ppo_clip_ratio": 0.1}, "ppo.clip", 0.1),
    ],
)
def test_a_key_becomes_its_setting(translated, kind, keys, setting, value):
    found = translated(**{kind: keys}).config
    for name in setting.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("kind", "keys", "words"),
    [
        ("env", {"enable_tar_obs": False, "enable_phase_obs": True}, "--env.observation paper"),
        ("env", {"enable_phase_obs": True, "num_phase_encoding": 0}, "--env.phase-frequencies 1"),
        ("env", {"root_height_obs": False}, "always observed and rewarded"),
        ("env", {"zero_center_action": False}, "centred on 0"),
        ("env", {"episode_lenght": 3}, "did you mean episode_length?"),
        ("engine", {"control_mode": "pd_explicit"}, "implicitly"),
        ("agent", {"action_reg_weight": 0.1}, "no such loss"),
        ("agent", {"model": {"actor_std_type": "VARIABLE"}}, "--network.learn-std"),
        ("agent", {"critic_batch_size": 10}, "--ppo.critic-minibatches 4"),
        ("agent", {"critic_optimizer": {"type": "Adam"}}, "the actor's: --ppo.optimizer"),
        ("agent", {"critic_optimizer": {"type": "SGD", "grad_clip": 2}}, "of both networks: --ppo.max"),
        ("agent", {"actor_optimizer": {"type": "SGD", "grad_clip": 2}}, "of both networks: --ppo.max"),
        ("engine", {"control_freq": 50}, "--env.physics-hz 150"),
        ("agent", {"actor_optimizer": {"type": "SGD", "weight_decay": 0.1}}, "do not decay"),
    ],
)
def test_what_is_not_as_there_is_told_once(translated, kind, keys, words):
    before, report = translated().report, translated(**{kind: keys}).report
    assert words not in before
    assert report.count(words) == 1
    assert "`" not in report


@pytest.mark.parametrize(
    ("kind", "keys", "words"),
    [
        ("env", {"env_name": "amp"}, "'env_name': is amp, only deepmimic is available"),
        ("env", {"env_name": LEFT_OUT}, "'env_name': is missing"),
        ("env", {"char_file": "data/assets/go2/go2.xml"}, "the robot here is the Unitree G1"),
        ("env", {"contact_bodies": ["left_foot"]}, "'contact_bodies': names left_foot, which the G1"),
        ("env", {"key_bodies": ["left_wrist_yaw"]}, "use left_wrist_yaw_link"),
        ("env", {"key_bodies": []}, "'key_bodies': is empty"),
        ("env", {"key_bodies": "head_link"}, "is head_link; write a list of names"),
        ("env", {"joint_err_w": [1.0] * 29}, "'joint_err_w': has 29 numbers; write 30"),
        ("env", {"joint_err_w": [-1.0] * 30}, "--env.joint-weights: -1.0 will not do; use a number from 0"),
        ("env", {"tar_obs_steps": [1, "two"]}, "write a list of whole numbers"),
        ("env", {"tar_obs_steps": []}, "'tar_obs_steps': is empty"),
        ("env", {"enable_tar_obs": False}, "would be blind"),
        ("env", {"episode_length": "ten"}, "'episode_length': is ten; write a number"),
        ("env", {"episode_length": -1}, "--env.episode-seconds: -1.0 will not do"),
        ("env", {"episode_length": True}, "is True; write a number"),
        ("env", {"episode_length": 10**350}, "is too large"),
        ("env", {"joint_err_w": [10**350] * 30}, "is too large"),
        ("env", {"global_obs": 1}, "is 1; write True or False"),
        ("env", {"reward_pose_w": float("nan")}, "--env.mimickit-reward.pose-weight: nan will not do"),
        ("env", {"engine": 3}, "field 'engine' is 3"),
        ("env", {"engine": {"control_freq": "x"}}, "env.yaml, field 'engine', or"),
        ("engine", {"control_mode": "torque"}, "'control_mode': is torque"),
        ("engine", {"control_freq": 0}, "--env.control-hz: 0.0 will not do"),
        ("agent", {"agent_name": "AWR"}, "'agent_name': is AWR, only PPO is available"),
        ("agent", {"model": {"actor_net": "cnn_3conv_1fc_0"}}, "'model.actor_net': is cnn_3conv_1fc_0"),
        ("agent", {"model": {"actor_std_type": "SOME"}}, "use FIXED, CONSTANT, VARIABLE"),
        ("agent", {"actor_optimizer": {"type": "Muon"}}, "use SGD or Adam"),
        ("agent", {"critic_optimizer": {"grad_clip": -1}}, "'critic_optimizer.grad_clip': --ppo.max-grad"),
        ("agent", {"actor_batch_size": 0}, "'actor_batch_size': is 0.0; use a number over 0"),
        ("agent", {"critic_batch_size": 1e-320}, "--ppo.critic-minibatches"),
        ("agent", {"discount": 2}, "--ppo.discount: 2.0 will not do"),
        ("agent", {"actor_epochs": 1.5}, "is 1.5; write a whole number"),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_file_and_key(tmp_path, kind, keys, words):
    message = refusal(translate, mimickit_recipe.write(tmp_path, **{kind: keys}))
    assert words in message
    assert str(tmp_path / "data" / f"{kind}s" / f"{kind}.yaml") in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("num_envs 4096", "line 1: is num_envs 4096; write '--key value'"),
        ("\n# x\n--num_envs 4 --num_envs 5", "line 3: '--num_envs' stands there twice"),
        ("--num_envs many", "argument --num_envs: is many; write a whole number"),
        ("--num_envs 4 5", "argument --num_envs: has 2 values; write one"),
        ("--num_envs", "argument --num_envs: has 0 values; write one"),
        ("--num_envs -4", "--envs-per-accelerator: -4 will not do"),
        ("--num_envs 4", "argument --env_config is missing"),
        ("--env_config data/envs/other.yaml", "argument --env_config: is data/envs/other.yaml: no such file"),
        ("--env_config data/envs", "argument --env_config: is data/envs: no such file"),
        ("--env_config args/g1_args.txt", "is no mapping"),
        ("--visualize maybe", "argument --visualize: is maybe; write True or False"),
        ("--mode test", "python -m mjx_mimic.evaluate --run RUN"),
        ("--mode dance", "argument --mode: is dance"),
        ("--model_file output/model.pt", "--init-from RUN"),
        ("\x00", "line 1: is "),
        ("x" * 2**20 + "x", "is larger than"),
    ],
)
def test_an_argument_file_with_a_defect(tmp_path, text, words):
    path = mimickit_recipe.write(tmp_path, text)
    message = refusal(translate, path)
    assert words in message
    assert str(path) in message


def test_an_argument_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "nothing.txt", tmp_path, tmp_path / ("x" * 300), Path("/dev/zero")):
        assert str(path) in refusal(translate, path)
    (tmp_path / "binary.txt").write_bytes(b"--num_envs \xff\xfe")
    assert "is not text in UTF-8" in refusal(translate, tmp_path / "binary.txt")


def test_arguments_are_read_as_mimickit_reads_them(tmp_path):
    path = tmp_path / "args.txt"
    path.write_text("#--num_envs 1\n--num_envs 8 --devices cuda:0\tcuda:1  # two\r\n\n--out_dir a#b\n")
    assert read_arguments(path) == {"num_envs": ["8"], "devices": ["cuda:0", "cuda:1"], "out_dir": ["a#b"]}


def test_arguments_become_settings(tmp_path):
    more = "--rand_seed 7\n--max_samples 1000\n--devices cuda:0 cuda:1\n--visualize true\n--bogus 1"
    text = f"{ARGUMENTS}\n{more}"
    found = translate(mimickit_recipe.write(tmp_path, text))
    assert (found.config.seed, found.config.total_steps) == (7, 1000)
    assert found.config.envs_per_accelerator == 4096
    assert found.out == Path("output")
    for words in ("visualize", "devices", "bogus"):
        assert words in found.report
    text = f"{ARGUMENTS}\n--devices cuda:0"  # one of them is not all of them either
    assert "CUDA_VISIBLE_DEVICES" in translate(mimickit_recipe.write(tmp_path, text)).report


def test_the_interval_of_evaluations_is_said_to_be_one_accelerators(tmp_path):
    path = mimickit_recipe.write(tmp_path)
    assert f"--eval-interval {100 * 32 * 4096}, of one accelerator" in translate(path).report
    found = translate(path, num_envs=64)  # a total, on however many devices
    assert found.config.eval_interval == 100 * 32 * 64
    assert "of one accelerator" not in found.report


def test_a_file_whose_name_begins_with_option_is_not_the_command_line(tmp_path, monkeypatch):
    path = mimickit_recipe.write(tmp_path, f"{ARGUMENTS}\n--visualize true")
    path = path.rename(path.with_name("options.txt"))
    monkeypatch.chdir(path.parent)
    assert "visualize" in translate(Path(path.name)).report


def test_equal_limits_of_gradients_are_as_there(translated):
    both = {f"{network}_optimizer": {"type": "SGD", "grad_clip": 2} for network in ("actor", "critic")}
    found = translated(agent=both)
    assert found.config.ppo.max_grad_norm == 2.0
    assert "--ppo.max-grad-norm" not in found.report


def test_files_are_found_from_the_argument_file_upwards_or_in_the_current_folder(tmp_path, monkeypatch):
    root, elsewhere = tmp_path / "MimicKit", tmp_path / "elsewhere"
    path = mimickit_recipe.write(root)
    elsewhere.mkdir()
    moved = elsewhere / "mine.txt"
    moved.write_text(path.read_text())
    clip = root / "data" / "motions" / "clip.npz"
    monkeypatch.chdir(elsewhere)
    assert translate(Path("..") / "MimicKit" / "args" / path.name).config.motion == (str(clip),)
    message = refusal(translate, Path("mine.txt"))
    assert (
        f"no such file from {elsewhere}, the folders above it, or the current folder {elsewhere}" in message
    )
    monkeypatch.chdir(root)
    assert translate(moved).config.motion == ("data/motions/clip.npz",)


def test_a_missing_clip_does_not_matter_where_another_is_named(tmp_path):
    path = mimickit_recipe.write(tmp_path, clip=None)
    message = refusal(translate, path)
    assert "'motion_file': is data/motions/clip.npz: no such file from" in message
    assert str(tmp_path / "args") in message
    assert translate(path, motion_is_given=True).config.motion == PRESETS["mimickit"].motion
    other = translate(path, {"motion_file": ["walk"]})
    assert other.config.motion == ("walk",)


def test_the_bodies_are_the_robots(robot):
    assert robot.body_names == G1_BODIES
