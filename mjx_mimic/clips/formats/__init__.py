"""Clip files of every known format, distinguished by their content."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mjx_mimic.clips.formats import (
    base_pose,
    beyondmimic,
    bodies,
    gmr,
    holosoma,
    locomujoco,
    mimickit,
    motion_lib,
    native,
    protomotions,
    unitree,
)
from mjx_mimic.clips.formats.base import AS_IT_SAYS, Container, Format, Reading
from mjx_mimic.clips.formats.checked import motion_of
from mjx_mimic.clips.formats.csv_table import read_table
from mjx_mimic.clips.formats.fields import first_shape
from mjx_mimic.clips.formats.npz import read_arrays
from mjx_mimic.clips.formats.safe_pickle import COMPRESSED, MAX_BYTES, read_pickle
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import MAX_FILE_BYTES, read_bytes

FORMATS = (
    native.FORMAT,
    holosoma.FORMAT,
    bodies.FORMAT,
    beyondmimic.FORMAT,
    base_pose.FORMAT,
    locomujoco.FORMAT,
    mimickit.FORMAT,
    motion_lib.FORMAT,
    gmr.FORMAT,
    protomotions.FORMAT,
    unitree.FORMAT,
)
"""All formats that can be read; a file is of the first one that matches."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLE = (b"\x80", b"(d", b"}", *COMPRESSED)  # protocols 2 and up; a dict in 0; in 1; joblib's
_HDF5 = b"\x89HDF"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_DEPTH = 4  # of dicts of clips in one another
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r")
_READ = {"archive": read_arrays, "pickle": read_pickle, "table": read_table}
_MAX_BYTES = {
    "archive": MAX_FILE_BYTES,
    "pickle": MAX_BYTES,
    "table": 256 * 2**20,  # half a million frames at 15 bytes per number
}


def load_motion(path_or_name: str | Path, reading: Reading = AS_IT_SAYS) -> Motion:
    """Read a clip file of any known format, or a bundled clip by its bare name, such as "walk".

    An existing file takes precedence over a bundled clip of the same name. `FILE#2` or `FILE#NAME` is one
    of the clips of a file that holds several.

    Raises:
        UserError: there is no such clip, its format is unknown, or it cannot be read as one of that format.
            Whether it is fit for training is for `validation` to say.
    """
    path, wanted = _resolve(Path(path_or_name))
    clips, _ = _read(path, wanted, reading)
    if len(clips) > 1:
        names = list(clips)
        shown = ", ".join(map(quoted, names[:5])) + (f" and {len(names) - 5} more" if names[5:] else "")
        raise UserError(f"{path}: holds {len(names)} clips ({shown}); name one of them as {path.name}#1")
    (clip,) = clips.values()
    if isinstance(clip, UserError):
        raise clip
    return clip


def load_all(
    path_or_name: str | Path, reading: Reading = AS_IT_SAYS, skip_bad: bool = False
) -> tuple[dict[str, Motion], Format, list[UserError]]:
    """Read every clip of a file, or the one that `FILE#2` names.

    Args:
        path_or_name: the file, or a bundled clip's name.
        reading: what the file does not say itself.
        skip_bad: leave out the clips of the file that cannot be read.

    Returns:
        The clips, each by what names it on a command line; the format of the file; what is wrong with those
        that are left out.

    Raises:
        UserError: as `load_motion`.
    """
    path, wanted = _resolve(Path(path_or_name))
    clips, known = _read(path, wanted, reading)
    errors = [clip for clip in clips.values() if isinstance(clip, UserError)]
    if errors and not skip_bad:
        raise errors[0]
    motions = {
        f"{path}#{name}" if len(clips) > 1 else str(path_or_name): clip
        for name, clip in clips.items()
        if not isinstance(clip, UserError)
    }
    return motions, known, errors


def _read(path: Path, wanted: str | None, reading: Reading) -> tuple[dict[str, Motion | UserError], Format]:
    """Read the clips of a file, or what is wrong with them, by their names; return the format of the first.

    Where the file holds several and none is `wanted`, all are read.
    """
    parts = _identify(path)
    several = len(parts) > 1
    if wanted is not None:
        names = list(parts)
        number = int(wanted) - 1 if wanted.isdecimal() and len(wanted) < 10 else -1
        name = wanted if wanted in parts else names[number] if 0 <= number < len(names) else None
        if name is None:
            raise UserError(f"{path}: has no clip {quoted(wanted)}; give one from 1 to {len(names)}")
        parts = {name: parts[name]}
    clips: dict[str, Motion | UserError] = {}
    for name, (known, fields) in parts.items():
        place = Path(f"{path}#{name}") if several else path
        try:
            raw = known.build(fields, place)
            if several:
                raw = replace(raw, name=f"{path.stem} {name}")
            clips[name] = motion_of(raw, place, known.terms, reading)
        except UserError as error:
            clips[name] = error
    return clips, next(iter(parts.values()))[0]


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


def check_to_write(path: Path, key: str, fps: float, loop: str) -> None:
    """Raise UserError if the format with that key cannot hold a clip of such frames/s and such a loop."""
    for known in FORMATS:
        if known.key == key and known.check:
            known.check(path, fps, loop, 0.0)


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


