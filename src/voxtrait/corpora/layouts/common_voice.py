r"""Mozilla Common Voice, scripted speech, every release from 1 on.

Source: https://commonvoice.mozilla.org (since 2025 at the Mozilla Data Collective). Licence: CC0 1.0.

Tree::

    cv-corpus-6.1-2020-12-11/          the release, a delta or a singleword segment: its name becomes ``release``
        en/                            the locale; up to release 4 cv-corpus-4-2019-12-10_en/ itself has the tables
            validated.tsv  invalidated.tsv  other.tsv      every clip is in exactly one of these
            train.tsv  dev.tsv  test.tsv                   the official split, a part of validated.tsv; deltas have none
            clip_durations.tsv         since 16.1, milliseconds; times.txt in 14 and 15
            clips/common_voice_en_123.mp3

Known dirt:

- The tables have 8 columns up to release 4, 10 from 5, 11 from 13 (``variant``), 13 from 17 (``sentence_id``,
  ``sentence_domain``); ``accent`` became ``accents`` in 8, once twice in one header; 5.0 has its columns in another
  order. So: by header names only.
- TSV without quoting: a bare ``"`` is a letter.
- ``path`` has no ``.mp3`` in the first releases; ``locale`` comes with 5.
- ``fourties``, always; ``male_masculine`` and ``female_feminine`` since 17; 6.0 has lost the label ``male``.
- Labels are stored with the clip since 6.1, so one speaker may have several ages, and a few have both genders.
- Clips of 0 bytes, clips in the tables that are not in the archive.
- ``client_id`` is the same in all releases and locales; clips are numbered once for all releases, so that a clip that
  comes again in a later release has the same file name there.
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
from voxtrait.errors import CorpusError
from voxtrait.manifest.table import lookup

LAYOUT: Final = "Common Voice"
EXPECTED: Final = "Common Voice: validated.tsv (or train, dev, test, other, invalidated) beside clips/"
CLIP_TABLES: Final = ("validated", "train", "dev", "test", "other", "invalidated")
OFFICIAL: Final = {"train": "train", "dev": "validation", "test": "test"}  # a clip in several counts for the last
ODD_RELEASES: Final = {
    "5": "the columns of its train, dev and test tables are in disorder and some rows have no audio; 5.1 mends that",
    "12": "its English accents are all empty",
}
REFUSED: Final = {
    "6": "which has lost the label 'male': its men count as unlabelled and its women do not. Use 6.1, the same clips "
    "with all labels, or leave this folder out",
}
NUMBERED: Final = r"^common_voice_.+_\d+$"  # file names, without ending, that are the same clip in every release

LONG: Final = ("client_id", "accents")  # columns whose long values are repeated on many rows

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
    """Recognise a locale folder: one with a table of clips, or with any TSV beside ``clips/``."""
    tables = {f"{name}.tsv" for name in CLIP_TABLES} & listing.files
    if not tables and not ("clips" in listing.folders and any(name.endswith(".tsv") for name in listing.files)):
        return None
    folder = listing.folder
    release, locale = _release_of(folder)
    if _LOCALE.fullmatch(folder.name):
        locale = folder.name
    return Source(LAYOUT, folder, "common-voice", release, locale)


def _release_of(folder: Path) -> tuple[str | None, str | None]:
    """Take the release, and a locale that ends its name, from a folder or its parent, links kept or followed."""
    for path in (folder, folder.parent, folder.resolve(), folder.resolve().parent):
        if match := _RELEASE.match(path.name):
            rest = path.name[match.end() :].lstrip("-_")  # cv-corpus-1_en, up to release 4
            return (match[0], rest) if _LOCALE.fullmatch(rest) else (path.name, None)
    return None, None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables of a locale.

    Args:
        source: as :func:`find` gives it.
        tables: names of tables, without ``.tsv``; ``None`` takes ``validated``, or the official ``train``, ``dev`` and
            ``test`` where there is no ``validated``.

    Raises:
        CorpusError: if a table has no column ``path``, or is no table; or if this is a release that cannot be used.
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
            complete(pl.DataFrame()), notes=[f"has none of the tables {wanted}; it has {found}: choose with --tables"]
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
    """Read the tables of clips: their rows, the counts of those left out, and where the first of these are."""
    parts: list[pl.DataFrame] = []
    examples: list[str] = []
    unreadable = 0
    for rank, name in enumerate(names):
        lines: list[int] = []
        part, bad = _read_table(folder / f"{name}.tsv", lines, reasons=reasons)
        parts.append(part.with_columns(table_rank=pl.lit(rank, pl.Int32)))
        unreadable += bad
        examples += [f"{name}.tsv:{line}" for line in lines]
    del part  # the columns are large: what is not needed any more goes before the next copy is made
    rows = rename(pl.concat(parts, how="diagonal"), {**_COLUMNS, "table_rank": ("table_rank",)})
    parts.clear()
    rows, nameless = drop_nameless(rows)
    rows = rows.with_columns(file=_file_name(rows["file"])).with_columns(stem=without_suffix("file"))
    return rows, {UNREADABLE: unreadable, **nameless}, examples


def _file_name(paths: pl.Series) -> pl.Series:
    """Give the clips' names below ``clips/``; the first releases leave ``.mp3`` out."""
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
            f"{path} has the columns {found}, expected Common Voice's 'client_id', 'path', "
            "'sentence', …: unpack the release again, or leave this table out with --tables"
        )
    return table, unreadable


