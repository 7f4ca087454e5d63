"""A training of the real robot that takes seconds once it is compiled."""

import os
import subprocess
from collections.abc import Hashable, Sequence
from pathlib import Path
from unittest.mock import patch

import jax
import numpy as np

from helpers.processes import interruptible
from mjx_mimic import train
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.config import TrainConfig
from mjx_mimic.learning.learner import Learner, make_learner
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.runs import training_run

STEPS = 8 * 4  # samples of one update
SMALL = (
    *("--num-envs", "8", "--unroll-length", "4", "--eval-envs", "2", "--env.episode-seconds", "0.4"),
    *("--network.actor-hidden", "16", "--network.critic-hidden", "16"),
    *("--ppo.actor-minibatches", "1", "--ppo.critic-minibatches", "1"),
)


def sway(amplitude: float = 0.1) -> Motion:
    """A clip of one second that stands and turns its left shoulder."""
    phase = np.linspace(0.0, 2.0 * np.pi, 31)
    dof_pos = np.zeros((31, 29))
    dof_pos[:, 15] = amplitude * np.sin(phase)
    return make_motion(
        name="sway",
        fps=30.0,
        root_pos=np.tile([0.0, 0.0, 0.79], (31, 1)),
        root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (31, 1)),
        dof_pos=dof_pos,
        joint_names=G1_JOINTS,
        loop="wrap",
        source="test",
    )


def start(runs: Path, out: str, total: int, *options: str, **variables: str) -> subprocess.Popen:
    """A training as a process, whose output is in `<out>.txt`; evaluation and checkpoint with every update.

    `variables` are added to its environment.
    """
    command = interruptible(["-m", "mjx_mimic.train", "--motion", str(runs / "sway.npz"), "--no-video"])
    command += ["--out", str(runs / out), *SMALL, "--eval-interval", "1", "--total-steps", str(total)]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    environment |= variables
    with (runs / f"{out}.txt").open("a") as log:
        return subprocess.Popen([*command, *options], stdout=log, stderr=subprocess.STDOUT, env=environment)


def command(folder: Path, out: str, *arguments: str) -> int:
    """A training in this process. Those of equal settings share what was traced for the first one."""
    clip = str(folder / "sway.npz")
    with patch.object(training_run, "make_learner", _remembered_learner):
        return train.main(["--motion", clip, "--out", str(folder / out), *SMALL, *arguments])


_LEARNERS: dict[Hashable, Learner] = {}


def _remembered_learner(config: TrainConfig, clips: Clips, devices: Sequence[jax.Device]) -> Learner:
    key = (config, tuple(motion.digest for motion in clips.motions), tuple(devices))
    if key not in _LEARNERS:
        _LEARNERS[key] = make_learner(config, clips, devices)
    return _LEARNERS[key]
