"""The loop around the training step: reports, evaluations, checkpoints, an orderly stop."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from mjx_mimic.common.cli import INTERRUPTED, heard
from mjx_mimic.common.errors import RunFailure, one_line
from mjx_mimic.common.processes import agreed
from mjx_mimic.config import RandomizationConfig
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import Learner, TrainState
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.policy import Policy
from mjx_mimic.learning.rollout import EvaluationMetrics
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.task.env import ImitationEnv

REPORT_INTERVAL_S = 10.0
CHECKPOINT_INTERVAL_S = 600.0
"""Longest time between two checkpoints, so longest time of work that a kill can lose, but for one update."""
MAX_SKIPPED_UPDATES = 10
"""Updates in a row that may be skipped before the run is given up."""


WriteVideo = Callable[[Policy, ImitationEnv, Path], None]
"""Writes a video of an episode of a policy on its task to a file."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stop:
    """A request to stop, by an interrupt, a termination signal or a closed terminal.

    The update in flight is finished first, and its checkpoint written. Where nothing is in flight, which is
    so until the first update, and at a second signal, the process ends at once with exit code 130. A thread
    sees to that, because Python handles no signal while XLA compiles or runs.
    """

    def __init__(self) -> None:
        self.requested = False
        self.in_flight = False
        """Whether something would be lost by ending at once."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the place of the signals' handlers."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)

        numbers = heard(SIGNALS)

        def watch() -> None:
            while number := os.read(reader, 1):
                if number[0] not in numbers:
                    continue
                if self.requested or not self.in_flight:
                    print("stopped", flush=True)
                    os._exit(INTERRUPTED)
                self.requested = True
                print("finishing the update in flight; interrupt again to stop at once", flush=True)

        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        wakeup = signal.set_wakeup_fd(writer)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writer)
            watcher.join()
            os.close(reader)


class Display:
    """A progress bar on a terminal, one line per report elsewhere."""

    def __init__(self, total: int, done: int) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._total = total
        self._reports = 0
        columns = (TextColumn("{task.percentage:3.0f}%"), BarColumn(20), TextColumn("{task.description}"))
        self._bar = Bar(*columns, TimeRemainingColumn(), console=self._console, speed_estimate_period=600)
        self._task = self._bar.add_task("compiling", total=total, completed=done)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def report(self, row: dict[str, float]) -> None:
        """Show a report."""
        text = (
            f"{row['samples'] / 1e6:.2f} M samples, {row['samples_per_s']:,.0f}/s,"
            f" return {row['train_return']:.1f}, episode {row['train_episode_length']:.0f} steps"
        )
        if "eval_return" in row:
            result = f"evaluation {row['eval_return']:.1f}, {row['eval_episode_length']:.0f} steps"
            result += f", {row['eval_survived']:.0%} survive"
            self.say(f"[{row['wall_time_s']:6.0f} s] {text}; {result}")
        elif not self._console.is_terminal:
            left_min = (self._total - row["samples"]) / row["samples_per_s"] / 60.0
            # The first update takes as long as compiling does, so its speed says nothing of what is left.
            left = "" if self._reports == 0 else f"; {left_min:.0f} min left"
            self.say(f"[{row['wall_time_s']:6.0f} s] {text}{left}")
        self._reports += 1
        self._bar.update(self._task, completed=row["samples"], description=text)


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
                progress = replace(progress, best_eval_return=figures["best_eval_return"])
                row |= figures
            # Before its checkpoint: a row that is written twice is dropped once, one that is lost stays lost.
            if log:
                log.write(row, clip_summary(window))
            display.report(row)
            if checkpoint_is_due:
                checkpoints.save(state, progress, is_best)
                saved = time.monotonic()
            if video_is_due and write_video and log:
                did_work = add_video(write_video, learner, state, progress.samples, log)
                write_video = write_video if did_work else None
            window, window_start = [], time.monotonic()
    return progress.samples >= total


def lost(learner: Learner, progress: Progress, last: Metrics, run: Path) -> RunFailure:
    """Say that `MAX_SKIPPED_UPDATES` in a row were not finite, and how to look into it."""
    # MuJoCo C replays the nominal robot only.
    is_nominal = learner.config.env.randomization == RandomizationConfig()
    engine = " --engine mujoco" if is_nominal else ""
    return RunFailure(
        f"{MAX_SKIPPED_UPDATES} updates in a row were not finite, up to {progress.samples:,} samples with"
        f" a learning rate of {float(last.learning_rate):.3g}; the last checkpoint holds the state in which"
        f" they failed, and python -m mjx_mimic.evaluate --run {run} --checkpoint last --start training"
        f"{engine} replays it; start a new run with lower learning rates"
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

    Returns:
        The figures of the first evaluation with the return of the best policy so far, and whether it is
        this one.
    """
    (key, other), best = evaluation_keys(learner, progress), progress.best_eval_return
    first = first_device(learner.evaluate(state, key))
    figures = evaluation_figures(first)
    if best is not None and not figures["eval_return"] > best:
        return figures | {"best_eval_return": best}, False
    again = first_device(learner.evaluate(state, other))
    return judged(figures, float(again.eval_return), best)


