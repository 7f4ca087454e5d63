"""An evaluation drawn over the phase of its clips: errors, foot contacts, and where episodes fail."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mjx_mimic.common.files import replacing
from mjx_mimic.evaluation.episode import PHASE_BINS, Outcome

MOST_CLIPS = 8
"""Clips drawn; of more, those with the largest error."""


def plot_phases(path: Path, outcome: Outcome, names: Sequence[str]) -> None:
    """Write a PNG with one column per clip: mean body distance, contacts of reference and robot, failures.

    The last are episodes that early termination ended, by the phase at which they ended, and by the phase of
    their first clip at which they had started.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figures, episode = outcome.figures, outcome.episode
    steps = np.where(figures.steps > 0, figures.steps, np.nan)
    deviation = 1000.0 * figures.deviation / steps  # mm
    mean = 1000.0 * figures.deviation.sum(axis=1) / np.maximum(figures.steps.sum(axis=1), 1.0)
    shown = np.sort(np.argsort(mean)[::-1][:MOST_CLIPS])
    phase = (np.arange(PHASE_BINS) + 0.5) / PHASE_BINS
    figure = Figure(figsize=(1.0 + 4.0 * len(shown), 7.0), layout="constrained")
    axes = figure.subplots(3, len(shown), squeeze=False, sharex=True)
    for column, clip in enumerate(shown):
        top, middle, bottom = axes[:, column]
        top.plot(phase, deviation[clip], color="tab:red")
        top.set(title=names[clip], ylim=(0.0, None))
        rows = [
            share[clip, :, foot] / steps[clip]
            for foot in (0, 1)
            for share in (figures.reference_contact, figures.contact)
        ]
        middle.imshow(
            np.stack(rows), aspect="auto", extent=(0.0, 1.0, 4.0, 0.0), cmap="Blues", vmin=0.0, vmax=1.0
        )
        labels = ["left, reference", "left, robot", "right, reference", "right, robot"]
        middle.set_yticks(np.arange(4) + 0.5, labels if column == 0 else [""] * 4)
        middle.axhline(2.0, color="white", linewidth=3.0)
        failed = (episode.clip == clip) & ~episode.survived
        started, edges = np.histogram(episode.start_phase[failed], PHASE_BINS, (0.0, 1.0))
        bottom.stairs(started, edges, fill=True, color="tab:orange", alpha=0.6, label="start")
        bottom.stairs(figures.failures[clip], edges, color="tab:red", label="end")
        bottom.set(xlabel="phase of the clip", ylim=(0.0, max(bottom.get_ylim()[1], 1.0)))
        bottom.yaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylabel("mean body distance, mm")
    axes[1, 0].set_ylabel("share of time on the floor")
    axes[2, 0].set_ylabel("episodes that fail")
    axes[2, 0].legend()
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)
