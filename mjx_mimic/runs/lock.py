"""One writer per run folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import unwritable, why

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run folder against other trainings.

    The operating system releases the lock when its process ends, however that ends, so none is ever stale.

    Raises:
        UserError: another process trains in this folder, or it cannot be written. Where the file system knows
            no locks, a warning is printed instead.
    """
    try:
        file = (run / LOCK_FILE).open("ab+", buffering=0)
    except OSError as error:
        raise unwritable(run, error) from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read(20).decode().strip() or "unknown"
                raise UserError(
                    f"{run}: another training is writing here (process {owner}); wait for it or stop it"
                ) from None
            except OSError as error:  # a file system without locks, such as a mounted drive of some cloud
                print(f"warning: {run}: cannot be locked ({why(error)}); start no second training there")
        try:
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        except OSError as error:
            raise unwritable(run, error) from None
        yield
