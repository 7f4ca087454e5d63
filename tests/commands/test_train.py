"""Bad input to the commands: one line with option or file and remedy, exit 2, nothing written."""

import importlib.util
import os
import shutil
import subprocess
import sys
import types
import typing
from dataclasses import is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest
import yaml
from helpers.refusals import refusal, refusal_that_writes_nothing
from helpers.small_run import sway

from mjx_mimic import config_yaml, train
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.formats import native
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import yaml_bytes
from mjx_mimic.config import EnvConfig, NetworkConfig, PPOConfig, TrainConfig
from mjx_mimic.config_checks import check, check_bounds, check_effects, sized
from mjx_mimic.learning import make_learner
from mjx_mimic.learning.devices import devices_for
from mjx_mimic.presets import PRESETS
from mjx_mimic.runs import folder, own_clips
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.training_run import check_memory


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "sway.npz"
    native.write(path, sway())
    return path


@pytest.fixture
def refused(tmp_path: Path, clip: Path, capsys):
    """(arguments) -> the message of the command, which must have written nothing."""

    return partial(refusal_that_writes_nothing, train.main, tmp_path, capsys, "--no-video")


def test_unknown_options_presets_and_values(refused):
    assert "--bogus" in refused("--bogus", "3")
    message = refused("--preset", "nope")
    assert "nope" in message
    assert "mimickit" in message
    assert "--num-envs" in refused("--num-envs", "many")
    assert "--env.reward" in refused("--env.reward", "silly")


def test_a_finished_run_with_fields_of_before_is_read(refused, tmp_path):
    location = {"env": {"location": {"speed_scale": 2.5}}, "network": {"final_min_std": None}}
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump(location))
    assert "unknown field 'env.location.speed_scale'" in refused("--config", str(file))
    run = tmp_path / "run"
    run.mkdir()
    record = {"format": config_yaml.FORMAT, "config": {"seed": 3, **location}}
    record["digest"] = config_yaml.record_digest(record)
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    found, record = config_yaml.read_run(run)
    assert found.seed == 3
    assert not found.network.symmetric  # which was no setting yet
    assert config_yaml.former_field(record) == "env.location.speed_scale"
    assert config_yaml.former_field({"config": {"network": {"final_min_std": None}}}) is None


@pytest.mark.parametrize(
    ("config", "option"),
    [
        (TrainConfig(disturbance_ramp=0.4), "--disturbance-ramp"),
        (TrainConfig(network=NetworkConfig(learn_std=False, min_std=0.1)), "--network.min-std"),
        (TrainConfig(network=NetworkConfig(final_std=0.05)), "--network.final-std"),
        (TrainConfig(network=NetworkConfig(learn_std=False, final_std=0.05)), "--network.final-std"),
        (TrainConfig(network=NetworkConfig(initial_std=0.1, min_std=0.12)), "--network.initial-std"),
        (TrainConfig(env=EnvConfig(clips="best", goal="strike")), "--env.clips"),
    ],
)
def test_what_would_have_no_effect_is_refused_of_a_new_training(config, option):
    assert refusal(check_effects, config).startswith(f"option {option}: ")
    for preset in PRESETS.values():
        check_effects(preset)


def test_symmetric_networks_see_both_sides():
    """Whoever makes a learner, be it to time it, has what it sees checked."""

    def seen(observation, **network):
        env = EnvConfig(observation=observation, key_bodies=("right_ankle_roll_link",))
        return TrainConfig(num_envs=4, env=env, network=NetworkConfig(**network))

    assert refusal(check, seen("mimickit"), 1).startswith("option --env.key-bodies: ")
    check(seen("mimickit", symmetric=False), 1)
    check(seen("compact"), 1)  # shows no key bodies
    check(seen("paper"), 1)  # shows no reference, so that no network can be symmetric


def test_an_option_without_values_empties_the_list_of_a_file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("env: {target_steps: [1, 2]}")
    command = train.parse(["--config", str(path), "--env.target-steps", "--seed", "3"])
    assert (command.train.env.target_steps, command.train.seed) == ((), 3)


def test_the_interval_of_evaluations_is_sized_for_the_machine():
    assert sized(TrainConfig(), "cpu", 2).eval_interval == 500_000
    assert sized(TrainConfig(), "gpu", 1).eval_interval == 13_000_000
    assert sized(TrainConfig(eval_interval=7), "gpu", 2).eval_interval == 7
    assert sized(TrainConfig(), "cpu", 2).video_interval == 2_000_000
    assert sized(TrainConfig(), "gpu", 1).video_interval == 52_000_000
    assert sized(TrainConfig(video_interval=0), "gpu", 2).video_interval == 0


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_more_devices_make_as_many_updates_in_all_and_between_evaluations(platform):
    one = sized(TrainConfig(), platform, 1)
    many = sized(TrainConfig(), platform, 64)
    for name in ("num_envs", "total_steps", "eval_interval", "video_interval"):
        assert getattr(many, name) == 64 * getattr(one, name)


