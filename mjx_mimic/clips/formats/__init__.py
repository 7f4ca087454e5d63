"""Clip files of every known format, distinguished by their content."""

import os
from pathlib import Path
from typing import Any

from mjx_mimic.clips import sanity
from mjx_mimic.clips.formats import beyondmimic, gmr, locomujoco, mimickit, native, protomotions, unitree
from mjx_mimic.clips.formats.base import Container, Format
from mjx_mimic.clips.formats.csv_table import read_table
from mjx_mimic.clips.formats.npz import read_arrays
from mjx_mimic.clips.formats.safe_pickle import read_pickle
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import MAX_FILE_BYTES, read_bytes

FORMATS = (
    native.FORMAT,
    beyondmimic.BEYONDMIMIC,
    beyondmimic.MJLAB,
    locomujoco.FORMAT,
    mimickit.FORMAT,
    gmr.FORMAT,
    unitree.FORMAT,
    protomotions.FORMAT,
)
"""All formats that can be read; a file is of the first one that matches."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLE = (b"\x80", b"(d", b"}")  # protocols 2 and up; a dict in 0; in 1
_TEXT = frozenset(b"\t\n\r" + bytes(range(32, 127)))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_READ = {"archive": read_arrays, "pickle": read_pickle, "table": read_table}
_MAX_BYTES = {
    "archive": MAX_FILE_BYTES,
    "pickle": 64 * 2**20,  # over 200 000 frames at 9 bytes per number: half an hour at 120 fps
    "table": 256 * 2**20,  # half a million frames at 15 bytes per number
}


def load_motion(path_or_name: str | Path) -> Motion:
    """Read a clip file of any known format, or a bundled clip by its bare name, such as "walk".

    An existing file takes precedence over a bundled clip of the same name.

    Raises:
        UserError: there is no such clip, its format is unknown, `make_motion` refuses its contents, or it was
            clearly stored wrongly (see `sanity`).
    """
    return load_with_format(path_or_name)[0]


def load_with_format(path_or_name: str | Path) -> tuple[Motion, Format]:
    """Read a clip as `load_motion` does, and return the format of its file as well."""
    path = _resolve(Path(path_or_name))
    found, contents = _identify(path)
    motion = found.build(contents, path)
    sanity.check(motion, path, found.terms)
    return motion, found


def key_of(path: Path) -> str:
    """Find the key of the format that a file name's ending stands for when a clip is written.

    Raises:
        UserError: the ending stands for none.
    """
    keys = {".npz": "native", ".pkl": "mimickit", ".csv": "unitree"}
    if path.suffix.lower() not in keys:
        raise UserError(f"{path}: the ending belongs to no format; end the name in one of {', '.join(keys)}")
    return keys[path.suffix.lower()]


def key_to_write(path: Path, force: bool) -> str:
    """Find the key as `key_of` does; raises UserError also for a file that exists, unless `force`."""
    key = key_of(path)
    if os.path.exists(path) and not force:
        raise UserError(f"{path}: exists already; give --force to write over it, or another file")
    return key


def save_motion(path: str | Path, motion: Motion, key: str) -> None:
    """Write a clip in the format with that key: all of it, or nothing.

    Raises:
        UserError: no format with that key can be written, it cannot hold this clip, or the file cannot be
            written.
    """
    writers = {known.key: known.write for known in FORMATS if known.write}
    if key not in writers:
        raise UserError(f"{path}: format '{key}' cannot be written; use one of {', '.join(writers)}")
    writers[key](path, motion)


def _identify(path: Path) -> tuple[Format, Any]:
    """Find the format of a file, and its contents."""
    data = read_bytes(path)
    container = _container(data[:64], path)
    limit = _MAX_BYTES[container]
    if len(data) > limit:
        raise UserError(
            f"{path}: file size is {len(data) / 2**20:.0f} MiB, over the limit of {limit / 2**20:.0f} MiB;"
            " split the clip"
        )
    contents = _READ[container](data, path)
    if container == "pickle" and not isinstance(contents, dict):
        raise UserError(
            f"{path}: pickle holds a {type(contents).__name__}, not a dict; give a MimicKit or GMR clip"
        )
    for known in FORMATS:
        if known.container == container and known.matches(contents, path):
            return known, contents
    fields = ", ".join(quoted(str(name)) for name in list(contents)[:5]) or "none"
    raise UserError(f"{path}: unknown clip format (fields: {fields}); {_known()}")


def _container(head: bytes, path: Path) -> Container:
    """Find what holds the fields of the file `path`, by its first bytes."""
    if head.startswith(_ZIP):
        return "archive"
    if head.startswith(_PICKLE):
        return "pickle"
    if head.startswith(b"HIERARCHY"):
        raise UserError(
            f"{path}: is a BVH recording of a person, not a clip of the robot; make one with"
            " python -m mjx_mimic.motion retarget"
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16 text; save it as UTF-8")
    first = head.removeprefix(_BYTE_ORDER_MARK).split(b"\n")[0]
    if b"," in first and set(first) <= _TEXT:
        return "table"
    raise UserError(f"{path}: unknown clip format (starts with {head[:4]!r}); {_known()}")


def _known() -> str:
    return f"known formats: {', '.join(known.name for known in FORMATS)}"


def _resolve(path: Path) -> Path:
    """Find the bundled clip that a bare name stands for; else keep `path`."""
    if len(path.parts) == 1 and not os.path.isfile(path):
        bundled = paths.motions_dir() / f"{path.name}.npz"
        if os.path.isfile(bundled):
            return bundled
    return path
