"""The loop around the training step: when it reports, evaluates, saves, draws and stops."""

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jax

from mjx_mimic.common.errors import RunFailure, one_line
from mjx_mimic.common.processes import agreed
from mjx_mimic.config import RandomizationConfig
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import Learner, TrainState
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.reports import Display, clip_summary, evaluation_figures, summary
from mjx_mimic.runs.stop import Stop
from mjx_mimic.task.env import ImitationEnv

REPORT_INTERVAL_S = 10.0
CHECKPOINT_INTERVAL_S = 600.0
"""Longest time between two checkpoints, so longest time of work that a kill can lose, but for one update."""
MAX_SKIPPED_UPDATES = 10
"""Updates in a row that may be skipped before the run is given up."""

WriteVideo = Callable[[Policy, ImitationEnv, Path], None]
"""Writes a video of an episode of a policy on its task to a file."""


def train(
    learner: Learner,
    state: TrainState,
    progress: Progress,
    checkpoints: Checkpoints,
    log: MetricLog | None,
    write_video: WriteVideo | None = None,
) -> bool:
    """Train to `total_steps` samples. Every process calls this; only the first one has a log and videos.

    An evaluation and a checkpoint come whenever the samples pass a multiple of `eval_interval`, and at the
    end; a checkpoint alone comes at an interrupt, and where evaluations are more than CHECKPOINT_INTERVAL_S
    apart. So which policies are evaluated depends neither on the machine's speed nor on interrupts. A video
    comes, if there is `write_video`, whenever the samples pass a multiple of `video_interval`, but not at the
    end.

    Returns:
        Whether it got there; False after an interrupt, whose checkpoint is written.

    Raises:
        RunFailure: update after update had to be skipped because a number was not finite.
    """
    total = learner.config.total_steps
    stop = Stop()
    with stop.listening(), Display(total, progress.samples) as display:
        display.say("compiling the training step; about a minute, seconds once it is in the cache ...")
        start = time.monotonic()
        earlier_s = progress.wall_time_s
        window: list[Metrics] = []
        window_start, saved = start, None
        skipped_in_a_row = 0
        ending = progress.samples >= total
        while not ending:
            state, metrics = learner.train_step(state)
            window.append(first_device(metrics))
            stop.in_flight = True
            now = time.monotonic()
            if saved is None:
                display.say(f"first update {now - start:.1f} s after the start")
                saved = now
            samples_before = progress.samples
            progress = replace(
                progress,
                samples=progress.samples + learner.samples_per_step,
                wall_time_s=earlier_s + now - start,
            )
            skipped_in_a_row = skipped_in_a_row + 1 if window[-1].skipped else 0
            if skipped_in_a_row >= MAX_SKIPPED_UPDATES:
                # The networks are those before the first skipped update, the environments where it goes on.
                checkpoints.save(state, progress, is_best=False)
                raise lost(learner, progress, window[-1], checkpoints.folder.parent)
            complete = progress.samples >= total
            is_stopping, is_late = agreed(stop.requested, now - saved >= CHECKPOINT_INTERVAL_S)
            ending = is_stopping or complete
            span = samples_before, progress.samples
            evaluation_is_due = complete or has_multiple(*span, learner.config.eval_interval)
            is_shown = write_video is not None and not ending
            video_is_due = is_shown and has_multiple(*span, learner.config.video_interval)
            checkpoint_is_due = evaluation_is_due or ending or is_late
            if not (checkpoint_is_due or video_is_due) and now - window_start < REPORT_INTERVAL_S:
                continue
            row = {
                "samples": progress.samples,
                "wall_time_s": progress.wall_time_s,
                "samples_per_s": len(window) * learner.samples_per_step / (now - window_start),
                **summary(window, learner.samples_per_step),
            }
            is_best = False
            if evaluation_is_due:
                figures, is_best = evaluate(learner, state, progress)
                progress = progress.judged(figures["best_eval_return"], is_best)
                row |= figures
            # Before its checkpoint: a row that is written twice is dropped once, one that is lost stays lost.
            if log:
                log.write(row, clip_summary(window))
            if checkpoint_is_due:
                checkpoints.save(state, progress, is_best)
                saved = time.monotonic()
            display.report(row)  # at last: nobody may be there to read it
            if video_is_due and write_video and log:
                did_work = add_video(write_video, learner, state, progress.samples, log)
                write_video = write_video if did_work else None
            window, window_start = [], time.monotonic()
    return progress.samples >= total


