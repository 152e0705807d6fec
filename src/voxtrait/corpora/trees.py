"""Lists the files of a corpus and reads small tables of speakers, for the layouts of public corpora.

Many corpora name their clips by folders and have a small text file about the speakers. Each corpus has its own format
(``|``, blanks, tabs in a ``.csv``), so the layouts split the lines, and this module only reads them.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from voxtrait import storage
from voxtrait.audio import SUFFIXES
from voxtrait.audio.folders import Walk, names_below
from voxtrait.errors import CorpusError, counted

AUDIO: Final = tuple(sorted(SUFFIXES))


class Found(NamedTuple):
    """The files found below a folder."""

    names: list[str]  # relative to the folder, with /, in order; as text (see :mod:`voxtrait.storage.names`)
    failures: list[str]  # one message for each folder that cannot be read


def files_below(folder: Path, endings: Collection[str] = AUDIO) -> Found:
    """List the files below a folder that have one of the endings, in any case; links to folders are followed.

    Args:
        folder: folder to search, to any depth; hidden files and folders are skipped.
        endings: endings of file names in lower case, such as ``.flac`` or ``.trans.txt``.
    """
    walk = Walk()
    return Found(sorted(names_below(folder, endings, walk)), walk.failures)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a small text file, without blank lines.

    Bytes that are not UTF-8 become U+FFFD, so that a damaged name does not cost the speaker.

    Raises:
        CorpusError: if the file is empty or not text.
    """
    data = Path(storage.path_of(str(path))).read_bytes()
    if b"\0" in data:
        raise CorpusError(f"{path} is not UTF-8 text. Expected a small table of speakers. Download it again.")
    lines = [line.rstrip() for line in data.decode("utf-8-sig", errors="replace").split("\n") if line.strip()]
    if not lines:
        raise CorpusError(f"{path} is empty. Expected a small table of speakers. Download it again.")
    return lines


def frame(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """Return a text table with blanks as nulls, and only the first row for each value of the first column.

    Examples:
        >>> frame(("speaker", "gender"), [("19", "F "), ("19", "M"), ("60", "")]).rows()
        [('19', 'F'), ('60', None)]
    """
    schema = dict.fromkeys(columns, pl.String)
    table = pl.DataFrame(rows, schema=schema, orient="row") if rows else pl.DataFrame(schema=schema)
    table = table.with_columns(pl.col(columns).str.strip_chars().replace("", None))
    return table.drop_nulls(columns[0]).unique(columns[0], keep="first", maintain_order=True)


def unknown_speakers(rows: pl.DataFrame, speakers: pl.DataFrame, key: str, table: str) -> list[str]:
    """Return a note with the number of speakers who are not in the table of speakers; empty if there are none."""
    lost = rows.select(key).drop_nulls().unique().join(speakers.select(key), on=key, how="anti")
    if not lost.height:
        return []
    named = ", ".join(sorted(lost[key].to_list())[:3]) + (", …" if lost.height > 3 else "")
    return [f"has clips of {counted(lost.height, 'speaker')} not listed in {table} ({named})"]