def _locale(folder: str | None) -> pl.Expr:
    from_name = pl.col("file").str.extract(r"^common_voice_([A-Za-z-]+)_\d+\.")
    return pl.coalesce(pl.col("locale").str.strip_chars().replace("", None), pl.lit(folder, pl.String), from_name)


def _with_split(rows: pl.DataFrame, folder: Path, count_lost: bool) -> tuple[pl.DataFrame, list[str], list[str]]:
    """Fill ``split`` from the official tables that are there; note what is odd about them, and which cannot be read.

    A clip that is in several of them by mistake is kept out of training.
    """
    parts, failures = [], []
    for name, split in OFFICIAL.items():
        if (path := folder / f"{name}.tsv").is_file():
            try:
                table, _ = _read_table(path, columns=("path",))
            except CorpusError as error:
                failures.append(str(error))
            else:
                parts.append(pl.DataFrame({"file": _file_name(table["path"]), "split": split}))
    if not parts:
        return rows.with_columns(split=pl.lit(None, pl.String)), [], failures
    listed = pl.concat(parts).drop_nulls("file")
    official = listed.filter(pl.col("file").is_last_distinct())
    notes = []
    if official.height < listed.height and (again := listed.unique().height - official.height):
        notes.append(f"has {again} clips in more than one of train, dev and test; each counts for the last of them")
    if count_lost and (lost := official.join(rows.select("file"), on="file", how="anti").height):
        notes.append(f"has {lost} clips of the official split that are not in its validated table")
    return rows.with_columns(lookup(rows, official, "file", "split")), notes, failures


def _with_durations(rows: pl.DataFrame, folder: Path) -> tuple[pl.DataFrame, list[str]]:
    """Fill ``duration_s`` from the release's own table of lengths, if there is one; give why it cannot be read."""
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
                failures.append(f"{path} has the columns {found}, expected a clip and its length in milliseconds")
    if table.width < 2:
        return rows.with_columns(duration_s=pl.lit(None, pl.Float64)), failures
    first, second = table.columns[:2]
    # times.txt has no header: its first clip became one, and is put back
    lines = pl.concat([pl.DataFrame({"file": [first], "ms": [second]}), table.select(file=first, ms=second)])
    seconds = pl.col("ms").cast(pl.Float64, strict=False) / 1000
    known = lines.select(file_name("file"), duration_s=seconds).filter(pl.col("duration_s") > 0)
    known = known.filter(pl.col("file").is_first_distinct())
    return rows.with_columns(lookup(rows, known, "file", "duration_s")), failures