def test_a_machine_that_cannot_draw_trains_and_is_named_once(tmp_path, monkeypatch, capsys):
    given = []

    def train_run(*arguments):
        given.append(arguments)
        return True, tmp_path

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("mjx_mimic.display.gl.choose_gl_backend", lambda: None)
    monkeypatch.setattr("mjx_mimic.runs.train_run", train_run)
    assert train.main([]) == 0
    assert given[0][5] is None
    assert capsys.readouterr().out.count("no video: no OpenGL library found") == 1
    assert train.main(["--no-video"]) == 0
    assert given[1][5] is None
    assert capsys.readouterr().out == ""


def test_clips_that_cannot_be_read(refused, tmp_path):
    out = str(tmp_path / "run")
    assert "nofile" in refused("--motion", "nofile", "--out", out)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 nothing")
    assert str(broken) in refused("--motion", str(broken), "--out", out)


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--num-envs", "-2", "from 0"),
        ("--total-steps", "-1", "from 0"),
        ("--seed", "-1", "from 0 to 4.29"),
        ("--ppo.actor-minibatches", "7", "divisor"),
        ("--env.physics-hz", "100", "multiple of 30"),
        ("--env.physics-hz", "inf", "from 1"),
        ("--env.control-hz", "0", "from 1"),
        ("--env.episode-seconds", "0.011", "one control step"),
        ("--ppo.min-rate", "0.5", "up to --ppo.max-rate"),
        ("--ppo.actor-rate", "0.005", "from --ppo.min-rate to --ppo.max-rate"),
        ("--motion-weights", "0", "not all 0"),
        ("--video-interval", "-1", "from 0"),
    ],
)
def test_numbers_that_cannot_be_trained_with(refused, clip, tmp_path, option, value, remedy):
    message = refused("--motion", str(clip), "--out", str(tmp_path / "run"), option, value)
    assert option in message
    assert remedy in message


def bounded_fields(config: Any = None, prefix: str = "") -> list[tuple[str, Any]]:
    """Option and bounds of every field that has any."""
    config, found = config or TrainConfig(), []
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        if is_dataclass(getattr(config, name)):
            found += bounded_fields(getattr(config, name), f"{prefix}{name}.")
        found += [(f"{prefix}{name}", extra) for extra in getattr(hint, "__metadata__", ())]
    return found


def with_value(config: Any, path: str, value: Any) -> Any:
    """A configuration with one number changed, wherever it is."""
    name, _, rest = path.partition(".")
    old = getattr(config, name)
    new = with_value(old, rest, value) if rest else (value,) if isinstance(old, tuple) else value
    return replace(config, **{name: new})


def test_every_number_has_bounds():
    """But for those whose type is already bounded: choices and switches."""
    numbers = [path for path, _ in bounded_fields()]
    for kind, prefix in (
        (TrainConfig, ""),
        (EnvConfig, "env."),
        (NetworkConfig, "network."),
        (PPOConfig, "ppo."),
    ):
        for name, hint in typing.get_type_hints(kind).items():
            kinds = typing.get_args(hint) or (hint,)
            assert (f"{prefix}{name}" in numbers) == bool({int, float} & set(kinds)), name


@pytest.mark.parametrize(("path", "bounds"), bounded_fields())
def test_numbers_beyond_their_bounds_are_refused_by_name(path, bounds):
    option = f"--{path}".replace("_", "-")
    low, high = bounds.low, bounds.high
    for value in (float("nan"), float("inf"), -float("inf"), low - max(1.0, abs(low)), high * 2.0 + 1.0):
        with pytest.raises(UserError, match=f"^option {option}: .* will not do; use a number from"):
            check_bounds(with_value(TrainConfig(), path, value))
    for value in (low, high):
        check_bounds(with_value(TrainConfig(), path, value))


def test_more_environments_than_fit_the_memory_are_refused_with_what_they_need(refused, clip, tmp_path):
    message = refused("--motion", str(clip), "--out", str(tmp_path / "run"), "--num-envs", "1000000000")
    assert "--num-envs: 1000000000 environments need about" in message
    assert "fit; use fewer" in message


