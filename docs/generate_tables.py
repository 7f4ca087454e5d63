"""Fill the tables of the documents that follow from the code: `python docs/generate_tables.py [--check]`.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`. With `--check` nothing is written; the
exit code is 1 if a document is out of date.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mjx_mimic.clips import load_motion
from mjx_mimic.clips.formats import FORMATS
from mjx_mimic.config import EnvConfig, NoiseConfig, TrainConfig
from mjx_mimic.evaluation import Evaluation, summary
from mjx_mimic.mimickit_files import KEYS
from mjx_mimic.presets import PRESETS, Preset
from mjx_mimic.task import ImitationEnv, make_env
from mjx_mimic.task.observation import LAYOUTS

DOCS = Path(__file__).parent
PAGES = ("clips.md", "learning.md", "reference.md", "evaluation.md", "from_mimickit.md")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

CONTENTS = {
    "native": (
        "`format_version`, `name`, `fps`, `loop`, `joint_names`, `root_pos`, `root_quat`, `dof_pos`",
        "quaternion wxyz",
        "stored",
    ),
    "mimickit": ("`loop_mode`, `fps`, `frames` of 35 numbers", "exponential map", "stored, a whole number"),
    "unitree": (
        "36 columns, with or without names, after one of time or frame numbers",
        "quaternion xyzw, or as named",
        "30 without time",
    ),
    "holosoma": ("`fps`, `joint_names`, `joint_pos` with the root's 7 columns", "quaternion wxyz", "stored"),
    "base-pose": (
        "`joint_names`, `joint_pos`, `base_pos_w`, `base_quat_w`, `framerate`",
        "quaternion wxyz",
        "stored",
    ),
    "bodies": (
        "`dof_names`, `body_names`, `dof_positions`, `body_positions`, `body_rotations`",
        "quaternion wxyz of body pelvis",
        "stored",
    ),
    "motion_lib": (
        "`root_trans_offset`, `root_rot`, `dof`, `fps`; or a dict of such dicts",
        "quaternion xyzw",
        "stored",
    ),
    "gmr": ("`fps`, `root_pos`, `root_rot`, `dof_pos`", "quaternion xyzw", "stored"),
    "beyondmimic": (
        "`fps`, `joint_pos`, `body_pos_w`, ... of all bodies or some; breadth-first or depth-first",
        "quaternion wxyz or xyzw of body 0",
        "stored",
    ),
    "locomujoco": ("`qpos`, `joint_names`, `frequency`", "quaternion wxyz", "stored"),
    "protomotions": ("named columns in cm and degrees", "extrinsic x-y-z Euler angles", "always 120"),
}
"""What the files of each format hold, how they give the pelvis orientation, and their frame rate."""


def formats_table() -> str:
    """Return the table of clip formats."""
    rows = [
        "| format | fields | orientation of the pelvis | frames/s | can be written |",
        "|---|---|---|---|---|",
    ]
    for known in FORMATS:
        cells = (f"{known.name}, `{known.key}`", *CONTENTS[known.key], "yes" if known.write else "")
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(rows)


def observations_table() -> str:
    """Return a table for each observation layout, with the size of every part."""
    env = make_env([load_motion("walk")])
    configs = [replace(env.config, observation=name) for name in LAYOUTS]
    return "\n\n".join(_observation_table(replace(env, config=config)) for config in configs)


def _observation_table(env: ImitationEnv) -> str:
    name, sizes = env.config.observation, env.observation_sizes()
    # The same parts of the reference at several control steps share a row.
    rows: dict[str, list[int]] = {}
    for part, size in sizes.items():
        rows.setdefault(re.sub(r"^reference \+\d+", _steps(LAYOUTS[name].target_steps), part), []).append(
            size
        )
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


def metrics_table() -> str:
    """Return the table of what `evaluate` measures."""
    env = make_env([load_motion("walk")])
    begin = Evaluation(env, policy=None).begin_all  # nobody acts before an episode begins
    _, shapes, _ = jax.eval_shape(begin, np.zeros(1, int), np.zeros(1, bool), 0)
    episode = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    rows = ["| metric | unit | meaning |", "|---|---|---|"]
    for metric in summary.episode_metrics(episode, env.control_dt):
        rows.append(f"| `{metric.name}` | {metric.unit} | {metric.meaning} |".replace("|  |", "| |"))
    return "\n".join(rows)


def mimickit_table(kind: str) -> str:
    """Return the table of what becomes of each key of a kind of MimicKit's files."""
    rows = ["| MimicKit | mjx_mimic | how |", "|---|---|---|"]
    for name, key in KEYS[kind].items():
        settings = ", ".join(f"`{setting}`" for setting in key.setting.split(", ")) if key.setting else ""
        how = key.how if key.has_effect else f"no effect: {key.how}"
        rows.append(f"| `{name}` | {settings} | {how} |".replace("|  |", "| |"))
    return "\n".join(rows)


