"""MimicKit's command line, typed after `python -m mjx_mimic.train`."""

from functools import partial
from pathlib import Path

import pytest
from helpers import mimickit_recipe
from helpers.refusals import refusal_that_writes_nothing

from mjx_mimic import train


@pytest.fixture
def arg_file(tmp_path: Path) -> str:
    return str(mimickit_recipe.write(tmp_path))


@pytest.fixture
def refused(tmp_path: Path, capsys, monkeypatch):
    """(arguments) -> the message of the command, which must have written nothing."""
    monkeypatch.chdir(tmp_path)

    return partial(refusal_that_writes_nothing, train.main, tmp_path, capsys, "--no-video")


def test_mimickits_command_line_with_an_argument_file(arg_file, tmp_path, capsys):
    for option in ("--arg_file", "--arg-file"):
        command = train.parse(
            ["--mode", "train", "--num_envs", "64", "--visualize", "false", option, arg_file]
        )
        assert command.train.num_envs == 64
        assert command.train.eval_interval == 100 * 32 * 64  # of 100 iterations
        assert command.train.env.observation == "mimickit"
        assert command.train.motion == (str(tmp_path / "data" / "motions" / "clip.npz"),)
        assert command.out == Path("output")
        report = capsys.readouterr().out
        first = report.splitlines()[0]
        for path in (
            arg_file,
            *(tmp_path / "data" / f"{k}s" / f"{k}.yaml" for k in ("env", "agent", "engine")),
        ):
            assert str(path) in first
        assert str(tmp_path / "data" / "motions" / "clip.npz") in first
        assert report.count("sim_freq") == 1


def test_our_options_go_before_the_files(arg_file, tmp_path):
    more = ["--motion", "run", "--out", "mine", "--env.max-deviation", "0.3", "--ppo.discount", "0.9"]
    command = train.parse(["--arg-file", arg_file, *more, "--rand_seed=5", "--max_samples", "640"])
    assert command.train.motion == ("run",)
    assert command.out == Path("mine")
    assert command.train.env.max_deviation == 0.3
    assert command.train.ppo.discount == 0.9
    assert (command.train.seed, command.train.total_steps) == (5, 640)


