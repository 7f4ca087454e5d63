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
        assert report.startswith(f"MimicKit's files of {arg_file} are translated.")
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


EVALUATE, VIEW = "python -m mjx_mimic.evaluate --run RUN", "python -m mjx_mimic.view --run RUN"


@pytest.mark.parametrize("with_file", [False, True])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode", "test"], ["option --mode: is test", EVALUATE, VIEW]),
        (["--mode", "test", "--model_file", "model.pt", "--visualize", "true"], [EVALUATE, VIEW]),
        (["--visualize", "true"], ["option --visualize: ", VIEW]),
        (["--visualize"], ["option --visualize: ", VIEW]),
        (["--mode", "train", "--visualize", "True"], ["option --visualize: ", VIEW]),
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
    ("options", "words"),
    [
        (["--max_samples", "5"], "option --max_samples: is MimicKit's, and goes with --arg-file"),
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


def test_a_defect_in_a_file_is_one_line_and_nothing_is_written(refused, tmp_path):
    for changed, words in (
        ({"env": {"char_file": "data/assets/humanoid/humanoid.xml"}}, "Unitree G1"),
        ({"env": {"contact_bodies": ["foot"]}}, "names foot"),
        ({"agent": {"discount": "high"}}, "'discount': is high; write a number"),
    ):
        assert words in refused("--arg-file", str(mimickit_recipe.write(tmp_path, **changed)))
