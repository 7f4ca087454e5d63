"""A training from its settings to its last checkpoint."""

import importlib.util
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.fitness import require_fit
from mjx_mimic.common.errors import DiskFailure, RunFailure, UserError, missing_package
from mjx_mimic.common.paths import file_name
from mjx_mimic.common.processes import first_before_others, is_first, require_same
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import check_effects, sized
from mjx_mimic.config_yaml import read_run
from mjx_mimic.learning.devices import Devices, all_devices, devices_for, place
from mjx_mimic.learning.learner import Learner, TrainState, make_learner, redistribute
from mjx_mimic.robot.constants import ALL_BODIES, GROUND_BODIES
from mjx_mimic.runs import folder
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.lock import locked
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.training_loop import WriteVideo, train
from mjx_mimic.runs.warm_start import Source, described, read_source, start_from
from mjx_mimic.task.goals import doubts
from mjx_mimic.task.making import with_contacts

STEP_BYTES = {"tpu": 94_500}
"""What the compiled training step takes per environment beside its samples, by platform.

Of 200 MB at 4096 environments on an H100 and 467 MB on a TPU v5e, which pads its arrays, by
`python -m mjx_mimic.bench --compile-for`."""
OTHER_STEP_BYTES = 29_400
"""The same on GPUs, and by assumption on CPUs."""


def train_run(
    config: TrainConfig,
    out: Path | None = None,
    resume: bool = False,
    wandb_project: str | None = None,
    init_from: str | None = None,
    write_video: WriteVideo | None = None,
    trust: bool = False,
) -> tuple[bool, Path]:
    """Train in a run folder, a new one or one to resume.

    Where several processes train together, all call this, and only the first one writes.

    Args:
        config: what to train; numbers that are 0 are sized for this machine.
        out: the run folder; None: runs/<clip>-<date>.
        resume: continue the run in `out` from its last checkpoint.
        wandb_project: Weights & Biases project to log to as well.
        init_from: run to take the first networks and normaliser from, as RUN, RUN:best, RUN:last or
            RUN:SAMPLES; not together with `resume`.
        write_video: writes the videos that come every `video_interval` samples; None: there are none.
        trust: train also on clips that `validation` finds unfit; a run that is resumed has been trusted.

    Returns:
        Whether the training is complete (it is not after an interrupt), and the run folder.

    Raises:
        UserError: a setting, a clip or the folder will not do, or the run cannot be resumed.
    """
    devices, count = devices_for(config.num_envs), len(all_devices())
    if len(devices) < count:
        print(
            f"warning: option --num-envs: {config.num_envs} environments spread evenly over {len(devices)} of"
            f" {count} cores, which train; a multiple of {count} uses all"
        )
    config = sized(config, devices[0].platform, len(devices))
    if not resume:
        check_effects(config)
    if resume and out:
        clips = folder.load_run_clips(out)
    else:
        clips = load_clips(config.motion, config.motion_weights, config.skip_bad)
    config = replace(config, env=with_contacts(config.env, clips.motions))
    check_clips(config, clips, trust or resume)
    out = out or Path("runs") / f"{file_name(clips.motions[0].name)}-{time.strftime('%Y%m%d-%H%M%S')}"
    if wandb_project and importlib.util.find_spec("wandb") is None:
        raise missing_package("option --wandb", "wandb", "wandb")
    learner = make_learner(config, clips, devices)
    check_memory(learner)
    if config.physics_impl == "warp" and devices[0].platform == "cpu":
        print("warning: option --physics-impl: warp takes about ten times as long as jax on a CPU")
    source = read_source(init_from, learner, clips) if init_from else None
    origin = source.record if source else None
    require_same(_ingredients(folder.record(config, clips, len(devices), origin)))
    held: AbstractContextManager[None] = nullcontext()
    if resume:
        folder.check_resumable(out, config, clips, len(devices))
    if is_first():
        held = locked(out) if resume else folder.new_run(out, config, clips, len(devices), origin)
    with held:
        return _train(out, learner, clips, resume, wandb_project, source, write_video), out


