"""A training is followed: each new checkpoint once, whatever becomes of it while it is read."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.point_env import POINT_CONFIG, PointEnv

from mjx_mimic.display import following
from mjx_mimic.display.following import Follower
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import Learner, TrainState
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.checkpoints import DIGESTS, Checkpoints, Progress


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, tuple(jax.local_devices()))


@pytest.fixture(scope="module")
def states(learner) -> list[TrainState]:
    """Of three seeds, so with three policies."""
    return [learner.init(jax.random.key(seed)) for seed in range(3)]


@pytest.fixture
def saved(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path)


@pytest.fixture
def follower(saved, states, tmp_path, monkeypatch) -> Follower:
    """Of a run with one checkpoint, without waiting."""
    monkeypatch.setattr(following, "INTERVAL_S", 0.0)
    saved.save(states[0], Progress(100), is_best=False)
    return Follower(tmp_path, "last")


@pytest.fixture
def policy(learner, states) -> Policy:
    return first_device(learner.policy(states[0]))


def test_a_second_checkpoint_is_loaded_once(follower, saved, states, policy, learner, capsys):
    assert follower.load_newer(policy) is None
    saved.save(states[1], Progress(200), is_best=False)
    found = follower.load_newer(policy)
    wanted = first_device(learner.policy(states[1]))
    jax.tree.map(np.testing.assert_array_equal, found.params, wanted.params)
    jax.tree.map(np.testing.assert_array_equal, found.normalizer, wanted.normalizer)
    assert jax.tree.structure(found) == jax.tree.structure(policy)  # so nothing is compiled again
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "the last policy, of 200 samples, is shown from here on"
    assert follower.load_newer(found) is None
    assert capsys.readouterr().out == ""


def test_looks_are_apart(follower, saved, states, policy, monkeypatch):
    saved.save(states[1], Progress(200), is_best=False)
    monkeypatch.setattr(following, "INTERVAL_S", 3600.0)
    assert follower.load_newer(policy) is None


def test_an_unfinished_checkpoint_is_waited_for(follower, saved, states, policy, tmp_path, capsys):
    saved.save(states[1], Progress(200), is_best=False)
    digests = tmp_path / "checkpoints" / "200" / DIGESTS
    content = digests.read_bytes()
    digests.unlink()
    assert follower.load_newer(policy) is None
    assert capsys.readouterr() == ("", "")
    digests.write_bytes(content)
    assert follower.load_newer(policy) is not None


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def damaged(folder: Path) -> None:
    next(file for file in (folder / "last").rglob("*") if file.is_file()).write_bytes(b"")


@pytest.mark.parametrize("happens", [removed, damaged])
def test_a_checkpoint_lost_while_it_is_read_leaves_the_policy(
    follower, saved, states, policy, tmp_path, capsys, monkeypatch, happens
):
    saved.save(states[1], Progress(200), is_best=False)
    for name in ("100", "200"):  # not even an older one is left
        happens(tmp_path / "checkpoints" / name)
    monkeypatch.setattr(Checkpoints, "newest", lambda self: 200)  # as it was a moment ago
    assert follower.load_newer(policy) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("checkpoint 200 is not shown:")
    assert follower.load_newer(policy) is None
    assert capsys.readouterr().out == ""  # not again and again
    monkeypatch.undo()
    monkeypatch.setattr(following, "INTERVAL_S", 0.0)
    saved.save(states[2], Progress(300), is_best=False)
    assert follower.load_newer(policy) is not None


def test_a_damaged_newest_checkpoint_is_tried_once(follower, saved, states, policy, tmp_path, capsys):
    saved.save(states[1], Progress(200), is_best=False)
    damaged(tmp_path / "checkpoints" / "200")
    assert follower.load_newer(policy) is not None  # the older one
    assert "the last policy, of 100 samples, is shown" in capsys.readouterr().out
    assert follower.load_newer(policy) is None
    assert capsys.readouterr().out == ""


def test_a_best_policy_that_is_not_there_yet_is_waited_for(saved, states, policy, tmp_path, monkeypatch):
    monkeypatch.setattr(following, "INTERVAL_S", 0.0)
    follower = Follower(tmp_path, "best")
    saved.save(states[0], Progress(100), is_best=False)
    assert follower.load_newer(policy) is None
    saved.save(states[1], Progress(200, best_eval_return=1.0), is_best=True)
    assert follower.load_newer(policy) is not None


def test_the_networks_of_another_run_are_not_shown(follower, saved, states, policy, capsys):
    saved.save(states[1], Progress(200), is_best=False)
    other = replace(policy, normalizer=replace(policy.normalizer, mean=np.zeros(7)))
    assert follower.load_newer(other) is None
    assert "another run" in capsys.readouterr().out
