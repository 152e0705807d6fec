"""Defines the common result of all layouts: a corpus found on disk, and its rows in one schema."""

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
    "file": pl.String,  # relative to the folder of the corpus, or absolute
    "stem": pl.String,  # name of the clip in this corpus
    "speaker_id": pl.String,
    "gender": pl.String,  # in the corpus's own spelling
    "age": pl.String,  # in the corpus's own spelling: a decade, or years
    "split": pl.String,  # one of labels.SPLITS
    "locale": pl.String,
    "accent": pl.String,
    "duration_s": pl.Float64,  # seconds
    "sentence": pl.String,
    "table_rank": pl.Int32,  # of a clip in several tables, the row with the lowest rank is kept
}
"""The columns that every layout returns; the other columns of a corpus follow as text."""

NAMES: Final = ("clip_id", "corpus", "release")
"""Extra columns of rows that come from a manifest. Where they are null, the source names the clip."""

UNREADABLE: Final = "unreadable row"
"""Reason for dropping rows with another number of fields than the header, or not in UTF-8."""

_WORKING: Final = ("_source", "_key", "_present", "_measured")  # temporary columns of the import
_TAKEN: Final = frozenset({*SCHEMA, *ROW_SCHEMA, SPLIT_UNIT, *_WORKING})


@dataclass(frozen=True)
class Source:
    """One corpus in one folder, recognised by a layout.

    Attributes:
        layout: name of the layout.
        folder: absolute path of the folder with the tables.
        corpus: first part of the clip ids.
        release: second part of the clip ids, or ``None``.
        locale: third part of the clip ids, for rows without their own locale, or ``None``.
        file: the file, for layouts of a single file, or ``None``.
        home: absolute path that the rows' ``file`` is relative to; ``None`` if it is ``folder``. It differs for an
            archive, whose tables are read from a temporary folder.
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
        """Path of the source, for messages."""
        return storage.text_of(self.file or self.base)


@dataclass
class Rows:
    """The rows of a source, read by a layout.

    Attributes:
        table: the rows, with the columns of :data:`ROW_SCHEMA` and those of the corpus.
        tables: names of the tables read.
        dropped: reason → number of rows dropped.
        notes: notes for the user about this source.
        examples: reason → the first few rows dropped, such as ``validated.tsv:17``.
        failures: one message for each other table or folder that could not be read.
        reasons: reason why rows are unreadable → number of rows.
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
    """The names of files and folders in one folder, without hidden ones."""

    folder: Path
    files: frozenset[str]
    folders: frozenset[str]
    error: OSError | None = None  # why the folder cannot be read

    @classmethod
    def of(cls, folder: Path) -> "Listing":
        """List a folder; if it cannot be read, there are no names."""
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
    """Return whether an entry is a folder or a link to one; false for a link to itself."""
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file or a link to one; false for a link to itself."""
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False


def rename(table: pl.DataFrame, names: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Rename the columns of a corpus to those of :data:`ROW_SCHEMA`.

    Args:
        table: text columns with the corpus's names.
        names: new name → the corpus's names in lower case; of several columns, the first value that is not null is
            taken.

    Returns:
        The same rows. Other columns whose name has another meaning in a manifest are renamed to ``source_…``.
    """
    by_lower: dict[str, str] = {}
    for name in table.columns:
        by_lower.setdefault(name.lower(), name)
    used: set[str] = set()
    made = []
    for name, spellings in names.items():
        there = [by_lower[spelling] for spelling in spellings if spelling in by_lower]
        used.update(there)
        if name in ("gender", "age"):  # "unknown" in one column must not hide a value in another
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
    """Drop the rows without a file name, and count them."""
    named = table.select((pl.col("file").str.strip_chars() != "").fill_null(False))[:, 0]
    lost = table.height - int(named.sum())
    return (table.filter(named), {"no file name": lost}) if lost else (table, {})


def complete(table: pl.DataFrame) -> pl.DataFrame:
    """Add missing columns of :data:`ROW_SCHEMA`, and set order and types; the corpus's other columns follow."""
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in ROW_SCHEMA.items() if name not in table.columns]
    table = table.with_columns(missing)
    own = [name for name in table.columns if name not in ROW_SCHEMA]
    return table.select(*(pl.col(name).cast(kind, strict=False) for name, kind in ROW_SCHEMA.items()), *own)


def without_suffix(column: str) -> pl.Expr:
    """Return a column of names or relative paths without file endings."""
    return pl.col(column).str.replace(r"\.[^./]+$", "")


def file_name(column: str) -> pl.Expr:
    """Return the last parts of a column of paths."""
    return pl.col(column).str.replace(r"^.*/", "")
