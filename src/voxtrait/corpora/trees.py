"""What the layouts of public corpora share: the files below a folder, and small tables about the speakers in them.

Many corpora name their clips by folders and keep one small text file about the people; those files are written in as
many ways as there are corpora (``|``, blanks, tabs in a ``.csv``), so a layout splits the lines itself and only the
reading of them is here.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio import SUFFIXES
from voxtrait.corpora.source import is_text
from voxtrait.errors import CorpusError

AUDIO: Final = tuple(sorted(SUFFIXES))
ODD_NAME: Final = "file name is not UTF-8"


def files_below(folder: Path, endings: Collection[str] = AUDIO) -> tuple[list[str], int]:
    """List the files below a folder by the end of their names, whatever its case; links to folders are followed.

    Args:
        folder: where to look, to any depth; hidden files and folders are left out.
        endings: ends of file names in lower case, such as ``.flac`` or ``.trans.txt``.

    Returns:
        The paths relative to ``folder``, with ``/``, in order; and the number of files left out because their name is
        not UTF-8, which no table can hold.
    """
    root, wanted = str(folder), tuple(endings)
    found: list[str] = []
    odd = 0
    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(root, followlinks=True):
        status = os.stat(here)  # noqa: PTH116 - a string, a hundred thousand times
        if (status.st_dev, status.st_ino) in seen:  # links may run in circles
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = here[len(root) :].strip(os.sep).replace(os.sep, "/")
        for name in names:
            if name.lower().endswith(wanted) and not name.startswith("."):
                path = f"{below}/{name}" if below else name
                if is_text(path):
                    found.append(path)
                else:
                    odd += 1
    return sorted(found), odd


def lines_of(path: Path) -> list[str]:
    """Read a small text file as lines without those that are blank.

    Letters that are not UTF-8 become U+FFFD: a damaged name costs that name and not the speaker.

    Raises:
        CorpusError: if there is nothing in the file, or it is no text.
    """
    data = path.read_bytes()
    if b"\0" in data:
        raise CorpusError(f"{path} is no UTF-8 text, expected a small table about speakers: download it again")
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
