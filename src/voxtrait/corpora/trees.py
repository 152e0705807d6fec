"""What the layouts of public corpora share: the files below a folder, and small tables about the speakers in them.

Many corpora name their clips by folders and keep one small text file about the people; those files are written in as
many ways as there are corpora (``|``, blanks, tabs in a ``.csv``), so a layout splits the lines itself and only the
reading of them is here.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from voxtrait import storage
from voxtrait.audio import SUFFIXES
from voxtrait.audio.folders import Walk, names_below
from voxtrait.errors import CorpusError

AUDIO: Final = tuple(sorted(SUFFIXES))


class Found(NamedTuple):
    """The files below a folder."""

    names: list[str]  # relative to the folder, with /, in order; as text (see :mod:`voxtrait.storage.names`)
    failures: list[str]  # folders that cannot be read, and why


def files_below(folder: Path, endings: Collection[str] = AUDIO) -> Found:
    """List the files below a folder by the end of their names, whatever its case; links to folders are followed.

    Args:
        folder: where to look, to any depth; hidden files and folders are left out.
        endings: ends of file names in lower case, such as ``.flac`` or ``.trans.txt``.
    """
    walk = Walk()
    return Found(sorted(names_below(folder, endings, walk)), walk.failures)


def lines_of(path: Path) -> list[str]:
    """Read a small text file as lines without those that are blank.

    Letters that are not UTF-8 become U+FFFD: a damaged name costs that name and not the speaker.

    Raises:
        CorpusError: if there is nothing in the file, or it is no text.
    """
    data = Path(storage.path_of(str(path))).read_bytes()
    if b"\0" in data:
        raise CorpusError(f"{path} is not UTF-8 text, expected a small table about speakers: download it again")
    lines = [line.rstrip() for line in data.decode("utf-8-sig", errors="replace").split("\n") if line.strip()]
    if not lines:
        raise CorpusError(f"{path} is empty, expected a small table about speakers: download it again")
    return lines


def frame(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """Make a table of text, blanks as nulls, with one row for each value of the first column: the first counts.

    Examples:
        >>> frame(("speaker", "gender"), [("19", "F "), ("19", "M"), ("60", "")]).rows()
        [('19', 'F'), ('60', None)]
    """
    schema = dict.fromkeys(columns, pl.String)
    table = pl.DataFrame(rows, schema=schema, orient="row") if rows else pl.DataFrame(schema=schema)
    table = table.with_columns(pl.col(columns).str.strip_chars().replace("", None))
    return table.drop_nulls(columns[0]).unique(columns[0], keep="first", maintain_order=True)


def unknown_speakers(rows: pl.DataFrame, speakers: pl.DataFrame, key: str, table: str) -> list[str]:
    """Give a note of how many of the rows' speakers are not in the table about speakers; nothing where all are."""
    lost = rows.select(key).drop_nulls().unique().join(speakers.select(key), on=key, how="anti")
    if not lost.height:
        return []
    named = ", ".join(sorted(lost[key].to_list())[:3])
    return [f"has clips of {lost.height} speakers who are not in {table} ({named}{', …' if lost.height > 3 else ''})"]
