"""`python -m mjx_mimic.sweep`: trains settings x clips x seeds, and makes one table and one plot of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_yaml

PROGRAM = "python -m mjx_mimic.sweep"


@dataclass(frozen=True)
class SweepCommand:
    """Train every setting on every clip with every seed; the same command goes on after an interrupt.

    The description is a YAML file:

        motion: [walk, kick]
        seeds: [0, 1]
        samples: 4_000_000
        settings:
          default: {}
          more KL: {ppo.target_kl: 0.12}

    and may have preset, common (fields that all settings change), minutes and together. Every training is a
    run folder OUT/SETTING/CLIP-SEED. Settings that differ in numbers share a compiled step; on an accelerator
    they train side by side.
    """

    description: tyro.conf.Positional[Path]
    """YAML file."""
    out: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Folder for run folders, table.md and curves.png; without it runs/<name of the description>."""
    trust: bool = False
    """Train also on clips that `motion validate` finds unfit for training."""


def main(arguments: Sequence[str]) -> int:
    """Train, and write table and plot."""
    command = cli.parse(SweepCommand, arguments, prog=PROGRAM)
    cli.draw_nothing()
    cli.prepare_jax(warp=_names_warp(command.description))
    from mjx_mimic.runs import sweep  # JAX and MuJoCo, after their settings
    from mjx_mimic.runs.sweep_plan import read_sweep

    description = read_sweep(command.description)
    out = command.out or Path("runs") / command.description.stem
    if not sweep.run(description, out, command.description, command.trust):
        print("interrupted; the same command goes on from here")
        return cli.INTERRUPTED
    return 0


def _names_warp(description: Path) -> bool:
    """Return whether a setting of a sweep needs Warp, which is loaded before all else; errors come later."""
    try:
        values = read_yaml(description)
        changes = [values.get("common"), *(values.get("settings") or {}).values()]
        return any(
            name.replace("-", "_") == "physics_impl" and value == "warp"
            for change in changes
            for name, value in (change or {}).items()
        )
    except (UserError, AttributeError):
        return False


if __name__ == "__main__":
    cli.run(main)