DISTURBED: tuple[Preset, ...] = ("default", "robust", "deploy")
DISTURBANCES = ("--push", "--noise", "--disturbance", "--env.randomization", "--env.penalty")
"""How the options of disturbances and penalties begin."""


def presets_table() -> str:
    """Return the table of all disturbances and penalties, and of what `robust` or `deploy` change beside."""
    rows = [
        "| setting | meaning | " + " | ".join(f"`{name}`" for name in DISTURBED) + " |",
        "|---|---|---|---|---|",
    ]
    settings = zip(*(_settings(as_it_acts(PRESETS[name])) for name in DISTURBED), strict=True)
    for (option, meaning, default), (_, _, robust), (_, _, deploy) in settings:
        if option.startswith(DISTURBANCES) or not default == robust == deploy:
            values = " | ".join(map(_value, (default, robust, deploy)))
            rows.append(f"| `{option}` | {meaning} | {values} |")
    return "\n".join(rows)


def as_it_acts(config: TrainConfig) -> TrainConfig:
    """Return settings with what their layout of the observation implies."""
    env = config.env
    tracks = env.track_root and LAYOUTS[env.observation].shows_place
    return replace(config, env=replace(env, track_root=tracks))


def noise_table() -> str:
    """Return the table of what `--noise 1` adds to each sensor."""
    rows = ["| setting | meaning | standard deviation |", "|---|---|---|"]
    rows += [
        f"| `{option}` | {meaning} | {value} |"
        for option, meaning, value in _settings(NoiseConfig(), "env.noise.")
    ]
    return "\n".join(rows)


def _settings(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield option, meaning and value of each field of a dataclass of settings, nested ones in place."""
    meanings = _field_docs(type(config))
    for name, value in vars(config).items():
        option = prefix + name.replace("_", "-")
        if is_dataclass(value):
            yield from _settings(value, f"{option}.")
        else:
            yield f"--{option}", meanings.get(name, ""), value


def _field_docs(cls: type) -> dict[str, str]:
    """Return what the string under each field of a dataclass says, on one line and without the full stop."""
    tree = ast.parse(inspect.getsource(cls))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    found = {}
    for field, after in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).split()).removesuffix(".")
    return found


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        low, high = value
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)


def filled(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with every marked block replaced by the table of its name."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{tables[block[2]]}\n\n{block[3]}", text)


def make_tables() -> dict[str, str]:
    """Return all tables by the names of their blocks."""
    keys = {f"mimickit_{kind}": mimickit_table(kind) for kind in KEYS}
    return {
        "formats": formats_table(),
        "observations": observations_table(),
        "metrics": metrics_table(),
        "presets": presets_table(),
        "noise": noise_table(),
        **keys,
    }


def update(folder: Path, tables: Mapping[str, str], check: bool) -> list[str]:
    """Fill the pages in a folder, unless `check`, and return the names of those that were out of date."""
    stale = []
    for page in PAGES:
        text = (folder / page).read_text("utf-8")
        new = filled(text, tables)
        if new != text:
            stale.append(page)
            if not check:
                (folder / page).write_text(new, "utf-8")
    return stale


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or check them; return the exit code."""
    check = "--check" in arguments
    stale = update(DOCS, make_tables(), check)
    for page in stale:
        print(f"docs/{page}: {'out of date; run python docs/generate_tables.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
