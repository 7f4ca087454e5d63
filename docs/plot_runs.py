"""Draw the learning curves of run folders: `python docs/plot_runs.py OUT.png RUN [RUN ...]`."""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mjx_mimic.runs.plot import draw_progress, draw_shares


def main(out: str, *runs: str) -> None:
    figure, axes = plt.subplots(1, 2 + len(runs), figsize=(10 + 5 * len(runs), 4), layout="constrained")
    for run in runs:
        draw_progress(axes[:2], run)
    for axis, run in zip(axes[2:], runs, strict=True):
        draw_shares(axis, run, "reward_", f"{run}: reward terms, training")
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