def test_environments_that_may_not_fit_the_memory_are_warned_of(monkeypatch, capsys):
    learner = make_learner(sized(TrainConfig(), "cpu", 1), load_clips(["walk"]), jax.devices()[:1])
    check_memory(learner)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(os, "sysconf", lambda name: 2000)  # pages, and bytes of one: 4 MB
    check_memory(learner)
    warning = capsys.readouterr().out
    assert "warning: option --num-envs: 128 environments need about" in warning
    assert len(warning.splitlines()) == 1


def test_run_folders_that_are_in_use_or_cannot_be_made(refused, clip, tmp_path):
    used = tmp_path / "used"
    folder.create(used, TrainConfig(), Clips((sway(),), (1.0,)), 2)
    assert "--resume" in refused("--motion", str(clip), "--out", str(used))
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    assert "not empty" in refused("--motion", str(clip), "--out", str(other))
    assert "cannot be written" in refused("--motion", str(clip), "--out", str(clip / "run"))


def test_resume_holds_the_run_to_its_configuration(refused, clip, tmp_path):
    assert "--out" in refused("--resume")
    assert "no run" in refused("--resume", "--out", str(tmp_path / "nowhere"))
    own = TrainConfig(motion=(str(clip),), seed=3, env=EnvConfig(contacts="feet"))
    stored = sized(own, "cpu", 2)
    out = tmp_path / "run"
    folder.create(out, stored, Clips((sway(),), (1.0,)), 2)
    message = refused("--resume", "--out", str(out), "--seed", "4")
    assert "'seed' is 3 in the run and 4 here" in message
    message = refused("--resume", "--out", str(out), "--env.max-deviation", "0.3")
    assert "'env.max_deviation'" in message
    native.write(clip, sway(amplitude=0.2))  # the run's own copy is what it was
    folder.check_resumable(out, stored, folder.load_run_clips(out), 2)
    shutil.rmtree(out / own_clips.FOLDER)
    assert f"{out}: a clip has changed since it was trained" in refused("--resume", "--out", str(out))


def test_resume_may_change_length_schedule_and_devices_and_the_folder_says_so(tmp_path):
    stored, clips = sized(TrainConfig(num_envs=192), "cpu", 2), Clips((sway(),), (1.0,))
    source = {"run": "runs/other", "checkpoint": "best", "samples": 5}
    folder.create(tmp_path / "run", stored, clips, 2, source)
    changed = {"total_steps": 10**8, "eval_interval": 10**6, "keep_checkpoints": "all"}
    wanted = sized(replace(stored, **changed), "cpu", 96)  # more episodes per evaluation
    folder.check_resumable(tmp_path / "run", wanted, clips, 96)
    shutil.rmtree(tmp_path / "run" / own_clips.FOLDER)  # as if it was killed before it had copied them
    folder.record_resumption(tmp_path / "run", wanted, clips, 96)
    assert folder.load_run_clips(tmp_path / "run").motions[0].digest == clips.motions[0].digest
    found, record = config_yaml.read_run(tmp_path / "run")
    assert found == wanted
    assert (found.keep_checkpoints, found.eval_envs) == ("all", 96)
    assert (record["devices"], record["init_from"]) == (96, source)


def test_as_many_cores_train_as_the_environments_spread_over_evenly(monkeypatch):
    cores = [types.SimpleNamespace(platform="cpu", process_index=0, id=i) for i in range(6)]
    monkeypatch.setattr("jax.devices", lambda: cores)
    for num_envs, count in ((0, 6), (258, 6), (256, 4), (255, 5), (7, 1)):
        assert devices_for(num_envs) == tuple(cores[:count])
    for core in cores:
        core.platform = "gpu"
    assert len(devices_for(256)) == 6  # which `sized` refuses


def test_resume_on_devices_that_do_not_divide_the_environments_is_refused():
    with pytest.raises(UserError, match="use a multiple of 3, the number of devices"):
        sized(sized(TrainConfig(), "gpu", 2), "gpu", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "from 2 to"),
        ("most", "'most'"),
    ],
)
def test_a_number_of_checkpoints_that_will_not_do(refused, tmp_path, text, words):
    refused("--keep-checkpoints", text)
    file = tmp_path / "mine.yaml"
    file.write_text(f"keep_checkpoints: {text}\n")
    assert words in refused("--config", str(file))


def test_a_first_run_and_one_to_resume_are_not_joined(refused, tmp_path):
    message = refused("--resume", "--out", str(tmp_path), "--init-from", "runs/walk:last")
    assert "--init-from: cannot be joined with --resume" in message


