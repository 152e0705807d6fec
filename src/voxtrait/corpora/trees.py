"""What the layouts of public corpora share: the files below a folder, and small tables about the speakers in them.

Many corpora name their clips by folders and keep one small text file about the people; those files are written in as
many ways as there are corpora (``|``, blanks, tabs in a ``.csv``), so a layout splits the lines itself and only the
reading of them is here.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from voxtrait import storage
from voxtrait.audio import SUFFIXES
from voxtrait.errors import CorpusError

AUDIO: Final = tuple(sorted(SUFFIXES))


@dataclass
class Walk:
    """What a walk through folders met beside the files that it looks for."""

    failures: list[str] = field(default_factory=list)  # folders that cannot be read, and why
    others: Counter[str] = field(default_factory=Counter)  # other files: how many, by ending in lower case
    again: list[str] = field(default_factory=list)  # links to folders that were read already, loops aside

    def notes(self) -> list[str]:
        """Say what was passed over, each as a note about a source.

        Examples:
            >>> Walk(others=Counter({".txt": 2, "": 1})).notes()
            ['has 3 files with other endings: passed over (2 .txt, 1 without ending)']
        """
        notes = []
        if count := self.others.total():
            most = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
            shown = ", ".join([f"{n} {ending or 'without ending'}" for ending, n in most[:3]] + ["…"] * (len(most) > 3))
            files = "1 file with another ending" if count == 1 else f"{count} files with other endings"
            notes.append(f"has {files}: passed over ({shown})")
        if self.again:
            shown = ", ".join(self.again[:3]) + (", …" if len(self.again) > 3 else "")
            notes.append(f"has links to folders that it has too, which are read only once: {shown}")
        return notes


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


def names_below(folder: Path | str, endings: Collection[str], walk: Walk | None = None) -> Iterator[str]:
    """Yield what :func:`files_below` lists, folder by folder; ``walk`` gets what it meets besides.

    Each folder is read once, for links may run in circles; under its own name where it is below ``folder`` itself.
    """
    root, wanted = storage.path_of(str(folder)), tuple(endings)
    met = Walk() if walk is None else walk
    seen: set[tuple[int, int]] = set()
    starts = deque([root])  # links come after all real folders
    while starts:
        start = starts.popleft()
        for here, folders, names in os.walk(start, onerror=lambda error: met.failures.append(unread(error))):
            status = os.stat(here)  # noqa: PTH116 - a string, a hundred thousand times
            below = here[len(root) :].strip(os.sep).replace(os.sep, "/")
            if (status.st_dev, status.st_ino) in seen:
                if not _is_loop(here):
                    met.again.append(storage.text_of(below))
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            shown = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in shown if os.path.islink(os.path.join(here, name))]  # noqa: PTH114, PTH118
            starts.extend(os.path.join(here, name) for name in links)  # noqa: PTH118
            folders[:] = [name for name in shown if name not in links]
            for name in names:
                if name.startswith("."):
                    continue
                if name.lower().endswith(wanted):
                    yield storage.text_of(f"{below}/{name}" if below else name)
                else:
                    met.others[storage.text_of(os.path.splitext(name)[1].lower())] += 1  # noqa: PTH122


def _is_loop(link: str) -> bool:
    """Return whether a link leads to a folder that it is in."""
    above = os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    return f"{above}/".startswith(f"{os.path.realpath(link).rstrip('/')}/")


def unread(error: OSError) -> str:
    """Say that a folder cannot be read."""
    name = storage.text_of(error.filename or "a folder")
    return f"{name} cannot be read ({error.strerror}). Its files are left out: change its permissions"


def lines_of(path: Path) -> list[str]:
    """Read a small text file as lines without those that are blank.

    Letters that are not UTF-8 become U+FFFD: a damaged name costs that name and not the speaker.

    Raises:
        CorpusError: if there is nothing in the file, or it is no text.
    """
    data = Path(storage.path_of(str(path))).read_bytes()
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
