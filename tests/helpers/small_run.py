"""A training of the real robot that takes seconds once it is compiled."""

from pathlib import Path

import numpy as np

from mjx_mimic import train
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS

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


def command(folder: Path, out: str, *arguments: str) -> int:
    clip = str(folder / "sway.npz")
    return train.main(["--motion", clip, "--out", str(folder / out), *SMALL, *arguments])
