"""Curves of a run's metrics."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError
from mjx_mimic.runs.metric_log import METRICS_FILE, read_rows


def read_metrics(run: str | Path) -> dict[str, NDArray[np.float64]]:
    """Read the metrics of a run's R reports; damaged lines are left out.

    Returns:
        (R,) by name, NaN where a report lacks the metric.

    Raises:
        UserError: the folder holds no metrics.
    """
    path = Path(run) / METRICS_FILE
    if not os.path.isfile(path):
        raise UserError(f"{path}: cannot be read; give a run folder")
    rows, _ = read_rows(path)
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}


def draw_progress(axes: Sequence[Axes], run: str | Path, color: str | None = None) -> None:
    """Draw learning curves: lines for training, dots for evaluations.

    Args:
        axes: for the returns, and for the lengths of episodes.
        run: run folder.
        color: of the run; None: matplotlib's next one.
    """
    metrics = read_metrics(run)
    if not metrics:
        return
    minutes = metrics["wall_time_s"] / 60.0
    for axis, name, title in (
        (axes[0], "return", "return of an episode"),
        (axes[1], "episode_length", "control steps of an episode"),
    ):
        (line,) = axis.plot(minutes, metrics[f"train_{name}"], alpha=0.5, color=color)
        values = metrics.get(f"eval_{name}", np.full(len(minutes), np.nan))
        evaluated = np.isfinite(values)
        if evaluated.any():
            label, dots = Path(run).name, line.get_color()
            axis.plot(minutes[evaluated], values[evaluated], "o-", color=dots, markersize=3, label=label)
            axis.legend(fontsize=7)
        axis.set(title=title, xlabel="wall time, min")
        axis.grid(alpha=0.3)


def draw_shares(axes: Axes, run: str | Path, prefix: str, title: str) -> None:
    """Draw every metric whose name begins with `prefix`, such as "reward_" or "ended_by_", over samples."""
    metrics = read_metrics(run)
    for name in metrics:
        if name.startswith(prefix):
            axes.plot(metrics["samples"] / 1e6, metrics[name], label=name.removeprefix(prefix))
    axes.set(title=title, xlabel="samples, millions")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
