"""Damage to files at random: of their bytes, of their words and lines, of the fields of archives and pickles.

Every function draws from the generator that it is given, so that a seed stands for a file.
"""

import io
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WORDS = (
    *(b"nan", b"inf", b"-inf", b"1e400", b"1e308", b"-1e308", b"1e-320", b"-0.0", b"0", b"-1", b"1", b"0.5"),
    *(
        b"9" * 30,
        b"9" * 400,
        b"9" * 5000,
        b"0x" + b"F" * 5000,
        b"1:1:1",
        b"1_000",
        b"2**63",
        b"1e",
        b".",
        b"-",
    ),
    *(
        b"",
        b"null",
        b"~",
        b"true",
        b"''",
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[]",
        b"{}",
        b"- ",
        b": ",
        b"? ",
    ),
    *(b"&a", b"*a", b"<<", b"=", b"|", b">", b"%", b"@", b"#", b"!!bool x", b"!!int ''", b"!!timestamp x"),
    *(b"!!python/name:os.system", b"!!binary x", b"---", b"...", b"\\ud800", b'"\\ud800"', b'"\\0"', b"\0"),
    *(
        b"\xff",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xd9\xa1",
        b"\r",
        b"\x0b",
        b"\x1c",
        b"\t",
        b"a" * 3000,
        b"x" * 300,
    ),
    *(
        b"JOINT",
        b"End",
        b"ROOT",
        b"OFFSET",
        b"CHANNELS",
        b"MOTION",
        b"Frames:",
        b"[" * 3000,
        b",",
        b",,,",
        b"*",
    ),
)
DTYPES = ("<f2", "<f4", ">f8", "<f8", "<i4", "u1", "?", "c8", "U5", "U0", "S3", "M8[s]", "V8", "V0", "O", "g")
SHAPES = ((10**9, 0), (0, 29), (0,), (1, 1), (2**62,), (2**40, 3), (-1, 3), (3,) * 30, (10**6, 36), ())


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def of_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Damages a few places."""
    for _ in range(rng.integers(1, 5)):
        start, end = np.sort(rng.integers(0, len(data) + 1, 2)).tolist()
        short = min(start + int(rng.integers(1, 64)), len(data))
        piece = data[start:short]
        match rng.integers(8):
            case 0 if data:  # one bit, at the front as often as anywhere
                place = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 200)))
                changed = data[place] ^ 1 << int(rng.integers(8))
                data = data[:place] + bytes([changed]) + data[place + 1 :]
            case 1:
                data = data[:start]
            case 2:
                data = data[:start] + data[short:]
            case 3:
                data = data[:start] + piece * int(rng.integers(2, 50)) + data[short:]
            case 4:
                data = data[:start] + rng.bytes(rng.integers(1, 32)) + data[start:]
            case 5:
                data = data[:start] + bytes(short - start) + data[short:]
            case 6:
                data = data[:start] + b"\xff" * (short - start) + data[short:]
            case 7:
                data = data[end:] + data[start:end] + data[:start]
    return data


def of_text(rng: np.random.Generator, data: bytes) -> bytes:
    """Damages words and lines; of a table's bytes, few are at the places that matter."""
    for _ in range(rng.integers(1, 4)):
        lines = data.split(b"\n")
        # The first lines hold the names and the counts.
        row = int(rng.integers(len(lines) if rng.random() < 0.5 else min(len(lines), 8)))
        other = int(rng.integers(len(lines)))
        match rng.integers(8):
            case 0:
                del lines[row]
            case 1:
                lines.insert(other, lines[row])
            case 2:
                lines[row], lines[other] = lines[other], lines[row]
            case 3:
                lines[row] = of_bytes(rng, lines[row])
            case 4:
                lines.insert(row, word(rng) + b": " + word(rng))
            case _:
                words = re.split(rb"([\s,:\[\]{}]+)", lines[row])
                words[int(rng.integers(len(words)))] = word(rng)
                lines[row] = b"".join(words)
        data = b"\n".join(lines)
    return data if rng.random() < 0.9 else of_bytes(rng, data)


def word(rng: np.random.Generator) -> bytes:
    return WORDS[rng.integers(len(WORDS))]


