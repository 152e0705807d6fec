"""A table of metadata beside audio, as Hugging Face's AudioFolder convention has it.

Source: https://huggingface.co/docs/datasets/audio_dataset#audiofolder; used by anyone, under any licence.

Tree::

    my-corpus/                       its name becomes ``corpus``
        metadata.csv                 or metadata.tsv; or one in each of train/, validation/, test/
        audio/one.ogg                ``file_name`` is relative to the table

Columns: ``file_name``; ``gender``, ``age`` and ``speaker_id`` where they are known, ``split``, ``locale``, ``accent``,
``sentence`` (or ``text``, ``transcription``), ``duration_s``. ``age`` may be a decade in any spelling or exact years.

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

from voxtrait.corpora import delimited, spellings
from voxtrait.corpora.source import Listing, Rows, Source, complete, drop_nameless, file_name, rename, without_suffix
from voxtrait.errors import CorpusError

LAYOUT: Final = "AudioFolder"
EXPECTED: Final = "AudioFolder: metadata.csv or metadata.tsv with a column file_name, beside audio"
TABLES: Final = ("metadata.csv", "metadata.tsv")

_COLUMNS: Final = {
    "file": ("file_name", "filename", "file", "path"),
    "speaker_id": ("speaker_id", "speaker", "client_id"),
    "gender": ("gender", "sex"),
    "age": ("age_years", "age", "age_group"),
    "split": ("split",),
    "locale": ("locale", "language"),
    "accent": ("accent", "accents"),
    "duration_s": ("duration_s", "duration"),
    "sentence": ("sentence", "text", "transcription", "transcript"),
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder with ``metadata.csv``, or with one in each split's folder."""
    return Source(LAYOUT, listing.folder, listing.folder.name) if _tables(listing) else None


def _tables(listing: Listing) -> list[Path]:
    here = [listing.folder / name for name in TABLES if name in listing.files][:1]
    splits = sorted(name for name in listing.folders if name.lower() in spellings.SPLIT_SPELLINGS)
    below = [
        listing.folder / split / name
        for split in splits
        for name in TABLES
        if (listing.folder / split / name).is_file()
    ]
    return here or below


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
        table, bad = delimited.read(path)
        unreadable += bad
        if not {name.lower() for name in table.columns} & set(_COLUMNS["file"]):
            raise CorpusError(
                f"{path} has the columns {delimited.shown(table.columns)}, expected 'file_name', 'gender', 'age', …"
            )
        below = path.parent.relative_to(source.folder).as_posix()
        names.append(path.relative_to(source.folder).as_posix())
        renamed = rename(table, _COLUMNS).with_columns(pl.col("file").str.strip_chars().str.replace(r"^\./", ""))
        if below != ".":
            split = pl.coalesce(spellings.split("split"), pl.lit(spellings.SPLIT_SPELLINGS[below.lower()]))
            renamed = renamed.with_columns(file=pl.lit(f"{below}/") + pl.col("file"), split=split)
        parts.append(renamed)
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    first_folder = pl.col("file").str.extract(r"^([^/]+)/").str.to_lowercase()
    from_folder = first_folder.replace_strict(spellings.SPLIT_SPELLINGS, default=None, return_dtype=pl.String)
    rows = rows.with_columns(split=pl.coalesce(spellings.split("split"), from_folder))
    return Rows(complete(_with_stem(rows)), names, {"unreadable row": unreadable, **nameless})


def _with_stem(rows: pl.DataFrame) -> pl.DataFrame:
    stems = rows.select("file").unique().select("file", stem=without_suffix("file")).with_columns(file_name("stem"))
    stems = stems.with_columns(
        stem=pl.when(pl.col("stem").is_duplicated()).then(pl.col("file")).otherwise(pl.col("stem"))
    )
    return rows.join(stems, on="file", how="left", maintain_order="left")
