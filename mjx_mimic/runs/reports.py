"""What a training reports: figures by the names of `metrics.jsonl`, and lines on the console."""

import math
from collections.abc import Sequence
from typing import Self

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.rollout import EvaluationMetrics


class Display:
    """A progress bar on a terminal, one line per report elsewhere."""

    def __init__(self, total: int, done: int) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._total = total
        self._reports = 0
        columns = (TextColumn("{task.percentage:3.0f}%"), BarColumn(20), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns, TimeRemainingColumn(), console=self._console, speed_estimate_period=600
        )
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
        text = f"{row['samples'] / 1e6:.2f} M samples, {row['samples_per_s']:,.0f}/s," + (
            f" return {row['train_return']:.1f}, episode {row['train_episode_length']:.0f} steps"
            if row["episodes"]
            else " no episode has ended"
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


def summary(window: Sequence[Metrics], samples_per_step: int) -> dict[str, float]:
    """Average the training steps of a report, by the names of `metrics.jsonl`; NaN of no episode."""
    mean = jax.tree.map(lambda *values: float(np.mean(values)), *window)
    episodes = np.array([m.episodes for m in window])

    def over_episodes(name: str) -> float:
        values = np.array([getattr(m, name) for m in window])
        return float(np.sum(values * episodes) / episodes.sum()) if episodes.any() else math.nan

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


def evaluation_figures(metrics: EvaluationMetrics) -> dict[str, float]:
    """Return the metrics of an evaluation by the names of `metrics.jsonl`."""
    return {
        "eval_return": float(metrics.eval_return),
        "eval_episode_length": float(metrics.eval_episode_length),
        "eval_survived": float(metrics.eval_survived),
        **{f"eval_error_{name}": float(value) for name, value in vars(metrics.errors).items()},
        **{f"eval_goal_{name}": float(value) for name, value in metrics.goal.items()},
    }