def of_archive(rng: np.random.Generator, data: bytes) -> bytes:
    """Damages arrays, their headers or their bytes, in an archive that is whole; or the archive itself."""
    if rng.random() < 0.2:
        return of_bytes(rng, data)
    with np.load(io.BytesIO(data), allow_pickle=True) as archive:
        fields = {name: archive[name] for name in archive.files}
    for _ in range(rng.integers(0, 3)):
        fields = _of_fields(rng, fields, _of_array)
    members = {f"{name}.npy": _npy(array) for name, array in fields.items()}
    if members and rng.random() < 0.5:
        name = _choice(rng, list(members))
        members[name] = _of_npy(rng, members[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", _choice(rng, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return packed.getvalue()


def of_pickle(rng: np.random.Generator, data: bytes) -> bytes:
    """Damages the fields of a pickled dict, or its bytes, or both."""
    if rng.random() < 0.5:
        fields = pickle.loads(data)
        for _ in range(rng.integers(1, 3)):
            fields = _of_fields(rng, fields, _of_value)
        data = pickle.dumps(fields, int(rng.integers(pickle.HIGHEST_PROTOCOL + 1)))
        if rng.random() < 0.7:
            return data
    return of_bytes(rng, data)


def _of_fields(
    rng: np.random.Generator, fields: dict[str, Any], damaged: Callable[[np.random.Generator, Any], Any]
) -> dict[str, Any]:
    """Takes a field away, gives it another name, swaps two, or damages one."""
    names = list(fields)
    if not names:
        return fields
    one, other = _choice(rng, names), _choice(rng, names)
    match rng.integers(8):
        case 0:
            return {name: value for name, value in fields.items() if name != one}
        case 1:
            return {{one: f"{one}_"}.get(name, name): value for name, value in fields.items()}
        case 2:
            return fields | {one: fields[other], other: fields[one]}
    return fields | {one: damaged(rng, fields[one])}


def _of_array(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    match rng.integers(7):
        case 0:
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                    return array.astype(_choice(rng, DTYPES))
            except (TypeError, ValueError):
                return np.array(None)
        case 1:
            return array.T
        case 2:
            return array.ravel()
        case 3:
            return array[None] if array.ndim == 0 or rng.random() < 0.3 else array[: rng.integers(3)]
        case 4:
            return np.array(_choice(rng, VALUES))
        case 5:
            return np.zeros(_choice(rng, [(10**9, 0), (0, 29), (0,), (3,), (5, 3, 0)]), array.dtype)
    if array.dtype.kind == "f" and array.size:
        place = np.unravel_index(rng.integers(array.size), array.shape)
        with np.errstate(all="ignore"):
            array[place] = _choice(rng, [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0, 1e3, -1e3])
    return array


VALUES = (
    0,
    -1,
    1,
    2**63 - 1,
    1e300,
    5e-324,
    -0.0,
    np.nan,
    np.inf,
    "x",
    "",
    "\n\x1b",
    "a" * 3000,
    b"x",
    True,
    1j,
)


def _of_value(rng: np.random.Generator, value: Any) -> Any:
    if isinstance(value, np.ndarray) and rng.random() < 0.7:
        return _of_array(rng, value)
    nest: list[Any] = []
    for _ in range(rng.integers(1, 300)):
        nest = [nest, *([nest] * int(rng.random() < 0.1))]
    circle: list[Any] = []
    circle.append(circle)
    odd = [
        *VALUES,
        None,
        10**400,
        10**4000,
        nest,
        circle,
        [circle] * 3,
        {},
        (),
        {"a": 1},
        {1: 2},
        set(),
        range(3),
    ]
    match rng.integers(5):
        case 0 if isinstance(value, list) and value:
            rows = list(value)
            place = int(rng.integers(len(rows)))
            rows[place] = _of_value(rng, rows[place])
            return rows
        case 1 if isinstance(value, list):
            return value[: rng.integers(3)] + value[: rng.integers(3)]
        case 2:
            return Call(os.system, "touch ran")
        case 3:
            return np.array(_choice(rng, VALUES[:9]))
    return odd[rng.integers(len(odd))]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=True)
    return file.getvalue()


def _of_npy(rng: np.random.Generator, data: bytes) -> bytes:
    """Damages the header, which is text, or any bytes; or lets the header tell another type or shape."""
    length = 10 + int.from_bytes(data[8:10], "little")
    header, contents = data[:length], data[length:]
    match rng.integers(4):
        case 0:
            return of_bytes(rng, header) + contents
        case 1:
            return of_bytes(rng, data)
        case 2:
            text = re.sub(rb"\([^)]*\)", str(_choice(rng, SHAPES)).encode(), header[10:])
        case _:
            text = re.sub(rb"'[<>|=][^']*'", repr(_choice(rng, DTYPES)).encode(), header[10:])
    return header[:8] + len(text).to_bytes(2, "little") + text + contents


def _choice(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
