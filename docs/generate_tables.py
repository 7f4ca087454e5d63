"""Fill the tables of the documents that follow from the code: `python docs/generate_tables.py [--check]`.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`. With `--check` nothing is written; the
exit code is 1 if a document is out of date.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from mjx_mimic.clips import load_motion
from mjx_mimic.clips.formats import FORMATS
from mjx_mimic.config import EnvConfig
from mjx_mimic.task import make_env
from mjx_mimic.task.observation import LAYOUTS

DOCS = Path(__file__).parent
PAGES = ("clips.md", "reference.md")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

CONTENTS = {
    "native": (
        "`format_version`, `name`, `fps`, `loop`, `joint_names`, `root_pos`, `root_quat`, `dof_pos`",
        "quaternion wxyz",
        "stored",
    ),
    "mimickit": ("`loop_mode`, `fps`, `frames` of 35 numbers", "exponential map", "stored, a whole number"),
    "unitree": ("36 columns without names", "quaternion xyzw", "always 30"),
    "gmr": ("`fps`, `root_pos`, `root_rot`, `dof_pos`", "quaternion xyzw", "stored"),
    "beyondmimic": (
        "`fps`, `joint_pos`, `body_pos_w`, ...; bodies and joints breadth-first",
        "quaternion wxyz of body 0",
        "stored",
    ),
    "mjlab": ("the same fields; bodies and joints depth-first", "quaternion wxyz of body 0", "stored"),
    "locomujoco": ("`qpos`, `joint_names`, `frequency`", "quaternion wxyz", "stored"),
    "protomotions": ("named columns in cm and degrees", "extrinsic x-y-z Euler angles", "always 120"),
}
"""What the files of each format hold, how they give the pelvis orientation, and their frame rate."""


def formats_table() -> str:
    """Return the table of clip formats."""
    rows = ["| format | fields | orientation of the pelvis | frames/s | can be written |", "|---|---|---|---|---|"]
    for known in FORMATS:
        cells = (known.name, *CONTENTS[known.key], "yes" if known.write else "")
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(rows)


def observations_table() -> str:
    """Return a table for each observation layout, with the size of every part."""
    return "\n\n".join(_observation_table(name) for name in LAYOUTS)


def _observation_table(name: str) -> str:
    env = make_env([load_motion("walk")], EnvConfig(observation=name))  # type: ignore[arg-type]
    state = jax.eval_shape(env.reset_to, jnp.int32(0), jnp.float32(0.0))
    sizes = {part: array.shape[-1] for part, array in jax.eval_shape(env.observation_parts, state).items()}
    # The same parts of the reference at several control steps share a row.
    rows: dict[str, list[int]] = {}
    for part, size in sizes.items():
        rows.setdefault(re.sub(r"^reference \+\d+", _steps(LAYOUTS[name].target_steps), part), []).append(size)
    default = ", the default" if name == EnvConfig().observation else ""
    lines = [
        f"`{name}`{default}: {sum(sizes.values())} numbers; frame: {LAYOUTS[name].frame}",
        "",
        "| part | size |",
        "|---|---|",
    ]
    for part, found in rows.items():
        count = f"{len(found)} x " if len(found) > 1 else ""
        lines.append(f"| {part} | {count}{found[0]} |")
    return "\n".join(lines)


def _steps(steps: Sequence[int]) -> str:
    return "reference " + ", ".join(f"+{step}" for step in steps)


def filled(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with every marked block replaced by the table of its name."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{tables[block[2]]}\n\n{block[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or check them; return the exit code."""
    tables = {"formats": formats_table(), "observations": observations_table()}
    stale = 0
    for page in PAGES:
        path = DOCS / page
        text = path.read_text("utf-8")
        new = filled(text, tables)
        if new == text:
            continue
        if "--check" in arguments:
            print(f"{path}: the generated tables are out of date; run python docs/generate_tables.py")
            stale = 1
        else:
            path.write_text(new, "utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
