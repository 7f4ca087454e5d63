"""A run keeps its clips: it can be moved, and a file that changes later does not change it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refusal
from helpers.small_run import sway

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.editing import edited
from mjx_mimic.clips.formats import native
from mjx_mimic.clips.motion import Motion
from mjx_mimic.config import EnvConfig, TrainConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.runs import folder, own_clips


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run on two clips of the folder in which it was trained, which is moved away from them."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    for name, amplitude in (("a", 0.1), ("b", 0.2)):
        native.write(f"{name}.npz", sway(amplitude))
    config = TrainConfig(motion=("a.npz", "b.npz"), motion_weights=(1.0, 3.0))
    clips = load_clips(config.motion, config.motion_weights)
    folder.create(Path("run"), sized(config, "cpu", 2), clips, 2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(home / "run", elsewhere / "run")
    shutil.rmtree(home)
    monkeypatch.chdir(elsewhere)
    return elsewhere / "run"


def test_a_run_is_read_where_its_clips_are_not(run, capsys):
    clips = folder.load_run_clips(run)
    assert [motion.name for motion in clips.motions] == ["sway 1", "sway 2"]
    assert [motion.digest for motion in clips.motions] == [sway(0.1).digest, sway(0.2).digest]
    np.testing.assert_array_equal(clips.motions[1].dof_pos, sway(0.2).dof_pos)
    assert clips.weights == (1.0, 3.0)
    assert capsys.readouterr().out == ""


def test_copies_that_are_not_the_runs_are_refused(run):
    native.write(run / "clips/1.npz", sway(0.3))
    message = refusal(folder.load_run_clips, run)
    assert message.startswith(f"{run / 'clips/1.npz'}: is not the clip that the run was trained on; restore")
    (run / "clips/1.npz").unlink()
    message = refusal(folder.load_run_clips, run)
    assert message == f"{run / 'clips/1.npz'}: is missing; restore it, or start anew"


def test_a_copy_that_cannot_be_written_leaves_none(tmp_path, monkeypatch):
    def write(path: Path, motion: Motion) -> None:
        if path.name == "1.npz":
            raise OSError("full")
        written(path, motion)

    written = native.write
    monkeypatch.setattr(native, "write", write)
    clips = Clips((sway(0.1), sway(0.2)), (1.0, 1.0))
    assert "cannot be written (full)" in refusal(own_clips.write, tmp_path, clips)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_copies_reads_the_files_themselves_while_they_are_the_same(run):
    shutil.rmtree(run / own_clips.FOLDER)
    assert "a.npz: no such file" in refusal(folder.load_run_clips, run)
    for name, amplitude in (("a", 0.1), ("b", 0.2)):
        native.write(f"{name}.npz", sway(amplitude))
    assert folder.load_run_clips(run).motions[1].digest == sway(0.2).digest
    native.write("b.npz", sway(0.25))
    assert refusal(folder.load_run_clips, run).startswith(f"{run}: a clip has changed since it was trained;")


def test_other_clips_that_need_more_contacts_are_warned_of(tmp_path, capsys):
    """A robot that lies on its face, and one that stands on its feet, for runs of two contact sets."""
    count = sway().num_frames
    lying = edited(
        sway(), root_pos=[[0.0, 0.0, 0.1]] * count, root_quat=[[0.5**0.5, 0.0, 0.5**0.5, 0.0]] * count
    )
    for contacts, motion, warned in (
        ("feet", lying, True),
        ("body", lying, False),
        ("feet", sway(0.3), False),
    ):
        run = tmp_path / f"{contacts} {warned}"
        config = replace(sized(TrainConfig(), "cpu", 2), env=EnvConfig(contacts=contacts))
        folder.create(run, config, Clips((sway(),), (1.0,)), 2)
        assert "no checkpoint" in refusal(folder.load_policy, run, "last", Clips((motion,), (1.0,)))
        assert ("contacts feet, and these clips need body" in capsys.readouterr().out) == warned
