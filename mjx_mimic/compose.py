"""`python -m mjx_mimic.compose`: joins trained policies into a run that chooses between their clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError

PROGRAM = "python -m mjx_mimic.compose"


@dataclass(frozen=True)
class ComposeCommand:
    """Join runs into a composite run, as DeepMimic does.

    Each of them acts during its own clips. At the start, and at the end of each cycle, the next clip is drawn
    by the value functions: with the chance exp(V / T) over the sum of all, where V is the value of beginning
    this clip where the robot is.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders of the same task with different clips; what is taken from them is copied."""
    out: Annotated[Path, cli.shown("FOLDER")]
    """Run folder to make; evaluate, render and view take it."""
    temperature: float = 1.0
    """T, in units of the return: the smaller, the more often the clip of the largest value."""


def main(arguments: Sequence[str]) -> int:
    """Make the composite run, and print what it is of."""
    command = cli.parse(ComposeCommand, arguments, prog=PROGRAM)
    if len(command.runs) < 2:
        raise UserError("a composite is of several runs; name at least two run folders")
    cli.require_range({"--temperature": (command.temperature, 1e-3, 1e6)})
    cli.draw_nothing()
    cli.prepare_jax()
    from mjx_mimic.runs.composite import compose  # JAX and MuJoCo, after their settings

    for line in compose(command.runs, command.out, command.temperature):
        print(line)
    return 0


if __name__ == "__main__":
    cli.run(main)
