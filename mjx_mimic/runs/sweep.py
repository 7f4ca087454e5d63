"""Sweeps: settings x clips x seeds, each a run folder like any other, some side by side."""

import functools
import os
import time
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import check_effects, sized
from mjx_mimic.config_yaml import CONFIG_FILE, read_run
from mjx_mimic.learning.devices import Devices, first_device, place
from mjx_mimic.learning.learner import Learner, TrainState, make_learner, redistribute
from mjx_mimic.learning.metrics import Metrics
from mjx_mimic.learning.population import Population, member_state, stack_states, structure
from mjx_mimic.runs import folder
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.lock import locked
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.reports import clip_summary, evaluation_figures, summary
from mjx_mimic.runs.stop import Stop
from mjx_mimic.runs.sweep_plan import Member, Sweep, members
from mjx_mimic.runs.sweep_report import write_report
from mjx_mimic.runs.training_loop import (
    MAX_SKIPPED_UPDATES,
    best_return,
    evaluation_keys,
    has_multiple,
    judged,
)
from mjx_mimic.runs.training_run import (
    changing,
    check_clips,
    check_memory,
    told_as_failure,
    warn_of_another_length,
)
from mjx_mimic.task.making import with_contacts

ENVS_TOGETHER = 8192
"""Environments of all trainings that each accelerator is given at a time."""


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
        for member in _sized_as_begun(members(sweep, out, source))
    ]
    missing = _to_train(sweep, everyone, devices, trust)
    print(f"{out}: {len(everyone)} trainings, {len(everyone) - len(missing)} of them complete", flush=True)
    stop, groups = Stop(), grouped(missing)
    sizes = [sweep.together or default_together(group[0].member.config, devices) for group in groups]
    for group, size in zip(groups, sizes, strict=True):
        check_memory(group[0].learner, min(size, len(group)))
    with stop.listening():
        for group, size in zip(groups, sizes, strict=True):
            population = Population([item.learner for item in group])
            compiled = set()
            for start in range(0, len(group), size):
                chunk = group[start : start + size]
                train(population, sweep, chunk, stop, len(chunk) not in compiled)
                compiled.add(len(chunk))
                stop.in_flight = False
                write_report(out, everyone)
                if stop.requested:
                    return False
    print(write_report(out, everyone))
    return True


def _sized_as_begun(planned: Sequence[Member]) -> list[Member]:
    """Fill in what was sized for the cores on which a sweep began, so that its trainings can be compared.

    A training keeps its own sizes; a new one gets those of its setting, or of another that leaves them open.
    """
    begun = [(m, read_run(m.path)[0]) for m in planned if os.path.exists(m.path / CONFIG_FILE)]

    def as_begun(member: Member) -> TrainConfig:
        nearest = sorted(begun, key=lambda m: (m[0].path != member.path, m[0].setting != member.setting))
        config = member.config
        for name in ("num_envs", "total_steps", "eval_interval"):
            sizes = [getattr(past, name) for other, past in nearest if not getattr(other.config, name)]
            if sizes and not getattr(config, name):
                config = replace(config, **{name: sizes[0]})
        return config

    return [replace(member, config=as_begun(member)) for member in planned]


@dataclass(frozen=True)
class Item:
    """A training that is not complete."""

    member: Member
    learner: Learner
    clips: Clips
    samples: int
    """How far it is."""


def _to_train(
    sweep: Sweep, everyone: list[Member], devices: tuple[jax.Device, ...], trust: bool
) -> list[Item]:
    """Check all trainings, put their contact sets into `everyone`, and return those that are not complete.

    Raises:
        UserError: a setting, a clip or a folder will not do.
    """
    missing: list[Item] = []
    learners: dict[Hashable, Learner] = {}
    checked, told = set(), set()
    begun = {member.path for member in everyone if os.path.exists(member.path / CONFIG_FILE)}
    # The clips are those with which the sweep began.
    copies = {member.config.motion: member.path for member in everyone if member.path in begun}

    @functools.cache
    def clips_of(motion: tuple[str, ...], skip_bad: bool) -> Clips:
        if motion in copies:
            return folder.load_run_clips(copies[motion])
        return load_clips(motion, skip_bad=skip_bad)

    for index, member in enumerate(everyone):
        clips, is_begun = clips_of(member.config.motion, member.config.skip_bad), member.path in begun
        env_config = member.config.env
        if is_begun and env_config.contacts == "auto":  # as they were found when it began
            past = read_run(member.path)[0].env
            env_config = replace(env_config, contacts=past.contacts, ground_bodies=past.ground_bodies)
        env_config = with_contacts(env_config, clips.motions)
        member = everyone[index] = replace(member, config=replace(member.config, env=env_config))
        if not is_begun and member.setting not in told:
            _check_setting(sweep, member)
            told.add(member.setting)
        if (member.setting, member.clip) not in checked:  # they differ by their seeds alone
            check_clips(member.config, clips, trust)
            checked.add((member.setting, member.clip))
        if is_begun:
            folder.check_resumable(member.path, member.config, clips, len(devices))
        done = Checkpoints(member.path).progress()
        if done.samples < member.config.total_steps and not is_over(sweep, done):
            config = member.config
            task = (config.motion, config.skip_bad, env_config, config.start_sampling, config.physics_impl)
            if task not in learners:
                learners[task] = make_learner(config, clips, devices)
            learner = replace(learners[task], config=config)  # their clips are on the device once
            missing.append(Item(member, learner, clips, done.samples))
    return missing


