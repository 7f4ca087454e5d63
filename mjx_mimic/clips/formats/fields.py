"""Fields of a foreign clip file, whether an archive or a pickle: present, numeric, of the right shape."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Joints23
from mjx_mimic.clips.motion import UNIT_TOLERANCE, real_array
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

_NOT_IN_23: dict[Joints23, tuple[str, ...]] = {
    "one-waist": ("waist_roll", "waist_pitch", "wrist_pitch", "wrist_yaw"),
    "no-wrists": ("wrist",),
}
G1_23_JOINTS = {
    key: tuple(name for name in G1_JOINTS if not any(part in name for part in lacking))
    for key, lacking in _NOT_IN_23.items()
}
"""The joints of either robot with 23, in their order."""
FEW_JOINTS = 23
"""How many these are."""

_STEPS = ("dt", "timestep", "frame_time")
RATES = ("fps", "framerate", "frame_rate", "frequency", "mocap_framerate", "mocap_frame_rate", "hz", *_STEPS)
"""Names of the fields that state the frame rate, or the seconds between two frames."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NOT_OF_NAMES = ("joint", "joints", "dof", "pos", "position", "angle", "q", "link", "rad")
_SIDES = {"l": "left", "r": "right", "L": "left", "R": "right"}
_BY_PLAIN_NAME = {name.removesuffix("_joint").replace("_", ""): name for name in G1_JOINTS}


def require(fields: Mapping[str, Any], names: tuple[str, ...], clip: str, path: Path) -> None:
    """Raise UserError if one of `names` is not among the fields of a file that is a `clip` otherwise."""
    for name in names:
        if name not in fields:
            raise missing(name, clip, path)


def missing(name: str, clip: str, path: Path) -> UserError:
    """Say that a file that is a `clip` otherwise lacks a field."""
    return UserError(f"{path}: field '{name}' is missing, so this is no {clip} clip; export it again")


def numbers(
    fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...], path: Path
) -> NDArray[np.float64]:
    """Read field `name` of the file `path` as an array of that shape, NaN and all; see `real_array`."""
    return real_array(fields[name], name, shape, path, finite=False)


def angles(fields: Mapping[str, Any], name: str, path: Path) -> tuple[NDArray[np.float64], Sequence[str]]:
    """Read hinge angles (T, J), rad, and the names of their columns: the file's, or `unnamed_joints`.

    Raises:
        UserError: they have no names, and are neither 29 nor 23.
    """
    names: Sequence[str] | None = joint_names(fields, path)
    shape = first_shape(fields[name])
    columns = shape[1] if len(shape) > 1 else 0
    if names is None:
        names = unnamed_joints(columns)
    last = (1,) if shape[2:] == (1,) else ()  # (T, J, 1), as `motion_lib` has them sometimes
    table = numbers(fields, name, (None, len(names) or columns, *last), path)
    return table.reshape(table.shape[:2]), names


def unnamed_joints(columns: int) -> tuple[str, ...]:
    """Return what joints without names are, as `RawClip.joint_names` has it: the 29, or any 23."""
    return () if columns == FEW_JOINTS else G1_JOINTS


def are_unit(quaternion: NDArray) -> bool:
    """Tell whether all of these (N, 4) that are numbers are unit quaternions."""
    with np.errstate(over="ignore"):  # of numbers so large that they are damage
        norm = np.linalg.norm(quaternion[np.isfinite(quaternion).all(axis=1)], axis=1)
    return len(norm) > 0 and bool(np.all(np.abs(norm - 1.0) <= UNIT_TOLERANCE))


def first_shape(values: Any) -> tuple[int, ...]:
    """Return the shape of an array, or of nested lists as far as their first items show it; () for others.

    Nothing is converted: lists may be ragged, which `numbers` refuses.
    """
    sizes: tuple[int, ...] = ()
    while isinstance(values, list | tuple):
        sizes, values = (*sizes, len(values)), values[0] if values else None
    return sizes + (values.shape if isinstance(values, np.ndarray) else ())


def joint_names(fields: Mapping[str, Any], path: Path) -> list[str] | None:
    """Read the joints' names, those of the G1 as `G1_JOINTS` has them; None: the file has none."""
    name = first_of(fields, ("joint_names", "dof_names"))
    return None if name is None else [g1_name(text) for text in texts(fields, name, path)] or None


def first_of(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of `names` that is a field with a value."""
    return next((name for name in names if name in fields and fields[name] is not None), None)


def rate(fields: Mapping[str, Any], path: Path) -> Any:
    """Return frames/s as a file states them, in one of the usual ways, unchecked; None: it does not.

    Raises:
        UserError: it states the seconds between two frames, and these are over 1.
    """
    name = first_of(fields, RATES)
    value: Any = None if name is None else scalar(fields[name])
    if name not in _STEPS or not isinstance(value, int | float) or not value > 0.0:
        return value
    if value > 1.0:
        raise UserError(
            f"{path}: {name} is {value:g} s between two frames; give seconds, no milliseconds, or convert"
            " --source-fps states the rate"
        )
    return 1.0 / value


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


def distances(points: NDArray, others: NDArray) -> NDArray:
    """Compute the distances (...), m, of points (..., 3); infinite for absurd numbers of damaged files."""
    with np.errstate(over="ignore"):
        return np.linalg.norm(points - others, axis=-1)


def words(name: str) -> list[str]:
    """Split a name into its words and numbers, as LeftHipPitch and J_Bip_L_Hand01 have them."""
    return _WORD.findall(name.replace("_", " "))


def g1_name(name: str) -> str:
    """Name the joint of `G1_JOINTS` that a file calls `name`, as in LeftHipPitch; keep other names."""
    lower = [_SIDES.get(word, word).lower() for word in words(name)]
    plain = "".join(word for word in lower if word not in _NOT_OF_NAMES)
    return _BY_PLAIN_NAME.get(plain, name)
