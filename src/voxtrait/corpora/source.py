"""What every layout gives: a corpus that was found on disk, and its rows in one shape."""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait import storage
from voxtrait.manifest.table import SCHEMA, SPLIT_UNIT, known

ROW_SCHEMA: Final[dict[str, type[pl.DataType]]] = {
    "file": pl.String,  # below the corpus's folder, or absolute
    "stem": pl.String,  # what names the clip in this corpus
    "speaker_id": pl.String,
    "gender": pl.String,  # in the corpus's own spelling
    "age": pl.String,  # in the corpus's own spelling: a decade, or years
    "split": pl.String,  # one of labels.SPLITS
    "locale": pl.String,
    "accent": pl.String,
    "duration_s": pl.Float64,  # seconds
    "sentence": pl.String,
    "table_rank": pl.Int32,  # of a clip in several tables, the one of the lowest rank counts
}
"""The columns that every layout gives; a corpus's other columns follow as text."""

NAMES: Final = ("clip_id", "corpus", "release")
"""Columns that rows may bring along which were a manifest's before; where they are null, the source names the clip."""

UNREADABLE: Final = "unreadable row"
"""The reason of a row with another number of fields than the header, or not in UTF-8."""

_WORKING: Final = ("_source", "_key", "_present", "_measured")  # columns that the import adds and takes away again
_TAKEN: Final = frozenset({*SCHEMA, *ROW_SCHEMA, SPLIT_UNIT, *_WORKING})


@dataclass(frozen=True)
class Source:
    """One corpus in one folder, as a layout recognised it.

    Attributes:
        layout: name of the layout.
        folder: absolute path of the folder with the tables.
        corpus: first part of the clip ids.
        release: second part, or ``None``.
        locale: third part where the rows do not name their own, or ``None``.
        file: the one file that the corpus is, for layouts of a single file, or ``None``.
        home: absolute path that the rows' ``file`` is relative to, where that is not ``folder`` (an archive's tables
            are read somewhere else than its clips will be), or ``None``.
    """

    layout: str
    folder: Path
    corpus: str
    release: str | None = None
    locale: str | None = None
    file: Path | None = None
    home: Path | None = None

    @property
    def base(self) -> Path:
        """The folder that the rows' ``file`` is relative to."""
        return self.home or self.folder

    @property
    def shown(self) -> str:
        """What to call the source to a person: the path that was given, or found."""
        return storage.text_of(self.file or self.base)


@dataclass
class Rows:
    """What a layout read from a source.

    Attributes:
        table: the rows that could be read, with the columns of :data:`ROW_SCHEMA` and those of the corpus.
        tables: names of the tables that were read.
        dropped: reason → number of rows that are not in ``table``.
        notes: what a person should know about this source.
        examples: reason → where the first few of those rows are, such as ``validated.tsv:17``.
        failures: tables beside those of the rows that could not be read, and why.
        reasons: why rows could not be read → how many.
    """

    table: pl.DataFrame
    tables: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Listing:
    """The names in one folder, hidden ones left out; lower-case lookups are up to the layout."""

    folder: Path
    files: frozenset[str]
    folders: frozenset[str]
    error: OSError | None = None  # why it cannot be read

    @classmethod
    def of(cls, folder: Path) -> "Listing":
        """List a folder; one that may not be entered has no names."""
        files: set[str] = set()
        folders: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        (folders if is_folder(entry) else files).add(entry.name)
        except OSError as error:
            return cls(folder, frozenset(files), frozenset(folders), error)
        return cls(folder, frozenset(files), frozenset(folders))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; a link that leads to itself is none."""
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file or a link to one; a link that leads to itself is none."""
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False


def rename(table: pl.DataFrame, names: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Bring a corpus's columns under the names of :data:`ROW_SCHEMA`.

    Args:
        table: text columns under the corpus's names.
        names: name here → the corpus's names for it in lower case; where several are there, the first value that is
            not null counts.

    Returns:
        The same rows; a corpus's own column whose name means something else in a manifest is called ``source_…``.
    """
    by_lower: dict[str, str] = {}
    for name in table.columns:
        by_lower.setdefault(name.lower(), name)
    used: set[str] = set()
    made = []
    for name, spellings in names.items():
        there = [by_lower[spelling] for spelling in spellings if spelling in by_lower]
        used.update(there)
        if name in ("gender", "age"):  # "unknown" in one column hides nothing that another one knows
            made.append(pl.coalesce([known(one) for one in there] or pl.lit(None, pl.String)).alias(name))
            continue
        made.append((pl.coalesce(there) if there else pl.lit(None, pl.String)).alias(name))
    taken = {*_TAKEN, *names, *table.columns}
    rest = []
    for name in (name for name in table.columns if name not in used):
        own = name
        while own in taken and (own != name or name in _TAKEN or name in names):
            own = f"source_{own}"
        rest.append(pl.col(name).alias(own))
    return table.select(*made, *rest)


def drop_nameless(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Take out the rows that name no file, and count them."""
    named = table.select((pl.col("file").str.strip_chars() != "").fill_null(False))[:, 0]
    lost = table.height - int(named.sum())
    return (table.filter(named), {"no file name": lost}) if lost else (table, {})


def complete(table: pl.DataFrame) -> pl.DataFrame:
    """Give a table all columns of :data:`ROW_SCHEMA` in order, with their types; the corpus's other columns follow."""
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in ROW_SCHEMA.items() if name not in table.columns]
    table = table.with_columns(missing)
    own = [name for name in table.columns if name not in ROW_SCHEMA]
    return table.select(*(pl.col(name).cast(kind, strict=False) for name, kind in ROW_SCHEMA.items()), *own)


def without_suffix(column: str) -> pl.Expr:
    """Cut the file ending off a column of names or relative paths."""
    return pl.col(column).str.replace(r"\.[^./]+$", "")


def file_name(column: str) -> pl.Expr:
    """Keep the last part of a column of paths."""
    return pl.col(column).str.replace(r"^.*/", "")