def test_a_run_of_another_format_is_not_resumed(refused, clip, tmp_path):
    out = tmp_path / "run"
    folder.create(out, sized(TrainConfig(motion=(str(clip),)), "cpu", 2), Clips((sway(),), (1.0,)), 2)
    file = out / "config.yaml"
    file.write_text(file.read_text().replace(f"format: {folder.FORMAT}\n", ""))
    assert "is of format 1" in refused("--resume", "--out", str(out))
    file.write_text(file.read_text().replace("  push: ", "  kicks: "))
    assert "is of format 1" in refused("--resume", "--out", str(out))  # not that fields have other names


def test_what_is_typed_to_resume_has_the_options_that_no_run_folder_keeps():
    options = ["--wandb", "my project", "--no-video", "--coordinator", "a:1", "--num-processes", "2"]
    command = train.parse([*options, "--process-id", "0"])
    expected = "python -m mjx_mimic.train --out runs/x --resume --wandb 'my project' --coordinator a:1"
    expected += " --num-processes 2 --process-id 0 --no-video"
    assert train._resume_command(command, Path("runs/x")) == expected
    assert train._resume_command(train.parse([]), Path("runs/x")).endswith("--out runs/x --resume")


def test_a_run_of_ten_thousand_clips_is_read(tmp_path):
    clips = [{"name": f"a_clip_of_a_long_name_{i}", "digest": "0" * 64, "weight": 1.0} for i in range(10_000)]
    settings = config_yaml.to_dict(TrainConfig())
    record = {"format": config_yaml.FORMAT, "config": settings, "clips": clips}
    record["digest"] = config_yaml.record_digest(record)
    (tmp_path / "config.yaml").write_bytes(yaml_bytes(record))
    assert (tmp_path / "config.yaml").stat().st_size > 2**20
    assert config_yaml.read_run(tmp_path) == (TrainConfig(), record)


def test_a_large_record_is_started_from_by_its_folder_and_by_its_file(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"seed: 7\n#{' ' * 2**20}\n")
    for path in (tmp_path, file):
        assert train.parse(["--config", str(path)]).train.seed == 7


def test_config_survives_yaml(tmp_path):
    for name, preset in PRESETS.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config_yaml.to_dict(preset)))
        assert config_yaml.read_config(path) == preset


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("total_steps: 1e7\nppo: {actor_rate: 1e-4}\n")
    config = config_yaml.read_config(path)
    assert (config.total_steps, type(config.total_steps)) == (10_000_000, int)
    assert config.ppo.actor_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeed: 1", "unknown field 'seeed'"),
        ("seed: one", "'seed' is 'one'; write a whole number"),
        ("env: {reward: best}", "'env.reward' is 'best'; use one of"),
        ("env: 3", "'env' is not a mapping"),
        ("motion: walk", "'motion' is 'walk'; write a list"),
        ("a: [", "is not YAML"),
        ("seed: &a 1\nunroll_length: *a", "aliases are not read"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nmotion: *c", "aliases are not read"),
        ("seed: 2001-99-99", "'seed' is '2001-99-99'; write a whole number"),
        ('seed: !!int "abc"', "is not YAML"),
        ("seed: !!python/object/apply:os.getcwd []", "is not YAML"),
        (f"seed: {'9' * 5000}", "is not YAML"),
        (f"push: {'9' * 400}", "'push' is too large"),
        ("push: hard", "'push' is 'hard'; write a number"),
        ("seed: 1.5", "'seed' is 1.5; write a whole number"),
        ("keep_checkpoints: some", "'keep_checkpoints' is 'some'; write a whole number, or all"),
        ("ppo: {target_kl: none}", "'ppo.target_kl' is 'none'; write a number, or null"),
        ("skip_bad: 1", "'skip_bad' is 1; write true or false"),
        ("[" * 5000, "is not YAML"),
        ("seed: !!bool x", "the tag tag:yaml.org,2002:bool is not read"),
        ("seed: !!int ''", "is not read"),
        ("seed: !!timestamp x", "is not read"),
        ("!!set {seed}", "is not read"),
        ("seed: 1:30", "'seed' is '1:30'; write a whole number"),
        (f"seed: 1{':1' * 20_000}", "write a whole number"),
        (f"seed: 0x{'F' * 5000}", "a number has over 400 digits"),
        (f"? {'s' * 3000}\n: 1", "unknown field 'sss"),
        ("<<: {seed: 1}", "unknown field '<<'"),
        ("x: " + "y" * 2**20, "is larger than"),
        (f"motion: {'x' * 10_000}", "write a list"),
        ("\udcff", "is not YAML"),
    ],
)
def test_config_files_with_a_defect(tmp_path, text, words):
    path = tmp_path / "settings.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as error:
        config_yaml.read_config(path)
    assert words in str(error.value)
    assert len(str(error.value)) < 600 + len(str(path))
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_path_that_can_be_none_is_refused_in_a_line(tmp_path, refused, clip):
    for name in ("a" * 300, "a/" * 3000):
        with pytest.raises(UserError, match="no run in this folder"):
            config_yaml.read_config(tmp_path / name)
        assert "cannot be" in refused("--motion", str(clip), "--out", str(tmp_path / name))


