"""The whole command on the real robot, small: run folder, interrupt, resume, video."""

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.point_env import POINT_CONFIG, PointEnv
from helpers.small_run import SMALL, STEPS, command, start, sway
from helpers.videos import read
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ImageEvent

from mjx_mimic import train
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import RunFailure
from mjx_mimic.config_checks import sized
from mjx_mimic.display import gl
from mjx_mimic.learning.devices import first_device, place
from mjx_mimic.learning.learner import Learner
from mjx_mimic.learning.rollout import EvaluationMetrics
from mjx_mimic.runs import checkpoints, folder, metric_log, reports, training_loop, training_run
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.stop import Stop
from mjx_mimic.task.making import with_contacts
from mjx_mimic.task.tracking_errors import TrackingErrors

# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def rows(runs: Path, out: str) -> list[dict]:
    return [json.loads(row) for row in (runs / out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_folder_has_all_that_is_promised(finished, capsys):
    last = rows(finished, "whole")[-1]
    assert last["samples"] == 4 * STEPS
    terms = ("pose", "velocity", "root_pose", "root_velocity", "key_position")
    causes = ("fall", "deviation", "nonfinite", "time_out", "clip_end")
    expected = {f"reward_{term}" for term in terms} | {f"ended_by_{cause}" for cause in causes}
    expected |= {"wall_time_s", "samples_per_s", "critic_loss", "kl", "clip_fraction", "learning_rate"}
    expected |= {"train_return", "train_episode_length"}
    expected |= {"eval_return", "eval_episode_length", "eval_survived"}
    expected |= {"nonfinite_resets", "advantage_mean", "advantage_std"}
    expected |= {"normalizer_mean", "normalizer_std", "normalizer_samples"}
    errors = ("root_position", "root_rotation", "body_position", "body_rotation")
    errors += ("joint_velocity", "root_velocity", "root_angular_velocity", "global_body_position")
    expected |= {f"eval_error_{error}" for error in errors}
    assert expected <= set(last)
    assert all(np.isfinite(value) for value in last.values())
    assert 0.0 < last["eval_return"] <= last["eval_episode_length"] <= 12
    assert list((finished / "whole" / "tb").glob("events*"))
    stored = Checkpoints(finished / "whole").restore_policy("best")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(vars(stored)))


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(finished, monkeypatch, capsys):
    write, stops = MetricLog.write, []

    class NotedStop(Stop):
        def __init__(self) -> None:
            super().__init__()
            stops.append(self)

    def write_and_interrupt(self, row, of_clips):
        write(self, row, of_clips)
        if row["samples"] == STEPS:
            signal.raise_signal(signal.SIGINT)
            while not stops[-1].requested:  # a thread hears it
                time.sleep(0.01)

    # A report after every update, and an interrupt with the first: the next update ends the run.
    monkeypatch.setattr("mjx_mimic.runs.training_loop.REPORT_INTERVAL_S", 0.0)
    total = ("--total-steps", str(4 * STEPS), "--no-video")
    with monkeypatch.context() as patch:
        patch.setattr(MetricLog, "write", write_and_interrupt)
        patch.setattr("mjx_mimic.runs.training_loop.Stop", NotedStop)
        assert command(finished, "cut", *total) == 130
    assert "--resume" in capsys.readouterr().out
    before = rows(finished, "cut")[-1]["samples"]
    assert before == 2 * STEPS
    assert "eval_return" not in rows(finished, "cut")[-1]  # an interrupt adds no candidate for the best
    assert command(finished, "cut", "--resume", *total) == 0
    printed = capsys.readouterr().out
    assert f"resumed at {before:,} samples" in printed
    best = Checkpoints(finished / "cut").progress().best_eval_return
    assert f"complete, best evaluation return {best:.1f}; next: " in printed
    assert command(finished, "cut", "--resume", *total) == 0
    printed = capsys.readouterr().out
    assert "complete already" in printed
    assert "compiling" not in printed
    whole, cut = rows(finished, "whole"), rows(finished, "cut")
    samples = [row["samples"] for row in cut]
    assert samples == sorted(set(samples))
    assert samples[-1] == 4 * STEPS
    end = Checkpoints(finished / "cut").restore_policy("last")
    truth = Checkpoints(finished / "whole").restore_policy("last")
    assert jax.tree.structure(vars(end)) == jax.tree.structure(vars(truth))
    jax.tree.map(np.testing.assert_array_equal, vars(end), vars(truth))
    assert cut[-1]["eval_return"] == whole[-1]["eval_return"]


def test_a_run_killed_before_its_first_checkpoint_is_resumed_from_its_start(finished):
    folder.create(finished / "bare", *_created(finished))
    assert command(finished, "bare", "--resume", "--total-steps", str(4 * STEPS), "--no-video") == 0
    bare, whole = (Checkpoints(finished / name).restore_policy("last") for name in ("bare", "whole"))
    jax.tree.map(np.testing.assert_array_equal, vars(bare), vars(whole))


def _created(runs: Path):
    parsed = train.parse(["--motion", str(runs / "sway.npz"), *SMALL])
    settings = replace(parsed.train, env=with_contacts(parsed.train.env, [sway()]))
    return sized(settings, "cpu", 2), Clips((sway(),), (1.0,)), 2


def test_two_processes_with_one_seed_write_the_same_checkpoint_to_the_bit(finished):
    """All of the training: networks, optimisers, environments, keys."""
    process = start(finished, "other", 4 * STEPS)
    assert process.wait(timeout=900) == 0, (finished / "other.txt").read_text()
    steps = [finished / run / "checkpoints" / str(4 * STEPS) for run in ("whole", "other")]
    one, two = ([checkpoints._restore(step, item) for item in ("training", "last")] for step in steps)
    assert len(jax.tree.leaves(one)) > 50
    assert jax.tree.structure(one) == jax.tree.structure(two)
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_the_video_shows_the_whole_episode(finished):
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    video = read(finished / "whole" / "videos" / "final.mp4")
    assert 2 <= len(video) <= 13
    assert video.std() > 10


def test_a_video_on_the_way_shows_the_robot_and_is_an_image_that_tensorboard_plays(finished):
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    (file,) = (finished / "whole" / "videos").glob("*.gif")  # the end has its own
    assert file.name == f"{2 * STEPS}.gif"
    video = read(file)
    assert video.shape[1:] == (240, 320, 3)
    assert 2 <= len(video) <= 7  # every other of 12 control steps and the start
    assert video.std(axis=(1, 2, 3)).min() > 10
    assert np.abs(video[-1].astype(int) - video[0]).max() > 50
    ((step, image),) = images(finished / "whole")
    assert step == 2 * STEPS
    assert image.encoded_image_string == file.read_bytes()
    assert (image.width, image.height) == (320, 240)


def images(run: Path) -> list[tuple[int, ImageEvent]]:
    accumulator = EventAccumulator(str(run / "tb"))
    accumulator.Reload()
    found = accumulator.Images("Evaluation/video") if accumulator.Tags()["images"] else []
    return [(event.step, event) for event in found]


def test_a_run_whose_updates_are_not_finite_ends_with_a_checkpoint_to_replay(tmp_path):
    config = replace(POINT_CONFIG, total_steps=10**6, eval_interval=10**6)
    learner = Learner(PointEnv(sign=jnp.float32(jnp.nan)), config, tuple(jax.local_devices()))
    state = learner.init(jax.random.key(0))
    before = first_device(state.actor.params)
    saved = Checkpoints(tmp_path)
    with (
        MetricLog(tmp_path, ["clip"], 0, None) as log,
        pytest.raises(
            RunFailure, match=r"10 updates in a row were not finite, up to 5,120 samples"
        ) as failure,
    ):
        training_loop.train(learner, state, Progress(), saved, log)
    assert "--start training" in str(failure.value)
    assert "\n" not in str(failure.value)
    stored = saved.restore_policy("last")
    jax.tree.map(np.testing.assert_array_equal, stored.actor, before)  # as they were: all were skipped
    assert saved.restore_env_states()["position"].shape == (config.num_envs, 2)


# When evaluations and checkpoints come, and which policy is the best ------------------------------------


class Noted(Checkpoints):
    """Checkpoints that are noted instead of written."""

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self.saved: list[tuple[int, bool]] = []

    def save(self, state, progress, is_best) -> None:
        self.saved.append((progress.samples, is_best))


@pytest.fixture(scope="module")
def point_learner() -> Learner:
    """Updates of 512 samples, an evaluation every 1200."""
    settings = replace(POINT_CONFIG, total_steps=3072, eval_interval=1200)
    return Learner(PointEnv(sign=jnp.float32(1.0)), settings, tuple(jax.local_devices()))


def trained(
    learner: Learner, path: Path, progress: Progress | None = None, write_video=None
) -> tuple[list[dict], list[tuple[int, bool]]]:
    """The reports with an evaluation, and samples and `is_best` of the checkpoints."""
    noted, progress = Noted(path), progress or Progress()
    with MetricLog(path, ["clip"], progress.samples, None) as log:
        training_loop.train(learner, learner.init(jax.random.key(0)), progress, noted, log, write_video)
    reports = [json.loads(row) for row in (path / "metrics.jsonl").read_text().splitlines()]
    return [row for row in reports if "eval_return" in row], noted.saved


def test_evaluations_come_where_the_samples_pass_a_multiple_of_the_interval(
    point_learner, tmp_path, monkeypatch
):
    for name, seconds in (("a", 10.0), ("b", 0.0)):  # however often there is a report
        monkeypatch.setattr(training_loop, "REPORT_INTERVAL_S", seconds)
        (tmp_path / name).mkdir()
        reports, saved = trained(point_learner, tmp_path / name)
        assert [row["samples"] for row in reports] == [1536, 2560, 3072]
        assert [samples for samples, _ in saved] == [1536, 2560, 3072]
    (tmp_path / "c").mkdir()
    reports, _ = trained(point_learner, tmp_path / "c", Progress(1024))  # resumed between two evaluations
    assert [row["samples"] for row in reports] == [1536, 2560, 3072]


def drawn(policy, env, path: Path) -> None:
    """A video of two frames, of a policy on the host."""
    assert isinstance(jax.tree.leaves(policy.params)[0], np.ndarray)
    path.parent.mkdir(exist_ok=True)
    frames = [Image.fromarray(np.full((6, 8, 3), shade, np.uint8)) for shade in (50, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def test_videos_come_where_the_samples_pass_a_multiple_of_the_interval(point_learner, tmp_path):
    config = replace(point_learner.config, video_interval=1000)
    learner = replace(point_learner, config=config)
    learner.__dict__.update(train_step=point_learner.train_step, evaluate=point_learner.evaluate)
    trained(learner, tmp_path, write_video=drawn)
    assert {file.name for file in (tmp_path / "videos").iterdir()} == {"1024.gif", "2048.gif"}  # not at 3072
    found = images(tmp_path)
    assert [step for step, _ in found] == [1024, 2048]
    for step, image in found:
        assert image.encoded_image_string == (tmp_path / "videos" / f"{step}.gif").read_bytes()
        assert (image.width, image.height) == (8, 6)
    # TensorBoard's events are made anew when the run is resumed.
    with MetricLog(tmp_path, ["clip"], 1024):
        pass
    assert [step for step, _ in images(tmp_path)] == [1024]


def test_weights_and_biases_get_the_video(tmp_path, monkeypatch):
    logged = []
    run = SimpleNamespace(log=lambda curves, step: logged.append((curves, step)), finish=lambda: None)
    wandb = SimpleNamespace(
        init=lambda **_: run, Video=lambda file, format: (Path(file).read_bytes(), format)
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    (tmp_path / "config.yaml").write_text("format: 2\n")
    with MetricLog(tmp_path, ["clip"], 0, "project") as log:
        drawn(SimpleNamespace(params=np.zeros(1)), None, log.video_path(64))
        log.add_video(64)
    gif = (tmp_path / "videos" / "64.gif").read_bytes()
    assert logged == [({"Evaluation/video": (gif, "gif")}, 64)]


def test_a_weights_and_biases_run_is_continued_by_its_own_folder_alone(tmp_path):
    first, second = (tmp_path / name / "walk" for name in "ab")
    for run in (first, second):
        run.mkdir(parents=True)
    assert metric_log._wandb_id(first) == metric_log._wandb_id(first) != metric_log._wandb_id(second)


def test_another_length_is_warned_of_where_something_changes_over_it(capsys):
    config = replace(POINT_CONFIG, total_steps=2000)
    training_run.warn_of_another_length(config, 2000)
    assert capsys.readouterr().out == ""
    training_run.warn_of_another_length(replace(config, disturbance_ramp=0.4), 1000)
    assert "2,000 samples in all instead of 1,000" in capsys.readouterr().out


def test_a_failure_to_draw_is_one_line_and_the_training_goes_on(point_learner, tmp_path, capsys):
    learner = replace(point_learner, config=replace(point_learner.config, video_interval=512))
    learner.__dict__.update(train_step=point_learner.train_step, evaluate=point_learner.evaluate)
    calls = []

    def fail(policy, env, path):
        calls.append(path)
        raise RuntimeError("gladLoadGL\nerror")

    reports, _ = trained(learner, tmp_path, write_video=fail)
    assert reports[-1]["samples"] == 3072
    assert len(calls) == 1
    out = capsys.readouterr().out
    assert out.count("no more videos of this training: gladLoadGL error\n") == 1
    assert images(tmp_path) == []


def test_slow_updates_are_saved_without_an_evaluation(point_learner, tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_INTERVAL_S", 0.0)
    reports, saved = trained(point_learner, tmp_path)
    assert [row["samples"] for row in reports] == [1536, 2560, 3072]
    assert [samples for samples, _ in saved] == [512, 1024, 1536, 2048, 2560, 3072]
    evaluated = {row["samples"] for row in reports}
    assert not any(is_best for samples, is_best in saved if samples not in evaluated)


def test_the_best_policy_is_chosen_anew_when_all_disturbances_have_grown():
    """What was trained with few of them does better in evaluations, which have none."""
    config = replace(POINT_CONFIG, total_steps=20_000, eval_interval=1_000, disturbance_ramp=0.45)
    devices = tuple(jax.local_devices())

    def counts(best_samples: int | None, samples: int, **changes: float) -> bool:
        learner = Learner(PointEnv(sign=jnp.float32(1.0)), replace(config, **changes), devices)
        return training_loop.best_return(learner, Progress(samples, 0.0, 7.0, best_samples)) is not None

    assert counts(5_000, 8_500)
    assert not counts(5_000, 9_000)
    assert counts(9_000, 20_000)
    assert not counts(5_000, 8_500, total_steps=12_000)  # resumed with another length, at any sample
    assert counts(5_000, 9_000, disturbance_ramp=0.0)
    assert counts(None, 9_000, disturbance_ramp=0.0)
    chosen = Progress(9_000, 0.0, 7.0, 5_000).judged(6.0, is_best=True)
    assert (chosen.best_eval_return, chosen.best_samples) == (6.0, 9_000)
    assert chosen.judged(6.0, is_best=False) == chosen


def test_where_no_episode_has_ended_there_is_no_return(point_learner):
    _, metrics = point_learner.train_step(point_learner.init(jax.random.key(0)))
    metrics = first_device(metrics)
    nothing = replace(metrics, episodes=np.float32(0.0), train_return=np.float32(0.0))
    found = reports.summary([nothing], 1)
    assert np.isnan(found["train_return"])
    assert np.isnan(found["train_episode_length"])
    some = reports.summary([nothing, replace(metrics, episodes=np.float32(2.0))], 1)
    assert some["train_return"] == pytest.approx(float(metrics.train_return))


def test_one_lucky_evaluation_makes_no_best_policy(point_learner, tmp_path, monkeypatch):
    """What evaluations yield is given: the first and, where it beats the best, the second."""
    given = iter([10.0, 20.0, 90.0, -70.0, 16.0, 18.0])
    keys = []

    def evaluated(state, key):
        keys.append(jax.random.key_data(key).tolist())
        count = len(point_learner.devices)
        value = np.full(count, next(given))
        metrics = EvaluationMetrics(value, value, value, TrackingErrors(*[value] * 8), {})
        return place(point_learner.devices, metrics)

    monkeypatch.setitem(point_learner.__dict__, "evaluate", evaluated)
    reports, saved = trained(point_learner, tmp_path)
    assert [row["eval_return"] for row in reports] == [10.0, 90.0, 16.0]
    assert [row["eval_error_root_rotation"] for row in reports] == [10.0, 90.0, 16.0]
    assert [row["best_eval_return"] for row in reports] == [15.0, 15.0, 17.0]
    assert saved == [(1536, True), (2560, False), (3072, True)]
    assert len({tuple(key) for key in keys}) == len(keys)  # always other starts
