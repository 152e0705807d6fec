"""Layout of Hugging Face's AudioFolder: a folder of audio with a table of metadata.

Source: https://huggingface.co/docs/datasets/audio_dataset#audiofolder; used by many corpora, with any licence.

Tree::

    my-corpus/                       its name becomes ``corpus``
        metadata.csv                 or .tsv, .jsonl, .parquet; or one in each of train/, validation/, test/, unsplit/,
                                     and in other folders, whose clips have no split
        audio/one.ogg                ``file_name`` is relative to the table

Columns: ``file_name`` (or, in the newer convention, ``audio_file_name``), and optionally ``gender``, ``age``,
``speaker_id``, ``split``, ``locale``, ``accent``, ``sentence`` (or ``text``, ``transcription``) and ``duration_s``.
``age`` may be a decade in any spelling or a number of years. If the table has all columns of a manifest, as
``corpus export`` writes them, clip ids are kept.

Known problems:

- Ages may be text, numbers, or both in one column.
- Two clips may have the same name in two folders. A clip is named by its file name if that is unique in the table,
  otherwise by its path in the corpus, with the file ending.
- The split may be a column, the folder of the table, or the first folder of ``file_name``; the first of these that
  exists is used.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait import storage
from voxtrait.audio.folders import unread
from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import delimited, placing, spellings, table
from voxtrait.corpora.source import UNREADABLE, Listing, Rows, Source, complete, drop_nameless
from voxtrait.errors import CorpusError, counted

LAYOUT: Final = "AudioFolder"
EXPECTED: Final = "AudioFolder: metadata.csv (.tsv, .jsonl, .parquet) with a column file_name, and audio files"
TABLES: Final = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
WRITTEN: Final = "metadata.parquet"
MAX_DEPTH: Final = 3  # levels of subfolders that may have a table
FILES: Final = ("file_name", "audio_file_name", "filename", "file", "path")


def find(listing: Listing) -> Source | None:
    """Recognise a folder with a table of metadata, or with one in each split's folder."""
    splits = (Listing.of(listing.folder / name) for name in sorted(listing.folders) if _is_part(name))
    there = _table(listing) is not None or any(_table(below) is not None for below in splits)
    return Source(LAYOUT, listing.folder, listing.folder.name) if there else None


def _table(listing: Listing) -> Path | None:
    return next((listing.folder / name for name in TABLES if name in listing.files), None)


def _is_part(folder: str) -> bool:
    return folder.lower() in (*spellings.SPLIT_SPELLINGS, placing.UNSPLIT)


def _tables(listing: Listing, depth: int, seen: set[Path], failures: list[str]) -> Iterator[Path]:
    """Yield the tables of metadata in a folder and its subfolders, whatever their names."""
    real = listing.folder.resolve()
    if real in seen:  # links may form circles
        return
    seen.add(real)
    if listing.error is not None:
        failures.append(unread(listing.error))
    if (path := _table(listing)) is not None:
        yield path
    if depth:
        for name in sorted(listing.folders):
            yield from _tables(Listing.of(listing.folder / name), depth - 1, seen, failures)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the metadata.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if no table has a column ``file_name``, or no table can be read.
    """
    result = Rows(pl.DataFrame(), dropped={UNREADABLE: 0}, examples={UNREADABLE: []})
    parts, errors, named = [], [], {}
    paths = list(_tables(Listing.of(source.folder), MAX_DEPTH, set(), result.failures))
    for rank, path in enumerate(paths):
        name = storage.text_of(path.relative_to(source.folder).as_posix())
        try:
            part = _read_table(path, name, result)
        except CorpusError as error:
            errors.append(error)
            continue
        below = name.rpartition("/")[0]
        split = spellings.SPLIT_SPELLINGS.get(below.partition("/")[0].lower())
        result.tables.append(name)
        parts.append(_in_folder(part, below, split).with_columns(table_rank=pl.lit(rank, pl.Int32)))
        named[name] = parts[-1]["split"].null_count()
    if not parts:
        raise errors[0]
    result.failures += map(str, errors)
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    first_folder = pl.col("file").str.extract(r"^([^/]+)/").str.to_lowercase()
    from_folder = first_folder.replace_strict(spellings.SPLIT_SPELLINGS, default=None, return_dtype=pl.String)
    rows = rows.with_columns(split=pl.coalesce(spellings.split("split"), from_folder))
    if rows["split"].count():
        result.notes += [
            f"has {counted(count, 'row')} without a split in {name}: {name.partition('/')[0]} is not a split (train, "
            "validation, test)"
            for name, count in named.items()
            if count and "/" in name and not name.lower().startswith(f"{placing.UNSPLIT}/")
        ]
    result.table = complete(table.with_stem(rows))
    result.dropped |= nameless
    return result


def _read_table(path: Path, name: str, result: Rows) -> pl.DataFrame:
    bad = table.Bad([], result.reasons)
    metadata, unreadable = table.read_any(path, bad)
    if not {column.lower() for column in metadata.columns} & set(FILES):
        raise CorpusError(
            f"{path} has the columns {delimited.shown(metadata.columns)}. Expected 'file_name', 'gender', 'age', …"
        )
    result.dropped[UNREADABLE] += unreadable
    result.examples[UNREADABLE] += [f"{name}:{line}" for line in bad.lines]
    return table.renamed(metadata, FILES)


def _in_folder(rows: pl.DataFrame, below: str, split: str | None) -> pl.DataFrame:
    """Make the paths of a table in a subfolder relative to the corpus."""
    if not below:
        return rows
    file = pl.when(pl.col("file").str.starts_with("/")).then("file").otherwise(f"{below}/" + pl.col("file"))
    return rows.with_columns(file=file, split=pl.coalesce(spellings.split("split"), pl.lit(split, pl.String)))


def write(rows: pl.DataFrame, out: Path) -> list[str]:
    """Write ``metadata.parquet`` for Hugging Face's ``datasets``, in the folder of each split if clips have splits.

    The format is not CSV, because ``datasets`` guesses its types separately for each file: an id such as ``0001``
    becomes a number, and a column without values in one split gets another type there, which is an error.

    Args:
        rows: rows of a manifest, with ``place``, the clip's path relative to ``out``.
        out: the folder.

    Returns:
        The tables, relative to ``out``.
    """
    written = []
    for split, part in placing.by_split(rows, {}):
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        below = pl.col("place").str.strip_prefix(f"{split}/")
        with atomic_path(folder / WRITTEN) as unfinished:
            part.select(below.alias("file_name"), pl.exclude("path", "place", "split")).write_parquet(unfinished)
        written.append(f"{split}/{WRITTEN}".lstrip("/"))
    return written