def _check_setting(sweep: Sweep, member: Member) -> None:
    """Check the settings of a new training, and warn of what `minutes` may leave unchanged."""
    check_effects(member.config)
    words = changing(member.config)
    if sweep.minutes is not None and words:
        print(
            f"warning: setting {member.setting}: what changes over {member.config.total_steps:,} samples"
            f" ({', '.join(words)}) is cut off after {sweep.minutes:g} minutes; set 'samples' to about as"
            " many as there is time for"
        )


def default_together(config: TrainConfig, devices: Devices) -> int:
    """Return how many trainings run side by side."""
    if devices[0].platform == "cpu":
        return 1
    return max(1, ENVS_TOGETHER * len(devices) // config.num_envs)


def is_over(sweep: Sweep, progress: Progress) -> bool:
    """Return whether a training has had its minutes."""
    return sweep.minutes is not None and progress.wall_time_s >= 60.0 * sweep.minutes


def grouped(items: Sequence[Item]) -> list[list[Item]]:
    """Put trainings together that can share a compiled step and are equally far."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault((structure(item.learner), item.samples), []).append(item)
    return list(groups.values())


def train(population: Population, sweep: Sweep, chunk: Sequence[Item], stop: Stop, is_new: bool) -> None:
    """Train members side by side, with an evaluation and a checkpoint of each at every interval.

    Their training ends, and the sweep goes on, where `MAX_SKIPPED_UPDATES` in a row of every member were not
    finite.
    """
    learners, config = [item.learner for item in chunk], chunk[0].member.config
    samples_per_step = learners[0].samples_per_step
    print("training " + ", ".join(item.member.name for item in chunk), flush=True)
    with ExitStack() as stack:
        stores = [Checkpoints(item.member.path, config.keep_checkpoints) for item in chunk]
        state, progress = begin(population, chunk, stores, stack)
        stack.enter_context(told_as_failure("", "the same command goes on from the last checkpoints"))
        logs = [stack.enter_context(open_log(item, done)) for item, done in zip(chunk, progress, strict=True)]
        arguments = population.arguments(learners)
        if is_new:
            warm_up(population, arguments, state, learners, progress)
        samples, earlier, start = progress[0].samples, progress, time.monotonic()
        window: list[Metrics] = []
        window_start, ending, skipped = start, False, np.zeros(len(chunk))
        while not ending:
            state, metrics = population.train_step(arguments, state)
            window.append(first_device(metrics))
            skipped = np.where(window[-1].skipped, skipped + 1, 0)
            for lost in map(int, np.flatnonzero(skipped == MAX_SKIPPED_UPDATES)):
                name = chunk[lost].member.name
                print(f"warning: {name}: update after update was not finite; it learns no more", flush=True)
            is_lost = bool((skipped >= MAX_SKIPPED_UPDATES).all())
            stop.in_flight = True  # from here on, an interrupt leaves a checkpoint
            is_at_interval = has_multiple(samples, samples + samples_per_step, config.eval_interval)
            samples, now = samples + samples_per_step, time.monotonic()
            progress = [
                replace(done, samples=samples, wall_time_s=before.wall_time_s + now - start)
                for done, before in zip(progress, earlier, strict=True)
            ]
            is_complete = samples >= config.total_steps
            ending = is_complete or stop.requested or is_over(sweep, progress[0]) or is_lost
            if not ending and not is_at_interval:
                continue
            is_due = is_at_interval or is_complete or (ending and not stop.requested)
            results = evaluate(population, arguments, state, learners, progress) if is_due else None
            speed = len(window) * samples_per_step / (now - window_start)
            for index, done in enumerate(progress):
                figures, is_best = results[index] if results else ({}, False)
                own = [jax.tree.map(lambda x, index=index: x[index], metrics) for metrics in window]
                done = done.judged(figures["best_eval_return"], is_best) if results else done
                row = {"samples": samples, "wall_time_s": done.wall_time_s, "samples_per_s": speed}
                logs[index].write({**row, **summary(own, samples_per_step), **figures}, clip_summary(own))
                stores[index].save(member_state(state, index), done, is_best)
                progress[index] = done
            returns = " ".join(f"{figures['eval_return']:.1f}" for figures, _ in results or [])
            print(
                f"[{progress[0].wall_time_s:6.0f} s] {samples / 1e6:.2f} M samples each,"
                f" {len(chunk) * speed:,.0f}/s in all; evaluation {returns or 'none'}",
                flush=True,
            )
            window, window_start = [], time.monotonic()


def warm_up(
    population: Population,
    arguments: Any,
    state: TrainState,
    learners: Sequence[Learner],
    progress: Sequence[Progress],
) -> None:
    """Compile what trains and evaluates a group, so that its time is not the first training's."""
    copy = jax.tree.map(lambda x: x.copy(), state)  # a step takes the memory of its state over
    keys, _ = zip(*map(evaluation_keys, learners, progress), strict=True)
    jax.block_until_ready(population.evaluate(arguments, state, keys))
    jax.block_until_ready(population.train_step(arguments, copy))


def begin(
    population: Population, chunk: Sequence[Item], stores: Sequence[Checkpoints], stack: ExitStack
) -> tuple[TrainState, list[Progress]]:
    """Make the run folders of new trainings, or restore those that were stopped; lock them in either case.

    Args:
        population: of the trainings.
        chunk: the trainings.
        stores: their checkpoints, which remember the best policy of what they restore.
        stack: holds the locks.

    Raises:
        UserError: a folder cannot be used, or its last checkpoint is damaged.
    """
    devices = population.devices
    are_new = [not os.path.exists(item.member.path / CONFIG_FILE) for item in chunk]
    for item, is_new in zip(chunk, are_new, strict=True):
        path, config = item.member.path, item.member.config
        lock = folder.new_run(path, config, item.clips, len(devices)) if is_new else locked(path)
        stack.enter_context(lock)
    for item, store, is_new in zip(chunk, stores, are_new, strict=True):
        if not is_new and store.progress().samples != item.samples:
            raise UserError(
                f"{item.member.path}: another training has been here since this sweep began; run the same"
                " command again"
            )
    state, progress = population.init([item.learner for item in chunk]), [Progress()] * len(chunk)
    if not chunk[0].samples:
        for index, (store, is_new) in enumerate(zip(stores, are_new, strict=True)):
            if not is_new:  # killed in its first save, which is put aside
                store.restore_training(member_state(state, index))
    else:
        restored = [
            restore(item, store, member_state(state, index))
            for index, (item, store) in enumerate(zip(chunk, stores, strict=True))
        ]
        state = place(devices, stack_states([redistribute(found, len(devices)) for found, _ in restored]))
        progress = [done for _, done in restored]
    for item, is_new in zip(chunk, are_new, strict=True):
        if not is_new:  # now that nothing is refused any more
            path, config = item.member.path, item.member.config
            warn_of_another_length(config, read_run(path)[0].total_steps)
            folder.record_resumption(path, config, item.clips, len(devices))
    return state, progress


def restore(item: Item, store: Checkpoints, like: TrainState) -> tuple[TrainState, Progress]:
    """Read the checkpoint from which a training goes on.

    Raises:
        UserError: it is damaged.
    """
    restored = store.restore_training(like)
    if restored is None or restored[1].samples != item.samples:
        raise UserError(
            f"{item.member.path}: its last checkpoint is damaged; run the same command again, which goes on"
            " from the one before"
        )
    return restored


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
    bests = [best_return(learner, done) for learner, done in zip(learners, progress, strict=True)]
    if any(best is None or value > best for value, best in zip(returns, bests, strict=True)):
        second = first_device(population.evaluate(arguments, state, others)).eval_return
    results = []
    for index, best in enumerate(bests):
        figures = evaluation_figures(jax.tree.map(lambda x, index=index: x[index], first))
        results.append(judged(figures, float(second[index]), best))
    return results
