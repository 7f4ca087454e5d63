"""Checkpoints: whole, finite, never in disagreement, and the one before where the newest is damaged."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.point_env import POINT_CONFIG, PointEnv
from helpers.refusals import refusal

from mjx_mimic.common.errors import UserError
from mjx_mimic.learning.devices import place
from mjx_mimic.learning.learner import Learner, TrainState, redistribute
from mjx_mimic.runs import checkpoints, folder
from mjx_mimic.runs.checkpoints import DIGESTS, Checkpoints, Progress, to_host


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, tuple(jax.local_devices()))


@pytest.fixture(scope="module")
def saved(learner, tmp_path_factory) -> tuple[Path, list[TrainState]]:
    """A run of four checkpoints, the second one the best, and their states on the host."""
    run = tmp_path_factory.mktemp("checkpoints")
    checkpoints, state, states = Checkpoints(run), learner.init(jax.random.key(0)), []
    for number in range(4):
        if number:
            state, _ = learner.train_step(state)
        best = (7.0, 512) if number else (None, None)
        progress = Progress(number * 512, float(number), *best)
        checkpoints.save(state, progress, is_best=number == 1)
        states.append(jax.tree.map(np.copy, to_host(state)))
    return run, states


@pytest.fixture
def run(saved, tmp_path) -> Path:
    """A copy to damage."""
    shutil.copytree(saved[0], tmp_path / "run")
    return tmp_path / "run"


def assert_equal(left: TrainState, right: TrainState) -> None:
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_two_newest_are_kept_and_the_last_one_is_restored_to_the_bit(saved, learner):
    run, states = saved
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["1024", "1536"]
    state, progress = Checkpoints(run).restore_training(learner.init(jax.random.key(1)))
    assert_equal(to_host(state), states[3])
    assert progress == Progress(1536, 3.0, 7.0, 512)


def test_best_and_last_are_those_of_their_updates(saved):
    run, states = saved
    for which, number in (("best", 1), ("last", 3)):
        stored = Checkpoints(run).restore_policy(which)
        expected = jax.tree.map(lambda leaf: leaf[0], states[number].actor.params)
        jax.tree.map(np.testing.assert_array_equal, stored.actor, expected)


def test_a_resumed_training_keeps_its_best_policy(run, learner):
    checkpoints = Checkpoints(run)
    state, progress = checkpoints.restore_training(learner.init(jax.random.key(1)))
    best = checkpoints.restore_policy("best")
    assert best.samples == 512  # its own, not the checkpoint's
    state, _ = learner.train_step(place(learner.devices, state))
    checkpoints.save(state, replace(progress, samples=2048), is_best=False)
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_policy("best").actor, best.actor)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 0x10
    file.write_bytes(contents)


def files_of(step: Path) -> list[Path]:
    return sorted(path for path in step.rglob("*") if path.is_file() and path.stat().st_size)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": lambda step: [truncate(file) for file in files_of(step)] and None,
    "flipped": lambda step: [flip(file) for file in files_of(step)] and None,
    "zeroed": lambda step: [file.write_bytes(bytes(file.stat().st_size)) for file in files_of(step)] and None,
    "without training": lambda step: shutil.rmtree(step / "training"),
    "without progress": lambda step: shutil.rmtree(step / "progress"),
    "empty": lambda step: [shutil.rmtree(path) for path in step.iterdir() if path.is_dir()] and None,
    "text for progress": lambda step: (step / "progress" / "metadata").write_text("[1, 2]") and None,
    "without digests": lambda step: (step / "sha256.json").unlink(),
    "no digests": lambda step: (step / DIGESTS).write_text("{}") and None,
    "deep digests": lambda step: (step / DIGESTS).write_text("[" * 100_000) and None,
    "other digests": lambda step: (step / "sha256.json").write_text("3") and None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_is_used_where_the_newest_is_damaged(run, saved, learner, capfd, damage):
    DAMAGES[damage](run / "checkpoints" / "1536")
    stored = Checkpoints(run).restore_policy("last")
    expected = jax.tree.map(lambda leaf: leaf[0], saved[1][2].actor.params)
    jax.tree.map(np.testing.assert_array_equal, stored.actor, expected)
    capfd.readouterr()
    state, progress = Checkpoints(run).restore_training(learner.init(jax.random.key(1)))
    assert_equal(to_host(state), saved[1][2])
    assert progress.samples == 1024
    told = [line for line in capfd.readouterr().err.splitlines() if "is damaged" in line]
    assert len(told) == 1
    assert "checkpoints/1536" in told[0]
    assert not (run / "checkpoints" / "1536").exists()  # it would be in the way
    assert (run / "checkpoints" / "1536.damaged").is_dir()  # it may be whole, and only unreadable today


def test_what_others_put_beside_the_files_of_a_checkpoint_is_no_damage(run, learner):
    (run / "checkpoints" / "1536" / "Thumbs.db").write_bytes(b"x")
    assert Checkpoints(run).restore_training(learner.init(jax.random.key(1)))[1].samples == 1536


@pytest.mark.parametrize("change", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "missing"])
def test_a_single_damaged_file_is_noticed_whichever_it_is(saved, learner, tmp_path, change):
    files = [file.relative_to(saved[0]) for file in files_of(saved[0] / "checkpoints" / "1536")]
    assert len(files) > 20
    for number, name in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(saved[0], copy)
        change(copy / name)
        stored = Checkpoints(copy).restore_policy("last")
        expected = jax.tree.map(lambda leaf: leaf[0], saved[1][2].actor.params)
        jax.tree.map(np.testing.assert_array_equal, stored.actor, expected)


PROGRESS = {
    "deep": "[" * 100_000,
    "text": '{"samples": 1, "wall_time_s": "1", "best_eval_return": 7.0}',
    "a missing number": '{"samples": 1, "best_eval_return": 7.0}',
    "one too many": '{"samples": 1, "wall_time_s": 1, "best_eval_return": 7.0, "x": 1}',
    "beyond float64": f'{{"samples": 1, "wall_time_s": {"9" * 400}, "best_eval_return": 7.0}}',
    "half a sample": '{"samples": 1, "wall_time_s": 1, "best_eval_return": 7.0, "best_samples": 0.5}',
    "NaN": '{"samples": 1, "wall_time_s": NaN, "best_eval_return": 7.0}',
}


@pytest.mark.parametrize("text", PROGRESS.values(), ids=PROGRESS)
def test_wrong_contents_with_a_right_digest_are_damage_too(run, learner, text):
    step = run / "checkpoints" / "1536"
    (step / "progress" / "metadata").write_text(text)
    (step / DIGESTS).write_text(json.dumps(checkpoints._digests(step)))
    Checkpoints(run).restore_policy("best")
    assert Checkpoints(run).restore_training(learner.init(jax.random.key(1)))[1].samples == 1024


def test_progress_of_an_earlier_version_is_read(run, learner):
    step = run / "checkpoints" / "1536"
    earlier = '{"samples": 1536, "wall_time_s": 1, "best_eval_return": 7.0}'
    (step / "progress" / "metadata").write_text(earlier)
    (step / DIGESTS).write_text(json.dumps(checkpoints._digests(step)))
    _, progress = Checkpoints(run).restore_training(learner.init(jax.random.key(1)))
    assert progress == Progress(1536, 1, 7.0, best_samples=1536)


def test_all_damaged_is_one_line(run, learner):
    for step in (run / "checkpoints").iterdir():
        DAMAGES["truncated"](step)
    for read in (
        lambda: Checkpoints(run).restore_policy("best"),
        lambda: Checkpoints(run).restore_training(learner.init(jax.random.key(1))),
    ):
        with pytest.raises(UserError, match="every checkpoint is damaged"):
            read()


def test_a_training_killed_in_its_very_first_save_starts_from_the_beginning(saved, learner, tmp_path):
    first = tmp_path / "run" / "checkpoints" / "0"
    shutil.copytree(sorted((saved[0] / "checkpoints").iterdir())[0], first)
    (first / DIGESTS).unlink()
    assert Checkpoints(tmp_path / "run").restore_training(learner.init(jax.random.key(1))) is None
    assert not first.exists()
    assert Checkpoints(tmp_path / "run").progress().samples == 0


def test_the_state_of_another_version_is_refused_and_left_as_it_is(run, learner, capsys):
    checkpoints, state = Checkpoints(run), learner.init(jax.random.key(1))
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    wider = jax.tree.map(lambda x: jnp.concatenate([x, x], -1), state.normalizer)
    message = refusal(checkpoints.restore_training, replace(state, normalizer=wider))
    assert "'normalizer.count' has other sizes" in message
    assert "--init-from" in message
    without = replace(state, tally={"steps": state.tally.steps})
    assert "of another version" in refusal(checkpoints.restore_training, without)
    assert "tally" in capsys.readouterr().err
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before


@pytest.mark.parametrize("stray", ["9999", "notes", "7.orbax-checkpoint-tmp"])
def test_stray_folders_hide_no_checkpoint(run, saved, learner, stray):
    (run / "checkpoints" / stray).mkdir()
    state, _ = Checkpoints(run).restore_training(learner.init(jax.random.key(1)))
    assert_equal(to_host(state), saved[1][3])


def test_what_killed_saves_left_is_removed_by_the_next_save(run, learner):
    (run / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir()
    checkpoints = Checkpoints(run)
    state, progress = checkpoints.restore_training(learner.init(jax.random.key(1)))
    state, _ = learner.train_step(place(learner.devices, state))
    checkpoints.save(state, replace(progress, samples=2048), is_best=False)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["1536", "2048"]


def test_networks_that_are_not_finite_are_neither_saved_nor_read(run, saved, learner, monkeypatch):
    state = learner.init(jax.random.key(2))
    broken = replace(
        state, critic=replace(state.critic, params=jax.tree.map(lambda x: x / 0.0, state.critic.params))
    )
    before = sorted((run / "checkpoints").iterdir())
    with pytest.raises(UserError, match="not finite"):
        Checkpoints(run).save(broken, Progress(), is_best=True)
    assert sorted((run / "checkpoints").iterdir()) == before
    # As an older version might have written it.
    monkeypatch.setattr("mjx_mimic.runs.checkpoints.is_finite", lambda tree: True)
    Checkpoints(run).save(broken, Progress(4096, 1.0, 1.0), is_best=True)
    monkeypatch.undo()
    with pytest.raises(UserError, match="not finite"):
        Checkpoints(run).restore_policy("best")


def test_a_run_without_an_evaluation_has_no_best_policy(learner, tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint"):
        Checkpoints(tmp_path).restore_policy("last")
    assert Checkpoints(tmp_path).restore_training(learner.init(jax.random.key(0))) is None
    assert list(tmp_path.iterdir()) == []  # reading makes nothing
    Checkpoints(tmp_path).save(learner.init(jax.random.key(0)), Progress(), is_best=False)
    assert Checkpoints(tmp_path).restore_policy("last")
    with pytest.raises(UserError, match="no evaluation yet"):
        Checkpoints(tmp_path).restore_policy("best")


# Kept checkpoints, other devices --------------------------------------------------------------------------


def kept_run(learner: Learner, run: Path, keep: int | str) -> Checkpoints:
    """Checkpoints of four updates."""
    checkpoints, state = Checkpoints(run, keep), learner.init(jax.random.key(0))
    for number in range(4):
        checkpoints.save(state, Progress(number * 512, 1.0, 7.0), is_best=number == 0)
        state, _ = learner.train_step(state)
    return checkpoints


@pytest.mark.parametrize(("keep", "names"), [(3, [512, 1024, 1536]), ("all", [0, 512, 1024, 1536])])
def test_as_many_are_kept_as_asked_for_and_read_by_their_samples(saved, learner, tmp_path, keep, names):
    checkpoints = kept_run(learner, tmp_path, keep)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == names
    for samples in names:
        stored = checkpoints.restore_policy(samples)
        expected = jax.tree.map(lambda leaf: leaf[0], saved[1][samples // 512].actor.params)
        jax.tree.map(np.testing.assert_array_equal, stored.actor, expected)
        assert stored.samples == samples
        positions = checkpoints.restore_env_states(samples)["position"]
        np.testing.assert_array_equal(positions, saved[1][samples // 512].env.position.reshape(-1, 2))
    message = refusal(checkpoints.restore_policy, 700)
    assert f"no checkpoint with 700 samples; use one of these: {', '.join(map(str, names))} (" in message


def test_a_damaged_checkpoint_that_was_named_is_not_replaced_by_another(run):
    truncate(run / "checkpoints" / "1024" / "progress" / "metadata")
    assert "1024: the checkpoint is damaged" in refusal(Checkpoints(run).restore_policy, 1024)
    assert Checkpoints(run).restore_policy(1536)


def test_a_checkpoint_of_two_devices_goes_on_with_one_and_back(run, saved, learner):
    one = Learner(learner.env, learner.config, learner.devices[:1])
    before, (state, progress) = saved[1][3], Checkpoints(run).restore_training(one.init(jax.random.key(1)))
    state = redistribute(state, 1)
    for name in ("actor", "critic", "normalizer", "tally", "iteration"):
        expected = jax.tree.map(lambda leaf: leaf[:1], getattr(before, name))
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), expected)
    np.testing.assert_array_equal(state.env.position[0], before.env.position.reshape(-1, 2))
    np.testing.assert_array_equal(state.observation[0], before.observation.reshape(-1, 4))
    state, metrics = one.train_step(place(one.devices, state))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((metrics, to_host(state))))
    Checkpoints(run).save(state, replace(progress, samples=2048), is_best=False)
    state, _ = Checkpoints(run).restore_training(learner.init(jax.random.key(1)))
    state = redistribute(state, 2)
    keys = jax.random.key_data(state.key)
    assert not np.array_equal(keys[0], keys[1])  # else both would act alike
    state, _ = learner.train_step(place(learner.devices, state))
    np.testing.assert_array_equal(np.asarray(state.iteration), [5, 5])
    for leaf in jax.tree.leaves((state.actor, state.critic, state.normalizer)):
        np.testing.assert_array_equal(*np.asarray(leaf))


def test_states_of_another_version_are_refused_in_a_line(tmp_path, monkeypatch):
    """Of a checkpoint whose environments have a field that this version does not know."""
    config = SimpleNamespace(env=SimpleNamespace(goal="none"))
    monkeypatch.setattr(folder, "read_run", lambda _: (config, {"clips": []}))
    monkeypatch.setattr(folder, "require_one_policy", lambda *_: None)
    monkeypatch.setattr(Checkpoints, "restore_env_states", lambda *_: {"qpos": np.zeros((4, 36)), "mood": 1})
    message = refusal(folder.load_training_states, tmp_path)
    assert "another version of mjx_mimic" in message
    assert "mood" in message
