"""Tables of numbers as text (`.csv`) in any of the usual dialects, with or without a row of names.

Cells are separated by tabs, semicolons, bars, commas, or else by spaces: by the first of these that the
first row has. Lines that start with "#", "%" or "//" are comments; empty cells are NaN. There are as many
columns as names, or as cells up to the last one that is not empty in some row; cells beyond are left out.
With tabs, semicolons or bars between them, numbers may have decimal commas.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted

_COMMENTS = ("#", "%", "//", "sep=")  # the last is Excel's
_SEPARATORS = ("\t", ";", "|", ",")
_NO_NUMBER = ("", "na", "n/a", "null", "none")
_MAX_PREAMBLE = 100  # lines above the first row of numbers


@dataclass(frozen=True, eq=False)
class Table:
    """A table of T rows: `names` of its C columns, None if the file has none, and `rows` (T, C)."""

    names: tuple[str, ...] | None
    rows: NDArray[np.float64]


def read_table(data: bytes, path: Path) -> Table:
    """Read rows of numbers from `data`, the contents of the file `path`.

    Rows of words above the first row of numbers are left out, but for the names: the first of them, also in a
    comment as `numpy.savetxt` writes it, that has a word for each column, or none as above pandas' index. A
    first row that only numbers the columns is left out.

    Raises:
        UserError: `data` is not UTF-8 text, has ragged rows, or words among its numbers.
    """
    lines = _lines(data, path)
    if _only_numbers_columns(lines[0][1]):
        lines = lines[1:]
    if all(line.startswith(_COMMENTS) for _, line in lines):
        raise UserError(f"{path}: holds comments or blank lines only; export the clip again")
    above, start = _preamble(lines, path)
    separator = _separator(lines[start][1])
    rows = [(number, line) for number, line in lines[start:] if not line.startswith(_COMMENTS)]
    widths = [_width(line, separator) for _, line in rows]
    columns = max(widths)
    most = max(line.count(separator) for _, line in rows) + 1 if separator else columns
    names = _names(above, separator, range(columns, most + 1), rows[widths.index(columns)][0], path)
    columns = len(names) if names else columns
    if separator in ("\t", ";", "|") and "," in rows[0][1]:
        rows = [(number, line.replace(",", ".")) for number, line in rows]
    table: list[list[float]] | list[list[float | None]]
    try:
        table = [list(map(float, _cells(line, separator, columns))) for _, line in rows]
    except ValueError:
        table = [[_number(cell) for cell in _cells(line, separator, columns)] for _, line in rows]
    if any(len(row) != columns or None in row for row in table):
        raise _fault(rows, separator, columns, path)
    return Table(names, np.array(table, np.float64))


def _only_numbers_columns(line: str) -> bool:
    """Tell whether a line is 0, 1, 2, ..., maybe after an empty cell, as pandas writes it above a table."""
    cells = [cell for cell in _cells(line, _separator(line)) if cell]
    return len(cells) > 2 and cells == [str(number) for number in range(len(cells))]


def _preamble(lines: list[tuple[int, str]], path: Path) -> tuple[list[tuple[int, str]], int]:
    """Find what stands above the first row of numbers, and the index of that row."""
    for index, (_, line) in enumerate(lines[:_MAX_PREAMBLE]):
        cells = _cells(line, _separator(line))
        if not line.startswith(_COMMENTS) and 2 * sum(map(_is_number, cells)) >= len(cells) > 1:
            return lines[:index], index
    cells = _cells(lines[0][1], _separator(lines[0][1]))
    if len(lines) == 1 and len(cells) > 1:
        raise UserError(f"{path}: has a row of names and no frames; export the clip again")
    raise UserError(f"{path}: is text, but no table of numbers; give a clip of the robot")


def _names(
    above: list[tuple[int, str]], separator: str | None, columns: range, widest: int, path: Path
) -> tuple[str, ...] | None:
    """Find the first of the lines `above` the numbers that has a word for each column.

    Args:
        above: lines with their numbers.
        separator: of cells.
        columns: how many there may be, as the last ones may be empty in every row.
        widest: number of the first line that has all that are not.
        path: the file, for messages.

    Raises:
        UserError: one of the lines looks like names, but they are too few or too many.
    """
    for number, line in above:
        commented = line.startswith(_COMMENTS)
        bare = line.lstrip("#%/ ") if commented else line
        for cells in (_cells(bare, separator), bare.split()):
            if len(cells) in columns and not any(cell and _is_number(cell) for cell in cells):
                return tuple(cells)
        cells = _cells(line, separator)
        if not commented and len(cells) > max(columns.start // 2, 1):
            raise UserError(
                f"{path}: line {number} has {len(cells)} names, line {widest} has {columns.start} columns;"
                " name each column once, or remove the row of names"
            )
    return None


def _separator(line: str) -> str | None:
    return next((found for found in _SEPARATORS if found in line), None)


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


def _cells(line: str, separator: str | None, columns: int = 1) -> list[str]:
    """Split a line into its cells without quotation marks, and without empty ones beyond so many columns."""
    if separator is None:
        return line.split()
    cells = [cell.strip().strip("\"'") for cell in line.split(separator)]
    while len(cells) > columns and not cells[-1]:
        cells.pop()
    return cells


def _width(line: str, separator: str | None) -> int:
    """Count the cells of a line up to the last that is not empty."""
    if separator is None or not line.rpartition(separator)[2].strip("\"' "):
        return len(_cells(line, separator))
    return line.count(separator) + 1  # far faster, and of nearly all lines


def _is_number(cell: str) -> bool:
    return _number(cell) is not None


def _number(cell: str) -> float | None:
    """Read a cell, as NaN where it says that there is no number; None: it is another text."""
    try:
        return float(cell)
    except ValueError:
        if cell.lower() in _NO_NUMBER:
            return np.nan
        decimal = re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell)
        return float(cell.replace(",", ".")) if decimal else None


def _fault(rows: list[tuple[int, str]], separator: str | None, columns: int, path: Path) -> UserError:
    """Say what is wrong with the first line that is not `columns` numbers."""
    whole = next(number for number, line in rows if len(_cells(line, separator, columns)) == columns)
    for number, line in rows:
        cells = _cells(line, separator, columns)
        for column, cell in enumerate(cells, 1):
            if not _is_number(cell):
                return UserError(
                    f"{path}: line {number}, column {column} is {quoted(cell)}, not a number;"
                    " repair or remove this line"
                )
        if len(cells) != columns:
            return UserError(
                f"{path}: line {number} has {len(cells)} columns, line {whole} has {columns};"
                " repair or remove one of them"
            )
    return UserError(f"{path}: is not a table of numbers; export the clip again")
