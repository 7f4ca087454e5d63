"""What a sweep came to: one table and one plot of all its trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mjx_mimic.common.files import replacing
from mjx_mimic.runs.metric_log import METRICS_FILE, read_rows
from mjx_mimic.runs.plot import draw_group, read_metrics
from mjx_mimic.runs.sweep_plan import Member

THRESHOLDS = (200.0, 250.0)
"""Evaluation returns whose samples and minutes the table gives."""
COMPLETE_SHARE = 0.95
"""Share of evaluation episodes without a failure from which they count as complete."""


@dataclass(frozen=True)
class Outcome:
    """What the table says of one training; None: never reached."""

    samples: float
    """How far it was at its last evaluation."""
    eval_return: float
    complete: tuple[float, float] | None
    """Samples and minutes to the first evaluation whose episodes are complete."""
    thresholds: tuple[tuple[float, float] | None, ...]
    """Samples and minutes to each return of `THRESHOLDS`."""


def outcome(path: Path) -> Outcome | None:
    """Read the outcome of a training; None before its first evaluation."""
    rows, _ = read_rows(path / METRICS_FILE)
    rows = [row for row in rows if row.get("eval_return") is not None]
    if not rows:
        return None

    def reached(name: str, value: float) -> tuple[float, float] | None:
        for row in rows:
            if (row.get(name) or 0.0) >= value:
                return float(row["samples"] or 0), float(row["wall_time_s"] or 0.0) / 60.0
        return None

    return Outcome(
        samples=float(rows[-1]["samples"] or 0),
        eval_return=float(rows[-1]["eval_return"] or 0.0),
        complete=reached("eval_survived", COMPLETE_SHARE),
        thresholds=tuple(reached("eval_return", value) for value in THRESHOLDS),
    )


def table(everyone: Sequence[Member]) -> str:
    """Return a Markdown table, a line for each clip and setting: medians over seeds, ranges of returns."""
    names = ["complete episodes", *(f"return {value:g}" for value in THRESHOLDS)]
    head = ["clip", "setting", "seeds", "M samples", "evaluation return"]
    head += [f"{name}: M samples, min" for name in names]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    cells = by_cell(everyone).items()
    for clip, setting, group in [(clip, *cell) for clip, settings in cells for cell in settings.items()]:
        outcomes = [found for member in group if (found := outcome(member.path))]
        if not outcomes:
            continue
        returns, samples = [o.eval_return for o in outcomes], [o.samples / 1e6 for o in outcomes]
        text = f"{np.median(returns):.1f}"
        if len(returns) > 1:
            text += f" ({min(returns):.1f} to {max(returns):.1f})"
        far = " to ".join(dict.fromkeys(f"{x:.2f}" for x in (min(samples), max(samples))))
        line = [clip, setting, str(len(outcomes)), far, text, median_cost([o.complete for o in outcomes])]
        line += [median_cost([o.thresholds[i] for o in outcomes]) for i in range(len(THRESHOLDS))]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def median_cost(costs: Sequence[tuple[float, float] | None]) -> str:
    """Return the median samples and minutes, for people; those never reached count as infinite."""
    samples, minutes = np.median([cost or (np.inf, np.inf) for cost in costs], axis=0)
    return f"{samples / 1e6:.2f}, {minutes:.1f}" if np.isfinite(samples) else "-"


def by_cell(everyone: Sequence[Member]) -> dict[str, dict[str, list[Member]]]:
    """Put the seeds together, by clip and setting."""
    cells: dict[str, dict[str, list[Member]]] = {}
    for member in everyone:
        cells.setdefault(member.clip, {}).setdefault(member.setting, []).append(member)
    return cells


def write_report(out: Path, everyone: Sequence[Member]) -> str:
    """Write `table.md` and `curves.png`: a panel for each clip, the median over seeds and their range.

    Returns:
        The table.
    """
    text = table(everyone)
    with replacing(out / "table.md") as file:
        file.write(text.encode())
    cells = by_cell(everyone)
    figure = Figure(figsize=(7.0 * len(cells), 5.0), layout="constrained")
    panels = figure.subplots(1, len(cells), squeeze=False)[0]
    for panel, (clip, settings) in zip(panels, cells.items(), strict=True):
        for setting, group in settings.items():
            evaluated = {m.path: read_metrics(m.path) for m in group if outcome(m.path)}
            if evaluated:
                draw_group(panel, evaluated, setting, "eval_return", "samples")
        panel.set(title=clip, xlabel="samples, millions", ylabel="evaluation return")
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=7)
    with replacing(out / "curves.png") as file:
        figure.savefig(file, format="png", dpi=110)
    return text
