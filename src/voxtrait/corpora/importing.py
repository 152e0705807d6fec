"""Imports one or more corpora into one manifest, and counts the rows kept and dropped."""

import os
import posixpath
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from voxtrait import audio, manifest, storage
from voxtrait.corpora import archives, detect, finding, spellings
from voxtrait.corpora import decisions as decision_files
from voxtrait.corpora.archives import Archive
from voxtrait.corpora.imported import EXAMPLES, Funnel, Import
from voxtrait.corpora.layouts import common_voice, hugging_face, spontaneous
from voxtrait.corpora.source import Rows, Source
from voxtrait.errors import CorpusError, counted, shortened
from voxtrait.labels import GENDERS
from voxtrait.manifest.table import lookup

Measure: TypeAlias = Callable[[Sequence[str]], Iterable[float | None]]

OUTSIDE: Final = "file outside the corpus"
REPEATED: Final = "repeated clip"
REPEATED_RELEASE: Final = "same clip in another release"


def import_corpora(
    sources: Sequence[str | os.PathLike[str]],
    *,
    tables: Sequence[str] | None = None,
    tables_only: bool = False,
    decisions: str | os.PathLike[str] | None = None,
    extract: str | os.PathLike[str] | None = None,
    measure: Measure | None = None,
    label: str | None = None,
) -> Import:
    """Import all corpora in folders, files and archives into one manifest.

    Only unreadable rows, repeated clips, and rows that decisions remove are dropped. Rows without labels, and rows
    whose file is missing or broken, are kept. Of repeated clips, that of the first source wins; within a source, that
    of the first table, then the row with more values. The order of the rows in a table does not matter.

    Args:
        sources: corpora, folders that contain corpora, single files, and archives of Common Voice.
        tables: names of the tables to read, for layouts with several; ``None`` takes the validated ones.
        tables_only: open no audio; the existence of files is not checked, and ``duration_s`` comes only from tables.
        decisions: a file of decisions to apply: see ``voxtrait.corpora.decisions``.
        extract: a folder to which audio inside the tables of a source is written; ``None`` writes no audio.
        measure: function from absolute paths to durations in seconds, ``None`` if unknown; the default is
            ``duration_of``.
        label: shown before the progress lines on standard error; ``None`` shows no progress.

    Returns:
        The manifest, sorted by ``clip_id``, with absolute paths, and its funnel.

    Raises:
        CorpusError: if a source is in no known layout, no corpus can be read, or no corpus has one of the tables. If
            some corpora can be read, the errors of the others are in ``failures``.
    """
    names = None if tables is None else [name.strip().removesuffix(".tsv").removesuffix(".csv") for name in tables]
    decided = None if decisions is None else decision_files.read(decisions)  # before any work is done
    found: list[tuple[Source, Rows]] = []
    listed: list[pl.Series] = []
    errors: list[CorpusError] = []
    closed: list[str] = []
    for path in sources:
        if archives.is_archive(path):
            with archives.opened(path, label=label and f"{label} {Path(path).name}") as archive:
                for source in detect.find(archive.tables, name=path):
                    _attempt(partial(_read_archived, source, archive, names), found, errors)
                listed.append(f"{storage.text_of(archive.home.as_posix())}/" + archive.clips["file"])
        else:
            for source in detect.find(path, closed=closed):
                _attempt(partial(_read, source, names, extract, label), found, errors)
    if not found:
        raise errors[0]
    if not any(rows.tables for _, rows in found):
        raise CorpusError(f"{found[0][0].shown} {(found[0][1].notes or ['has no rows'])[0]}")
    failures = [*closed, *map(str, errors), *(failure for _, rows in found for failure in rows.failures)]
    funnels = [_start_funnel(source, rows) for source, rows in found]
    table = pl.concat([_locate(at, source, rows.table) for at, (source, rows) in enumerate(found)], how="diagonal")
    notes = [f"{source.shown} {note}" for source, rows in found for note in rows.notes]
    sources_ = [source for source, _ in found]
    del found
    table = _with_labels(_without_repeats(_with_clip_id(table), funnels, failures))
    if "age" in table.columns:
        odd = table["age"].drop_nulls()
        shown = ", ".join(map(repr, odd.unique().sort().head(EXAMPLES)))
        clips = counted(len(odd), "clip has", "clips have")
        notes.append(f"{clips} an age that is neither a decade nor a number of years: {shown}")
    if not tables_only:
        table, respelled = finding.marked(table, listed)
        for at, ways in sorted(respelled.items()):
            notes += [_respelling(sources_[at], one) for one in ways]
        table = _with_durations(table, measure or (lambda paths: map(duration_of, paths)))
    _count(table, funnels)
    notes += [*_without_files(table, sources_, funnels)]
    table = manifest.conform(table.drop("_source", "table_rank", "_present", "_on_disk", strict=False))
    dropped: dict[str, int] = {}
    if decided is not None:
        applied = decision_files.apply(table, decided)
        table, dropped = applied.table, applied.dropped
        notes += [f"{os.fspath(decisions or '')}: {_effect(what, n)}" for what, n in applied.changed.items() if n]
    notes, failures = [*map(shortened, notes)], [*map(shortened, failures)]
    return Import(manifest.sorted_by_id(table), funnels, notes, dropped, failures)


