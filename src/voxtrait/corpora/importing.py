"""Several corpora → one manifest, and the funnel that says where every row went."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

import polars as pl

from voxtrait import manifest
from voxtrait.corpora import common_voice, detect, spellings
from voxtrait.corpora.source import Rows, Source, is_text
from voxtrait.errors import CorpusError
from voxtrait.labels import GENDERS
from voxtrait.manifest import lookup

Measure: TypeAlias = Callable[[Sequence[str]], Iterable[float | None]]

REPEATED: Final = "repeated clip"
REPEATED_RELEASE: Final = "same clip in another release"
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
        kept: rows in the manifest.
        present: of these, with their file there; ``None`` where nobody looked.
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
    kept: int = 0
    present: int | None = None
    gender: int = 0
    other_gender: int = 0
    age: int = 0
    both: int = 0


@dataclass
class Import:
    """A manifest's table, the funnel of each source, and notes for a person."""

    table: pl.DataFrame
    sources: list[Funnel]
    notes: list[str]

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
        """Say which layouts were recognised, and in how many folders, one line each."""
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

    def to_dict(self) -> dict[str, Any]:
        """Give the funnel as plain values: ``total``, ``sources`` and ``notes``."""
        return {"total": asdict(self.total), "sources": [asdict(one) for one in self.sources], "notes": self.notes}


def import_corpora(
    folders: Sequence[str | os.PathLike[str]],
    *,
    tables: Sequence[str] | None = None,
    tables_only: bool = False,
    measure: Measure | None = None,
) -> Import:
    """Read every corpus in some folders into one manifest.

    Rows without labels stay, and so do rows whose file is absent or broken. Only rows that cannot be read and clips
    that come again are left out: the first source wins, within a source the first table, and then the row with more in
    it, so that the order of a table's rows does not matter.

    Args:
        folders: corpora, or folders that hold corpora.
        tables: the tables to read, for layouts that have several; ``None`` takes the validated ones.
        tables_only: touch no audio: nobody looks which files are there, and ``duration_s`` is only what the tables say.
        measure: absolute paths → length in seconds of each, ``None`` where it cannot be told; :func:`duration_of` one
            by one unless given.

    Returns:
        The manifest, sorted by ``clip_id``, with absolute paths, and its funnel.

    Raises:
        CorpusError: if a folder is in no known layout, a table is no table, or no corpus has any of the tables.
    """
    sources = [source for folder in folders for source in detect.find(folder)]
    names = None if tables is None else [name.strip().removesuffix(".tsv").removesuffix(".csv") for name in tables]
    read = [detect.read(source, names) for source in sources]
    if not any(rows.tables for rows in read):
        raise CorpusError(f"{sources[0].shown} {read[0].notes[0]}")
    funnels = [_start_funnel(source, rows) for source, rows in zip(sources, read, strict=True)]
    table = pl.concat(
        [_locate(at, source, rows.table) for at, (source, rows) in enumerate(zip(sources, read, strict=True))],
        how="diagonal",
    )
    notes = _notes(sources, read)
    del read
    table = _without_repeats(_with_clip_id(table), funnels)
    table = _with_labels(table)
    if not tables_only:
        table = _with_durations(_with_present(table), measure or (lambda paths: map(duration_of, paths)))
    _count(table, funnels)
    table = manifest.conform(table.drop("_source", "table_rank", "_present", strict=False))
    return Import(table.sort("clip_id"), funnels, notes)


def duration_of(path: str) -> float | None:
    """Read a file's length in seconds from its header; ``None`` where it has none that can be read."""
    import soundfile

    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return None
    return info.frames / info.samplerate if info.frames > 0 and info.samplerate > 0 else None


def _start_funnel(source: Source, rows: Rows) -> Funnel:
    dropped = {reason: count for reason, count in rows.dropped.items() if count}
    total = rows.table.height + sum(dropped.values())
    parts = (source.corpus, source.release, source.locale)
    return Funnel(source.shown, source.layout, *parts, tables=rows.tables, rows=total, dropped=dropped)


def _notes(sources: Sequence[Source], read: Sequence[Rows]) -> list[str]:
    return [f"{source.shown} {note}" for source, rows in zip(sources, read, strict=True) for note in rows.notes]


