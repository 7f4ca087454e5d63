"""The files that a pattern stands for, found in bounded time, whatever links to what."""

import contextlib
import fnmatch
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from mjx_mimic.common.errors import UserError

MAX_ENTRIES = 250_000
"""Files and folders that are looked at: some seconds, and more than the largest collections of clips."""


def upwards(name: str, folder: Path) -> Path | None:
    """Find a file by a relative path from a folder, the folders above it, or the current one, in this order.

    Returns:
        The path as it can be opened; None: it is in none of them.
    """
    for above in (folder, *folder.resolve().parents, Path()):
        if os.path.isfile(above / name):
            return above / name
    return None


def matching(pattern: str) -> list[str]:
    """List the files that match a pattern, in the order of their names, each once.

    `*`, `?` and `[]` stand for parts of names, `**` for any folders; for hidden ones only where a part of the
    pattern begins with a dot. Links to folders are followed; below one `**`, no folder is searched twice, so
    that loops end.

    Raises:
        UserError: there are too many files and folders to look at.
    """
    path = Path(pattern)
    return sorted(set(_Search(pattern).files(path.anchor, path.parts[bool(path.anchor) :])))


class _Search:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._looked_at = 0

    def files(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """Yield the files in a folder that match the last parts of the pattern."""
        if not parts:  # of "", "." or "/", which are no files
            return
        first, *rest = parts
        if first == "**":
            for below in self._folders(folder):
                yield from self.files(below, rest or ["*"])
            return
        for name in self._matching_names(folder, first):
            path = os.path.join(folder, name)
            if not rest and os.path.isfile(path):
                yield path
            elif rest and os.path.isdir(path):
                yield from self.files(path, rest)

    def _folders(self, top: str) -> Iterator[str]:
        """Yield a folder, and all below it that are not hidden."""
        seen: set[tuple[int, int]] = set()
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder or ".")
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield folder
                names = self._names(folder)
                waiting += [os.path.join(folder, name) for name in names if not name.startswith(".")]

    def _matching_names(self, folder: str, part: str) -> list[str]:
        if not glob.has_magic(part):
            return [part]
        hidden = part.startswith(".")
        names = fnmatch.filter(self._names(folder), part)
        return [name for name in names if name.startswith(".") == hidden]

    def _names(self, folder: str) -> list[str]:
        """Return all names in a folder; none of one that cannot be read."""
        names = []
        with contextlib.suppress(OSError, ValueError), os.scandir(folder or ".") as entries:
            for entry in entries:
                self._looked_at += 1
                if self._looked_at > MAX_ENTRIES:
                    raise UserError(
                        f"{self._pattern}: there are over {MAX_ENTRIES:,} files and folders to search; name"
                        " the clips' own folder"
                    )
                names.append(entry.name)
        return sorted(names)