def lost(learner: Learner, progress: Progress, last: Metrics, run: Path) -> RunFailure:
    """Say that `MAX_SKIPPED_UPDATES` in a row were not finite, and how to look into it."""
    config = learner.config.env
    # MuJoCo C replays the nominal robot only, and nobody an episode whose clips have phases of their own.
    engine = " --engine mujoco" if config.randomization == RandomizationConfig() else ""
    replay = f"python -m mjx_mimic.evaluate --run {shlex.quote(str(run))} --checkpoint last --start training"
    replayed = "" if config.clips == "best" else f", and {replay}{engine} replays it"
    return RunFailure(
        f"{MAX_SKIPPED_UPDATES} updates in a row were not finite, up to {progress.samples:,} samples with"
        f" a learning rate of {float(last.learning_rate):.3g}; the last checkpoint holds the state in which"
        f" they failed{replayed}; start a new run with lower learning rates"
    )


def has_multiple(first: int, last: int, interval: int | None) -> bool:
    """Return whether a multiple of `interval` is over `first` and not over `last`; never without one."""
    return last // interval > first // interval if interval else False


def add_video(
    write_video: WriteVideo, learner: Learner, state: TrainState, samples: int, log: MetricLog
) -> bool:
    """Write a video of the policy and log it; return whether that worked: no training is to fail at it."""
    try:
        write_video(first_device(learner.policy(state)), learner.env, log.video_path(samples))
        log.add_video(samples)
    except Exception as error:  # of OpenGL, of ffmpeg, of whatever a machine may lack
        print(f"no more videos of this training: {one_line(str(error))}", flush=True)
        return False
    return True


def evaluate(learner: Learner, state: TrainState, progress: Progress) -> tuple[dict[str, float], bool]:
    """Evaluate the policy; one that beats the best so far is evaluated again with other starts.

    The highest of many evaluations is partly luck. So the mean of both counts, and has to beat the best too.
    A policy from before all disturbances had grown is no best one after that.

    Returns:
        The figures of the first evaluation with the return of the best policy so far, and whether it is
        this one.
    """
    (key, other), best = evaluation_keys(learner, progress), best_return(learner, progress)
    first = first_device(learner.evaluate(state, key))
    figures = evaluation_figures(first)
    if best is not None and not figures["eval_return"] > best:
        return figures | {"best_eval_return": best}, False
    again = first_device(learner.evaluate(state, other))
    return judged(figures, float(again.eval_return), best)


def best_return(learner: Learner, progress: Progress) -> float | None:
    """Return the best evaluation return so far that counts, None if there is none.

    Evaluations are undisturbed, and policies that were trained with little disturbance do better in them. So
    one from before all of `disturbance_ramp` no longer counts after it.
    """
    grown = learner.config.disturbance_ramp * learner.config.total_steps
    is_outdated = (progress.best_samples or 0) < grown <= progress.samples
    return None if is_outdated else progress.best_eval_return


def judged(
    figures: Mapping[str, float], second_return: float, best: float | None
) -> tuple[dict[str, float], bool]:
    """Add the best return so far to the figures of an evaluation; see `evaluate`.

    Args:
        figures: of the first evaluation.
        second_return: evaluation return of the second one.
        best: mean of both of the best policy before; None: there was none.
    """
    mean = (figures["eval_return"] + second_return) / 2.0
    is_best = best is None or (figures["eval_return"] > best and mean > best)
    return {**figures, "best_eval_return": mean if is_best or best is None else best}, is_best


def evaluation_keys(learner: Learner, progress: Progress) -> jax.Array:
    """Return keys (2,) of an evaluation and of its repetition, which follow from seed and samples alone."""
    own = jax.random.fold_in(jax.random.key(learner.config.seed + 1), progress.samples % 2**31)
    return jax.random.split(own)
