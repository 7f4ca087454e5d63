"""`python -m mjx_mimic.generate`: makes the clips that ship, `motions/*.npz`, from scratch.

No random numbers and no recorded motion: the same recipe always gives the same clip. Walks come from `walk`,
all others are a `balance.Score` (feet, posture, height, zero-moment point) that `balance.perform` makes real.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from mjx_mimic.clips.formats import native
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import cli
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.synthesis import airborne_clips, grounded_clips, walks
from mjx_mimic.synthesis.feasibility import demands
from mjx_mimic.synthesis.zmp_solver import Score, perform

PROGRAM = "python -m mjx_mimic.generate"
WALKS: dict[str, tuple[float, walks.Recipe]] = {
    "walk": (0.9, walks.Recipe()),
    "slow_walk": (0.55, walks.SLOW),
    "fast_walk": (1.2, walks.FAST),
}
"""Speed, m/s, and style."""
SCORES: dict[str, Callable[[], Score]] = {
    score.__name__: score
    for score in (
        airborne_clips.run,
        airborne_clips.jump,
        grounded_clips.side_step,
        grounded_clips.turn_in_place,
        grounded_clips.squat,
        grounded_clips.kick,
    )
}
Name = Literal["walk", "slow_walk", "fast_walk", "run", "jump", "side_step", "turn_in_place", "squat", "kick"]
NAMES: tuple[Name, ...] = get_args(Name)


def build(name: Name) -> Motion:
    """Makes the clip called `name`."""
    if name in WALKS:
        return walks.build_walk(*WALKS[name]).motion(name)
    return perform(SCORES[name]()).motion()


@dataclass(frozen=True)
class GenerateCommand:
    """Makes clips of the Unitree G1 from scratch, and says what each asks of the floor and the motors."""

    clips: Annotated[tuple[Name | Literal["all"], ...], tyro.conf.Positional] = ("all",)
    """Which of them."""
    out: Path = Path("motions")
    """Folder to write them to, as NAME.npz."""


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(GenerateCommand, arguments, prog=PROGRAM)
    with contextlib.suppress(OSError):  # writing says what is wrong
        command.out.mkdir(parents=True, exist_ok=True)
    model = load_mjcf(visuals=False)
    for name in NAMES if "all" in command.clips else dict.fromkeys(command.clips):
        motion = build(name)
        path = command.out / f"{name}.npz"
        native.write(path, motion)
        print(f"{path}: {motion.length:.2f} s; {demands(model, motion).summary()}", flush=True)
    return 0


if __name__ == "__main__":
    cli.run(main)
