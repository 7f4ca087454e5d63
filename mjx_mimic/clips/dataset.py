"""Sets of clips: files, bundled names, folders, patterns, and YAML lists with weights."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, bare, quoted
from mjx_mimic.common.files import read_yaml
from mjx_mimic.common.search import matching, upwards

SUFFIXES = (".npz", ".pkl", ".csv")
"""Endings that are searched for in a folder; the contents decide the format."""
MAX_WEIGHT = 1e6
"""Of a clip in a YAML list."""
_LISTS = (".yaml", ".yml")


@dataclass(frozen=True)
class Clips:
    """The clips that a policy is trained on; `weights` say how often, relative to each other."""

    motions: tuple[Motion, ...]
    weights: tuple[float, ...]


def load_clips(entries: Sequence[str], weights: Sequence[float] = ()) -> Clips:
    """Read all clips that `entries` stand for, in their order.

    Args:
        entries: each a clip's file, the name of a bundled clip, a folder (searched with all its subfolders,
            in the order of the names), a pattern with `*`, `?`, `[]` (`**` for any folders), or a YAML list.
        weights: weight of each clip of an entry, multiplied by its weight in a YAML list; empty: 1.

    Raises:
        UserError: an entry stands for no clip, or one of its clips cannot be read.
    """
    found = [
        (file, weight * share)
        for entry, weight in zip(entries, weights or [1.0] * len(entries), strict=True)
        for file, share in _files(entry)
    ]
    if sum(weight for _, weight in found) <= 0:
        raise UserError(f"{bare(', '.join(entries))}: all weights are 0; give one clip a weight over 0")
    return Clips(tuple(load_motion(file) for file, _ in found), tuple(weight for _, weight in found))


def _files(entry: str) -> list[tuple[str, float]]:
    """List the files or bundled names that an entry stands for, with their weights in it."""
    path = Path(entry)
    if path.suffix.lower() in _LISTS:
        return _listed(path)
    if os.path.isdir(path) and entry not in paths.bundled_clips():
        below = matching(os.path.join(glob.escape(entry), "**"))
        files = [file for file in below if Path(file).suffix.lower() in SUFFIXES]
        remedy = f"no clip ({', '.join(SUFFIXES)}) in this folder; name another"
    elif glob.has_magic(entry) and not os.path.exists(path):
        files = matching(entry)
        remedy = "no file matches this pattern; mend it"
    else:
        return [(entry, 1.0)]
    if not files:
        raise UserError(f"{entry}: {remedy}")
    return [(file, 1.0) for file in files]


def _listed(path: Path) -> list[tuple[str, float]]:
    """List the clips of a YAML list, `motions: [{file: ..., weight: ...}, ...]` (MimicKit `MotionLib`).

    A relative file is looked for beside the list, then in the folders above it (in MimicKit it is relative to
    the repository's root), and in the working folder.
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
        unknown = sorted(map(str, set(item) - {"file", "weight"}))
        if unknown:
            raise UserError(f"{field}' has unknown {quoted(unknown[0])}; known here: file, weight")
        weight = item.get("weight", 1.0)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= MAX_WEIGHT:
            raise UserError(f"{field}.weight' is {bare(repr(weight))}; use a number from 0 to {MAX_WEIGHT:g}")
        if Path(item["file"]).suffix.lower() in _LISTS:
            raise UserError(f"{field}.file' is a list itself; name its clips here")
        beside, above = str(path.parent / item["file"]), upwards(item["file"], path.parent)
        entry = beside if os.path.exists(beside) or matching(beside) else str(above or item["file"])
        found += [(file, weight * share) for file, share in _files(entry)]
    return found
