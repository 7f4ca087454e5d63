"""Fields of a foreign clip file, whether an archive or a pickle: present, numeric, of the right shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import real_array
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS


def require(fields: Mapping[str, Any], names: tuple[str, ...], clip: str, path: Path) -> None:
    """Raise UserError if one of `names` is not among the fields of a file that is a `clip` otherwise."""
    for name in names:
        if name not in fields:
            raise UserError(f"{path}: field '{name}' is missing, so this is no {clip} clip; export it again")


def numbers(
    fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...], path: Path
) -> NDArray[np.float64]:
    """Read field `name` of the file `path` as a finite array of that shape; see `real_array`."""
    return real_array(fields[name], name, shape, path)


def scalar(value: Any) -> Any:
    """Convert a NumPy number or array of one element to Python; leave all else for the caller to refuse."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def g1_name(name: str) -> str:
    """Name the joint of `G1_JOINTS` that a file calls `name` with or without "_joint"; keep other names."""
    return f"{name}_joint" if f"{name}_joint" in G1_JOINTS else name
