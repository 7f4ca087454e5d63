"""Sweeps: settings x clips x seeds, each a run folder like any other, and one table and one plot of all."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import UserError, bare
from mjx_mimic.common.files import read_yaml, replacing
from mjx_mimic.common.paths import file_name
from mjx_mimic.config import PRESETS, Preset, TrainConfig, sized
from mjx_mimic.config_yaml import CONFIG_FILE, from_dict, to_dict
from mjx_mimic.learning.devices import first_device, place
from mjx_mimic.learning.learner import Learner, TrainState, make_learner
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.population import Population, member_state, stack_states, structure
from mjx_mimic.runs import folder
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.lock import locked
from mjx_mimic.runs.metric_log import METRICS_FILE, MetricLog, read_rows
from mjx_mimic.runs.plot import draw_group, read_metrics
from mjx_mimic.runs.training_loop import (
    MAX_SKIPPED_UPDATES,
    Stop,
    clip_summary,
    evaluation_figures,
    evaluation_keys,
    has_multiple,
    judged,
    summary,
)
from mjx_mimic.runs.training_run import check_clips
from mjx_mimic.task.making import with_contacts

ENVS_TOGETHER = 8192
"""Environments of all trainings that an accelerator is given at a time."""
THRESHOLDS = (200.0, 250.0)
"""Evaluation returns whose samples and minutes the table gives."""
COMPLETE_SHARE = 0.95
"""Mean length of evaluation episodes, relative to the longest, from which they count as complete."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep trains: every setting on every clip with every seed."""

    motion: tuple[str, ...]
    """Clips, each for a policy of its own; a YAML list or a folder is one policy for all of its clips."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    """Names, and what each changes: fields by their dotted names, such as ppo.target_kl."""
    seeds: tuple[int, ...] = (0,)
    preset: Preset = "default"
    """What the settings change."""
    common: Mapping[str, Any] = field(default_factory=dict)
    """Fields that all settings change."""
    samples: int = 0
    """Samples of each training; 0: sized for the machine."""
    minutes: float | None = None
    """Wall time after which a training stops, together with those beside it; None: none."""
    together: int = 0
    """Trainings that run side by side where they can share a compiled step; 0: one on a CPU, and as many as
    have 8,192 environments on accelerators."""


@dataclass(frozen=True)
class Member:
    """One training of a sweep."""

    setting: str
    clip: str
    config: TrainConfig
    path: Path

    @property
    def name(self) -> str:
        """Name, for people."""
        return f"{self.setting}/{self.path.name}"


def read_sweep(path: Path) -> Sweep:
    """Read the description of a sweep.

    Raises:
        UserError: a field is unknown or will not do.
    """
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not values.get("motion"):
        raise UserError(f"{path}: field 'motion' is missing; write 'motion:' and a list of clips")
    sweep = from_dict({name: value for name, value in values.items() if name not in FREE}, path, Sweep)
    sweep = replace(sweep, **_free_fields(values, path))
    if not sweep.seeds:
        raise UserError(f"{path}: field 'seeds' is empty; write a list of at least one")
    for name, lowest in (("samples", 0), ("together", 0), ("minutes", 1e-3)):
        value = getattr(sweep, name)
        if value is not None and not value >= lowest:
            raise UserError(f"{path}: field '{name}' is {value}; write a number from {lowest:g}")
    return sweep


FREE = ("settings", "common")
"""Fields of a sweep that hold changes of settings, by names of the user's own or of `TrainConfig`."""


