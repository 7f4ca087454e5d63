"""`mjx-mimic COMMAND ...`, the same as `python -m mjx_mimic.COMMAND ...`."""

import importlib
import sys

from mjx_mimic.common import cli

COMMANDS = {
    "train": "train a policy on motion clips",
    "evaluate": "measure a policy over many episodes",
    "render": "record a video of a policy or a clip",
    "plot": "draw learning curves of runs",
    "view": "watch a policy or a clip live, in a window or a browser",
    "sweep": "train settings x clips x seeds, with one table and one plot",
    "compose": "join trained policies into one that chooses between their clips",
    "export": "write a policy as an ONNX file",
    "bench": "measure a training step here, or predict it for an accelerator",
    "motion": "inspect, validate, convert, edit, join, preview, or retarget clips",
    "generate": "make the bundled clips again",
}


def main() -> None:
    """Run the command that the first argument names, and exit with its status."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name in ("-h", "--help"):
        print(usage())
        sys.exit(0)
    if name not in COMMANDS:
        problem = "no command given" if name is None else f"unknown command {name!r}"
        print(f"error: {problem}\n{usage()}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    # Only the module asked for, since some commands load JAX or MuJoCo when they are imported.
    cli.run(importlib.import_module(f"mjx_mimic.{name}").main)


def usage() -> str:
    """Describe the commands, one per line."""
    lines = "\n".join(f"  {name:<10}{description}" for name, description in COMMANDS.items())
    return f"usage: mjx-mimic COMMAND [OPTIONS]\n\n{lines}\n\nCOMMAND --help lists its options."


if __name__ == "__main__":
    main()
