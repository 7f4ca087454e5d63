"""Pickles (`.pkl`) of unknown origin: text, numbers, lists, tuples, dicts, NumPy arrays of numbers or text.

A pickle is a program that may call anything. Here it may only name what NumPy 1 and 2 put into a file, and
even these calls are recorded, not made: arrays are built afterwards from the bytes that the file holds.
Ordered and default dicts are read as dicts.

joblib writes the bytes of an array into the file after the opcodes that describe it, and may compress all.
"""

import io
import math
import pickle
import pickletools
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.npz import check_characters
from mjx_mimic.common.errors import UserError, quoted

_GLOBALS = re.compile(
    r"numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|numpy\.(ndarray|dtype)|_codecs\.encode"
)
_DICTS = re.compile(r"collections\.(OrderedDict|defaultdict)")
_FACTORIES = re.compile(r"(builtins|__builtin__)\.(dict|list|tuple|set|int|float|str|bool)")
"""What a defaultdict makes its values with."""
_JOBLIB = "joblib.numpy_pickle.NumpyArrayWrapper"
COMPRESSED = (b"\x1f\x8b", *(b"x" + level for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")))
"""First bytes of gzip's files and of zlib's."""
MAX_BYTES = 64 * 2**20
"""Of a pickle, uncompressed: over 200 000 frames at 9 bytes per number, half an hour at 120 fps."""
_NUMBERS = re.compile(rb"(?:G.{8}|J.{4}|K.|M..|[FIL][^\n]*\n|a)++", re.DOTALL)  # nearly all of a file
# Makers of what may be referred to again: no tuples, as hashing one that shares its parts takes for ever.
_SHARED = re.compile(r"(EMPTY_)?(LIST|DICT)|REDUCE|(STACK_)?GLOBAL|\w*(UNICODE|STRING|BYTES|BYTEARRAY)8?")
_MAX_OPCODES = 1_000_000  # besides numbers; a frame takes four
_MAX_TUPLES = 10_000  # an array takes five; hashing deeper nests overflows the C stack
_MIN_ITEMS = 2**20  # that even a small file may stand for, by referring to lists again


class _Refusal(Exception):
    """What is wrong with a pickle, and the remedy."""


class _Call:
    """A global that a pickle names, or the call of one: recorded, not made."""

    def __init__(self, name: str, arguments: tuple = ()) -> None:
        self.name, self.arguments = name, arguments
        self.state: tuple = ()

    def __call__(self, *arguments: Any) -> Any:
        return _Call(self.name, arguments)

    def __setstate__(self, state: tuple) -> None:
        self.state = state


class _Dict(_Call):
    """A class of dicts, whose objects are read as plain dicts."""

    def __call__(self, *arguments: Any) -> Any:
        if arguments and self.name == "OrderedDict":  # its items, which may be shared without end
            raise _Refusal("pickle has an ordered dict as Python 2 writes it; save a plain dict")
        return {}


class _JoblibArray(_Call):
    """The description of an array whose bytes follow in the file."""

    name, arguments = "NumpyArrayWrapper", ()
    state: tuple = ()
    read: Callable[[Mapping[str, Any]], NDArray]

    def __setstate__(self, state: Any) -> None:
        self.state = (self.read(state),)


class _Unpickler(pickle.Unpickler):
    """Reads no byte as an opcode that has not been checked, and joblib's arrays between the opcodes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._checked = io.BytesIO()  # the beginning of the data; the unpickler finds nothing after it
        self._check = _OpcodeCheck(data)
        super().__init__(self._checked)
        self._admit(0)

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" == _JOBLIB:
            return type(name, (_JoblibArray,), {"read": self._read_array})
        if _DICTS.fullmatch(f"{module}.{name}"):
            return _Dict(name)
        if not (_GLOBALS.fullmatch(f"{module}.{name}") or _FACTORIES.fullmatch(f"{module}.{name}")):
            raise _Refusal(
                f"pickle names the global {quoted(f'{module}.{name}')}, which could run code; save plain"
                " lists of numbers (numpy: .tolist()) or NumPy arrays"
            )
        return _Call(name)

    def _admit(self, start: int) -> None:
        """Check opcodes from `start`, and let the unpickler read them."""
        stop = self._check.run(start)
        self._checked.write(self._data[self._checked.seek(0, io.SEEK_END) : stop])
        self._checked.seek(start)

    def _read_array(self, state: Mapping[str, Any]) -> NDArray:
        """Take the array that joblib describes by `state` from where the unpickler is, and go on after it."""
        start, dtype = self._checked.tell(), _dtype(state["dtype"])
        if state.get("numpy_array_alignment_bytes") is not None:
            start += 1 + self._data[start]
        stop = start + math.prod(state["shape"]) * dtype.itemsize
        array = _items(self._data[start:stop], dtype).reshape(state["shape"], order=state["order"])
        self._admit(stop)
        return array


def read_pickle(data: bytes, path: Path) -> Any:
    """Unpickle `data`, the contents of the file `path`, which joblib may have compressed.

    Raises:
        UserError: the pickle is damaged, too large, or asks for anything else.
    """
    try:
        if data.startswith(COMPRESSED):
            data = _unpacked(data)
        return _resolved(_Unpickler(data).load(), max(len(data), _MIN_ITEMS))
    except _Refusal as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # damaged bytes make the unpickler raise nearly any type
        cause = f"{type(error).__name__}: {quoted(str(error))}"
        raise UserError(
            f"{path}: pickle is damaged or truncated ({cause}); export or copy the clip again"
        ) from error


def _unpacked(data: bytes) -> bytes:
    """Decompress zlib's or gzip's data."""
    unpacked = zlib.decompressobj(wbits=47).decompress(data, MAX_BYTES + 1)
    if len(unpacked) > MAX_BYTES:
        raise _Refusal(f"unpacks to over {MAX_BYTES / 2**20:.0f} MiB; split the clip")
    return unpacked


class _OpcodeCheck:
    """Refuses what allocates or computes out of proportion; ValueError for a length that the data lack."""

    def __init__(self, data: bytes) -> None:
        self._data, self._stream = data, io.BytesIO(data)
        self._memo: dict[Any, str] = {}
        self._count = self._tuples = 0
        self._joblib = _JOBLIB.split(".")[-1].encode() in data

    def run(self, start: int) -> int:
        """Check from `start` to the end or to an array of joblib's, and return where that is.

        joblib ends a frame of opcodes where an array follows; the last one builds the array's description.
        """
        data, stream, memo, previous, frame_end = self._data, self._stream, self._memo, "", -1
        stream.seek(start)
        for opcode, argument, _ in pickletools.genops(stream):
            name, number = opcode.name, argument if isinstance(argument, int) else 0
            self._count, self._tuples = self._count + 1, self._tuples + ("TUPLE" in name)
            wrong = name == "DUP" or name.startswith("EXT")
            wrong |= "GET" in name and not _SHARED.fullmatch(memo.get(argument, "LIST"))
            wrong |= "PUT" in name and number > len(data)  # the unpickler's memo is an array
            if wrong or self._count > _MAX_OPCODES or self._tuples > _MAX_TUPLES:
                raise _Refusal(
                    f"pickle is too large or too odd (opcode {name}); save a dict of numbers and lists, with"
                    " the frames in one array, not in one each"
                )
            if name == "PROTO" and number < 4 and self._joblib:
                raise _Refusal(
                    "is joblib's, in an old protocol; load it with joblib, dump it with protocol=4"
                )
            if name == "FRAME":
                frame_end = stream.tell() + number
            if name == "BUILD" and self._joblib and stream.tell() == frame_end:
                break
            if "PUT" in name or name == "MEMOIZE":
                memo[len(memo) if name == "MEMOIZE" else argument] = previous
            numbers = _NUMBERS.match(data, stream.tell())
            stream.seek(numbers.end() if numbers else stream.tell())
            previous = "number" if numbers else name
        return stream.tell()


def _resolved(contents: Any, left: int) -> Any:
    """Replace recorded calls in the fields by arrays, as long as these have no more than `left` items."""

    def resolved(value: Any) -> Any:
        nonlocal left
        value = _array(value) if isinstance(value, _Call) else value
        items = value if isinstance(value, list | tuple | dict) else ()
        # Text counts by its length: an array or a number of it may refer to bytes that others have too.
        is_array = isinstance(value, np.ndarray | np.generic)
        left -= max(value.size, value.nbytes // 8) if is_array else 1 + len(items)
        if left < 0:
            raise ValueError("it repeats the same lists")
        if isinstance(value, dict):
            return {
                str(resolved(key) if isinstance(key, _Call) else key): resolved(value[key]) for key in value
            }
        return value if set(map(type, items)) <= {int, float} else [resolved(item) for item in items]

    if isinstance(contents, list) and contents and all(isinstance(item, dict) for item in contents):
        contents = {str(number): item for number, item in enumerate(contents, 1)}
    if isinstance(contents, _Call):
        raise _Refusal(f"pickle holds an object of {quoted(contents.name)}; save a dict of arrays")
    if not isinstance(contents, dict):
        return contents
    contents = {resolved(key) if isinstance(key, _Call) else key: contents[key] for key in contents}
    contents = _with_text_keys(contents)
    for name, value in contents.items():
        if not isinstance(name, str):
            raise _Refusal("pickle's dict has keys that are not text; name its fields")
        try:
            contents[name] = resolved(value)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            what = f"{quoted(name)} is not a plain array of numbers ({quoted(str(error))})"
            raise _Refusal(f"{what}; save it with .astype(float) or .tolist()") from error
    return contents


def _with_text_keys(contents: dict) -> dict:
    """Write the integers among the keys of a dict as text."""
    found = {str(key) if _is_number(key) else key: value for key, value in contents.items()}
    if len(found) < len(contents):
        raise _Refusal("pickle's dict has a number and a text as keys that read alike; name its clips")
    return found


def _is_number(key: Any) -> bool:
    """Tell whether the key of a dict is an integer of a usual size; the text of a huge one is refused."""
    return isinstance(key, int | np.integer) and int(key).bit_length() <= 64


def _array(call: _Call) -> NDArray | np.generic:
    """Make the array, or its one item, that `call` describes; TypeError or ValueError if it is none."""
    match call.name, call.arguments, call.state:
        case "NumpyArrayWrapper", _, (array,):
            return array
        case "scalar", (dtype, contents), _:
            return _items(_bytes(contents), _dtype(dtype)).reshape(())[()]
        case "_frombuffer", (contents, dtype, shape, order), _:
            return _items(_bytes(contents), _dtype(dtype)).reshape(shape, order=order)
        case "_reconstruct", _, (_, shape, dtype, fortran, contents):
            array = _items(_bytes(contents), _dtype(dtype))
            return array.reshape(shape, order="F" if fortran else "C")
    raise TypeError(call.name)


def _dtype(call: _Call) -> np.dtype:
    code, order = call.arguments[0], call.state[1]
    if call.name != "dtype" or not re.fullmatch(r"[iufb][1248]|[US]\d{1,6}", code):
        raise TypeError("its type is neither numeric nor text")
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def _items(contents: bytes, dtype: np.dtype) -> NDArray:
    """Make the items (N,) of an array of their bytes; ValueError if these are no such items."""
    items = np.frombuffer(contents, dtype)
    if dtype.kind == "U":
        check_characters(items)
    return items


def _bytes(contents: Any) -> bytes:
    if isinstance(contents, _Call) and contents.name == "encode":  # as the first protocols have bytes
        contents = contents.arguments[0].encode("latin1")
    if not isinstance(contents, bytes | bytearray):
        raise TypeError("it has no bytes")
    return bytes(contents)
