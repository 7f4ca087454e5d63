"""Curves of a run's metrics."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_bytes, replacing
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import read_config, read_record
from mjx_mimic.runs.metric_log import METRICS_FILE, read_rows

Metrics = dict[str, NDArray[np.float64]]
"""Figures (R,) of R reports by name, NaN where a report lacks one."""


def read_metrics(run: str | Path) -> Metrics:
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


def draw_progress(axes: Sequence[Axes], run: str | Path) -> None:
    """Draw learning curves: lines for training, dots for evaluations.

    Args:
        axes: for the returns, and for the lengths of episodes.
        run: run folder.
    """
    metrics = read_metrics(run)
    if not metrics:
        return
    minutes = metrics["wall_time_s"] / 60.0
    for axis, name, title in (
        (axes[0], "return", "return of an episode"),
        (axes[1], "episode_length", "control steps of an episode"),
    ):
        (line,) = axis.plot(minutes, metrics[f"train_{name}"], alpha=0.5)
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


MIMICKIT_NAMES = {
    "test_return": "eval_return",
    "test_episode_length": "eval_episode_length",
    "wall_time": "wall_time_h",
}
"""Columns of MimicKit's log, in lower case, by our names; others are the same."""


def read_mimickit_log(path: Path) -> Metrics:
    """Read a table of MimicKit: its log.txt, whose columns are separated by spaces, or the same as CSV.

    Its test return averages every episode that ends until each environment has ended one; ours the first
    episode of each environment.

    Raises:
        UserError: it is not such a table.
    """
    lines = read_bytes(path).decode(errors="replace").splitlines()
    rows = [line.split(",") if "," in line else line.split() for line in lines if line.strip()]
    try:
        names = [name.strip().lower() for name in rows[0]]
        table = np.array(rows[1:], float).reshape(-1, len(names))
    except (IndexError, ValueError):
        raise UserError(f"{path}: is no table of MimicKit; give a run folder, its log.txt or a CSV") from None
    found = {MIMICKIT_NAMES.get(name, name): table[:, column] for column, name in enumerate(names)}
    if "samples" not in found:
        raise UserError(f"{path}: has no column 'Samples'; give MimicKit's log.txt or a CSV with its columns")
    if "wall_time_h" in found:
        found["wall_time_s"] = 3600.0 * found["wall_time_h"]
    return found


def grouped(runs: Sequence[Path]) -> list[list[Path]]:
    """Put runs together that differ in nothing but their seed; a log of MimicKit stands alone.

    Raises:
        UserError: a folder holds no run.
    """
    groups: dict[Any, list[Path]] = {}
    for run in runs:
        groups.setdefault(run if os.path.isfile(run) else _made_with(run), []).append(run)
    return list(groups.values())


def _made_with(run: Path) -> tuple[TrainConfig, str]:
    """Read what a run was made with, but for its seed: settings, first networks, clips' contents."""
    config = replace(read_config(run), seed=0)
    record = read_record(run)  # of any format, as `read_config` does
    clips = record.get("clips") if isinstance(record.get("clips"), list) else []
    contents = [(clip.get("digest"), clip.get("weight")) for clip in clips if isinstance(clip, Mapping)]
    return config, repr((record.get("init_from"), contents))


def write_curves(out: Path, runs: Sequence[Path], metrics: Sequence[str], over: str) -> None:
    """Draw a panel for each metric, with a curve for each run or group of seeds.

    Args:
        out: picture to write.
        runs: run folders and logs of MimicKit.
        metrics: by their names in `metrics.jsonl`.
        over: "samples" or "minutes".

    Raises:
        UserError: a run cannot be read, or has none of the metrics.
    """
    figure = Figure(figsize=(6.5 * len(metrics), 4.5), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    groups = [{run: _read(run) for run in group} for group in grouped(runs)]
    names = labels([next(iter(group)) for group in groups])
    for panel, metric in zip(panels, metrics, strict=True):
        for group, name in zip(groups, names, strict=True):
            draw_group(panel, group, name, metric, over)
        panel.set(title=metric, xlabel={"samples": "samples, millions", "minutes": "wall time, min"}[over])
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    with replacing(out) as file:
        figure.savefig(file, format=out.suffix[1:].lower(), dpi=110)


def labels(runs: Sequence[Path]) -> list[str]:
    """Return the ends of the paths, as short as they can be told apart by."""
    parts = [Path(os.path.abspath(run)).parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(of_run[-depth:]) for of_run in parts]
        if len(set(names)) == len(names):
            break
    return names


def draw_group(panel: Axes, seeds: Mapping[Path, Metrics], name: str, metric: str, over: str) -> None:
    """Draw a metric of one run, or the median and the range of runs that differ in their seed.

    Args:
        panel: to draw on.
        seeds: the metrics of each run, by its path.
        name: of the curve.
        metric: by its name in `metrics.jsonl`.
        over: "samples" or "minutes".

    Raises:
        UserError: a run has no such metric.
    """
    curves = [_curve(run, found, metric, over) for run, found in seeds.items()]
    if len(curves) == 1:
        panel.plot(*curves[0], label=name)
        return
    x = np.unique(np.concatenate([x for x, _ in curves]))
    x = x[(x >= max(x[0] for x, _ in curves)) & (x <= min(x[-1] for x, _ in curves))]
    values = np.stack([np.interp(x, *curve) for curve in curves])
    (line,) = panel.plot(
        x, np.median(values, axis=0), label=f"{name}: median and range of {len(curves)} seeds"
    )
    panel.fill_between(
        x, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0
    )


def _read(run: Path) -> Metrics:
    return read_mimickit_log(run) if os.path.isfile(run) else read_metrics(run)


def _curve(run: Path, found: Metrics, metric: str, over: str) -> tuple[NDArray, NDArray]:
    """Return where on the axis the metric was reported, and its values."""
    column, scale = {"samples": ("samples", 1e-6), "minutes": ("wall_time_s", 1 / 60.0)}[over]
    missing = [name for name in (metric, column) if not np.isfinite(found.get(name, np.nan)).any()]
    if missing:
        known = ", ".join(name for name in found if np.isfinite(found[name]).any())
        raise UserError(f"{run}: has no metric {missing[0]!r}; there are: {known or 'none'}")
    there = np.isfinite(found[metric])
    return scale * found[column][there], found[metric][there]