def _free_fields(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Read the fields `FREE` of a description, those that there are."""
    found: dict[str, Any] = {}
    if "common" in values:
        found["common"] = _changes(values["common"], f"{path}: field 'common'")
    if "settings" in values:
        settings = values["settings"]
        if not isinstance(settings, Mapping) or not settings:
            raise UserError(
                f"{path}: field 'settings' is no mapping; write lines such as low: {{ppo.clip: 0.1}}"
            )
        found["settings"] = {
            str(name): _changes(changes, f"{path}: setting {bare(name)}")
            for name, changes in settings.items()
        }
    return found


def _changes(values: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise UserError(f"{where} is no mapping of fields to values; write {{ppo.clip: 0.1}}, or {{}}")
    return values


def members(sweep: Sweep, out: Path, source: Path) -> list[Member]:
    """List the trainings of a sweep, by setting, clip and seed, with their run folders.

    Raises:
        UserError: a setting will not do, or two of them or two clips have the same name.
    """
    found, paths = [], set()
    for setting, changes in sweep.settings.items():
        values = to_dict(PRESETS[sweep.preset])
        for name, value in (sweep.common | changes).items():  # type: ignore[operator]
            place_in(values, name.replace("-", "_"), value, f"{source}: setting {bare(setting)}")
        config = from_dict(values, f"{source}: setting {bare(setting)}")
        for motion in sweep.motion:
            name = Path(motion).stem
            for seed in sweep.seeds:
                path = out / file_name(setting) / f"{file_name(name)}-{seed}"
                if path in paths:
                    raise UserError(
                        f"{source}: two trainings would be {path}; give settings and clips other names"
                    )
                paths.add(path)
                own = replace(config, motion=(motion,), seed=seed, total_steps=sweep.samples)
                found.append(Member(setting, name, own, path))
    return found


def place_in(values: dict[str, Any], name: str, value: Any, where: str) -> None:
    """Set a field by its dotted name in a nested dict.

    Raises:
        UserError: there is no such field, or it is a section, or one that the sweep has itself.
    """
    if name in ("motion", "motion_weights", "seed", "total_steps"):
        raise UserError(f"{where}: {name} has a field of its own; use that")
    *parents, last = name.split(".")
    inner: Any = values
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or last not in inner:
        raise UserError(f"{where}: unknown field '{bare(name)}'; use one of config.yaml, such as ppo.clip")
    if isinstance(inner[last], dict):  # a whole section would reset what it does not name
        raise UserError(
            f"{where}: {bare(name)} is a section; write its fields one by one, such as ppo.clip: 0.1"
        )
    inner[last] = value


def run(sweep: Sweep, out: Path, source: Path, trust: bool = False) -> bool:
    """Train what is not trained yet, and write table and plot after every group.

    Args:
        sweep: what to train.
        out: folder of the run folders, the table and the plot.
        source: file of the description, for messages.
        trust: train also on clips that `validation` finds unfit.

    Returns:
        Whether all is trained; False after an interrupt, from which the same command goes on.

    Raises:
        UserError: a setting, a clip or a folder will not do.
    """
    devices = tuple(jax.local_devices())
    everyone = [
        replace(member, config=sized(member.config, devices[0].platform, len(devices)))
        for member in members(sweep, out, source)
    ]
    missing: list[Item] = []
    checked = set()
    for index, member in enumerate(everyone):
        clips = load_clips(member.config.motion, skip_bad=member.config.skip_bad)
        env_config = with_contacts(member.config.env, clips.motions)
        member = everyone[index] = replace(member, config=replace(member.config, env=env_config))
        if (member.setting, member.clip) not in checked:  # they differ by their seeds alone
            check_clips(member.config, clips, trust)
            checked.add((member.setting, member.clip))
        if os.path.exists(member.path / CONFIG_FILE):
            folder.check_resumable(member.path, member.config, clips, len(devices))
        done = Checkpoints(member.path).progress()
        if done.samples < member.config.total_steps and not is_over(sweep, done):
            learner = make_learner(member.config, clips, devices)
            missing.append(Item(member, learner, clips, done.samples))
    print(f"{out}: {len(everyone)} trainings, {len(everyone) - len(missing)} of them complete", flush=True)
    stop = Stop()
    with stop.listening():
        for group in grouped(missing):
            population = Population([item.learner for item in group])
            size = sweep.together or default_together(group[0].member.config, devices[0].platform)
            for start in range(0, len(group), size):
                train(population, sweep, group[start : start + size], stop)
                stop.in_flight = False
                write_report(out, everyone)
                if stop.requested:
                    return False
    print(write_report(out, everyone))
    return True


def default_together(config: TrainConfig, platform: str) -> int:
    """Return how many trainings run side by side."""
    return 1 if platform == "cpu" else max(1, ENVS_TOGETHER // config.num_envs)


def is_over(sweep: Sweep, progress: Progress) -> bool:
    """Return whether a training has had its minutes."""
    return sweep.minutes is not None and progress.wall_time_s >= 60.0 * sweep.minutes


@dataclass(frozen=True)
class Item:
    """A training that is not complete."""

    member: Member
    learner: Learner
    clips: Clips
    samples: int
    """How far it is."""


def grouped(items: Sequence[Item]) -> list[list[Item]]:
    """Put trainings together that can share a compiled step and are equally far."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault((structure(item.learner), item.samples), []).append(item)
    return list(groups.values())


def train(population: Population, sweep: Sweep, chunk: Sequence[Item], stop: Stop) -> None:
    """Train members side by side, with an evaluation and a checkpoint of each at every interval.

    Their training ends, and the sweep goes on, where `MAX_SKIPPED_UPDATES` in a row of every member were not
    finite.
    """
    learners, config = [item.learner for item in chunk], chunk[0].member.config
    samples_per_step = learners[0].samples_per_step
    print("training " + ", ".join(item.member.name for item in chunk), flush=True)
    with ExitStack() as stack:
        state, progress = begin(population, chunk, stack)
        logs = [stack.enter_context(open_log(item, done)) for item, done in zip(chunk, progress, strict=True)]
        stores = [Checkpoints(item.member.path, config.keep_checkpoints) for item in chunk]
        arguments = population.arguments(learners)
        samples, earlier, start = progress[0].samples, progress, time.monotonic()
        window: list[Metrics] = []
        window_start, ending, skipped = start, False, np.zeros(len(chunk))
        while not ending:
            state, metrics = population.train_step(arguments, state)
            window.append(first_device(metrics))
            skipped = np.where(window[-1].skipped, skipped + 1, 0)
            is_lost = bool((skipped >= MAX_SKIPPED_UPDATES).all())
            stop.in_flight = True  # from here on, an interrupt leaves a checkpoint
            is_at_interval = has_multiple(samples, samples + samples_per_step, config.eval_interval)
            samples, now = samples + samples_per_step, time.monotonic()
            progress = [
                replace(done, samples=samples, wall_time_s=before.wall_time_s + now - start)
                for done, before in zip(progress, earlier, strict=True)
            ]
            ending = samples >= config.total_steps or stop.requested or is_over(sweep, progress[0]) or is_lost
            if not ending and not is_at_interval:
                continue
            is_due = is_at_interval or (ending and not stop.requested)
            results = evaluate(population, arguments, state, learners, progress) if is_due else None
            speed = len(window) * samples_per_step * len(chunk) / (now - window_start)
            for index, done in enumerate(progress):
                figures, is_best = results[index] if results else ({}, False)
                own = [jax.tree.map(lambda x, index=index: x[index], metrics) for metrics in window]
                done = replace(done, best_eval_return=figures.get("best_eval_return", done.best_eval_return))
                row = {"samples": samples, "wall_time_s": done.wall_time_s, "samples_per_s": speed}
                logs[index].write({**row, **summary(own, samples_per_step), **figures}, clip_summary(own))
                stores[index].save(member_state(state, index), done, is_best)
                progress[index] = done
            returns = " ".join(f"{figures['eval_return']:.1f}" for figures, _ in results or [])
            print(
                f"[{progress[0].wall_time_s:6.0f} s] {samples / 1e6:.2f} M samples each, {speed:,.0f}/s in"
                f" all; evaluation {returns or 'none'}",
                flush=True,
            )
            window, window_start = [], time.monotonic()
    if is_lost:
        print("warning: update after update was not finite; this training ends here", flush=True)


def begin(
    population: Population, chunk: Sequence[Item], stack: ExitStack
) -> tuple[TrainState, list[Progress]]:
    """Make the run folders of new trainings, or restore those that were stopped; lock them in either case.

    Raises:
        UserError: a folder cannot be used, or its last checkpoint is damaged.
    """
    for item in chunk:
        path, config = item.member.path, item.member.config
        if os.path.exists(path / CONFIG_FILE):
            stack.enter_context(locked(path))
        else:
            stack.enter_context(folder.new_run(path, config, item.clips, len(population.devices)))
    state = population.init([item.learner for item in chunk])
    if not chunk[0].samples:
        return state, [Progress()] * len(chunk)
    states, progress = [], []
    for index, item in enumerate(chunk):
        restored = Checkpoints(item.member.path).restore_training(member_state(state, index))
        if restored is None or restored[1].samples != item.samples:
            raise UserError(
                f"{item.member.path}: its last checkpoint is damaged; remove the folder and start again"
            )
        states.append(restored[0])
        progress.append(restored[1])
    return place(population.devices, stack_states(states)), progress


def open_log(item: Item, progress: Progress) -> MetricLog:
    """Open the metric log of a training where it goes on."""
    return MetricLog(item.member.path, [motion.name for motion in item.clips.motions], progress.samples)


def evaluate(
    population: Population,
    arguments: Any,
    state: TrainState,
    learners: Sequence[Learner],
    progress: Sequence[Progress],
) -> list[tuple[dict[str, float], bool]]:
    """Evaluate every member as `training_loop.evaluate` does.

    Returns:
        Of each member the figures of the first evaluation with the return of its best policy so far, and
        whether it is this one.
    """
    keys, others = zip(*map(evaluation_keys, learners, progress), strict=True)
    first = first_device(population.evaluate(arguments, state, keys))
    returns = first.eval_return
    second = returns  # counts only for a member that beats its best, as below
    bests = [done.best_eval_return for done in progress]
    if any(best is None or value > best for value, best in zip(returns, bests, strict=True)):
        second = first_device(population.evaluate(arguments, state, others)).eval_return
    results = []
    for index, done in enumerate(progress):
        figures = evaluation_figures(jax.tree.map(lambda x, index=index: x[index], first))
        results.append(judged(figures, float(second[index]), done.best_eval_return))
    return results


@dataclass(frozen=True)
class Outcome:
    """What the table says of one training; None: never reached."""

    eval_return: float
    complete: tuple[float, float] | None
    """Samples and minutes to the first evaluation whose episodes are complete."""
    thresholds: tuple[tuple[float, float] | None, ...]
    """Samples and minutes to each return of `THRESHOLDS`."""


def outcome(path: Path, episode_steps: float) -> Outcome | None:
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
        eval_return=float(rows[-1]["eval_return"] or 0.0),
        complete=reached("eval_episode_length", COMPLETE_SHARE * episode_steps),
        thresholds=tuple(reached("eval_return", value) for value in THRESHOLDS),
    )


