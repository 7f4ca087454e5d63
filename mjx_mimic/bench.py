"""`python -m mjx_mimic.bench`: measures the training step here, or predicts it elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from mjx_mimic.common import cli
from mjx_mimic.common.accelerators import ACCELERATORS, AcceleratorName, prepare_absent_accelerator
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import require_writable, write_json
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import read_config
from mjx_mimic.presets import PRESETS, Preset

PROGRAM = "python -m mjx_mimic.bench"
MEASURING = ("sizes", "loops", "contacts", "clips", "repeats")
"""Options of what is measured here."""
PREDICTING = ("devices", "against")
"""Options of what --compile-for predicts."""


@dataclass(frozen=True)
class BenchCommand:
    """Measure samples per second of bare mjx.step, of the environment, and of the whole training step.

    With --compile-for, compile the training step for an accelerator that is not here, and predict them.
    """

    preset: Annotated[Preset | None, cli.shown("|".join(PRESETS))] = None
    """Settings to start from; the options of a training override them."""
    config: Annotated[Path | None, cli.shown("PATH")] = None
    """YAML file or run folder to start from instead of a preset."""
    compile_for: Annotated[AcceleratorName | None, cli.shown("|".join(ACCELERATORS))] = None
    """Predict for this accelerator instead of measuring here: memory, kernels, bytes, and times."""
    devices: int = 1
    """With --compile-for: devices of one machine; from 2 on, more machines are predicted too."""
    against: Annotated[Path | None, cli.shown("FILE")] = None
    """With --compile-for: figures of other settings to compare with, from an earlier --json."""
    sizes: tuple[int, ...] = ()
    """Numbers of parallel environments to measure one after the other, instead of --num-envs."""
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
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """The settings of the training."""


def parse(arguments: Sequence[str]) -> BenchCommand:
    """Parse the command line over a preset or a YAML file.

    Raises:
        UserError: options that contradict each other, or a configuration that cannot be read.
    """
    first = cli.parse_first(BenchCommand, arguments, PROGRAM)
    if first.preset and first.config:
        raise UserError("options --preset, --config: cannot be joined; choose one of them")
    cli.require_range(
        {
            "--devices": (first.devices, 1, 10**6),
            "--clips": (first.clips, 0, 10**6),
            "--repeats": (first.repeats, 1, 10**6),
        }
    )
    if first.compile_for:
        cli.require_defaults(
            first, MEASURING, "it is of what is measured here; leave it or --compile-for out"
        )
    else:
        cli.require_defaults(first, PREDICTING, "it is of a prediction; add --compile-for")
    start = read_config(first.config) if first.config else PRESETS[first.preset or "default"]
    command = cli.parse(BenchCommand, arguments, default=replace(first, train=start), prog=PROGRAM)
    if command.compile_for and command.train.physics_impl == "warp":
        raise UserError("option --physics-impl: XLA cannot see into what Warp does; predict it with jax")
    return command


def main(arguments: Sequence[str]) -> int:
    """Measure or predict, and print the figures."""
    command = parse(arguments)
    if command.json:
        require_writable("--json", command.json)
    if command.compile_for:
        prepare_absent_accelerator(ACCELERATORS[command.compile_for])
    cli.draw_nothing()
    cli.prepare_jax(warp=command.train.physics_impl == "warp")
    from mjx_mimic.learning import benchmark, forecast  # JAX and MuJoCo, after their settings

    if command.compile_for:
        against = forecast.read_figures(command.against) if command.against else None
        figures = forecast.forecast(command.train, command.compile_for, command.devices)
        print(forecast.report(figures, against))
        if command.json:
            write_json(command.json, figures)
        return 0
    benchmark.measure(
        command.train,
        command.sizes or (command.train.num_envs,),
        clips=command.clips,
        repeats=command.repeats,
        loops=command.loops,
        contacts=command.contacts,
        path=command.json,
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
