"""Clip files of every known format, told apart by their content."""

import os
from pathlib import Path

from mjx_mimic import paths
from mjx_mimic.errors import UserError
from mjx_mimic.files import read_bytes
from mjx_mimic.formats import mimickit, native
from mjx_mimic.motion import Motion

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLED_DICT = (b"\x80", b"(d", b"}")  # protocols 2 and up; 0; 1


def load_motion(path_or_name: str | Path) -> Motion:
    """Reads a clip file of any known format, or a shipped clip by its bare name, such as "walk".

    An existing file goes before a shipped clip of the same name.

    Raises:
        UserError: no such clip, an unknown format, or contents that `make_motion` refuses.
    """
    path = _resolve(Path(path_or_name))
    head = read_bytes(path, count=4)
    if head.startswith(_ZIP):
        return native.read(path)
    if head.startswith(_PICKLED_DICT):
        return mimickit.read(path)
    raise UserError(
        f"{path}: unknown clip format (starts with {head!r}); known formats: mjx_mimic .npz, MimicKit .pkl"
    )


def _resolve(path: Path) -> Path:
    """`path` itself, or the shipped clip that a bare name stands for."""
    if len(path.parts) == 1 and not os.path.isfile(path):
        shipped = paths.motions_dir() / f"{path.name}.npz"
        if os.path.isfile(shipped):
            return shipped
    return path
