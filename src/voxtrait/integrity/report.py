"""What a check found, and which of it is fatal."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Literal

import polars as pl

Severity = Literal["fatal", "reported"]

FATAL: Final[Severity] = "fatal"
REPORTED: Final[Severity] = "reported"
EXAMPLES: Final = 5  # kept of each problem: enough to start looking, whatever the number


@dataclasses.dataclass(frozen=True)
class Problem:
    """One kind of finding, how often it was met, and a few cases of it."""

    problem: str
    severity: Severity
    count: int
    examples: list[str]


@dataclasses.dataclass
class Report:
    """Everything a check found; see :func:`voxtrait.integrity.check`."""

    manifest: str
    clips: int  # rows of the table
    files: int = 0  # that were opened
    seconds: float = 0.0  # of audio in them
    problems: list[Problem] = dataclasses.field(default_factory=list)

    @property
    def fatal(self) -> bool:
        """Whether anything was found that must not be built upon."""
        return any(problem.severity == FATAL for problem in self.problems)

    def add(
        self, problem: str, severity: Severity, examples: Sequence[str] | pl.Series, count: int | None = None
    ) -> None:
        """Add a finding; nothing found adds nothing.

        Args:
            problem: what was found, in a few words.
            severity: ``fatal`` or ``reported``.
            examples: the cases, of which the first few are kept.
            count: how many there are, where ``examples`` holds only some.
        """
        count = len(examples) if count is None else count
        if count:
            self.problems.append(Problem(problem, severity, count, list(examples[:EXAMPLES])))

    def rows(self) -> list[dict[str, Any]]:
        """Give a row a problem, the fatal ones first: ``problem``, ``severity``, ``count``, ``examples``."""
        ordered = sorted(self.problems, key=lambda problem: problem.severity != FATAL)
        return [dataclasses.asdict(problem) for problem in ordered]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return {
            "manifest": self.manifest,
            "clips": self.clips,
            "files": self.files,
            "seconds": round(self.seconds, 3),
            "fatal": self.fatal,
            "problems": self.rows(),
        }