def _effect(what: str, count: int) -> str:
    if what == "matched nothing":
        return f"{counted(count, 'decision matches', 'decisions match')} no clip of these sources"
    return f"{'labels confirmed' if what == 'kept' else f'{what} changed'} for {counted(count, 'clip')}"


def _attempt(
    read: Callable[[], tuple[Source, Rows]], found: list[tuple[Source, Rows]], errors: list[CorpusError]
) -> None:
    """Read a source; if it cannot be read, record the error and continue with the others."""
    try:
        found.append(read())
    except CorpusError as error:
        errors.append(error)


def _read(
    source: Source, names: Sequence[str] | None, extract: str | os.PathLike[str] | None, label: str | None
) -> Any:
    if extract is not None and source.layout == hugging_face.LAYOUT:
        home = Path(os.path.abspath(extract), source.folder.name)  # noqa: PTH100 - links stay as they are
        hugging_face.extract(source, home, label)
        source = replace(source, home=home)
    return source, _inside(source, detect.read(source, names))


def _inside(source: Source, rows: Rows) -> Rows:
    """Drop and count the rows whose file cannot be one of the corpus: its relative path leads out of the folder.

    A table that the user names may be anywhere, and its clips too, so its paths may have ``..``. Absolute paths are
    kept: exported manifests, Kaldi and Lhotse have them.
    """
    odd = rows.table["file"].str.contains("\0", literal=True).fill_null(False)
    if source.file is None:
        up = rows.table["file"].str.contains(r"(?:^|[/\\])\.\.(?:[/\\]|$)").fill_null(False)
        odd |= pl.Series([bool(climbs) and _leaves(name) for name, climbs in zip(rows.table["file"], up, strict=True)]
                         if up.any() else up, dtype=pl.Boolean)  # fmt: skip
    if odd.any():
        lost = rows.table.filter(odd)["file"]
        rows.dropped[OUTSIDE] = lost.len()
        rows.examples[OUTSIDE] = [ascii(name)[1:-1] for name in lost.head(EXAMPLES)]
        rows.table = rows.table.filter(~odd)
    return rows


def _leaves(name: str) -> bool:
    return not name.startswith("/") and posixpath.normpath(name.replace("\\", "/")).partition("/")[0] == ".."


