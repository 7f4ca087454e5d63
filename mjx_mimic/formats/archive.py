"""NumPy archives (`.npz`) of unknown origin: plain arrays only, of bounded size."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.errors import UserError, quoted
from mjx_mimic.files import MAX_FILE_BYTES, read_bytes


def read_arrays(path: Path) -> dict[str, NDArray]:
    """All arrays of an archive, by name.

    Raises:
        UserError: the file cannot be read, is damaged, holds Python objects, or unpacks to too much.
    """
    contents = io.BytesIO(read_bytes(path))
    try:
        with np.load(contents, allow_pickle=False) as archive:
            unpacked = sum(member.file_size for member in archive.zip.infolist())
            if unpacked > MAX_FILE_BYTES:  # a small file may unpack to terabytes
                raise UserError(
                    f"{path}: arrays unpack to {unpacked / 2**20:.0f} MiB, over the limit of"
                    f" {MAX_FILE_BYTES / 2**20:.0f} MiB; split the clip"
                )
            return {name: np.asarray(archive[name]) for name in archive.files}
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types on damaged bytes
        raise UserError(
            f"{path}: .npz archive is damaged or truncated ({type(error).__name__}: {quoted(str(error))});"
            " export or copy the clip again"
        ) from error


def scalar(array: NDArray) -> Any:
    """The Python value of a 0-d array; other arrays as they are, for `make_motion` to refuse by type."""
    return array.item() if array.ndim == 0 else array
