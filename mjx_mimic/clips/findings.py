"""What a check of a clip finds: a figure against its limits, and the report of all checks."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Result of one check, at its worst place.

    Attributes:
        check: name of the check.
        severity: "ok", "warning" or "error".
        figure: what was measured, in `unit`.
        limit: largest `figure` that is "ok".
        unit: unit of both.
        where: joint, foot or shape; "" for the whole body.
        time: s since the first frame; None for the whole clip.
        share: share of the frames (or steps between them) over the limit.
        remedy: what to do; "" if there is nothing to do.
    """

    check: str
    severity: Severity
    figure: float
    limit: float
    unit: str
    where: str
    time: float | None
    share: float
    remedy: str

    def lines(self) -> list[str]:
        """Format the finding as text: a line for the figure, another one for the remedy if there is one."""
        where = f", {self.where}" if self.where else ""
        if self.time is not None:
            where += f" at {self.time:.3f} s"
        if self.severity != "ok" and self.time is not None:
            where += f", {100 * self.share:.0f}% of the frames over it"
        figure = round(self.figure, 4) + 0.0  # never -0
        text = f"{figure:.3g} {self.unit}, limit {self.limit:g}{where}"
        lines = [f"  {self.severity:8s} {self.check:26s} {text}"]
        if self.remedy:
            lines.append(f"  {'':8s} {'':26s} {self.remedy}")
        return lines


@dataclass(frozen=True)
class Report:
    """The findings of all checks on the clip called `name`.

    Attributes:
        name: name of the clip.
        findings: one for each check.
        touching: bodies that are on the floor with another part than a sole, each with its % of the frames.
    """

    name: str
    findings: tuple[Finding, ...]
    touching: tuple[tuple[str, float], ...] = ()

    def count(self, severity: Severity) -> int:
        """Count the findings of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def fit(self) -> bool:
        """Whether no finding is an error."""
        return self.count("error") == 0

    @property
    def verdict(self) -> str:
        """The result in words."""
        warnings = self.count("warning")
        if not self.fit:
            return "not fit for training"
        return f"usable, {warnings} warning{'s'[: warnings > 1]}" if warnings else "good"

    def first_fault(self) -> Finding | None:
        """Return the first finding that is an error, else the first warning; None if all is well."""
        bad = [finding for finding in self.findings if finding.severity != "ok"]
        return min(bad, key=lambda finding: finding.severity != "error", default=None)

    def lines(self) -> list[str]:
        """Format the report as text: the verdict, then all findings."""
        return [f"{self.name}: {self.verdict}", *(line for found in self.findings for line in found.lines())]

    def as_json(self) -> dict[str, Any]:
        """Convert the report to a JSON object."""
        findings = [asdict(finding) for finding in self.findings]
        return {"name": self.name, "verdict": self.verdict, "fit": self.fit, "findings": findings}


def graded(
    check: str,
    figures: ArrayLike,
    limits: tuple[float, float],
    unit: str,
    remedy: str,
    fps: float | None = None,
    names: tuple[str, ...] = ("",),
) -> Finding:
    """Hold the worst of `figures` (N, len(names)) or (N,) against the limits of a warning and an error."""
    table = np.asarray(figures, np.float64).reshape(-1, len(names))
    row, column = np.unravel_index(np.argmax(table), table.shape)
    figure, (warning, error) = float(table[row, column]), limits
    severity: Severity = "error" if figure > error else "warning" if figure > warning else "ok"
    return Finding(
        check=check,
        severity=severity,
        figure=figure,
        limit=warning,
        unit=unit,
        where=names[column] if figure > 0.0 else "",
        time=float(row / fps) if fps is not None and figure > 0.0 else None,
        share=float(np.mean(np.any(table > warning, axis=1))),
        remedy="" if severity == "ok" else remedy,
    )
