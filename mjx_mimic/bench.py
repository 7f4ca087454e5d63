"""`python -m mjx_mimic.bench`: measures what a training step costs over bare physics, in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mjx_mimic.common import cli
from mjx_mimic.common.files import require_writable
from mjx_mimic.config import Preset

PROGRAM = "python -m mjx_mimic.bench"


@dataclass(frozen=True)
class BenchCommand:
    """Measure samples per second of bare mjx.step, of the environment, and of the whole training step."""

    preset: Preset = "default"
    """Settings to measure."""
    motion: str = "walk"
    """Clip: a file, or the name of a bundled one."""
    num_envs: tuple[int, ...] = (0,)
    """Numbers of parallel environments; 0: the preset's, or sized for the machine."""
    loops: bool = False
    """Time other ways to loop over the physics steps than the training's, too."""
    contacts: bool = False
    """Time bare physics with each set of contacts, without and with self-collision, too."""
    clips: int = 1000
    """Clips of 10 s in the largest library whose lookup is timed, after 1, 10, 100, ...; 0: no lookups."""
    repeats: int = 5
    """Timed repetitions after one that compiles; the median counts."""
    json: Annotated[Path | None, cli.shown("FILE")] = None
    """JSON file for the figures."""


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the figures."""
    command = cli.parse(BenchCommand, arguments, prog=PROGRAM)
    if command.json:
        require_writable("--json", command.json)
    cli.prepare_jax()
    from mjx_mimic.learning import benchmark  # JAX and MuJoCo, after their settings

    benchmark.measure(
        command.preset,
        command.motion,
        command.num_envs,
        clips=command.clips,
        repeats=command.repeats,
        loops=command.loops,
        contacts=command.contacts,
        path=command.json,
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
