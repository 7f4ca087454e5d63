"""Reading and writing a user's files: one clear line for all that can go wrong, nothing half-written."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError

MAX_FILE_BYTES = 2**30


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES, count: int = -1) -> bytes:
    """Read a clip file, or its first `count` bytes.

    Raises:
        UserError: missing (the shipped clips are listed), not a plain file, unreadable, empty, or larger
            than `limit` bytes.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: is a directory; give the path of one clip file")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device could block or never end
            raise UserError(f"{path}: is not a regular file; give the path of one clip file")
        if status.st_size == 0:
            raise UserError(f"{path}: file is empty; export or copy the clip again")
        if status.st_size > limit:
            raise UserError(
                f"{path}: file size is {status.st_size / 2**20:.0f} MiB, over the limit of"
                f" {limit / 2**20:.0f} MiB; split the clip"
            )
        with open(path, "rb") as file:
            return file.read(count)
    except (FileNotFoundError, NotADirectoryError) as error:
        known = ", ".join(paths.shipped_clips()) or "none"
        raise UserError(
            f"{path}: no such file; give a clip's path or the name of a shipped clip ({known})"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(
            f"{path}: file cannot be read ({_reason(error)}); check its path and permissions"
        ) from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: the file cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not YAML ({error}); mend the file") from None


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` at the end: all of its new contents, or its old ones.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:
                yield file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or no file name at all
        raise UserError(f"{path}: file cannot be written ({_reason(error)}); choose another path") from error


def _reason(error: OSError | ValueError) -> str:
    """Why a file operation failed, without the path, which the message names already."""
    return getattr(error, "strerror", None) or str(error)
