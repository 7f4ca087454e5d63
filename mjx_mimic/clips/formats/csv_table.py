"""Tables of numbers as text (`.csv`) in any of the usual dialects, with or without a row of names.

Cells are separated by tabs, semicolons, commas, or else by spaces: by the first of these that the first row
has. Lines that start with "#", "%" or "//" are comments; separators at the end of a line are left out. With
semicolons or tabs, numbers may have decimal commas.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted

_COMMENTS = ("#", "%", "//")
_SEPARATORS = ("\t", ";", ",")


@dataclass(frozen=True, eq=False)
class Table:
    """A table of T rows: `names` of its C columns, None if the file has none, and `rows` (T, C)."""

    names: tuple[str, ...] | None
    rows: NDArray[np.float64]


def read_table(data: bytes, path: Path) -> Table:
    """Read rows of numbers from `data`, the contents of the file `path`.

    A first row of mostly words gives the names; so does a comment above the first row with a word for each
    column, as `numpy.savetxt` writes it.

    Raises:
        UserError: `data` is not UTF-8 text, has ragged rows, or words among its numbers.
    """
    lines = _lines(data, path)
    rows = [(number, line) for number, line in lines if not line.startswith(_COMMENTS)]
    if not rows:
        raise UserError(f"{path}: holds comments or blank lines only; export the clip again")
    separator = next((found for found in _SEPARATORS if found in rows[0][1]), None)
    first = _cells(rows[0][1], separator)
    names = first if _are_names(first) else None
    if names:
        if len(rows) > 1 and _are_names(_cells(rows[1][1], separator)):
            raise UserError(f"{path}: is text, but no table of numbers; give a clip of the robot")
        del rows[0]
    else:
        above = [_cells(line.lstrip("#%/ "), separator) for number, line in lines if number < rows[0][0]]
        if above and len(above[-1]) == len(first) and not any(map(_is_number, above[-1])):
            names = above[-1]
    if not rows:
        raise UserError(f"{path}: has a row of names and no frames; export the clip again")
    if separator in ("\t", ";") and "," in rows[0][1]:
        rows = [(number, line.replace(",", ".")) for number, line in rows]
    try:
        table = [list(map(float, _cells(line, separator))) for _, line in rows]
    except ValueError:
        raise _fault(rows, separator, len(first), path) from None
    if any(len(row) != len(first) for row in table):
        raise _fault(rows, separator, len(first), path)
    return Table(tuple(names) if names else None, np.array(table, np.float64))


def _lines(data: bytes, path: Path) -> list[tuple[int, str]]:
    """Split `data` into the lines that are not blank, with their numbers."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    lines = [(number, line.strip(" ")) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: holds blank lines only; export the clip again")
    return lines


def _cells(line: str, separator: str | None) -> list[str]:
    """Split a line into its cells, without the empty ones at its end, and without quotation marks."""
    if separator is None:
        return line.split()
    cells = [cell.strip().strip('"') for cell in line.split(separator)]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _are_names(cells: list[str]) -> bool:
    """Tell whether most of the cells are words."""
    return 2 * sum(not _is_number(cell) for cell in cells) > len(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return bool(re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell))
    return True


def _fault(rows: list[tuple[int, str]], separator: str | None, columns: int, path: Path) -> UserError:
    """Say what is wrong with the first line that is not `columns` numbers."""
    for number, line in rows:
        cells = _cells(line, separator)
        for column, cell in enumerate(cells, 1):
            if not _is_number(cell):
                return UserError(
                    f"{path}: line {number}, column {column} is {quoted(cell)}, not a number;"
                    " repair or remove this line"
                )
        if len(cells) != columns:
            return UserError(
                f"{path}: line {number} has {len(cells)} columns, the first line {columns};"
                " repair or remove this line"
            )
    return UserError(f"{path}: is not a table of numbers; export the clip again")