def _locate(at: int, source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    file = pl.col("file")
    base = source.base.as_posix().rstrip("/")
    named = {"corpus": pl.lit(source.corpus), "release": pl.lit(source.release, pl.String)}
    return rows.with_columns(
        pl.lit(at, pl.Int32).alias("_source"),
        pl.when(file.str.starts_with("/")).then(file).otherwise(pl.lit(f"{base}/") + file).alias("path"),
        *(pl.coalesce(name, value) if name in rows.columns else value.alias(name) for name, value in named.items()),
    ).drop("file")


def _with_clip_id(table: pl.DataFrame) -> pl.DataFrame:
    parts = [pl.col(name).fill_null("-") for name in ("corpus", "release", "locale")]
    made = pl.concat_str(*parts, "stem", separator="/").alias("clip_id")
    return table.with_columns(pl.coalesce("clip_id", made) if "clip_id" in table.columns else made)


def _without_repeats(table: pl.DataFrame, funnels: list[Funnel]) -> pl.DataFrame:
    """Keep the first of each clip, and count the others by source and reason.

    Common Voice numbers its clips once for all releases, so there the same locale and file name are the same clip.
    """
    is_numbered = (pl.col("corpus") == "common-voice") & pl.col("stem").str.contains(common_voice.NUMBERED)
    across = pl.concat_str(pl.col("locale").fill_null("-"), "stem", separator="/")
    key = pl.when(is_numbered).then(across).otherwise(pl.col("clip_id"))
    if table.select(key.hash().n_unique()).item() == table.height:  # no two alike, as nearly always
        return table.drop("stem")
    table = table.with_columns(_key=key)
    repeated = pl.col("_key").is_duplicated()
    again = table.filter(repeated)
    rest = sorted(set(table.columns) - {"_key", "_source", "table_rank"})
    again = again.sort("_key", "_source", "table_rank", *rest, nulls_last=True, maintain_order=True)
    first = again.unique("_key", keep="first", maintain_order=True)
    others = again.filter(~pl.col("_key").is_first_distinct()).select("_key", "clip_id", "_source")
    others = others.join(first.select("_key", first_id="clip_id"), on="_key", how="left")
    reason = pl.when(pl.col("clip_id") == pl.col("first_id")).then(pl.lit(REPEATED)).otherwise(pl.lit(REPEATED_RELEASE))
    for source, why, count in others.group_by("_source", reason.alias("why")).len().sort("_source", "why").iter_rows():
        funnels[source].dropped[why] = count
    return pl.concat([table.filter(~repeated), first]).drop("_key", "stem")


def _with_labels(table: pl.DataFrame) -> pl.DataFrame:
    """Translate the labels; an age that is neither a decade nor years of a person stays as the extra column ``age``."""
    group = spellings.age_group("age")
    unread = pl.when(group.is_null() & (pl.col("age").str.strip_chars() != "")).then(pl.col("age"))
    table = table.with_columns(
        spellings.gender("gender"), age_group=group, age_years=spellings.age_years("age"), age=unread
    )
    return table if table["age"].count() else table.drop("age")


def _with_present(table: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows whose file is there, listing each folder once: a stat a clip takes minutes on a network disk."""
    folders = table["path"].str.replace(r"/[^/]*$", "").unique().to_list()
    listed = [pl.Series("path", _files_in(folder), pl.String) for folder in folders]
    there = (
        pl.concat(listed).to_frame().with_columns(_present=pl.lit(True))
        if listed
        else pl.DataFrame(schema={"path": pl.String, "_present": pl.Boolean})
    )
    return table.with_columns(lookup(table, there, "path", "_present").fill_null(False))


def _files_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder or "/") as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except (OSError, ValueError):
        return []
    return [f"{folder}/{name}" for name in names if is_text(name)]


def _with_durations(table: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    wanted = table.filter(pl.col("_present") & pl.col("duration_s").is_null())["path"]
    if not wanted.len():
        return table
    known = pl.DataFrame({"path": wanted, "_measured": pl.Series(list(measure(wanted.to_list())), dtype=pl.Float64)})
    measured = lookup(table, known.unique("path"), "path", "_measured")
    return table.with_columns(pl.col("duration_s").fill_null(measured))


def _count(table: pl.DataFrame, funnels: list[Funnel]) -> None:
    binary = pl.col("gender").is_in(GENDERS).fill_null(False)
    aged = pl.col("age_group").is_not_null()
    counts = table.group_by("_source").agg(
        kept=pl.len(),
        gender=binary.sum(),
        other_gender=(pl.col("gender").is_not_null() & ~binary).sum(),
        age=aged.sum(),
        both=(binary & aged).sum(),
        **({"present": pl.col("_present").sum()} if "_present" in table.columns else {}),
    )
    for row in counts.iter_rows(named=True):
        funnel = funnels[row.pop("_source")]
        for name, value in row.items():
            setattr(funnel, name, value)
    if "_present" in table.columns:
        for funnel in funnels:
            funnel.present = funnel.present or 0
