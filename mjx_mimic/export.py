"""`python -m mjx_mimic.export`: writes a trained policy as ONNX, with what is needed to run it elsewhere."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError, missing_package
from mjx_mimic.common.files import require_writable
from mjx_mimic.config import Inputs, Which

PROGRAM = "python -m mjx_mimic.export"


@dataclass(frozen=True)
class ExportCommand:
    """Write a run's policy as ONNX: the whole controller, from sensors to the motors' targets."""

    run: Path
    """Run folder."""
    out: Path
    """ONNX file to write."""
    inputs: Inputs = "sensors"
    """What the model takes: sensors and time of one robot, with observation, reference and normaliser inside,
    for the motors' targets; or observations (N, O), with the normaliser inside, for actions (N, 29)."""
    checkpoint: Which = "best"
    """The run's policy with the best evaluation return, its last one, or that of a kept checkpoint, by its
    samples."""


def main(arguments: Sequence[str]) -> int:
    """Export the policy."""
    command = cli.parse(ExportCommand, arguments, prog=PROGRAM)
    if command.out.suffix.lower() != ".onnx":
        raise UserError(f"option --out: {command.out} will not do; name a file that ends in .onnx")
    require_writable("--out", command.out)
    if importlib.util.find_spec("onnx") is None:
        raise missing_package("export", "onnx", "onnx")
    cli.draw_nothing()
    cli.prepare_jax()
    from mjx_mimic.runs.onnx import export_policy  # JAX and MuJoCo, after their settings

    export_policy(command.run, command.checkpoint, command.out, command.inputs)
    return 0


if __name__ == "__main__":
    cli.run(main)
