"""A training from its settings to its last checkpoint."""

import importlib.util
import time
from pathlib import Path

import jax

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import RunFailure, UserError
from mjx_mimic.config import TrainConfig, sized
from mjx_mimic.learning.devices import place
from mjx_mimic.learning.learner import make_learner
from mjx_mimic.runs import folder
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.lock import locked
from mjx_mimic.runs.metric_log import MetricLog
from mjx_mimic.runs.training_loop import train


def train_run(
    config: TrainConfig, out: Path | None = None, resume: bool = False, wandb_project: str | None = None
) -> tuple[bool, Path]:
    """Train in a run folder, a new one or one to resume.

    Args:
        config: what to train; numbers that are 0 are sized for this machine.
        out: the run folder; None: runs/<clip>-<date>.
        resume: continue the run in `out` from its last checkpoint.
        wandb_project: Weights & Biases project to log to as well.

    Returns:
        Whether the training is complete (it is not after an interrupt), and the run folder.

    Raises:
        UserError: a setting, a clip or the folder will not do, or the run cannot be resumed.
    """
    devices = tuple(jax.local_devices())
    config = sized(config, devices[0].platform, len(devices))
    clips = load_clips(config.motion, config.motion_weights)
    out = out or Path("runs") / f"{clips.motions[0].name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if wandb_project and importlib.util.find_spec("wandb") is None:
        raise UserError("option --wandb: the package is not installed; install mjx-mimic[wandb]")
    if resume:
        folder.check_resumable(out, config, clips, len(devices))
    else:
        folder.create(out, config, clips, len(devices))
    with locked(out):
        return _train(out, config, clips, devices, resume, wandb_project), out


def _train(
    out: Path,
    config: TrainConfig,
    clips: Clips,
    devices: tuple[jax.Device, ...],
    resume: bool,
    wandb_project: str | None,
) -> bool:
    """Train in a run folder that is this process's alone; return whether the training is complete."""
    learner = make_learner(config, clips, devices)
    checkpoints = Checkpoints(out)
    names = [motion.name for motion in clips.motions]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
    kind = f"{len(devices)} x {devices[0].device_kind}"
    print(f"{shown}: {config.num_envs} environments on {kind}; run folder {out}")

    state, progress = learner.init(jax.random.key(config.seed)), Progress()
    restored = checkpoints.restore_training(state) if resume else None
    if restored:
        state, progress = place(devices, restored[0]), restored[1]
        print(f"resumed at {progress.samples:,} samples")
    else:
        checkpoints.save(state, progress, is_best=False)  # so that there always is one
    try:
        with MetricLog(out, names, progress.samples, wandb_project) as log:
            return train(learner, state, progress, checkpoints, log)
    except (OSError, UserError) as error:  # the input was right, or it would have been refused before
        raise RunFailure(
            f"{out}: {error}; --resume goes on from the last checkpoint that is whole"
        ) from error
