"""Draws the learning curves of run folders: `python docs/plot_runs.py OUT.png RUN [RUN ...]`."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(out: str, *runs: str) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(15, 4), constrained_layout=True)
    for run in map(Path, runs):
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        tests = [row for row in rows if "test_return" in row]
        minutes = [row["wall_time_s"] / 60 for row in rows]
        (line,) = axes[0].plot(minutes, [row["train_return"] for row in rows], alpha=0.5)
        color = line.get_color()
        axes[1].plot(minutes, [row["train_episode_length"] for row in rows], color=color, alpha=0.5)
        for axis, name in ((axes[0], "test_return"), (axes[1], "test_episode_length")):
            axis.plot(
                [row["wall_time_s"] / 60 for row in tests],
                [row[name] for row in tests],
                "o-",
                color=color,
                markersize=3,
                label=run.name,
            )
        for name, style in (("pose", "-"), ("velocity", ":"), ("root_pose", "--"), ("key_position", "-.")):
            terms = [row[f"reward_{name}"] for row in rows]
            axes[2].plot(minutes, terms, style, color=color, label=f"{run.name} {name}")
    titles = (
        "return of an episode (of 300)",
        "control steps of an episode (of 300)",
        "reward terms, training",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="wall time, min")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
