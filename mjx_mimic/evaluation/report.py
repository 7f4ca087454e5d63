"""A whole evaluation: which episodes to run, the table of their metrics, and the files that hold it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from mjx_mimic.clips.formats import check_to_write, key_of, save_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import write_json
from mjx_mimic.config import Start
from mjx_mimic.evaluation import plot, summary
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episode import Episode, Outcome
from mjx_mimic.evaluation.episodes import Evaluation

EPISODES_ON_CPU = 256
EPISODES_ON_ACCELERATOR = 4096
CLIPS_NAMED = 5
"""In a warning, at most."""
HEADINGS = {
    "random": "from random phases",
    "first": "from the first frame",
    "training": "from the training's states",
}


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        clips: names of the clips.
        metrics: of the episodes from random phases ("random"), from the first frame ("first"), and from the
            training's states ("training"), where there are any.
        results: the same as plain data for JSON, with how they were made.
        outcome: the episodes themselves.
    """

    clips: Sequence[str]
    metrics: Mapping[str, tuple[summary.EpisodeMetric, ...]]
    results: dict[str, Any]
    outcome: Outcome

    def show(self, title: str) -> None:
        """Print the table, a line per clip where there are several, why episodes failed, and warnings."""
        results = self.results
        counts = ", ".join(f"{results[kind]['episodes']} {HEADINGS[kind]}" for kind in self.metrics)
        title = f"{title}, {results['engine']}: episodes {counts}; {results['wall_time_s']:.0f} s"
        table = Table(title=title, title_justify="left")
        for heading in ("metric", "unit", *(HEADINGS[kind] for kind in self.metrics), "meaning"):
            right = heading in HEADINGS.values()
            table.add_column(heading, justify="right" if right else "left", no_wrap=True)
        for row in zip(*self.metrics.values(), strict=True):
            table.add_row(row[0].name, row[0].unit, *map(_cell, row), row[0].meaning)
        Console(width=max(150, Console().width)).print(table)
        for kind in self.metrics:
            if results[kind]["ended_by"]:
                causes = (f"ended_by_{name} {count}" for name, count in results[kind]["ended_by"].items())
                print(f"{HEADINGS[kind]}, episodes that failed: {', '.join(causes)}")
            for clip in results[kind].get("clips", ()):
                figures = ", ".join(
                    f"{name} {clip[name]['mean']:.4g}"
                    for name in ("eval_return", "survived", "success_0.5m", "mpjpe_global")
                    if clip[name]["mean"] is not None
                )
                print(f"{HEADINGS[kind]}, {clip['name']}: {figures}")
            for name, row in results[kind].get("transitions", {}).items():
                shares = ", ".join(
                    f"{following} {'-' if share is None else f'{share:.3g}'}"
                    for following, share in row.items()
                )
                print(f"{HEADINGS[kind]}, survived from {name} to: {shares}")
        for line in results["warnings"]:
            print(f"warning: {line}")

    def write_json(self, path: Path, more: Mapping[str, Any]) -> None:
        """Write all figures, and `more` fields before them."""
        write_json(path, {**more, **self.results}, indent=1)

    def write_plot(self, path: Path) -> None:
        """Write a PNG of errors, foot contacts and failures over the phase."""
        plot.plot_phases(path, self.outcome, self.clips)

    def write_recording(self, path: Path) -> None:
        """Write the simulated motion of the first episode as a clip, in the format of the file's ending."""
        recording = self.outcome.recordings[0]
        name = self.clips[recording.clip[0]]
        motion = Motion.from_qpos(recording.qpos, name=f"{name} simulated", fps=recording.fps, source=path)
        save_motion(path, motion, key_of(path))
        print(f"{path}: {name}, {motion.num_frames} simulated frames at {motion.fps:g} frames/s")


def check_recording(path: Path, control_hz: float) -> None:
    """Refuse a file that cannot hold a frame for each control step, before there is anything to record.

    Raises:
        UserError: its format has other frame rates only.
    """
    try:
        check_to_write(path, key_of(path), control_hz, "clamp")
    except UserError:
        raise UserError(
            f"option --record: {path} cannot hold {control_hz:g} frames/s, the control rate; end its name in"
            " .npz"
        ) from None


def _cell(metric: summary.EpisodeMetric) -> str:
    figures = metric.summary()
    if figures["mean"] is None:
        return "-"
    spread = f" ± {figures['std']:.2g}" if figures["count"] > 1 else ""
    return f"{figures['mean']:.4g}{spread}"


