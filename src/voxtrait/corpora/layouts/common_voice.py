r"""Layout of Mozilla Common Voice, scripted speech, all releases.

Source: https://commonvoice.mozilla.org (since 2025 at the Mozilla Data Collective). Licence: CC0 1.0.

Tree::

    cv-corpus-6.1-2020-12-11/          release, delta or singleword segment; its name becomes ``release``
        en/                            locale; up to release 4, cv-corpus-4-2019-12-10_en/ itself has the tables
            validated.tsv  invalidated.tsv  other.tsv      every clip is in exactly one of these
            train.tsv  dev.tsv  test.tsv                   official split, a part of validated.tsv; not in deltas
            clip_durations.tsv         since 16.1, milliseconds; times.txt in 14 and 15
            clips/common_voice_en_123.mp3

Known problems:

- The tables have 8 columns up to release 4, 10 from 5, 11 from 13 (``variant``), 13 from 17 (``sentence_id``,
  ``sentence_domain``). ``accent`` became ``accents`` in 8, and one header has it twice. 5.0 has another order of
  columns. So columns are read only by their header names.
- The TSV files have no quoting: ``"`` is an ordinary character.
- ``path`` has no ``.mp3`` in the first releases. ``locale`` exists since 5.
- The spelling is ``fourties`` in all releases, and ``male_masculine`` and ``female_feminine`` since 17. 6.0 has lost
  the label ``male``.
- Since 6.1, labels are stored with the clip, so a speaker may have several ages, and a few have both genders.
- Some clips have 0 bytes, and some clips in the tables are not in the archive.
- ``client_id`` is the same in all releases and locales. Clips are numbered across releases, so a clip has the same file
  name in all releases.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio import SUFFIXES
from voxtrait.corpora import delimited
from voxtrait.corpora.source import (
    UNREADABLE,
    Listing,
    Rows,
    Source,
    complete,
    drop_nameless,
    file_name,
    rename,
    without_suffix,
)
from voxtrait.errors import CorpusError, counted
from voxtrait.manifest.table import lookup

LAYOUT: Final = "Common Voice"
EXPECTED: Final = "Common Voice: validated.tsv (or train, dev, test, other, invalidated), and clips/"
CLIP_TABLES: Final = ("validated", "train", "dev", "test", "other", "invalidated")
OFFICIAL: Final = {
    "train": "train",
    "dev": "validation",
    "test": "test",
}  # a clip in several tables is in the last of them
ODD_RELEASES: Final = {
    "5": "columns in train, dev and test have another order, and some rows have no audio. 5.1 corrects both",
    "12": "all English accents are empty",
}
REFUSED: Final = {
    "6": "which has lost the label 'male', so all men would be unlabelled. Import 6.1, which has the same clips with "
    "all labels, or omit this folder",
}
NUMBERED: Final = r"^common_voice_.+_\d+$"  # names, without ending, of the same clip in every release

LONG: Final = ("client_id", "accents", "gender")  # columns with long values repeated on many rows

_COLUMNS: Final = {
    "file": ("path",),
    "speaker_id": ("client_id",),
    "gender": ("gender",),
    "age": ("age",),
    "locale": ("locale",),
    "accent": ("accents", "accent"),
    "sentence": ("sentence",),
}
_RELEASE: Final = re.compile(r"cv-corpus-(\d+(?:\.\d+)?)(?:-delta)?(?:-\d{4}-\d{2}-\d{2})?")
_LOCALE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)*")
_HAS_SUFFIX: Final = r"(?i)\.(" + "|".join(sorted(suffix[1:] for suffix in SUFFIXES)) + r")$"


def find(listing: Listing) -> Source | None:
    """Recognise the folder of a locale: it has a table of clips, or any TSV and ``clips/``."""
    tables = {f"{name}.tsv" for name in CLIP_TABLES} & listing.files
    if not tables and not ("clips" in listing.folders and any(name.endswith(".tsv") for name in listing.files)):
        return None
    folder = listing.folder
    release, locale = _release_of(folder)
    if _LOCALE.fullmatch(folder.name):
        locale = folder.name
    return Source(LAYOUT, folder, "common-voice", release, locale)


def _release_of(folder: Path) -> tuple[str | None, str | None]:
    """Return the release, and a locale at the end of its name, from a folder, its parent, or the targets of links."""
    for path in (folder, folder.parent, folder.resolve(), folder.resolve().parent):
        if match := _RELEASE.match(path.name):
            rest = path.name[match.end() :].lstrip("-_")  # cv-corpus-1_en, up to release 4
            return (match[0], rest) if _LOCALE.fullmatch(rest) else (path.name, None)
    return None, None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables of a locale.

    Args:
        source: a result of :func:`find`.
        tables: names of tables, without ``.tsv``; ``None`` takes ``validated``, or ``train``, ``dev`` and ``test`` if
            ``validated`` does not exist.

    Raises:
        CorpusError: if a table has no column ``path``, is not a table, or is from a release without valid labels.
    """
    match = _RELEASE.match(source.release or "")
    number = match[1].removesuffix(".0") if match else ""
    if number in REFUSED:
        raise CorpusError(f"{source.shown} is Common Voice {number}.0, {REFUSED[number]}")
    there = [name for name in (tables or CLIP_TABLES) if (source.folder / f"{name}.tsv").is_file()]
    if tables is None:
        there = ["validated"] if "validated" in there else [name for name in there if name in OFFICIAL]
    if not there:
        found = ", ".join(sorted(path.name for path in source.folder.glob("*.tsv")))
        wanted = ", ".join(tables or ("validated", *OFFICIAL))
        return Rows(
            complete(pl.DataFrame()),
            notes=[f"has none of the tables {wanted}. It has {found}. Name some of them with --tables"],
        )
    reasons: Counter[str] = Counter()
    rows, dropped, examples = _clips(source.folder, there, reasons)
    rows = rows.with_columns(locale=_locale(source.locale))
    rows, notes, failures = _with_split(rows, source.folder, count_lost=tables is None)
    rows, untimed = _with_durations(rows, source.folder)
    rows = rows.with_columns(file="clips/" + pl.col("file"))
    if number in ODD_RELEASES:
        notes.append(f"is release {number}: {ODD_RELEASES[number]}")
    return Rows(complete(rows), there, dropped, notes, {UNREADABLE: examples}, [*failures, *untimed], reasons)


