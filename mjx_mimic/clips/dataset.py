"""Sets of clips: files, bundled names, folders, patterns, and YAML lists with weights."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mjx_mimic.clips.formats import file_and_clip, load_all
from mjx_mimic.clips.formats.base import Format, Reading
from mjx_mimic.clips.motion import Motion, frame_rate
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, bare, quoted
from mjx_mimic.common.files import read_yaml
from mjx_mimic.common.search import matching

SUFFIXES = (".npz", ".pkl", ".csv")
"""Endings that are searched for in a folder; the contents decide the format."""
MAX_WEIGHT = 1e6
"""Of a clip in a YAML list."""
_LISTS = (".yaml", ".yml")


@dataclass(frozen=True)
class Clips:
    """The clips that a policy is trained on.

    Attributes:
        motions: the clips.
        weights: how often each is trained on, relative to the others.
        files: the file or bundled name of each, as `FILE#NAME` where the file holds several, for messages;
            empty: unknown.
        formats: the format of each one's file.
        left_out: what is wrong with each clip that could not be read.
    """

    motions: tuple[Motion, ...]
    weights: tuple[float, ...]
    files: tuple[str, ...] = ()
    formats: tuple[Format, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Listed:
    """A file or a bundled name, its weight, and its frame rate if the list states it."""

    file: str
    weight: float = 1.0
    source_fps: float | None = None


def load_clips(entries: Sequence[str], weights: Sequence[float] = (), skip_bad: bool = False) -> Clips:
    """Read all clips that `entries` stand for, in their order.

    Args:
        entries: each a clip's file, the name of a bundled clip, a folder (searched with all its subfolders,
            in the order of the names), a pattern with `*`, `?`, `[]` (`**` for any folders), or a YAML list.
        weights: weight of each clip of an entry, multiplied by its weight in a YAML list; empty: 1.
        skip_bad: leave clips out that cannot be read, as long as one can.

    A file that holds several clips stands for all of them, which share its weight. Clips of the same name are
    numbered.

    Raises:
        UserError: an entry stands for no clip, or one of its clips cannot be read.
    """
    found = [
        replace(listed, weight=weight * listed.weight)
        for entry, weight in zip(entries, weights or [1.0] * len(entries), strict=True)
        for listed in _files(entry)
    ]
    motions: list[Motion] = []
    shares: list[float] = []
    files: list[str] = []
    formats: list[Format] = []
    left_out: list[UserError] = []
    for listed in found:
        try:
            read, known, bad = load_all(listed.file, Reading(source_fps=listed.source_fps), skip_bad)
        except UserError as error:
            if not skip_bad:
                raise
            left_out.append(error)
            continue
        motions += read.values()
        shares += [listed.weight / len(read) for _ in read]
        files += read
        formats += [known for _ in read]
        left_out += bad
    if left_out and not motions:
        raise left_out[-1]
    if sum(shares) <= 0:
        which = " of what can be read" * bool(left_out)
        shown = bare(", ".join(entries))
        raise UserError(f"{shown}: all weights are 0{which}; give one clip a weight over 0")
    reasons = tuple(map(str, left_out))
    return Clips(told_apart(motions), tuple(shares), tuple(files), tuple(formats), reasons)


def told_apart(motions: Sequence[Motion]) -> tuple[Motion, ...]:
    """Number the clips of the same name, past numbers that another clip's own name has."""
    counts = Counter(motion.name for motion in motions)
    numbers = {name: itertools.count(1) for name in counts}

    def numbered(name: str) -> str:
        return next(new for number in numbers[name] if (new := f"{name} {number}") not in counts)

    return tuple(
        replace(motion, name=numbered(motion.name)) if counts[motion.name] > 1 else motion
        for motion in motions
    )


def _files(entry: str) -> list[_Listed]:
    """List the files or bundled names that an entry stands for, with their weights in it."""
    if not entry:
        raise UserError(
            "the name of a clip is empty; give a file, a folder, a pattern, a list or a bundled clip"
        )
    path = Path(entry)
    if path.suffix.lower() in _LISTS:
        return _listed(path)
    if os.path.isdir(path) and entry not in paths.bundled_clips():
        below = matching(os.path.join(glob.escape(entry), "**"))
        files = [file for file in below if Path(file).suffix.lower() in SUFFIXES]
        remedy = f"no clip ({', '.join(SUFFIXES)}) in this folder; name another"
    elif glob.has_magic(entry) and not os.path.exists(file_and_clip(entry)[0]):
        files = matching(entry)
        remedy = "no file matches this pattern; mend it"
    elif entry.endswith(os.sep):
        raise UserError(f"{entry}: no such folder; check the path")
    else:
        return [_Listed(entry)]
    if not files:
        raise UserError(f"{entry}: {remedy}")
    return [_Listed(file) for file in files]


def _listed(path: Path) -> list[_Listed]:
    r"""List the clips of a YAML list, `motions: [{file: ..., weight: ...}, ...]` (MimicKit `MotionLib`).

    A relative file is looked for beside the list, then in the folders above it (in MimicKit it is relative to
    the repository's root), and in the working folder; where there is none, with "/" for "\".
    """
    contents = read_yaml(path)
    motions = contents.get("motions") if isinstance(contents, Mapping) else None
    if not isinstance(motions, list) or not motions:
        raise UserError(f"{path}: field 'motions' is missing or empty; list clips as '- file: ...' below it")
    found = []
    for index, item in enumerate(motions):
        field = f"{path}: field 'motions[{index}]"
        if not isinstance(item, Mapping) or not isinstance(item.get("file"), str):
            raise UserError(f"{field}.file' is missing; write '- file: PATH'")
        if not item["file"]:
            raise UserError(f"{field}.file' is empty; write '- file: PATH'")
        unknown = sorted(map(str, set(item) - {"file", "weight", "source_fps"}))
        if unknown:
            raise UserError(
                f"{field}' has unknown {quoted(unknown[0])}; known here: file, weight, source_fps"
            )
        weight = item.get("weight", 1.0)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= MAX_WEIGHT:
            raise UserError(f"{field}.weight' is {bare(repr(weight))}; use a number from 0 to {MAX_WEIGHT:g}")
        fps = item.get("source_fps")
        if fps is not None:
            fps = frame_rate(fps, f"{field}.source_fps'")
        if Path(item["file"]).suffix.lower() in _LISTS:
            raise UserError(f"{field}.file' is a list itself; name its clips here")
        name = os.fsdecode(item["file"].encode("utf-8", "surrogatepass"))  # under any locale
        entry = _found(name, path.parent) or _found(name.replace("\\", "/"), path.parent)
        found += [_Listed(listed.file, weight * listed.weight, fps) for listed in _files(entry or name)]
    return found


def _found(name: str, folder: Path) -> str | None:
    """Find what a list in `folder` calls `name`: beside it, in the folders above, or here.

    A bundled clip goes before a folder of its name. What begins with a wildcard is not looked for above.
    """
    beside_only = glob.has_magic(name.partition("/")[0])
    is_there = os.path.isfile if name in paths.bundled_clips() else os.path.exists
    for above in (folder, *folder.resolve().parents, Path()):
        # A `Path` of the name would lose the "/" at its end or the "./" before it, which mean a folder.
        beside = "" if above == Path() else str(above)
        entry, pattern = os.path.join(beside, name), os.path.join(glob.escape(beside), name)
        if is_there(file_and_clip(entry)[0]):
            return entry
        if (above == folder or not beside_only) and matching(pattern):
            return pattern
    return None