def _read_archived(source: Source, archive: Archive, names: Sequence[str] | None) -> tuple[Source, Rows]:
    """Read a source from the tables of an archive; its rows have the paths of the clips after unpacking."""
    home = archive.home / source.folder.relative_to(archive.tables)
    rows = _inside(source, detect.read(replace(source, home=home), names))
    packed, place = (shlex.quote(storage.text_of(path)) for path in (archive.path, archive.home))
    command = f"tar -xf {packed} -C {place}"
    if archive.path.suffix.lower() == ".zip":
        command = f"unzip {packed} -d {place}"
    elif archive.home != archive.path.parent:
        command = f"mkdir {place} && {command}"
    rows.notes.append(f"is packed in {archive.path.name}. The paths of its clips are valid after: {command}")
    if empty := archive.clips.filter(pl.col("bytes") == 0).height:
        rows.notes.append(f"has {counted(empty, 'empty recording')} in {archive.path.name}")
    return replace(source, home=home), rows


def duration_of(path: str) -> float | None:
    """Return the duration of a file in seconds, without decoding it; ``None`` if it is unknown.

    The duration comes from the header, or for an mp3 without one from its frames (:func:`voxtrait.audio.stated_s`).
    """
    return audio.stated_s(path)


def _start_funnel(source: Source, rows: Rows) -> Funnel:
    dropped = {reason: count for reason, count in rows.dropped.items() if count}
    total = rows.table.height + sum(dropped.values())
    examples = {reason: cases for reason, cases in rows.examples.items() if cases}
    funnel = Funnel(source.shown, source.layout, tables=rows.tables, rows=total)
    parts = (source.corpus, source.release, source.locale)
    funnel.corpus, funnel.release, funnel.locale = (part if part is None else storage.text_of(part) for part in parts)
    funnel.dropped, funnel.examples, funnel.reasons = dropped, examples, dict(rows.reasons.most_common())
    return funnel


