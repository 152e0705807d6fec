"""Result of an import: the table, and the funnel that counts what became of the rows."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.corpora.delimited import NOT_UTF8
from voxtrait.corpora.source import UNREADABLE
from voxtrait.manifest.funnel import Step

EXAMPLES: Final = 5  # kept of each reason
COUNTS: Final = ("present", "gender", "other_gender", "age", "both")


@dataclass
class Funnel:
    """Where the rows of one source went: ``rows`` is ``kept`` and all of ``dropped``; the other counts are of the rows
    kept.

    Attributes:
        source: the folder, or ``total``.
        layout: name of the layout.
        corpus: first part of the clip ids; release and locale are the next two.
        tables: the tables that were read.
        rows: lines of the tables.
        dropped: reason → rows.
        examples: reason → the first few of these, such as ``validated.tsv:17``, where it is known.
        reasons: why rows could not be read, such as ``not UTF-8`` → rows, where it is known.
        kept: rows in the manifest.
        present: of these, with their file there; ``None`` where that was not checked.
        gender: of these, female or male.
        other_gender: with another self-description.
        age: with an age group.
        both: female or male, and with an age group.
    """

    source: str
    layout: str
    corpus: str | None = None
    release: str | None = None
    locale: str | None = None
    tables: list[str] = field(default_factory=list)
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    present: int | None = None
    gender: int = 0
    other_gender: int = 0
    age: int = 0
    both: int = 0


@dataclass
class Import:
    """A manifest's table, the funnel of each source, notes for a person, what a person's decisions removed, and what
    could not be read at all."""

    table: pl.DataFrame
    sources: list[Funnel]
    notes: list[str]
    decided: dict[str, int] = field(default_factory=dict)  # reason → rows
    failures: list[str] = field(default_factory=list)  # what was got, what was expected, and what to do

    @property
    def total(self) -> Funnel:
        """The funnels of all sources, added up."""
        total = Funnel("total", ", ".join(dict.fromkeys(one.layout for one in self.sources)))
        for one in self.sources:
            total.rows += one.rows
            total.kept += one.kept
            for reason, count in one.dropped.items():
                total.dropped[reason] = total.dropped.get(reason, 0) + count
            for name in COUNTS:
                value = getattr(one, name)
                setattr(total, name, None if value is None else (getattr(total, name) or 0) + value)
        return total

    def layouts(self) -> list[str]:
        """List the layouts that were recognised, and in how many folders, one line each."""
        counts = Counter(one.layout for one in self.sources)
        folder = {one.layout: one.source for one in self.sources}
        return [f"layout {name}: {folder[name] if n == 1 else f'{n} folders'}" for name, n in counts.items()]

    def rows(self) -> list[dict[str, Any]]:
        """Give the funnel as a table for reading: a row a source, and the total last."""
        out = []
        for one in [*self.sources, self.total]:
            parts = [part for part in (one.corpus, one.release, one.locale) if part]
            numbers = {"rows": one.rows, "dropped": sum(one.dropped.values()), "kept": one.kept}
            out.append(
                {"source": "/".join(parts) or one.source, **numbers, **{name: getattr(one, name) for name in COUNTS}}
            )
        return out

    def why_empty(self) -> str:
        """Return why there are no rows: what was dropped, where and why."""
        said = []
        for one in self.sources:
            for reason, count in one.dropped.items():
                why = f" ({', '.join(one.reasons)})" if reason == UNREADABLE and len(one.reasons) <= EXAMPLES else ""
                home = Path(one.source) if Path(one.source).is_dir() else Path(one.source).parent
                places = [str(home / case) for case in one.examples.get(reason, [])[:EXAMPLES]]
                more = ", …" if count > len(places) else ""
                where = f": {', '.join(places)}{more}" if places else ""
                said.append(f"{count} {reason}{'s' if count > 1 and reason == UNREADABLE else ''}{why}{where}")
        if not said:
            return "the tables are empty"
        if any(NOT_UTF8 in one.reasons for one in self.sources):
            said.append("save the tables as UTF-8 text and import them again")
        return "; ".join(said)

    def steps(self) -> list[Step]:
        """Give what became of the rows as the first steps of the manifest's funnel."""
        steps = [Step("import", self.total.rows, self.total.dropped)]
        return [*steps, Step("decisions", steps[0].kept, self.decided)] if self.decided else steps

    def to_dict(self) -> dict[str, Any]:
        """Return the funnel as plain values: ``total``, ``sources``, ``notes``, ``failures``, and ``decided`` if
        there are decisions."""
        found = {"total": asdict(self.total), "sources": [asdict(one) for one in self.sources]}
        found |= {"notes": self.notes, "failures": self.failures}
        return found | ({"decided": self.decided} if self.decided else {})
