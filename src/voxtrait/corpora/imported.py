"""Result of an import: the manifest, and a funnel that counts rows kept and dropped."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.corpora.delimited import NOT_UTF8
from voxtrait.corpora.source import UNREADABLE
from voxtrait.errors import counted
from voxtrait.manifest.funnel import Step

EXAMPLES: Final = 5  # kept per reason
COUNTS: Final = ("present", "gender", "other_gender", "age", "both")


@dataclass
class Funnel:
    """Counts of the rows of one source: ``rows`` is the sum of ``kept`` and ``dropped``.

    Attributes:
        source: the folder or file, or ``total``.
        layout: name of the layout.
        corpus: first part of the clip ids.
        release: second part of the clip ids; ``None`` if the corpus has no releases.
        locale: third part of the clip ids; ``None`` if the rows have their own locales, or none.
        tables: names of the tables read.
        rows: number of rows in the tables.
        dropped: reason → number of rows dropped.
        examples: reason → the first few rows dropped, such as ``validated.tsv:17``, if known.
        reasons: reason why rows are unreadable, such as ``not UTF-8`` → number of rows, if known.
        kept: number of rows in the manifest.
        present: number of kept rows whose file exists; ``None`` if files were not checked.
        gender: number of kept rows with gender female or male.
        other_gender: number of kept rows with another self-description.
        age: number of kept rows with an age group.
        both: number of kept rows with gender female or male, and with an age group.
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
    """Result of :func:`voxtrait.corpora.import_corpora`.

    Attributes:
        table: the manifest.
        sources: the funnel of each source.
        notes: notes for the user.
        decided: reason → number of rows that decisions removed.
        failures: one message for each source, table or folder that could not be read.
    """

    table: pl.DataFrame
    sources: list[Funnel]
    notes: list[str]
    decided: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> Funnel:
        """The sum of the funnels of all sources."""
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
        """Return one line per recognised layout, with its folder or the number of folders."""
        counts = Counter(one.layout for one in self.sources)
        folder = {one.layout: one.source for one in self.sources}
        return [f"layout {name}: {folder[name] if n == 1 else f'{n} folders'}" for name, n in counts.items()]

    def rows(self) -> list[dict[str, Any]]:
        """Return the funnel as table rows: one per source, then the total."""
        out = []
        for one in [*self.sources, self.total]:
            parts = [part for part in (one.corpus, one.release, one.locale) if part]
            numbers = {"rows": one.rows, "dropped": sum(one.dropped.values()), "kept": one.kept}
            out.append(
                {"source": "/".join(parts) or one.source, **numbers, **{name: getattr(one, name) for name in COUNTS}}
            )
        return out

    def why_empty(self) -> str:
        """Return why there are no rows: the number of rows dropped by reason, and where they are."""
        said = []
        for one in self.sources:
            for reason, count in one.dropped.items():
                why = f": {', '.join(one.reasons)}" if reason == UNREADABLE and len(one.reasons) <= EXAMPLES else ""
                home = Path(one.source) if Path(one.source).is_dir() else Path(one.source).parent
                places = [str(home / case) for case in one.examples.get(reason, [])[:EXAMPLES]]
                more = ", …" if count > len(places) else ""
                where = f": {', '.join(places)}{more}" if places else ""
                said.append(f"{counted(count, 'row')} dropped ({reason}{why}){where}")
        if not said:
            return "the tables have no rows"
        if any(NOT_UTF8 in one.reasons for one in self.sources):
            said.append("save the tables as UTF-8 text, and import them again")
        return "; ".join(said)

    def steps(self) -> list[Step]:
        """Return the first steps of the manifest's funnel."""
        steps = [Step("import", self.total.rows, self.total.dropped)]
        return [*steps, Step("decisions", steps[0].kept, self.decided)] if self.decided else steps

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: ``total``, ``sources``, ``notes``, ``failures``, and ``decided`` if not empty."""
        found = {"total": asdict(self.total), "sources": [asdict(one) for one in self.sources]}
        found |= {"notes": self.notes, "failures": self.failures}
        return found | ({"decided": self.decided} if self.decided else {})
