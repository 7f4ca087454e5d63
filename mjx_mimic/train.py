"""`python -m mjx_mimic.train`: teaches the G1 a clip; run folder, progress, test and video at the end."""

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import PRESETS, TrainConfig, sized
from mjx_mimic.display import drawing
from mjx_mimic.runs.config_yaml import read_config

PROGRAM = "python -m mjx_mimic.train"

Preset = Literal["default", "mimickit", "paper"]


@dataclass(frozen=True)
class TrainCommand:
    """Teaches a Unitree G1 to imitate motion clips. With no argument: the shipped walk, on this machine."""

    preset: Annotated[Preset | None, cli.shown("|".join(PRESETS))] = None
    """Settings to start from; every other option goes on top."""
    config: Annotated[Path | None, cli.shown("PATH")] = None
    """YAML file, or run folder, to start from instead of a preset."""
    out: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Run folder, new; without it runs/<clip>-<date>."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    video: bool = True
    """Record a video of the best policy at the end."""
    wandb: Annotated[str | None, cli.shown("PROJECT")] = None
    """Weights & Biases project to log to as well; needs the extra "wandb"."""
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """Settings of the training."""


def parse(arguments: Sequence[str]) -> TrainCommand:
    """The command line over a preset, a YAML file, or the run to resume.

    Raises:
        UserError: an unknown option or preset, a value of the wrong type, contradicting options.
    """
    # Where to start from decides the defaults of all other options, so it is read first.
    first, _ = cli.parse(TrainCommand, arguments, prog=PROGRAM, return_unknown_args=True)
    if first.preset and first.config:
        raise UserError("option --config: cannot be joined with --preset; choose one of them")
    if first.resume and first.out is None:
        raise UserError("option --resume: needs --out, the run folder to continue")
    if first.config:
        start = read_config(first.config)
    elif first.resume and not first.preset:
        start = read_config(first.out)
    else:
        start = PRESETS[first.preset or "default"]
    return cli.parse(TrainCommand, arguments, default=replace(first, train=start), prog=PROGRAM)


def main(arguments: Sequence[str]) -> int:
    command = parse(arguments)
    # MuJoCo takes its GL library when it is first imported, so this comes before it.
    backend = drawing.choose_gl_backend() if command.video else None
    cli.prepare_jax()
    import jax

    from mjx_mimic.clips.dataset import load_clips
    from mjx_mimic.learning.learner import make_learner
    from mjx_mimic.runs import folder, training_loop

    devices = tuple(jax.local_devices())
    config = sized(command.train, devices[0].platform, len(devices))
    clips = load_clips(config.motion, config.motion_weights)
    out = command.out or Path("runs") / f"{clips.motions[0].name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if command.wandb and importlib.util.find_spec("wandb") is None:
        raise UserError("option --wandb: the package is not installed; install mjx-mimic[wandb]")
    if command.resume:
        folder.check_resumable(out, config, clips, len(devices))
    else:
        folder.create(out, config, clips, len(devices))

    learner = make_learner(config, clips, devices)
    checkpoints = folder.Checkpoints(out)
    names = [motion.name for motion in clips.motions]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
    kind = f"{len(devices)} x {devices[0].device_kind}"
    print(f"{shown}: {config.num_envs} environments on {kind}; run folder {out}")

    state, progress = learner.init(jax.random.key(config.seed)), folder.Progress()
    if command.resume:
        state, progress = checkpoints.restore_training(state)
        state = learner.place(state)
        print(f"resumed at {progress.samples:,} samples")
    with folder.MetricLog(out, names, progress.samples, command.wandb) as log:
        finished = training_loop.train(learner, state, progress, checkpoints, log)
    if not finished:
        print(f"interrupted; to go on: python -m mjx_mimic.train --out {out} --resume")
        return 130
    if backend:
        training_loop.make_video(learner, checkpoints.restore_policy("best"), out / "videos" / "final.mp4")
    elif command.video:
        print(f"no video: {drawing.NO_GL}")
    return 0


if __name__ == "__main__":
    cli.run(main)