def _ingredients(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what all processes must have alike, by what it is called in a message."""
    names = {
        "settings": "config",
        "clips": "clips",
        "versions": "versions",
        "devices": "platform",
        "networks to start from": "init_from",
    }
    return {name: json.dumps(record.get(field), sort_keys=True) for name, field in names.items()}


def check_clips(config: TrainConfig, clips: Clips, trust: bool) -> None:
    """Print what `validation` warns of in the clips, as far as it matters under these settings.

    Raises:
        UserError: a clip is not fit for training, and not trusted.
    """
    ground_bodies: tuple[str, ...] = ALL_BODIES
    if config.env.fall_ends and config.env.contacts != "auto":  # which it no longer is
        ground_bodies = config.env.ground_bodies or GROUND_BODIES[config.env.contacts]
    for message in clips.left_out:
        print(f"warning: left out: {message}")
    for line in [*require_fit(clips, ground_bodies, trust), *doubts(config.env, clips.motions)]:
        print(line)


def check_memory(learner: Learner, together: int = 1) -> None:
    """Warn of more environments than the devices' memory holds by an estimate, before anything is written.

    Args:
        learner: of the training.
        together: how many such trainings run side by side.

    Raises:
        UserError: they need more than ten times what there is, which no estimate is wrong by.
    """
    config, devices = learner.config, learner.devices
    _, observed = jax.eval_shape(learner.env.reset, jax.random.key(0))
    # Observations as they are and normalised; actions, before and after clipping.
    sample_bytes = 4 * 2 * (observed.size + learner.env.num_actions)
    platform = devices[0].platform
    step_bytes = STEP_BYTES.get(platform, OTHER_STEP_BYTES)
    num_envs = together * config.num_envs
    needed = num_envs * (step_bytes + config.unroll_length * sample_bytes)
    if platform == "cpu":
        here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        available = here * jax.process_count()
    else:
        available = len(devices) * (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    if not available or needed <= available:
        return
    message = (
        f"option --num-envs: {num_envs} environments need about {needed / 2**30:,.1f} GiB of"
        f" {available / 2**30:,.1f}; {num_envs * available // needed} fit"
    )
    if needed > 10 * available:
        raise UserError(f"{message}; use fewer")
    print(f"warning: {message}, by an estimate")


def changing(config: TrainConfig) -> list[str]:
    """Return what changes over the length of a training, in words."""
    changes = {
        "the wanted KL divergence": config.ppo.target_kl is not None
        and config.ppo.final_kl < config.ppo.target_kl,
        "the standard deviation": config.network.final_std is not None,
        "the ramp of the disturbances": config.disturbance_ramp > 0.0,
    }
    return [what for what, changes_over_time in changes.items() if changes_over_time]


def warn_of_another_length(config: TrainConfig, before: int) -> None:
    """Say what it means for a resumed training to have other `total_steps` than before."""
    if changing(config) and config.total_steps != before:
        print(
            f"warning: {config.total_steps:,} samples in all instead of {before:,}: as in a training that had"
            f" this length from the start go on {' and '.join(changing(config))}"
        )


def _train(
    out: Path,
    learner: Learner,
    clips: Clips,
    resume: bool,
    wandb_project: str | None,
    source: Source | None,
    write_video: WriteVideo | None,
) -> bool:
    """Train in a run folder that is this process's alone; return whether the training is complete."""
    config, devices = learner.config, learner.devices
    checkpoints = Checkpoints(out, config.keep_checkpoints)
    names = [motion.name for motion in clips.motions]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
    kind = f"{len(devices)} x {devices[0].device_kind}"
    print(f"{shown}: {config.num_envs} environments on {kind}; run folder {out}")
    if config.env.contacts != "feet":
        print(f"contacts: {config.env.contacts}, more than the soles")

    state, progress = learner.init(jax.random.key(config.seed)), Progress()
    # The first process removes what is damaged before the others read.
    restored = first_before_others(lambda: checkpoints.restore_training(state) if resume else None)
    require_same({"checkpoint": str(restored and restored[1])})
    if resume and restored is None and "init_from" in read_run(out)[1]:
        raise UserError(
            f"{out}: was stopped before its first checkpoint; remove it and start anew with --init-from"
        )
    if source:
        for line in described(source, config):
            print(line)
        state = start_from(learner, state, source)
    if restored and restored[1].samples >= config.total_steps:
        print(f"complete already at {restored[1].samples:,} samples; a larger --total-steps trains on")
        return True
    with told_as_failure(f"{out}: ", "--resume goes on from the last checkpoint that is whole"):
        if resume and is_first():
            warn_of_another_length(config, read_run(out)[0].total_steps)
            folder.record_resumption(out, config, clips, len(devices))
        if restored:
            state, progress = restored
            print(f"resumed at {progress.samples:,} samples")
            state = _placed(devices, state)
        else:
            checkpoints.save(state, progress, is_best=False)  # so that there always is one
        with MetricLog(out, names, progress.samples, wandb_project) if is_first() else nullcontext() as log:
            return train(learner, state, progress, checkpoints, log, write_video)


def _placed(devices: Devices, state: TrainState) -> TrainState:
    """Return a restored state on these devices, from however many it was saved."""
    before = len(state.iteration)
    if before != len(devices):
        print(
            f"from {before} to {len(devices)} devices: the environments are redistributed, with new random"
            " numbers, so the training goes on, but not to the bit"
        )
    return place(devices, redistribute(state, len(devices)))


@contextmanager
def told_as_failure(where: str, remedy: str) -> Iterator[None]:
    """Tell what goes wrong in the middle of a training as such: the input was right, or refused before.

    Raises:
        RunFailure: with `where` before and `remedy` after what went wrong.
    """
    try:
        yield
    except (OSError, UserError, DiskFailure) as error:
        raise RunFailure(f"{where}{error}; {remedy}") from error