def evaluate(
    evaluation: Evaluation,
    clips: Sequence[str],
    engine: Engine | None = None,
    *,
    episodes: int = 0,
    start: Start = "both",
    record: bool = False,
) -> Report:
    """Run many deterministic episodes and measure them.

    Args:
        evaluation: task, policy and protocol.
        clips: names of the clips of its task.
        engine: that runs the episodes; None: MJX.
        episodes: how many, rounded up so that each clip, and with skills each pair of clips, has as many; 0:
            256 on a CPU, 4096 on an accelerator.
        start: from random phases, from the clips' first frames (as few, if undisturbed and without a goal),
            from both, or from the states `starts` of the evaluation, then each of them once unless `episodes`
            says.
        record: keep the first episode's simulated motion.

    Raises:
        UserError: the engine's model cannot be used, or the states are of a training whose clips have phases
            of their own.
    """
    if evaluation.starts is not None and evaluation.env.config.clips == "best":
        # Where each clip is follows from the step at which the episode has begun, which is not this one's.
        raise UserError(
            "option --start: training does not go on with a run of --env.clips best, each of whose clips is"
            " at a phase of its own; leave it out"
        )
    engine = Engine() if engine is None else engine
    wanted = episodes
    if evaluation.starts is not None:
        episodes = episodes or len(evaluation.starts.clip)
    else:
        default = EPISODES_ON_CPU if jax.default_backend() == "cpu" else EPISODES_ON_ACCELERATOR
        episodes = evaluation.whole_turns(episodes or default)
    protocol = evaluation.protocol
    noise = protocol.noise or 0.0
    differ = protocol.push > 0 or noise > 0 or evaluation.forces is not None or evaluation.is_open
    differ |= evaluation.env.goal is not None
    # Otherwise the episodes from a clip's first frame are all alike.
    from_first = 0 if start in ("random", "training") else episodes if differ else evaluation.kinds
    from_random = 0 if start == "first" else episodes
    at_first = np.arange(from_first + from_random) < from_first
    begun = time.monotonic()
    outcome = engine.run(evaluation, at_first, int(record))
    results: dict[str, Any] = {"engine": engine.name, "wall_time_s": time.monotonic() - begun}
    results |= {**asdict(protocol), "noise": noise, "seed": engine.seed}
    if evaluation.forces is not None:
        results["forces"] = np.asarray(evaluation.forces).tolist()
    results["warnings"] = list(_warnings(evaluation, outcome.episode, clips))
    if wanted and episodes != wanted and (from_random or differ):
        what = "clip" if evaluation.kinds == len(clips) else "pair of clips"
        results["warnings"].append(
            f"option --episodes: {episodes} instead of {wanted}, so that each {what} has as many"
        )
    metrics = {}
    elsewhere = "training" if start == "training" else "random"
    for kind, chosen in ((elsewhere, ~at_first), ("first", at_first)):
        if chosen.any():
            episode = jax.tree.map(lambda x, chosen=chosen: x[chosen], outcome.episode)
            goal = evaluation.env.goal
            measures = goal.measures if goal else None
            metrics[kind] = summary.episode_metrics(episode, evaluation.env.control_dt, measures)
            table = summary.table(metrics[kind], episode.clip, clips)
            results[kind] = {"episodes": int(chosen.sum()), **table}
            failures = summary.failures(episode, clips)
            causes = Counter(failure["ended_by"] for failure in failures)
            results[kind] |= {"ended_by": dict(causes.most_common()), "failures": failures}
            if evaluation.env.config.clips == "skills":
                survived = next(m.values for m in metrics[kind] if m.name == "survived")
                results[kind]["transitions"] = summary.transitions(
                    survived, episode.clip, episode.following, clips
                )
    return Report(clips, metrics, results, outcome)


def _warnings(evaluation: Evaluation, episode: Episode, clips: Sequence[str]) -> Iterator[str]:
    """Say how many of N episodes are too short for what is to disturb them, and in which clips."""
    if evaluation.forces is None and not evaluation.protocol.push:
        return
    is_short = ~np.asarray(evaluation.is_long_enough(episode))
    if not is_short.any():
        return
    what = "the first kick" if evaluation.forces is None else "the force"
    found = Counter(clips[int(clip)] for clip in episode.clip[is_short])
    named = ", ".join(f"{name} {count}" for name, count in found.most_common(CLIPS_NAMED))
    more = f" and {len(found) - CLIPS_NAMED} more clips" if len(found) > CLIPS_NAMED else ""
    yield (
        f"{is_short.sum()} of {len(is_short)} episodes end before {what}, or within a second after it, and do"
        f" not tell who survives it: {named}{more}"
    )