def _locate(at: int, source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    file = pl.col("file")
    base = storage.text_of(source.base.as_posix()).rstrip("/")
    release = None if source.release is None else storage.text_of(source.release)
    named = {"corpus": pl.lit(storage.text_of(source.corpus)), "release": pl.lit(release, pl.String)}
    return rows.with_columns(
        pl.lit(at, pl.Int32).alias("_source"),
        pl.when(file.str.starts_with("/")).then(file).otherwise(pl.lit(f"{base}/") + file).alias("path"),
        # rows of a manifest keep their values, including nulls
        *(
            pl.when(pl.col("clip_id").is_null()).then(pl.coalesce(name, value)).otherwise(name).alias(name)
            if "clip_id" in rows.columns and name in rows.columns
            else pl.coalesce(name, value)
            if name in rows.columns
            else value.alias(name)
            for name, value in named.items()
        ),
    ).drop("file")


def _with_clip_id(table: pl.DataFrame) -> pl.DataFrame:
    parts = [pl.col(name).fill_null("-") for name in ("corpus", "release", "locale")]
    made = pl.concat_str(*parts, "stem", separator="/").alias("clip_id")
    return table.with_columns(pl.coalesce("clip_id", made) if "clip_id" in table.columns else made)


def _without_repeats(table: pl.DataFrame, funnels: list[Funnel], failures: list[str]) -> pl.DataFrame:
    """Keep the first row of each clip, count the others by source and reason, and report clips with both genders.

    Common Voice numbers clips across releases, so the same locale and file name mean the same clip.
    """
    is_numbered = pl.col("corpus").is_in(["common-voice", "common-voice-spontaneous"]) & pl.col("stem").str.contains(
        f"{common_voice.NUMBERED}|{spontaneous.NUMBERED}"
    )
    across = pl.concat_str(pl.col("locale").fill_null("-"), "stem", separator="/")
    key = pl.when(is_numbered).then(across).otherwise(pl.col("clip_id"))
    if table.select(key.hash().n_unique()).item() == table.height:  # no repeated clips: the usual case
        return table.drop("stem")
    table = table.with_columns(_key=key)
    repeated = pl.col("_key").is_duplicated()
    again = table.filter(repeated)
    failures += _contradictions(again, funnels)
    rest = sorted(set(table.columns) - {"_key", "_source", "table_rank"})
    again = again.sort("_key", "_source", "table_rank", *rest, nulls_last=True, maintain_order=True)
    first = again.unique("_key", keep="first", maintain_order=True)
    others = again.filter(~pl.col("_key").is_first_distinct()).select("_key", "clip_id", "_source")
    others = others.join(first.select("_key", first_id="clip_id"), on="_key", how="left")
    reason = pl.when(pl.col("clip_id") == pl.col("first_id")).then(pl.lit(REPEATED)).otherwise(pl.lit(REPEATED_RELEASE))
    counts = others.group_by("_source", reason.alias("why")).agg(pl.len(), pl.col("clip_id").sort().head(EXAMPLES))
    for source, why, count, cases in counts.sort("_source", "why").iter_rows():
        funnels[source].dropped[why] = count
        funnels[source].examples[why] = cases
    return pl.concat([table.filter(~repeated), first]).drop("_key", "stem")


def _contradictions(again: pl.DataFrame, funnels: Sequence[Funnel]) -> Iterator[str]:
    """Report clips that one source labels both female and male; labels may change between releases."""
    rows = again.select("_key", "_source", "clip_id", spellings.gender("gender"))
    rows = rows.filter(pl.col("gender").is_in(GENDERS))
    both = rows.group_by("_key", "_source").agg(pl.col("clip_id").min(), genders=pl.col("gender").n_unique())
    both = both.filter(pl.col("genders") > 1).group_by("_source").agg(pl.len(), pl.col("clip_id").min())
    for source, count, case in both.sort("_source").iter_rows():
        yield (
            f"{funnels[source].source} has {counted(count, 'clip')} labelled both female and male, such as {case}. "
            "Only one row of a clip is kept. Correct the table"
        )


def _with_labels(table: pl.DataFrame) -> pl.DataFrame:
    """Translate the labels; ages that are neither a decade nor a number of years stay in the extra column ``age``.

    Each distinct text is translated once.
    """
    genders = table.select("gender").unique().with_columns(_known=spellings.gender("gender"))
    ages = table.select("age").unique().with_columns(_written="age").with_columns(manifest.known("age"))
    group = spellings.age_group("age")
    unread = pl.when(group.is_null() & (pl.col("age").str.strip_chars() != "")).then(pl.col("age"))
    ages = ages.select(age="_written", age_group=group, age_years=spellings.age_years("age"), _unread=unread)
    found = table.select("age").join(ages, on="age", how="left", maintain_order="left")
    table = table.with_columns(
        manifest.lookup(table, genders, "gender", "_known").alias("gender"),
        found["age_group"],
        found["age_years"],
        found["_unread"].alias("age"),
    )
    return table if table["age"].count() else table.drop("age")


def _respelling(source: Source, found: finding.Respelled) -> str:
    return (
        f"{source.shown} has {counted(found.files, 'file')} with another {found.way} on disk than in the table, such "
        f"as {found.there} for {found.named}. The file on disk is used"
    )


def _without_files(table: pl.DataFrame, sources: Sequence[Source], funnels: Sequence[Funnel]) -> Iterator[str]:
    """Yield a note for each source without an existing file: where files were expected, and what exists."""
    for at, (source, funnel) in enumerate(zip(sources, funnels, strict=True)):
        if funnel.kept and funnel.present == 0:
            path: Any = table.filter(pl.col("_source") == at)["path"].min()
            why = finding.hint(path, storage.text_of(source.base))
            yield f"{source.shown} names {counted(funnel.kept, 'file')}, but none exists. Expected {path}, but {why}"


def _with_durations(table: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    wanted = table.filter(pl.col("_on_disk") & pl.col("duration_s").is_null())["path"]
    if not wanted.len():
        return table
    lengths = pl.Series(list(measure([storage.path_of(path) for path in wanted])), dtype=pl.Float64)
    known = pl.DataFrame({"path": wanted, "_measured": lengths})
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