def test_a_config_file_that_is_missing_is_no_run_folder(tmp_path):
    with pytest.raises(UserError, match=r"exp\.yaml: no such file; check the path"):
        config_yaml.read_config(tmp_path / "exp.yaml")


def test_yaml_numbers_are_numbers_and_text_is_utf8(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("motion: [größe.npz]\nppo: {actor_rate: 1e-4, critic_rate: 1E-3, clip: .2}\n".encode())
    found = config_yaml.read_config(path)
    assert found.motion == ("größe.npz",)
    assert (found.ppo.actor_rate, found.ppo.critic_rate, found.ppo.clip) == (1e-4, 1e-3, 0.2)


def test_a_record_that_was_cut_short_or_edited_is_not_believed(clip, tmp_path):
    out = tmp_path / "run"
    folder.create(out, sized(TrainConfig(motion=(str(clip),)), "cpu", 2), Clips((sway(),), (1.0,)), 2)
    config_yaml.read_run(out)
    file = out / "config.yaml"
    text = file.read_text()
    edits = (("discount: 0.97", "discount: 0.5"), ("observation: compact", "observation: mimickit"))
    edited = [text.replace(old, new) for old, new in edits]
    for damaged in (text[:300], text[: len(text) // 2], *edited, "", "seed: 1\n", text + "1: 2\n"):
        assert damaged != text
        file.write_text(damaged)
        with pytest.raises(UserError, match=r"config\.yaml: "):
            config_yaml.read_run(out)


def test_options_go_on_top_of_a_preset_and_of_a_file(tmp_path):
    command = train.parse(["--preset", "mimickit", "--num-envs", "8", "--ppo.discount", "0.9"])
    assert command.train.num_envs == 8
    assert command.train.ppo.discount == 0.9
    assert command.train.env == PRESETS["mimickit"].env
    assert command.train.env.observation == "mimickit"
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\nenv: {reward: paper}\n")
    command = train.parse(["--config", str(path), "--env.track-root"])
    assert command.train.seed == 7
    assert command.train.env.reward == "paper"


def test_a_bad_option_exits_with_2_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "mjx_mimic.train", "--bogus"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Unrecognized options: --bogus" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_bad_value_is_explained_in_every_locale(locale):
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "mjx_mimic.motion", "convert", "a.npz", "b.npz", "--fps", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "Error parsing --fps" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback():
    """As in `... info walk | head -0`, without the shell."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mjx_mimic.motion", "info", "walk"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_metrics_go_to_weights_and_biases_too(tmp_path, monkeypatch):
    logged, calls = [], {}

    class FakeRun:
        def log(self, row, step):
            logged.append((step, row))

        def finish(self):
            calls["finished"] = True

    fake = types.ModuleType("wandb")
    fake.init = lambda **arguments: calls.update(arguments) or FakeRun()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    out = tmp_path / "run"
    folder.create(out, TrainConfig(seed=5), Clips((sway(),), (1.0,)), 2)
    with MetricLog(out, ["sway"], wandb_project="walks") as log:
        log.write({"samples": 64, "kl": 0.25}, {})
    assert logged == [(64, {"Main/samples": 64, "Learner/kl": 0.25})]
    assert calls["project"] == "walks"
    assert calls["config"]["config"]["seed"] == 5
    assert calls["finished"]


def test_weights_and_biases_must_be_installed(refused, clip, tmp_path):
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed here")
    assert "wandb" in refused("--motion", str(clip), "--out", str(tmp_path / "run"), "--wandb", "walks")


def test_help_shows_the_presets_own_defaults(capsys):
    with pytest.raises(SystemExit):
        train.main(["--preset", "robust", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 1.5)" in shown[shown.index("--push FLOAT") : shown.index("--push-turn")]


def test_an_option_of_several_values_stands_once_and_of_others_the_last_counts(tmp_path, capsys):
    given = train.parse(["--seed", "1", "--env.action-scale", "0.5", "--seed", "2", "--env.action_scale=0.7"])
    assert (given.train.seed, given.train.env.action_scale) == (2, 0.7)
    for option in ("--motion", "--env.target-steps", "--network.actor-hidden"):
        with pytest.raises(UserError, match=f"option {option}: stands there twice"):
            train.parse([option, "1", option, "2"])
