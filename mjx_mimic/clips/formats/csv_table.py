"""Tables of numbers as text (`.csv`), with or without a row of names."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted


@dataclass(frozen=True, eq=False)
class Table:
    """A table of T rows: `names` of its C columns, None if the file has none, and `rows` (T, C)."""

    names: tuple[str, ...] | None
    rows: NDArray[np.float64]


def read_table(data: bytes, path: Path) -> Table:
    """Read comma-separated numbers from `data`, the contents of the file `path`.

    A first row of mostly words gives the names.

    Raises:
        UserError: `data` is not UTF-8 text, has ragged rows, or words among its numbers.
    """
    lines = _lines(data, path)
    first = [cell.strip() for cell in lines[0][1].split(",")]
    words = [cell for cell in first if not _is_number(cell)]
    names = tuple(cell.strip('"') for cell in first) if 2 * len(words) > len(first) else None
    rows_as_text = lines[1:] if names else lines
    if not rows_as_text:
        raise UserError(f"{path}: has a row of names and no frames; export the clip again")
    try:
        text = io.StringIO("\n".join(line for _, line in rows_as_text))
        rows = np.loadtxt(text, delimiter=",", comments=None, ndmin=2)
    except ValueError:
        raise _fault(rows_as_text, len(first), path) from None
    if rows.shape[1] != len(first):
        raise _fault(rows_as_text, len(first), path)
    return Table(names, rows)


def _lines(data: bytes, path: Path) -> list[tuple[int, str]]:
    """Split `data` into the lines that are not blank, with their numbers."""
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
    """Say what is wrong with the first line that is not `columns` numbers."""
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
    return UserError(f"{path}: is not a table of numbers; export the clip again")