def _clips(folder: Path, names: Sequence[str], reasons: Counter[str]) -> tuple[pl.DataFrame, dict[str, int], list[str]]:
    """Read the tables of clips: rows, numbers of dropped rows, and the lines of the first few of these."""
    parts: list[pl.DataFrame] = []
    examples: list[str] = []
    unreadable = 0
    for rank, name in enumerate(names):
        lines: list[int] = []
        part, bad = _read_table(folder / f"{name}.tsv", lines, reasons=reasons)
        parts.append(part.with_columns(table_rank=pl.lit(rank, pl.Int32)))
        unreadable += bad
        examples += [f"{name}.tsv:{line}" for line in lines]
    del part  # the columns are large: free memory before the next copy
    rows = rename(pl.concat(parts, how="diagonal"), {**_COLUMNS, "table_rank": ("table_rank",)})
    parts.clear()
    rows, nameless = drop_nameless(rows)
    rows = rows.with_columns(file=_file_name(rows["file"])).with_columns(stem=without_suffix("file"))
    return rows, {UNREADABLE: unreadable, **nameless}, examples


def _file_name(paths: pl.Series) -> pl.Series:
    """Return the file names in ``clips/``; the first releases omit ``.mp3``."""
    if not (bare := ~paths.str.contains(_HAS_SUFFIX)).any():
        return paths.str.strip_prefix("clips/") if paths.str.starts_with("clips/").any() else paths
    named = pl.when(bare).then(pl.col(paths.name) + ".mp3").otherwise(pl.col(paths.name))
    return paths.to_frame().select(named.str.strip_prefix("clips/")).to_series()


