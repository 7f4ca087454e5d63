"""`python -m mjx_mimic.evaluate`: its table, its files, its refusals."""

import json

import matplotlib.image
import numpy as np
import pytest

from mjx_mimic import evaluate
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.common.errors import UserError

SCORES = (
    *("test_return", "episode_length", "survival", "survived", "return_per_step", "reward"),
    *("success_0.5m", "success_0.25m", "mpjpe_global", "mpjpe_root"),
    *("root_position", "root_rotation", "body_position", "body_rotation"),
    *("joint_velocity", "root_velocity", "root_angular_velocity"),
    *("torque", "power", "foot_slip", "action_change"),
)


@pytest.fixture(scope="module")
def tested(finished, tmp_path_factory):
    """The folder of a disturbed test in MuJoCo, with all of its files."""
    folder = tmp_path_factory.mktemp("tested")
    files = {"json": "test.json", "plot": "test.png", "record": "simulated.pkl"}
    options = [part for option, name in files.items() for part in (f"--{option}", str(folder / name))]
    run = str(finished / "whole")
    disturbed = ["--push", "0.5", "--noise", "1"]
    length = ["--episodes", "3", "--seconds", "0.5"]
    assert evaluate.main(["--run", run, "--engine", "mujoco", *length, *disturbed, *options]) == 0
    return folder


def test_figures_go_to_a_file(tested):
    told = json.loads((tested / "test.json").read_text())
    assert told["engine"] == "mujoco"
    assert told["push"] == 0.5
    for kind in ("random", "first"):
        assert told[kind]["episodes"] == 3
        assert set(SCORES) == set(told[kind]["total"])
        for name, score in told[kind]["total"].items():
            assert score["count"] == 3, name
            assert score["p5"] <= score["mean"] <= score["p95"] or score["std"] < 1e-9, name
    assert told["first"]["total"]["action_change"]["std"] > 0.0  # disturbed episodes are not alike
    assert 0.0 < told["random"]["total"]["test_return"]["mean"] <= 15.0


def test_the_plot_is_a_picture(tested):
    picture = matplotlib.image.imread(tested / "test.png")
    assert picture.shape[0] > 300
    assert picture[..., :3].std() > 0.05


def test_the_simulated_motion_is_a_clip(tested, finished):
    motion = load_motion(tested / "simulated.pkl")
    assert (motion.num_frames, motion.fps, motion.loop) == (16, 30.0, "clamp")
    start = load_motion(finished / "sway.npz")
    np.testing.assert_allclose(motion.root_pos[0], start.root_pos[0], atol=1e-6)
    np.testing.assert_allclose(motion.dof_pos[0], start.dof_pos[0], atol=1e-6)
    assert np.abs(motion.dof_pos - start.dof_pos[:16]).max() > 1e-3  # it is simulated


def test_the_table_names_every_figure(finished, capsys):
    short = ["--episodes", "2", "--seconds", "0.2", "--start", "random", "--checkpoint", "last"]
    assert evaluate.main(["--run", str(finished / "whole"), "--engine", "mujoco", *short]) == 0
    printed = capsys.readouterr().out
    for name in SCORES:
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
    ],
)
def test_bad_options_are_refused_in_a_line(finished, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    given = options if "--run" in options else ["--run", str(finished / "whole"), *options]
    with pytest.raises(UserError) as caught:
        evaluate.main(given)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
