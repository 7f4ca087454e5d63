"""Fields of a foreign clip file, whether an archive or a pickle: present, numeric, of the right shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import real_array
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

_NOT_IN_23 = ("waist_roll", "waist_pitch", "wrist_pitch", "wrist_yaw")
G1_23_JOINTS = tuple(name for name in G1_JOINTS if not any(part in name for part in _NOT_IN_23))
"""The joints of the G1 with 23, in their order."""


def require(fields: Mapping[str, Any], names: tuple[str, ...], clip: str, path: Path) -> None:
    """Raise UserError if one of `names` is not among the fields of a file that is a `clip` otherwise."""
    for name in names:
        if name not in fields:
            raise UserError(f"{path}: field '{name}' is missing, so this is no {clip} clip; export it again")


def numbers(
    fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...], path: Path
) -> NDArray[np.float64]:
    """Read field `name` of the file `path` as an array of that shape, NaN and all; see `real_array`."""
    return real_array(fields[name], name, shape, path, finite=False)


def angles(fields: Mapping[str, Any], name: str, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Read hinge angles (T, J) that come without names, and name their columns.

    Raises:
        UserError: they are neither of the 29 nor of the 23 joints of a G1.
    """
    values = fields[name]
    shape = np.shape(values) if isinstance(values, np.ndarray) else ()
    if len(shape) == 3 and shape[2] == 1:  # as `motion_lib` has them sometimes
        values = values[:, :, 0]
    if len(shape) >= 2 and shape[1] == len(G1_23_JOINTS):
        return real_array(values, name, (None, len(G1_23_JOINTS)), path, finite=False), G1_23_JOINTS
    return real_array(values, name, (None, len(G1_JOINTS)), path, finite=False), G1_JOINTS


def scalar(value: Any) -> Any:
    """Convert a NumPy number or array of one element to Python; leave all else for the caller to refuse."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def texts(fields: Mapping[str, Any], name: str, path: Path) -> list[str]:
    """Read field `name` as a list of text, whether it is a list or an array.

    Raises:
        UserError: it is neither.
    """
    values = np.asarray(fields[name]).tolist() if isinstance(fields[name], np.ndarray) else fields[name]
    if isinstance(values, list | tuple) and all(isinstance(value, bytes) for value in values):
        values = [value.decode("utf-8", "replace") for value in values]
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise UserError(f"{path}: {name} is not a list of text; give names")
    return list(values)


def g1_name(name: str) -> str:
    """Name the joint of `G1_JOINTS` that a file calls `name` with or without "_joint"; keep other names."""
    return f"{name}_joint" if f"{name}_joint" in G1_JOINTS else name