def _read_table(
    path: Path,
    bad_lines: list[int] | None = None,
    columns: Collection[str] | None = None,
    reasons: Counter[str] | None = None,
) -> tuple[pl.DataFrame, int]:
    table, unreadable = delimited.read(path, columns=columns, repeated=LONG, bad_lines=bad_lines, reasons=reasons)
    if "path" not in table.columns:
        found = delimited.shown(delimited.read(path)[0].columns)
        raise CorpusError(
            f"{path} has the columns {found}. Expected Common Voice's 'client_id', 'path', 'sentence', … Unpack the "
            "release again, or name other tables with --tables."
        )
    return table, unreadable


def _locale(folder: str | None) -> pl.Expr:
    from_name = pl.col("file").str.extract(r"^common_voice_([A-Za-z-]+)_\d+\.")
    return pl.coalesce(pl.col("locale").str.strip_chars().replace("", None), pl.lit(folder, pl.String), from_name)


def _with_split(rows: pl.DataFrame, folder: Path, count_lost: bool) -> tuple[pl.DataFrame, list[str], list[str]]:
    """Fill ``split`` from the official tables; also returns notes on them, and errors of unreadable tables.

    A clip in several tables gets the split of the last, so that test clips are not in training.
    """
    parts, failures = [], []
    for name, split in OFFICIAL.items():
        if (path := folder / f"{name}.tsv").is_file():
            try:
                table, _ = _read_table(path, columns=("path",))
            except CorpusError as error:
                failures.append(str(error))
            else:
                parts.append(table.select(file=_file_name(table["path"]).cast(pl.String), split=pl.lit(split)))
    if not parts:
        return rows.with_columns(split=pl.lit(None, pl.String)), [], failures
    listed = pl.concat(parts).drop_nulls("file")
    official = listed.filter(pl.col("file").is_last_distinct())
    notes = []
    if official.height < listed.height and (again := listed.unique().height - official.height):
        notes.append(f"has {counted(again, 'clip')} in more than one of train, dev and test. The last of these is used")
    rows = rows.with_columns(lookup(rows, official, "file", "split"))
    if count_lost and (lost := official.height - rows.filter(pl.col("split").is_not_null())["file"].n_unique()):
        notes.append(f"has {counted(lost, 'clip')} in the official split but not in validated.tsv")
    return rows, notes, failures


def _with_durations(rows: pl.DataFrame, folder: Path) -> tuple[pl.DataFrame, list[str]]:
    """Fill ``duration_s`` from the release's table of durations, if any; also returns errors of an unreadable table."""
    path = next((folder / name for name in ("clip_durations.tsv", "times.txt") if (folder / name).is_file()), None)
    table, failures = pl.DataFrame(), []
    if path is not None:
        try:
            table, _ = delimited.read(path)
        except CorpusError as error:
            failures.append(str(error))
        else:
            if table.width < 2:
                found = delimited.shown(table.columns)
                failures.append(f"{path} has the columns {found}. Expected a clip and its duration in milliseconds.")
    if table.width < 2:
        return rows.with_columns(duration_s=pl.lit(None, pl.Float64)), failures
    first, second = table.columns[:2]
    # times.txt has no header: restore the first clip, which was read as one
    lines = pl.concat([pl.DataFrame({"file": [first], "ms": [second]}), table.select(file=first, ms=second)])
    seconds = pl.col("ms").cast(pl.Float64, strict=False) / 1000
    if lines["file"].str.contains("/", literal=True).any():
        lines = lines.with_columns(file_name("file"))
    known = lines.select("file", duration_s=seconds).filter(pl.col("duration_s") > 0)
    del table, lines  # as large as a column of the rows
    known = known.filter(pl.col("file").is_first_distinct())
    return rows.with_columns(lookup(rows, known, "file", "duration_s")), failures
