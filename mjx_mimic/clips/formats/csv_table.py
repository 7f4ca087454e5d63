"""Tables of numbers as text (`.csv`), with or without a row of names."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import read_bytes

_MAX_BYTES = 256 * 2**20  # half a million frames at 15 bytes a number


@dataclass(frozen=True, eq=False)
class Table:
    """A table of T rows: `names` of its C columns, None if the file has none, and `rows` (T, C)."""

    names: tuple[str, ...] | None
    rows: NDArray[np.float64]


def read_table(path: Path) -> Table:
    """The table that a file of comma-separated numbers holds.

    A first row of mostly words gives the names.

    Raises:
        UserError: the file cannot be read, is no UTF-8 text, has ragged rows, or words among its numbers.
    """
    lines = _lines(path)
    first = [cell.strip() for cell in lines[0][1].split(",")]
    words = [cell for cell in first if not _is_number(cell)]
    names = tuple(cell.strip('"') for cell in first) if 2 * len(words) > len(first) else None
    data = lines[1:] if names else lines
    if not data:
        raise UserError(f"{path}: has a row of names and no frames; export the clip again")
    try:
        text = io.StringIO("\n".join(line for _, line in data))
        rows = np.loadtxt(text, delimiter=",", comments=None, ndmin=2)
    except ValueError:
        raise _fault(data, len(first), path) from None
    if rows.shape[1] != len(first):
        raise _fault(data, len(first), path)
    return Table(names, rows)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    data = read_bytes(path, _MAX_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: holds blank lines only; export the clip again")
    return lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _fault(lines: list[tuple[int, str]], columns: int, path: Path) -> UserError:
    """What is wrong with the first line that is not `columns` numbers."""
    for number, line in lines:
        cells = line.split(",")
        for column, cell in enumerate(cells, 1):
            if not _is_number(cell):
                return UserError(
                    f"{path}: line {number}, column {column} is {quoted(cell.strip())}, not a number;"
                    " repair or cut this line"
                )
        if len(cells) != columns:
            return UserError(
                f"{path}: line {number} has {len(cells)} columns, the first line {columns};"
                " repair or cut this line"
            )
    return UserError(f"{path}: is no table of numbers; export the clip again")