def table(everyone: Sequence[Member]) -> str:
    """Return a Markdown table, a line for each clip and setting: medians over seeds, ranges of returns."""
    names = ["complete episodes", *(f"return {value:g}" for value in THRESHOLDS)]
    head = ["clip", "setting", "seeds", "evaluation return", *(f"{name}: M samples, min" for name in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (clip, setting), group in by_cell(everyone).items():
        found = [outcome(m.path, m.config.env.episode_seconds * m.config.env.control_hz) for m in group]
        outcomes = [o for o in found if o]
        if not outcomes:
            continue
        returns = [o.eval_return for o in outcomes]
        text = f"{np.median(returns):.1f}"
        if len(returns) > 1:
            text += f" ({min(returns):.1f} to {max(returns):.1f})"
        cells = [clip, setting, str(len(outcomes)), text, median_cost([o.complete for o in outcomes])]
        cells += [median_cost([o.thresholds[i] for o in outcomes]) for i in range(len(THRESHOLDS))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def median_cost(costs: Sequence[tuple[float, float] | None]) -> str:
    """Return the median samples and minutes, for people; those never reached count as infinite."""
    samples, minutes = np.median([cost or (np.inf, np.inf) for cost in costs], axis=0)
    return f"{samples / 1e6:.2f}, {minutes:.1f}" if np.isfinite(samples) else "-"


def by_cell(everyone: Sequence[Member]) -> dict[tuple[str, str], list[Member]]:
    """Put the seeds of each clip and setting together."""
    cells: dict[tuple[str, str], list[Member]] = {}
    for clip in dict.fromkeys(member.clip for member in everyone):
        for member in everyone:
            if member.clip == clip:
                cells.setdefault((clip, member.setting), []).append(member)
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
    clips = list(dict.fromkeys(clip for clip, _ in cells))
    figure = Figure(figsize=(7.0 * len(clips), 5.0), layout="constrained")
    for panel, clip in zip(figure.subplots(1, len(clips), squeeze=False)[0], clips, strict=True):
        for (other, setting), group in cells.items():
            if other != clip:
                continue
            runs = [member.path for member in group if (member.path / METRICS_FILE).exists()]
            metrics = map(read_metrics, runs)
            evaluated = [found for found in metrics if np.isfinite(found.get("eval_return", [])).any()]
            if evaluated:
                draw_group(panel, evaluated, setting, "eval_return", "samples")
        panel.set(title=clip, xlabel="samples, millions", ylabel="evaluation return")
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=7)
    with replacing(out / "curves.png") as file:
        figure.savefig(file, format="png", dpi=110)
    return text
