"""`python -m mjx_mimic.evaluate`: its table, its files, its refusals."""

import json

import matplotlib.image
import numpy as np
import pytest
from helpers.refusals import command_refusal

from mjx_mimic import evaluate
from mjx_mimic.clips.formats import load_motion

METRICS = (
    *("eval_return", "episode_length", "survival", "survived", "return_per_step", "reward"),
    *("success_0.5m", "success_0.25m", "mpjpe_global", "mpjpe_root"),
    *("root_position", "root_rotation", "body_position", "body_rotation"),
    *("joint_velocity", "root_velocity", "root_angular_velocity"),
    *(
        "mjlab_success",
        "mjlab_mpkpe",
        "mjlab_r_mpkpe",
        "mjlab_ee_pos",
        "mjlab_ee_ori",
        "mjlab_joint_vel",
        "torque",
        "power",
        "foot_slip",
        "action_change",
    ),
)


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """The folder of a disturbed evaluation in MuJoCo, with all of its files."""
    folder = tmp_path_factory.mktemp("evaluated")
    files = {"json": "evaluation.json", "plot": "evaluation.png", "record": "simulated.pkl"}
    options = [part for option, name in files.items() for part in (f"--{option}", str(folder / name))]
    run = str(finished / "whole")
    disturbed = ["--push", "0.5", "--noise", "1"]
    length = ["--episodes", "3", "--seconds", "0.5"]
    assert evaluate.main(["--run", run, "--engine", "mujoco", *length, *disturbed, *options]) == 0
    return folder


def test_metrics_go_to_a_file(evaluated):
    found = json.loads((evaluated / "evaluation.json").read_text())
    assert found["engine"] == "mujoco"
    assert found["push"] == 0.5
    for kind in ("random", "first"):
        assert found[kind]["episodes"] == 3
        assert set(METRICS) == set(found[kind]["total"])
        for name, metric in found[kind]["total"].items():
            assert metric["count"] == 3, name
            assert metric["p5"] <= metric["mean"] <= metric["p95"] or metric["std"] < 1e-9, name
    assert found["first"]["total"]["action_change"]["std"] > 0.0  # disturbed episodes are not alike
    assert 0.0 < found["random"]["total"]["eval_return"]["mean"] <= 15.0


def test_the_trainings_states_are_replayed_in_mujoco(finished, tmp_path, capsys):
    file = tmp_path / "replay.json"
    options = ["--start", "training", "--engine", "mujoco", "--seconds", "0.2", "--json", str(file)]
    assert evaluate.main(["--run", str(finished / "whole"), "--checkpoint", "last", *options]) == 0
    assert "from the training's states" in capsys.readouterr().out
    assert json.loads(file.read_text())["training"]["episodes"] == 8


def test_the_plot_is_a_picture(evaluated):
    picture = matplotlib.image.imread(evaluated / "evaluation.png")
    assert picture.shape[0] > 300
    assert picture[..., :3].std() > 0.05


def test_the_simulated_motion_is_a_clip(evaluated, finished):
    motion = load_motion(evaluated / "simulated.pkl")
    assert (motion.num_frames, motion.fps, motion.loop) == (16, 30.0, "clamp")
    start = load_motion(finished / "sway.npz")
    np.testing.assert_allclose(motion.root_pos[0], start.root_pos[0], atol=1e-6)
    np.testing.assert_allclose(motion.dof_pos[0], start.dof_pos[0], atol=1e-6)
    assert np.abs(motion.dof_pos - start.dof_pos[:16]).max() > 1e-3  # it is simulated


def test_the_table_names_every_metric(finished, capsys):
    short = ["--episodes", "2", "--seconds", "0.2", "--start", "random", "--checkpoint", "last"]
    assert evaluate.main(["--run", str(finished / "whole"), "--engine", "mujoco", *short]) == 0
    printed = capsys.readouterr().out
    for name in METRICS:
        assert name in printed
    assert "2 from random phases" in printed
    assert "first frame" not in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--run", "nowhere"], "nowhere"),
        (["--engine", "bullet"], "--engine"),
        (["--episodes", "-1"], "--episodes"),
        (["--seconds", "0"], "--seconds"),
        (["--push", "-1"], "--push"),
        (["--noise", "nan"], "--noise"),
        (["--mjcf", "g1.xml"], "--engine mujoco"),
        (["--engine", "mujoco", "--mjcf", "nowhere.xml"], "nowhere.xml"),
        (["--json", "/nowhere/a.json"], "--json"),
        (["--record", "a.mp4"], "a.mp4"),
        (["--motion", "noclip"], "noclip"),
        (["--noise", "0", "11"], "--noise"),
        (["--force", "-1"], "--force"),
        (["--direction", "up"], "--direction"),
        (["--duration", "0"], "--duration"),
        (["--push-turn", "0.5"], "--push"),
        (["--direction", "left"], "option --direction: it is of a force; add --force"),
        (["--duration", "0.5"], "option --duration: it is of a force; add --force or --find-limit"),
        (["--find-limit", "--grid"], "--find-limit"),
        (["--find-limit", "--force", "100"], "--force"),
        (["--find-limit", "--plot", "a.png"], "--plot"),
        (["--find-limit", "--episodes", "5"], "--episodes"),
        (["--seed", str(2**63)], "--seed"),
        (["--plot", "errors.pdf"], "--plot"),
        (["--noise", "0", "--noise", "1"], "--noise: stands there twice"),
        (["--noise"], "option --noise: has no value; name at least one"),
        (["--friction", "--seed", "1"], "option --friction: has no value"),
        (["--find-limit", "--push", "1"], "leave --push out"),
        (["--friction", "0.4", "1", "--record", "a.npz"], "--record"),
        (["--grid", "--start", "first"], "--start"),
        (["--engine", "mujoco", "--mjcf", "nowhere.xml", "--grid"], "--mjcf"),
    ],
)
def test_bad_options_are_refused_in_a_line(finished, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    given = options if "--run" in options else ["--run", str(finished / "whole"), *options]
    assert words in command_refusal(evaluate.main, given, capsys)
    assert list(tmp_path.iterdir()) == []