def test_the_files_can_be_named_without_an_argument_file(arg_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = train.parse(["--env_config", "data/envs/env.yaml", "--agent_config", "data/agents/agent.yaml"])
    assert command.train.motion == ("data/motions/clip.npz",)
    assert command.train.network.initial_std == 0.05


def test_what_is_typed_is_looked_for_in_the_current_folder_first(tmp_path, monkeypatch, capsys):
    """As MimicKit does; what an argument file names, from that file's folder."""
    arg_file = mimickit_recipe.write(tmp_path / "MimicKit", env={"episode_length": 5})
    mimickit_recipe.write(tmp_path / "here", env={"episode_length": 7})
    monkeypatch.chdir(tmp_path / "here")
    typed = ["--env_config", "data/envs/env.yaml", "--motion_file", "data/motions/clip.npz"]
    command = train.parse(["--arg-file", str(arg_file), *typed])
    assert command.train.env.episode_seconds == 7
    assert command.train.motion == ("data/motions/clip.npz",)
    first = capsys.readouterr().out.splitlines()[0]
    agent = tmp_path / "MimicKit" / "data" / "agents" / "agent.yaml"
    for path in (arg_file, "data/envs/env.yaml", agent, "data/motions/clip.npz"):
        assert f" {path}" in first
    command = train.parse(["--arg-file", str(arg_file)])
    assert command.train.env.episode_seconds == 5
    assert command.train.motion == (str(tmp_path / "MimicKit" / "data" / "motions" / "clip.npz"),)
    elsewhere = ["--engine_config", "data/engines/only_there.yaml"]
    (tmp_path / "MimicKit" / "data" / "engines" / "only_there.yaml").write_text("control_mode: pos\n")
    assert train.parse(["--arg-file", str(arg_file), *elsewhere]).train.env.control_hz == 10.0


@pytest.mark.parametrize(
    ("words", "video"),
    [
        (["--video", "true"], True),
        (["--video", "False"], False),
        (["--video=false"], False),
        (["--video=1"], True),
        (["--video"], True),
        (["--no-video"], False),
        ([], True),
    ],
)
def test_mimickits_switch_of_videos_is_ours(words, video):
    assert train.parse([*words, "--seed", "5"]).video is video
    assert train.parse(["--seed", "5", *words]).video is video


def test_a_switch_of_videos_in_a_file(tmp_path, capsys):
    for value, interval in (("true", None), ("false", 0)):
        text = f"{mimickit_recipe.ARGUMENTS}\n--video {value}"
        command = train.parse(["--arg-file", str(mimickit_recipe.write(tmp_path, text))])
        assert command.train.video_interval == interval
        assert ("--video-interval 0" in capsys.readouterr().out) is (value == "false")


EVALUATE, VIEW = "python -m mjx_mimic.evaluate --run RUN", "python -m mjx_mimic.view --run RUN"


@pytest.mark.parametrize("with_file", [False, True])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode", "test"], ["option --mode: is test", EVALUATE, VIEW]),
        (["--mode", "test", "--model_file", "model.pt", "--visualize", "true"], [EVALUATE, VIEW]),
        (["--model_file", "model.pt"], ["option --model_file: is model.pt", "--init-from RUN"]),
        (["--mode", "train", "--model-file=model.pt"], ["--init-from RUN", "mjx_mimic.evaluate|view"]),
        (["--mode", "fly"], ["option --mode: is fly"]),
    ],
)
def test_what_is_another_command_here(refused, arg_file, with_file, options, words):
    message = refused(*options, *(["--arg_file", arg_file] if with_file else []))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "options", [["--visualize", "true"], ["--visualize"], ["--mode", "train", "--visualize", "True"]]
)
def test_who_wants_to_watch_a_training_is_told_how(refused, arg_file, options, capsys):
    train.parse([*options, "--arg-file", arg_file])
    assert f"{VIEW} --follow" in capsys.readouterr().out
    message = refused(*options)  # without files, the option is none of ours
    assert "option --visualize: " in message
    assert f"{VIEW} --follow" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--max_samples", "5"],
            "option --max_samples: is MimicKit's, and goes with its files; add --arg-file",
        ),
        (["--max_samples", "5"], "--arg-file or --env_config; without, use ours: --total-steps"),
        (["--agent_config", "a.yaml"], "option --agent_config: is MimicKit's, and goes with its files; add"),
        (["--video", "sometimes"], "sometimes"),
        (["--video", "true", "false"], "false"),
        (["--max_samples", "many"], "option --max_samples: is many; write a whole number"),
        (["--arg-file", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["--arg-file", "args/g1_args.txt", "--preset", "paper"], "--preset, --config and --arg-file"),
        (["--arg-file", "args/g1_args.txt", "--motion", "nofile"], "nofile"),
        (["--arg-file", "args/g1_args.txt", "--bogus", "1"], "--bogus"),
        (["--arg-file", "args/g1_args.txt", "--env_config", "no.yaml"], "option --env_config: is no.yaml"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(refused, arg_file, options, words):
    assert words in refused(*options)


def test_an_option_without_a_counterpart_is_not_told_to_use_none(refused):
    assert refused("--agent_config", "a.yaml").endswith("add --arg-file or --env_config")


def test_a_defect_in_a_file_is_one_line_and_nothing_is_written(refused, tmp_path):
    for changed, words in (
        ({"env": {"char_file": "data/assets/humanoid/humanoid.xml"}}, "Unitree G1"),
        ({"env": {"contact_bodies": ["foot"]}}, "names foot"),
        ({"agent": {"discount": "high"}}, "'discount': is high; write a number"),
    ):
        assert words in refused("--arg-file", str(mimickit_recipe.write(tmp_path, **changed)))
