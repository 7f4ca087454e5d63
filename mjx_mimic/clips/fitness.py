"""What a training says about its clips before it starts: a warning per clip, or why one is not fit for it.

The checks are those of `validation`. Their results are kept in a file of the user's cache by the clip's
digest, so that a thousand clips are checked once.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.findings import Finding, Report
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.validation import FLOOR_CONTACT, validate
from mjx_mimic.common.errors import RunFailure, UserError
from mjx_mimic.common.files import cache_folder, replacing
from mjx_mimic.common.paths import assets_dir
from mjx_mimic.robot import constants
from mjx_mimic.robot.constants import ALL_BODIES

MAX_LINES = 20
"""Clips with warnings that are named; the others are counted."""
MAX_CACHED = 20_000
"""Reports that are kept in the cache."""


def require_fit(clips: Clips, ground_bodies: Sequence[str], trust: bool = False) -> list[str]:
    """Check all clips for a training.

    Args:
        clips: what is trained on.
        ground_bodies: bodies that may be on the floor without ending an episode; `ALL_BODIES`: every body.
        trust: train also on clips that are not fit for it; their errors are printed as warnings.

    Returns:
        A line for each clip that has warnings.

    Raises:
        UserError: a clip is not fit for training, with the reason and the remedy.
    """
    lines = []
    files = clips.files or tuple(motion.name for motion in clips.motions)
    for file, report in zip(files, _reports(clips.motions), strict=True):
        findings = _for_training(report, ground_bodies)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors and not trust:
            raise UserError(f"{file}: not fit for training: {_line(errors)}; train --trust insists on it")
        if findings:
            lines.append(f"warning: {file}: {_line(errors or findings)}")
    more = len(lines) - MAX_LINES
    return lines[:MAX_LINES] + [f"warning: {more} more clips have warnings (motion validate)"] * (more > 0)


def _line(findings: Sequence[Finding]) -> str:
    """Put the first of the findings into a line, with its remedy, and count the others."""
    first, others = findings[0], len(findings) - 1
    where = f", {first.where}" * bool(first.where)
    if first.time is not None:
        where += f" at {first.time:.2f} s"
    more = f"; {others} more by motion validate" if others else ""
    return f"{first.check} {first.figure:.3g} {first.unit}{where}; {first.remedy}{more}"


def _for_training(report: Report, ground_bodies: Sequence[str]) -> list[Finding]:
    """Keep what is wrong with a clip for bodies that may be on the floor.

    Errors come first, then who may not be on the floor: the settings of the training decide that, so nobody
    has seen it before.
    """
    blocked = 0.0
    if tuple(ground_bodies) != ALL_BODIES:
        blocked = max((share for body, share in report.touching if body not in ground_bodies), default=0.0)
    found = []
    for finding in report.findings:
        if finding.check == FLOOR_CONTACT and blocked >= 100.0:
            remedy = f"every episode would end at once: {finding.remedy}"
            found.append(replace(finding, severity="error", remedy=remedy))
        elif finding.severity != "ok" and (finding.check != FLOOR_CONTACT or blocked > 0.0):
            found.append(finding)
    return sorted(found, key=lambda f: (f.severity != "error", f.check != FLOOR_CONTACT))


def _reports(motions: Sequence[Motion]) -> list[Report]:
    """Validate clips, or take their reports from the cache."""
    cache = _cache_file()
    known = _read(cache)
    before = len(known)
    reports = []
    for motion in motions:
        key = f"{motion.digest} {_version()}"
        report = _report(motion.name, known.get(key))
        if report is None:
            report = validate(motion)
            known[key] = {"findings": [asdict(f) for f in report.findings], "touching": report.touching}
        reports.append(report)
    if len(known) > before:
        _write(cache, known)
    return reports


def _report(name: str, stored: object) -> Report | None:
    """Make a report of what the cache holds; None if it holds no report."""
    try:
        findings = tuple(Finding(**finding) for finding in stored["findings"])  # type: ignore[index]
        touching = tuple((str(body), float(share)) for body, share in stored["touching"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None
    return Report(name, findings, touching)


def _cache_file() -> Path:
    return cache_folder() / "verdicts.json"


@functools.cache
def _version() -> str:
    """Identify the checks, by all that may decide them: what others have found is not used."""
    packages = Path(__file__).parent, Path(constants.__file__).parent
    files = [*packages[0].glob("*.py"), *packages[1].glob("*.py"), *(assets_dir() / "g1").glob("*.xml")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


def _read(cache: Path) -> dict[str, object]:
    try:
        known = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(cache: Path, known: dict[str, object]) -> None:
    """Write the newest reports; a cache that cannot be written is none."""
    kept = dict(list(known.items())[-MAX_CACHED:])
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with replacing(cache) as file:
            file.write(json.dumps(kept).encode())
    except (OSError, UserError, RunFailure):
        return