def _identify(path: Path) -> dict[str, tuple[Format, Any]]:
    """Find the clips of a file by their names: the format of each, and its fields."""
    data = read_bytes(path)
    kind = _kind(data[:64], path)
    limit = _MAX_BYTES[kind]
    if len(data) > limit:
        raise UserError(
            f"{path}: file size is {len(data) / 2**20:.0f} MiB, over the limit of {limit / 2**20:.0f} MiB;"
            " split the clip"
        )
    contents = _READ[kind](data, path)
    if kind == "pickle" and not isinstance(contents, dict):
        raise UserError(
            f"{path}: pickle holds a {type(contents).__name__}, not a dict; give a MimicKit, GMR or"
            " motion_lib clip"
        )
    container: Container = "table" if kind == "table" else "fields"
    found = _clips_in(contents, container, path, path.stem)
    if not found:
        raise UserError(f"{path}: unknown clip format ({_shown(contents)}); {_nearest(contents, container)}")
    if all(name.isdecimal() for name in found):  # names that are numbers would contradict those from 1
        return {str(number): clip for number, clip in enumerate(found.values(), 1)}
    return found


def _clips_in(
    contents: Any, container: Container, path: Path, name: str, depth: int = 0
) -> dict[str, tuple[Format, Any]]:
    """Find the clips in `contents`, which are one called `name`, or nested dicts and lists of clips."""
    for known in FORMATS:
        if known.container == container and known.matches(contents, path):
            parts = known.split(contents, path) if known.split else {name: contents}
            return {part if len(parts) > 1 else name: (known, fields) for part, fields in parts.items()}
    found: dict[str, tuple[Format, Any]] = {}
    for key, value in contents.items() if isinstance(contents, dict) and depth < _MAX_DEPTH else ():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {str(number): item for number, item in enumerate(value, 1)} if value[1:] else value[0]
        if isinstance(value, dict):
            inner = _clips_in(value, container, path, str(key), depth + 1)
            found |= {
                part if len(inner) == 1 and part not in found else f"{key}/{part}": clip
                for part, clip in inner.items()
            }
    return found


def _shown(contents: Mapping[str, Any]) -> str:
    """Show the first fields of a file and their shapes."""
    shown = []
    for name in list(contents)[:6]:
        try:
            shape = first_shape(contents[name])
        except UserError:  # an array that cannot be unpacked
            shape = ()
        shown.append(quoted(str(name)) + (f" {shape}" if shape else ""))
    return f"fields: {', '.join(shown) or 'none'}" + (f" and {len(contents) - 6} more" * (len(contents) > 6))


def _nearest(contents: Mapping[str, Any], container: Container) -> str:
    """Name the format with the most fields that a file has, and which of its fields are missing."""
    known = [found for found in FORMATS if found.container == container]
    nearest = max(known, key=lambda found: len(set(found.fields) & set(contents)) / len(found.fields))
    if set(nearest.fields).isdisjoint(contents):
        return _known()
    missing = ", ".join(name for name in nearest.fields if name not in contents)
    what = f"{missing} is missing" if missing else "its fields have other shapes"
    return f"the nearest known one is {nearest.name}, but {what}; export all of its fields"


def _kind(head: bytes, path: Path) -> Literal["archive", "pickle", "table"]:
    """Find what holds the fields of the file `path`, by its first bytes."""
    if head.startswith(_ZIP):
        return "archive"
    if head.startswith(_PICKLE):
        return "pickle"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"HIERARCHY"):
        raise UserError(
            f"{path}: is a BVH recording of a person, not a clip of the robot; make one with"
            " python -m mjx_mimic.motion retarget"
        )
    if head.startswith(_LFS_POINTER):
        raise UserError(
            f"{path}: is a Git LFS pointer, which stands for the clip; `git lfs pull` in its repository"
            " fetches that"
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16 text; save it as UTF-8")
    if head.startswith(_HDF5):
        raise UserError(f"{path}: is an HDF5 file, which is not read; save the clip as .npz. {_known()}")
    if head.lstrip().startswith((b"{", b"[", b"<")):
        raise UserError(f"{path}: is JSON, XML or the like, which is not read; {_known()}")
    if not _CONTROL.intersection(head):
        return "table"
    raise UserError(f"{path}: unknown clip format (starts with {head[:16]!r}); {_known()}")


def _known() -> str:
    return f"known formats: {', '.join(known.name for known in FORMATS)}"


def file_and_clip(name: str) -> tuple[str, str | None]:
    """Separate `FILE#2` into file or bundled name and which of its clips is meant; None: it has no number."""
    for place in (index for index, character in enumerate(name) if character == "#"):
        is_known = os.path.isfile(name[:place]) or name[:place] in paths.bundled_clips()
        if is_known and not os.path.exists(name):
            return name[:place], name[place + 1 :]
    return name, None


def _resolve(path: Path) -> tuple[Path, str | None]:
    """Find the file, and which of its clips is meant; a bare name may be a bundled clip's."""
    file, wanted = file_and_clip(str(path))
    path = Path(file)
    if len(path.parts) == 1 and not os.path.isfile(path):
        bundled = paths.motions_dir() / f"{path.name}.npz"
        if os.path.isfile(bundled):
            return bundled, wanted
    return path, wanted
