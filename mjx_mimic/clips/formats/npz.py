"""NumPy archives (`.npz`) of unknown origin: plain arrays only, of bounded size."""

import io
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import MAX_FILE_BYTES

_HEADERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}


class Arrays(Mapping[str, NDArray]):
    """The arrays of an archive by name, each unpacked when it is first asked for, and once.

    So a reader never touches what it does not need: LocoMuJoCo's files hold pickled objects beside the clip.
    """

    def __init__(self, archive: NpzFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        self._unpacked: dict[str, NDArray] = {}

    def __getitem__(self, name: str) -> NDArray:
        if name not in self._archive.files:
            raise KeyError(name)
        if name not in self._unpacked:
            self._unpacked[name] = self._unpack(name)
        return self._unpacked[name]

    def _unpack(self, name: str) -> NDArray:
        try:
            self._check_header(name)
            array = np.asarray(self._archive[name])
            if array.dtype.kind == "U":
                check_characters(array)
            return array
        except Exception as error:  # zipfile, zlib and numpy raise a dozen types on damaged bytes
            if isinstance(error, ValueError) and "allow_pickle" in str(error):
                raise UserError(
                    f"{self._path}: {name} holds pickled Python objects, which could run code; save it as"
                    " plain numbers or text"
                ) from error
            raise damaged(self._path, error) from error

    def _check_header(self, name: str) -> None:
        """Raise ValueError if an array claims a size that it lacks; NumPy would make room for it first."""
        members = self._archive.zip
        assert members is not None  # it is open
        member = members.getinfo(name if name in members.namelist() else f"{name}.npy")
        with members.open(member) as file:
            if file.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
                return  # no array; NumPy returns its bytes
            file.seek(0)
            version = read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"an array in version {version} of the format")
            shape, _, dtype = _HEADERS[version](file)
        # Arrays of no bytes count too: even of these, a list of a thousand million takes gigabytes. Those of
        # no rows are empty lists.
        claimed = math.prod(max(size, 1) for size in shape) * max(dtype.itemsize, 1)
        claimed = 0 if shape[:1] == (0,) else claimed
        if claimed > member.file_size and not dtype.hasobject:
            raise ValueError(f"an array of shape {shape} in {member.file_size} bytes")

    def __contains__(self, name: object) -> bool:
        return name in self._archive.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)


def check_characters(array: NDArray) -> None:
    """Raise ValueError if an array of text holds what are no characters, of which Python makes no text."""
    codes = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if codes.size and codes.max() > sys.maxunicode:
        raise ValueError("text with what are no characters")


def read_arrays(data: bytes, path: Path) -> Arrays:
    """Open the archive `data`, the contents of the file `path`.

    Raises:
        UserError: the archive is damaged or unpacks to too much; later, on access, an array is damaged or
            holds Python objects.
    """
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        unpacked = sum(member.file_size for member in archive.zip.infolist())
    except Exception as error:
        raise damaged(path, error) from error
    if unpacked > MAX_FILE_BYTES:  # a small file may unpack to terabytes
        raise UserError(
            f"{path}: arrays unpack to {unpacked / 2**20:.0f} MiB, over the limit of"
            f" {MAX_FILE_BYTES / 2**20:.0f} MiB; split the clip"
        )
    return Arrays(archive, path)


def damaged(path: Path, error: Exception) -> UserError:
    """Make the error for an archive that cannot be unpacked."""
    return UserError(
        f"{path}: .npz archive is damaged or truncated ({type(error).__name__}: {quoted(str(error))});"
        " export or copy the clip again"
    )
