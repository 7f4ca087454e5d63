"""A policy on many robots and floors: every combination of noise, friction, mass and delay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mjx_mimic.common.files import replacing, write_json
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.report import evaluate

FIGURES = ("survived", "eval_return", "mpjpe_global", "goal_success")
"""Metrics of a combination, those that the task has."""
ACROSS, DOWN = ("friction", "noise"), ("mass", "delay")
"""Columns and rows of the heat map."""


@dataclass(frozen=True)
class Grid:
    """What an evaluation found under each of several conditions."""

    engine: str
    rows: Sequence[Mapping[str, float | None]]
    """Conditions by name, then the means of `FIGURES`."""
    control_dt: float
    """Length of a control step, s, in which delays are counted."""
    warnings: Sequence[str] = ()
    """What is to be known of the episodes, a line each."""

    def show(self, title: str) -> None:
        """Print one line for each combination, and the warnings."""
        table = Table(title=f"{title}, {self.engine}", title_justify="left")
        for name in self.rows[0]:
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(*(self._cell(name, value) for name, value in row.items()))
        Console(width=max(100, Console().width)).print(table)
        for line in self.warnings:
            print(f"warning: {line}")

    def write_json(self, path: Path, more: Mapping[str, Any]) -> None:
        """Write all rows, and `more` fields before them."""
        write_json(
            path, {**more, "engine": self.engine, "warnings": self.warnings, "grid": self.rows}, indent=1
        )

    def write_plot(self, path: Path) -> None:
        """Write a PNG: a heat map of the share that survived.

        Raises:
            UserError: the file cannot be written.
        """
        from matplotlib.figure import Figure

        columns, lines = self._values(ACROSS), self._values(DOWN)
        share = np.full((len(lines), len(columns)), np.nan)
        for row in self.rows:
            share[lines.index(_of(row, DOWN)), columns.index(_of(row, ACROSS))] = row["survived"]
        figure = Figure(figsize=(3.0 + 0.9 * len(columns), 2.0 + 0.5 * len(lines)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(100.0 * share, cmap="RdYlGn", vmin=0.0, vmax=100.0, aspect="auto")
        for (line, column), value in np.ndenumerate(share):
            axes.text(column, line, f"{100.0 * value:.0f}", ha="center", va="center")
        axes.set_xticks(range(len(columns)), map(_label, columns), rotation=45, ha="right")
        axes.set_yticks(range(len(lines)), map(_label, lines))
        axes.set_xlabel(", ".join(name for name in ACROSS if name in self.rows[0]))
        axes.set_ylabel(", ".join(name for name in DOWN if name in self.rows[0]))
        axes.set_title("episodes that survive, %")
        with replacing(path) as file:
            figure.savefig(file, format="png", dpi=110)

    def _cell(self, name: str, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" + (f" ({1000.0 * value * self.control_dt:.4g} ms)" if name == "delay" else "")

    def _values(self, names: Sequence[str]) -> list[tuple[float, ...]]:
        return sorted({_of(row, names) for row in self.rows})


def _of(row: Mapping[str, float | None], names: Sequence[str]) -> tuple[float, ...]:
    """Return the conditions of a row among `names`, which are never None."""
    return tuple(float(row[name] or 0.0) for name in names if name in row)


def _label(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def evaluate_grid(
    evaluation: Evaluation,
    clips: Sequence[str],
    conditions: Sequence[Mapping[str, float]],
    engine: Engine,
    episodes: int = 0,
) -> Grid:
    """Evaluate a policy under each of several conditions, from random phases.

    Args:
        evaluation: task, policy, and what the conditions have in common.
        clips: names of the clips of its task.
        conditions: fields of `Protocol` by name.
        engine: that runs the episodes.
        episodes: of each; 0: as `evaluate` has it.
    """
    rows = []
    warnings: dict[str, None] = {}
    for condition in conditions:
        report = evaluate(evaluation.under(condition), clips, engine, episodes=episodes, start="random")
        total = report.results["random"]["total"]
        rows.append({**condition, **{name: total[name]["mean"] for name in FIGURES if name in total}})
        warnings |= dict.fromkeys(report.results["warnings"])  # mostly the same ones under all conditions
    return Grid(engine.name, rows, evaluation.env.control_dt, tuple(warnings))