def evaluation_figures(metrics: EvaluationMetrics) -> dict[str, float]:
    """Return the metrics of an evaluation by the names of `metrics.jsonl`."""
    return {
        "eval_return": float(metrics.eval_return),
        "eval_episode_length": float(metrics.eval_episode_length),
        "eval_survived": float(metrics.eval_survived),
        **{f"eval_error_{name}": float(value) for name, value in vars(metrics.errors).items()},
        **{f"eval_goal_{name}": float(value) for name, value in metrics.goal.items()},
    }


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


def summary(window: Sequence[Metrics], samples_per_step: int) -> dict[str, float]:
    """Average the training steps of a report, by the names of `metrics.jsonl`."""
    mean = jax.tree.map(lambda *values: float(np.mean(values)), *window)
    episodes = np.array([m.episodes for m in window])

    def over_episodes(name: str) -> float:
        values = np.array([getattr(m, name) for m in window])
        return float(np.sum(values * episodes) / max(episodes.sum(), 1.0))

    steps = samples_per_step * len(window)
    last = window[-1].normalizer
    return {
        "train_return": over_episodes("train_return"),
        "train_episode_length": over_episodes("train_episode_length"),
        "episodes": float(episodes.sum()),
        "reward": mean.reward,
        **{f"reward_{name}": value for name, value in vars(mean.reward_terms).items()},
        **({} if mean.goal_reward is None else {"reward_goal": mean.goal_reward}),
        **{f"ended_by_{name}": value for name, value in vars(mean.ended_by).items()},
        "nonfinite_resets": round(mean.ended_by.nonfinite * steps),
        **vars(mean.actor),
        **vars(mean.advantage),
        "normalizer_mean": float(last.normalizer_mean),
        "normalizer_std": float(last.normalizer_std),
        "normalizer_samples": round(float(last.normalizer_samples)),
        "critic_loss": mean.critic_loss,
        "explained_variance": mean.explained_variance,
        "policy_std": mean.std,
        "learning_rate": mean.learning_rate,
        "skipped_updates": float(np.sum([m.skipped for m in window])),
    }


def clip_summary(window: Sequence[Metrics]) -> dict[str, np.ndarray]:
    """Return figures (C,) of each clip over the training steps of a report, NaN where no episode ended."""
    total = {name: np.sum([vars(m.clips)[name] for m in window], axis=0) for name in vars(window[0].clips)}
    with np.errstate(invalid="ignore"):
        return {
            "steps": total["steps"],
            "reward": total["reward"] / total["steps"],
            "episodes": total["episodes"],
            "failed_share": total["failures"] / total["episodes"],
            "train_return": total["episode_return"] / total["episodes"],
            "train_episode_length": total["episode_length"] / total["episodes"],
        }
