"""A training of the real robot that takes seconds once it is compiled."""

from pathlib import Path

from mjx_mimic import train

STEPS = 8 * 4  # samples of one update
SMALL = (
    *("--num-envs", "8", "--unroll-length", "4", "--eval-envs", "2", "--env.episode-seconds", "0.4"),
    *("--network.actor-hidden", "16", "--network.critic-hidden", "16"),
    *("--ppo.actor-minibatches", "1", "--ppo.critic-minibatches", "1"),
)


def command(folder: Path, out: str, *arguments: str) -> int:
    clip = str(folder / "sway.npz")
    return train.main(["--motion", clip, "--out", str(folder / out), *SMALL, *arguments])
