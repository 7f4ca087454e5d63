"""`python -m mjx_mimic.plot`: draws learning curves of runs, beside those of MimicKit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import require_writable

PROGRAM = "python -m mjx_mimic.plot"


@dataclass(frozen=True)
class PlotCommand:
    """Draw metrics of runs over samples or time.

    Runs that differ in nothing but their seed are drawn as one curve: the median, and a band from the lowest
    to the highest.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, and logs of MimicKit (log.txt, or the same table as CSV)."""
    out: Path = Path("curves.png")
    """Picture to write: .png, .pdf or .svg."""
    metric: tuple[str, ...] = ("eval_return", "eval_episode_length")
    """Metrics by their names in metrics.jsonl, a panel for each."""
    over: Literal["samples", "minutes"] = "samples"
    """What the horizontal axis shows."""


def main(arguments: Sequence[str]) -> int:
    """Draw the curves."""
    command = cli.parse(PlotCommand, arguments, prog=PROGRAM)
    if not command.runs:
        raise UserError("no run folder is named; name them before --metric, which takes all names after it")
    if command.out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(f"option --out: {command.out} will not do; end the name in .png, .pdf or .svg")
    require_writable("--out", command.out)
    from mjx_mimic.runs import plot  # matplotlib and JAX

    plot.write_curves(command.out, command.runs, command.metric, command.over)
    print(f"{command.out}: {', '.join(command.metric)} of {len(command.runs)} runs over {command.over}")
    return 0


if __name__ == "__main__":
    cli.run(main)
