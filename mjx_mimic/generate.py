"""`python -m mjx_mimic.generate`: makes the bundled clips, `motions/*.npz`, from scratch.

There are no random numbers and no recorded motion: each clip is a `MotionSpec` (feet, posture, height,
zero-moment point), and `zmp_solver.solve` finds the one motion that fits it.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mjx_mimic.clips.formats import key_to_write, native
from mjx_mimic.common import cli
from mjx_mimic.common.files import require_writable
from mjx_mimic.robot.mjcf import plain_g1
from mjx_mimic.synthesis import airborne_clips, grounded_clips, standing_walk, walks
from mjx_mimic.synthesis.feasibility import demands
from mjx_mimic.synthesis.motion_spec import MotionSpec
from mjx_mimic.synthesis.zmp_solver import solve

PROGRAM = "python -m mjx_mimic.generate"
SPECS: dict[str, Callable[[], MotionSpec]] = {
    "walk": walks.walk,
    "slow_walk": walks.slow_walk,
    "fast_walk": walks.fast_walk,
    "turn_left": walks.turn_left,
    "turn_right": walks.turn_right,
    "start_walking": standing_walk.start_walking,
    "stop_walking": standing_walk.stop_walking,
    "run": airborne_clips.run,
    "jump": airborne_clips.jump,
    "side_step": grounded_clips.side_step,
    "turn_in_place": grounded_clips.turn_in_place,
    "squat": grounded_clips.squat,
    "kick": grounded_clips.kick,
    "punch": grounded_clips.punch,
    "throw": grounded_clips.throw,
}
NAMES = tuple(SPECS)
if TYPE_CHECKING:
    Choice = str
else:
    Choice = Literal[(*NAMES, "all")]


@dataclass(frozen=True)
class GenerateCommand:
    """Make clips of the Unitree G1 from scratch, and print what each demands of floor and motors.

    Where a clip does not repeat, this is of the cycle from which it is cut.
    """

    clips: Annotated[tuple[Choice, ...], tyro.conf.Positional] = ("all",)
    """Names of the clips to make, or "all"."""
    out: Path = Path("motions")
    """Folder to write them to, as NAME.npz."""
    force: bool = False
    """Write over existing files."""


def main(arguments: Sequence[str]) -> int:
    """Generate the clips, write them, and print what each demands."""
    command = cli.parse(GenerateCommand, arguments, prog=PROGRAM, config=(tyro.conf.FlagCreatePairsOff,))
    with contextlib.suppress(OSError):  # the check of the files then reports what is wrong
        command.out.mkdir(parents=True, exist_ok=True)
    names = NAMES if "all" in command.clips else tuple(dict.fromkeys(command.clips))
    files = {name: command.out / f"{name}.npz" for name in names}
    for path in files.values():
        key_to_write(path, command.force)
        require_writable("--out", path)
    model = plain_g1()
    for name, path in files.items():
        solution = solve(SPECS[name]())
        motion = solution.motion()
        native.write(path, motion)
        print(f"{path}: {motion.length:.2f} s; {demands(model, solution.cycle()).summary()}", flush=True)
    return 0


if __name__ == "__main__":
    cli.run(main)
