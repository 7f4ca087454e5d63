"""What the page for contributors says of the code."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_layers_are_those_that_are_held():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(r"## Packages.*?```\n(.*?)```", page, re.DOTALL)
    lines = [line.replace("(commands)", "").split() for line in block.splitlines()]
    assert lines == [layer.split(" | ") for layer in contract["layers"]]
