"""Fields of a foreign clip file, whether an archive or a pickle: there, numeric, of the right shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS


def require(fields: Mapping[str, Any], names: tuple[str, ...], clip: str, path: Path) -> None:
    """UserError if one of `names` is not among the fields of a file that is a `clip` otherwise."""
    for name in names:
        if name not in fields:
            raise UserError(f"{path}: field '{name}' is missing, so this is no {clip} clip; export it again")


def numbers(fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...], path: Path) -> NDArray:
    """Field `name` as a float64 array.

    Args:
        fields: of the file.
        name: of the field.
        shape: expected; None stands for T, any number of frames.
        path: the file, for messages.

    Raises:
        UserError: it holds no real numbers, has another shape, or is not finite.
    """
    values = fields[name]
    # Rows first, numpy after: it would expand nested lists that share members without bound.
    if isinstance(values, list) and not all(_is_row(row, shape[-1]) for row in values):
        raise UserError(f"{path}: {name} is not {shape[-1]} numbers in every frame; export the 29-joint G1")
    try:
        array = np.asarray(values)
    except OverflowError as error:
        raise UserError(f"{path}: {name} has an integer beyond float64; repair or cut its frame") from error
    if array.dtype.kind not in "iuf":
        raise UserError(f"{path}: {name} has type {array.dtype}; give real numbers")
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if not fits:
        expected = ", ".join("T" if size is None else str(size) for size in shape)
        raise UserError(
            f"{path}: {name} has shape {array.shape}, expected ({expected}); export the 29-joint G1"
        )
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise UserError(
            f"{path}: {name} is {array[place]} at frame {place[0]}, index {place}; repair or cut such frames"
        )
    return array.astype(np.float64)


def _is_row(row: object, length: int | None) -> bool:
    """Whether `row` is a list of so many plain numbers."""
    return isinstance(row, list) and len(row) == length and set(map(type, row)) <= {int, float}


def scalar(array: Any) -> Any:
    """The Python value of an array of one element; anything else as it is, for `make_motion` to refuse."""
    return array.item() if isinstance(array, np.ndarray) and array.size == 1 else array


def g1_name(name: str) -> str:
    """The joint of `G1_JOINTS` that a file calls `name`, maybe without "_joint"; other names as they are."""
    return f"{name}_joint" if f"{name}_joint" in G1_JOINTS else name
