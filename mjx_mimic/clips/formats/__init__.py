"""Clip files of every known format, told apart by their content."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mjx_mimic.clips import sanity
from mjx_mimic.clips.formats import beyondmimic, gmr, locomujoco, mimickit, native, protomotions, unitree
from mjx_mimic.clips.formats.csv_table import read_table
from mjx_mimic.clips.formats.npz import read_arrays
from mjx_mimic.clips.formats.safe_pickle import read_pickle
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import read_bytes

Container = Literal["archive", "pickle", "table"]

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLE = (b"\x80", b"(d", b"}")  # protocols 2 and up; a dict in 0; in 1
_TEXT = frozenset(b"\t\n\r" + bytes(range(32, 127)))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OPEN = {"archive": read_arrays, "pickle": read_pickle, "table": read_table}


@dataclass(frozen=True)
class Format:
    """A kind of clip file.

    Attributes:
        key: its name in options.
        name: its name for people.
        container: what holds the fields.
        matches: whether the fields, in the file at that path, are of this format.
        build: the clip that such fields hold.
        terms: what the format calls the parts of a clip.
        write: writes a clip to a path; None where this program only reads.
    """

    key: str
    name: str
    container: Container
    matches: Callable[[Any, Path], bool]
    build: Callable[[Any, Path], Motion]
    terms: sanity.Terms
    write: Callable[[str | Path, Motion], None] | None = None


FORMATS = (
    Format("native", "mjx_mimic .npz", "archive", native.matches, native.build, native.TERMS, native.write),
    Format(
        "beyondmimic",
        "BeyondMimic .npz (breadth-first)",
        "archive",
        beyondmimic.is_beyondmimic,
        beyondmimic.build,
        beyondmimic.TERMS,
    ),
    Format(
        "mjlab",
        "mjlab .npz (depth-first)",
        "archive",
        beyondmimic.is_mjlab,
        beyondmimic.build,
        beyondmimic.TERMS,
    ),
    Format(
        "locomujoco",
        "LocoMuJoCo .npz",
        "archive",
        locomujoco.matches,
        locomujoco.build,
        locomujoco.TERMS,
    ),
    Format(
        "mimickit",
        "MimicKit .pkl",
        "pickle",
        mimickit.matches,
        mimickit.build,
        mimickit.TERMS,
        mimickit.write,
    ),
    Format("gmr", "GMR .pkl", "pickle", gmr.matches, gmr.build, gmr.TERMS),
    Format("unitree", "Unitree .csv", "table", unitree.matches, unitree.build, unitree.TERMS, unitree.write),
    Format(
        "protomotions",
        "ProtoMotions .csv",
        "table",
        protomotions.matches,
        protomotions.build,
        protomotions.TERMS,
    ),
)
"""All that can be read; the first that matches is it."""


def load_motion(path_or_name: str | Path) -> Motion:
    """Reads a clip file of any known format, or a shipped clip by its bare name, such as "walk".

    An existing file goes before a shipped clip of the same name.

    Raises:
        UserError: no such clip, an unknown format, contents that `make_motion` refuses, or a clip that was
            clearly stored wrongly (see `plausibility`).
    """
    path = _resolve(Path(path_or_name))
    found, contents = _identify(path)
    motion = found.build(contents, path)
    sanity.check(motion, path, found.terms)
    return motion


def detect(path_or_name: str | Path) -> Format:
    """The format of a clip file, or of a shipped clip by its bare name.

    Raises:
        UserError: no such clip, or an unknown format.
    """
    return _identify(_resolve(Path(path_or_name)))[0]


def key_of(path: Path) -> str:
    """The key of the format that a file name's ending stands for when a clip is written.

    Raises:
        UserError: the ending stands for none.
    """
    keys = {".npz": "native", ".pkl": "mimickit", ".csv": "unitree"}
    if path.suffix.lower() not in keys:
        raise UserError(f"{path}: the ending tells no format; end the name in one of {', '.join(keys)}")
    return keys[path.suffix.lower()]


def save_motion(path: str | Path, motion: Motion, key: str) -> None:
    """Writes a clip in the format with that key: all of it, or nothing.

    Raises:
        UserError: no such format to write, it cannot hold this clip, or the file cannot be written.
    """
    writers = {known.key: known.write for known in FORMATS if known.write}
    if key not in writers:
        raise UserError(f"{path}: format '{key}' cannot be written; use one of {', '.join(writers)}")
    writers[key](path, motion)


def _identify(path: Path) -> tuple[Format, Any]:
    """The format of a file, and its contents."""
    container = _container(path)
    contents = _OPEN[container](path)
    if container == "pickle" and not isinstance(contents, dict):
        raise UserError(
            f"{path}: pickle holds a {type(contents).__name__}, not a dict; give a MimicKit or GMR clip"
        )
    for known in FORMATS:
        if known.container == container and known.matches(contents, path):
            return known, contents
    fields = ", ".join(quoted(str(name)) for name in list(contents)[:5]) or "none"
    raise UserError(f"{path}: unknown clip format (fields: {fields}); {_known()}")


def _container(path: Path) -> Container:
    """What holds the fields of a file, by its first bytes."""
    head = read_bytes(path, count=64)
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
    """`path` itself, or the shipped clip that a bare name stands for."""
    if len(path.parts) == 1 and not os.path.isfile(path):
        shipped = paths.motions_dir() / f"{path.name}.npz"
        if os.path.isfile(shipped):
            return shipped
    return path
