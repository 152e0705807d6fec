"""Findings of a check and their severity."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Literal

import polars as pl

Severity = Literal["fatal", "reported"]

FATAL: Final[Severity] = "fatal"
REPORTED: Final[Severity] = "reported"
EXAMPLES: Final = 5  # kept per finding


@dataclasses.dataclass(frozen=True)
class Problem:
    """One kind of finding: severity, number of cases, and a few examples."""

    problem: str
    severity: Severity
    count: int
    examples: list[str]


@dataclasses.dataclass
class Report:
    """Result of :func:`voxtrait.integrity.check`: the findings, and what was checked."""

    manifest: str
    clips: int  # rows of the manifest
    files: int = 0  # number of files opened
    seconds: float = 0.0  # duration of all files, in seconds
    problems: list[Problem] = dataclasses.field(default_factory=list)

    @property
    def fatal(self) -> bool:
        """Whether a finding is fatal, so that the data must be corrected before training."""
        return any(problem.severity == FATAL for problem in self.problems)

    def add(
        self, problem: str, severity: Severity, examples: Sequence[str] | pl.Series, count: int | None = None
    ) -> None:
        """Add a finding, unless it has no cases.

        Args:
            problem: name of the finding.
            severity: ``fatal`` or ``reported``.
            examples: the cases; only the first ``EXAMPLES`` are kept.
            count: number of cases, if ``examples`` does not hold all.
        """
        count = len(examples) if count is None else count
        if count:
            self.problems.append(Problem(problem, severity, count, list(examples[:EXAMPLES])))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per finding, fatal ones first: ``problem``, ``severity``, ``count``, ``examples``."""
        ordered = sorted(self.problems, key=lambda problem: problem.severity != FATAL)
        return [dataclasses.asdict(problem) for problem in ordered]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON-ready values."""
        return {
            "manifest": self.manifest,
            "clips": self.clips,
            "files": self.files,
            "seconds": round(self.seconds, 3),
            "fatal": self.fatal,
            "problems": self.rows(),
        }
