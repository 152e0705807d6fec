"""A table of metadata beside audio, as Hugging Face's AudioFolder convention has it.

Source: https://huggingface.co/docs/datasets/audio_dataset#audiofolder; used by anyone, under any licence.

Tree::

    my-corpus/                       its name becomes ``corpus``
        metadata.csv                 or .tsv, .jsonl, .parquet; or one in each of train/, validation/, test/, unsplit/
        audio/one.ogg                ``file_name`` is relative to the table

Columns: ``file_name`` (in the newer convention also ``audio_file_name``); ``gender``, ``age`` and ``speaker_id`` where
they are known, ``split``, ``locale``, ``accent``, ``sentence`` (or ``text``, ``transcription``), ``duration_s``.
``age`` may be a decade in any spelling or exact years.
Where all columns of a manifest are there, as ``corpus export`` writes them, its clips come back under their own names.

Known dirt:

- Ages are text here and numbers there, both in one column at times.
- Two clips may have the same name in two folders: a clip is named by its file name where that is unique in the table,
  else by its path below the corpus, ending included.
- The split may be a column, the folder of the table, or the first folder of ``file_name``; the first of these that is
  there counts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import delimited, placing, spellings, table
from voxtrait.corpora.source import Listing, Rows, Source, complete, drop_nameless
from voxtrait.errors import CorpusError

LAYOUT: Final = "AudioFolder"
EXPECTED: Final = "AudioFolder: metadata.csv (.tsv, .jsonl, .parquet) with a column file_name, beside audio"
TABLES: Final = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
WRITTEN: Final = "metadata.parquet"
FILES: Final = ("file_name", "audio_file_name", "filename", "file", "path")


def find(listing: Listing) -> Source | None:
    """Recognise a folder with a table of metadata, or with one in each split's folder."""
    return Source(LAYOUT, listing.folder, listing.folder.name) if _tables(listing) else None


def _tables(listing: Listing) -> list[Path]:
    here = [listing.folder / name for name in TABLES if name in listing.files][:1]
    splits = sorted(name for name in listing.folders if _is_part(name))
    below = [
        next((listing.folder / split / name for name in TABLES if (listing.folder / split / name).is_file()), None)
        for split in splits
    ]
    return here or [path for path in below if path is not None]


def _is_part(folder: str) -> bool:
    return folder.lower() in (*spellings.SPLIT_SPELLINGS, placing.UNSPLIT)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the metadata.

    Args:
        source: as :func:`find` gives it.
        tables: has no meaning here.

    Raises:
        CorpusError: if the table has no column ``file_name``, or is no table.
    """
    parts, unreadable, names = [], 0, []
    for path in _tables(Listing.of(source.folder)):
        metadata, bad = table.read_any(path)
        unreadable += bad
        if not {name.lower() for name in metadata.columns} & set(FILES):
            raise CorpusError(
                f"{path} has the columns {delimited.shown(metadata.columns)}, expected 'file_name', 'gender', 'age', …"
            )
        below = path.parent.relative_to(source.folder).as_posix()
        names.append(path.relative_to(source.folder).as_posix())
        renamed = table.renamed(metadata, FILES)
        if below != ".":
            of_folder = pl.lit(spellings.SPLIT_SPELLINGS.get(below.lower()), pl.String)
            file = pl.when(pl.col("file").str.starts_with("/")).then("file").otherwise(f"{below}/" + pl.col("file"))
            renamed = renamed.with_columns(file=file, split=pl.coalesce(spellings.split("split"), of_folder))
        parts.append(renamed)
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    first_folder = pl.col("file").str.extract(r"^([^/]+)/").str.to_lowercase()
    from_folder = first_folder.replace_strict(spellings.SPLIT_SPELLINGS, default=None, return_dtype=pl.String)
    rows = rows.with_columns(split=pl.coalesce(spellings.split("split"), from_folder))
    return Rows(complete(table.with_stem(rows)), names, {"unreadable row": unreadable, **nameless})


def write(rows: pl.DataFrame, out: Path) -> list[str]:
    """Write ``metadata.parquet``, one in each split's folder where clips have splits, as ``datasets`` needs them.

    Not as CSV: ``datasets`` guesses its types anew in each file, so that a column without values in one split is of
    another type there, which it refuses, and an id such as ``0001`` a number.

    Args:
        rows: of a manifest, with ``place``, the clip's file below ``out``.
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
