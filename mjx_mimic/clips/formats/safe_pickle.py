"""Pickles (`.pkl`) of unknown origin: numbers, text, lists, dicts and plain NumPy arrays.

A pickle is a program that may call anything. Here it calls nothing: what it asks for is written down, and
only requests for a numeric array are then met. The names of those requests are the ones that NumPy 1 and 2
put into a file.
"""

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import read_bytes

MAX_FRAMES = 250_000

_MAX_BYTES = 64 * 2**20  # over 200 000 frames at 9 bytes a number: half an hour at 120 fps
_MAX_CONTAINERS = MAX_FRAMES
_MAX_TUPLES = 10_000  # an array takes five; hashing a tuple in a tuple, and so on, overflows the C stack

_ARRAY, _SCALAR, _BUFFER, _BYTES = "_reconstruct", "scalar", "_frombuffer", "encode"
_GLOBALS = frozenset(
    [(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in (_ARRAY, _SCALAR)]
    + [(f"numpy.{core}.numeric", _BUFFER) for core in ("core", "_core")]
    + [("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", _BYTES)]
)
_DTYPE = re.compile(r"[iufb][1248]")

_CONTAINERS = frozenset(("EMPTY_LIST", "LIST", "EMPTY_DICT", "DICT"))
_TUPLES = frozenset(("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"))
_MEMO_WRITES = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_PLAIN = (
    _CONTAINERS
    | _TUPLES
    | _MEMO_WRITES
    | {"PROTO", "FRAME", "STOP", "MARK"}
    | {"SETITEM", "SETITEMS", "APPEND", "APPENDS"}
    | {"MEMOIZE", "GET", "BINGET", "LONG_BINGET"}
    | {"NONE", "NEWTRUE", "NEWFALSE"}
    | {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
    | {"FLOAT", "BINFLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
    | {"SHORT_BINSTRING", "BINSTRING"}
    | {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
    | {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
)
# Nearly all of a file is numbers (BINFLOAT, BININT, BININT1, BININT2; FLOAT, INT, LONG), and what puts them
# into lists (MARK, APPEND, APPENDS, MEMOIZE, BINPUT, BINGET). No harm, so a run of them is skipped at once.
_HARMLESS = re.compile(rb"(?:G.{8}|J.{4}|K.|M..|[FIL][^\n]*\n|[(aeN\x88\x89\x94]|[qh].)++", re.DOTALL)
_MAX_OTHERS = 4 * MAX_FRAMES


def read_pickle(path: Path) -> Any:
    """What a pickle holds: None, numbers, text, bytes, lists, tuples, dicts and NumPy arrays of numbers.

    Raises:
        UserError: the file cannot be read, is damaged, too large, or asks for anything else.
    """
    data = read_bytes(path, _MAX_BYTES)
    try:
        return _Unpickler(data, path).checked_load()
    except UserError:
        raise
    except Exception as error:  # damaged bytes make the unpickler raise nearly any type
        raise UserError(
            f"{path}: pickle is damaged or truncated ({type(error).__name__}: {quoted(str(error))});"
            " export or copy the clip again"
        ) from error


class _Request:
    """A global that a pickle names, or a call of one: written down, not done."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple | None = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None

    def __call__(self, *arguments: Any) -> "_Request":
        return _Request(self.name, arguments)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """An unpickler in which nothing runs that the file names."""

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(data))
        self._data = data
        self._path = path

    def checked_load(self) -> Any:
        """The contents, once their opcodes are known to be harmless."""
        end, complaint = _scan(self._data)
        if complaint is None:
            return self._met(self.load())
        # A global before that opcode says more. What is before it is harmless, so load that.
        try:
            _Unpickler(self._data[:end] + pickle.STOP + self._data[end + 1 :], self._path).load()
        except UserError:
            raise
        except Exception:
            pass
        raise UserError(f"{self._path}: pickle {complaint}")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            raise UserError(
                f"{self._path}: pickle names the global {quoted(f'{module}.{name}')}, which could run code;"
                " save plain lists of numbers (numpy: .tolist()) or NumPy arrays"
            )
        return _Request(name)

    def _met(self, value: Any) -> Any:
        """`value` with its requests for arrays met: itself, those of its fields, and lists of them."""
        if not isinstance(value, dict):
            return self._met_field("its contents", value)
        if not all(isinstance(key, str) for key in value):
            raise UserError(f"{self._path}: pickle's dict has keys that are no text; name its fields")
        return {key: self._met_field(key, item) for key, item in value.items()}

    def _met_field(self, field: str, value: Any) -> Any:
        where = f"{self._path}: {quoted(field)}"
        if isinstance(value, list):
            return [_array(item, where) if isinstance(item, _Request) else item for item in value]
        return _array(value, where) if isinstance(value, _Request) else value


def _scan(data: bytes) -> tuple[int, str | None]:
    """How far the pickle `data` is harmless, and the complaint about what comes there; None at its end.

    Reading the opcodes also checks that the file has the bytes each length announces; the unpickler allocates
    first.
    """
    stream = io.BytesIO(data)
    containers = tuples = 0
    for _ in range(_MAX_OTHERS):
        harmless = _HARMLESS.match(data, stream.tell())
        if harmless:
            stream.seek(harmless.end())
        start = stream.tell()
        opcode, argument, _ = next(pickletools.genops(stream))
        if opcode.name == "STOP":
            return stream.tell(), None
        if opcode.name not in _PLAIN:
            return start, f"holds the opcode {opcode.name}; save only a dict of numbers, text and lists"
        if opcode.name in _MEMO_WRITES and cast(int, argument) > len(data):
            # The unpickler's memo is an array: six bytes with a high index would allocate gigabytes.
            return start, f"has a too high memo index ({opcode.name}); export the clip again"
        containers += opcode.name in _CONTAINERS
        tuples += opcode.name in _TUPLES
        if containers > _MAX_CONTAINERS:  # an empty list is one byte here and over 50 in memory
            return start, f"holds over {_MAX_CONTAINERS} lists; split the clip"
        if tuples > _MAX_TUPLES:
            return start, f"holds over {_MAX_TUPLES} tuples; save one array for each field"
    return stream.tell(), f"holds over {_MAX_OTHERS} texts and objects; save only a dict of numbers and lists"


def _array(request: _Request, field: str) -> NDArray | np.generic:
    """The array, or the number, that `request` describes, checked first; UserError for anything else."""
    refusal = UserError(f"{field} is no plain array of numbers; save it with .astype(float) or .tolist()")
    try:
        if request.name == _SCALAR:
            dtype, contents = request.arguments or ()
            shape, fortran = cast(tuple, ()), False
        elif request.name == _BUFFER:
            contents, dtype, shape, order = request.arguments or ()
            fortran = order == "F"
        elif request.name == _ARRAY:
            _, shape, dtype, fortran, contents = request.state
        else:
            raise refusal
        kind = _dtype(dtype)
        contents = _bytes(contents)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise refusal
        if kind is None or contents is None or len(contents) != kind.itemsize * math.prod(shape):
            raise refusal
        array = np.frombuffer(contents, kind).reshape(shape, order="F" if fortran else "C")
    except (TypeError, ValueError) as error:
        raise refusal from error
    return array if request.name != _SCALAR else array[()]


def _dtype(request: Any) -> np.dtype | None:
    """The numeric type that `request` describes, if it is one."""
    if not isinstance(request, _Request) or request.name != "dtype" or not request.arguments:
        return None
    code, state = request.arguments[0], request.state
    if not isinstance(code, str) or not _DTYPE.fullmatch(code) or not isinstance(state, tuple):
        return None
    order = state[1]
    return np.dtype(f"{order if order in ('<', '>') else '='}{code}")


def _bytes(contents: Any) -> bytes | None:
    """The raw bytes of an array; the first protocols have them as Latin-1 text."""
    if isinstance(contents, _Request) and contents.name == _BYTES and contents.arguments:
        text, *encoding = contents.arguments
        if isinstance(text, str) and encoding == ["latin1"]:
            return text.encode("latin1")
        return None
    return bytes(contents) if isinstance(contents, bytes | bytearray) else None
