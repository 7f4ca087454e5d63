"""NumPy archives (`.npz`) of unknown origin: plain arrays only, of bounded size."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import MAX_FILE_BYTES, read_bytes


class Arrays(Mapping[str, NDArray]):
    """The arrays of an archive by name, each unpacked when it is asked for.

    So a reader never touches what it does not need: LocoMuJoCo's files hold pickled objects beside the clip.
    """

    def __init__(self, archive: "np.lib.npyio.NpzFile", path: Path) -> None:
        self._archive = archive
        self._path = path

    def __getitem__(self, name: str) -> NDArray:
        if name not in self._archive.files:
            raise KeyError(name)
        try:
            return np.asarray(self._archive[name])
        except Exception as error:  # zipfile, zlib and numpy raise a dozen types on damaged bytes
            if isinstance(error, ValueError) and "allow_pickle" in str(error):
                raise UserError(
                    f"{self._path}: {name} holds pickled Python objects, which could run code; save it as"
                    " plain numbers or text"
                ) from error
            raise damaged(self._path, error) from error

    def __contains__(self, name: object) -> bool:
        return name in self._archive.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)


def read_arrays(path: Path) -> Arrays:
    """All arrays of an archive, by name.

    Raises:
        UserError: the file cannot be read, is damaged, or unpacks to too much; asked for, also an array that
            is damaged or holds Python objects.
    """
    contents = io.BytesIO(read_bytes(path))
    try:
        archive = np.load(contents, allow_pickle=False)
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
    """The complaint about an archive that cannot be unpacked."""
    return UserError(
        f"{path}: .npz archive is damaged or truncated ({type(error).__name__}: {quoted(str(error))});"
        " export or copy the clip again"
    )
