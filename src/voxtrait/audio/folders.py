"""Finds the audio files of a folder and its subfolders, and counts the other files."""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from voxtrait import storage
from voxtrait.audio.kinds import SUFFIXES
from voxtrait.errors import NothingToDoError


class Found(NamedTuple):
    """Result of a search of a folder."""

    files: list[Path]  # sorted, with an audio ending
    notes: list[str]  # messages about skipped files
    failures: list[str]  # messages about unreadable folders


@dataclass
class Walk:
    """Unreadable folders, other files and repeated folders that a walk found."""

    failures: list[str] = field(default_factory=list)  # messages about unreadable folders
    others: Counter[str] = field(default_factory=Counter)  # number of other files by ending in lower case
    again: list[str] = field(default_factory=list)  # links to folders already read, without loops

    def other_files(self, what: str = " skipped") -> list[str]:
        """Return a list with one message about the number of other files, or an empty list without other files.

        Examples:
            >>> Walk(others=Counter({".md": 1})).other_files()
            ['1 file with another ending skipped (1 .md)']
        """
        count = self.others.total()
        if not count:
            return []
        most = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join([f"{n} {ending or 'without ending'}" for ending, n in most[:3]] + ["…"] * (len(most) > 3))
        files = "1 file with another ending" if count == 1 else f"{count} files with other endings"
        return [f"{files}{what} ({shown})"]

    def notes(self) -> list[str]:
        """Return messages about skipped files and folders, as notes about a source.

        Examples:
            >>> Walk(others=Counter({".txt": 2, "": 1})).notes()
            ['has 3 files with other endings: skipped (2 .txt, 1 without ending)']
        """
        notes = [f"has {said}" for said in self.other_files(": skipped")]
        if self.again:
            shown = ", ".join(self.again[:3]) + (", …" if len(self.again) > 3 else "")
            notes.append(f"has several paths to the same folders. Each folder is read once; skipped: {shown}")
        return notes


def names_below(folder: Path | str, endings: Collection[str], walk: Walk | None = None) -> Iterator[str]:
    """Yield the files with these endings below a folder, folder by folder; ``walk`` records everything else.

    Each folder is read once, because links may form loops. A folder below ``folder`` itself keeps its own name.
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
    """Return whether a link points to a folder that contains it."""
    above = os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    return f"{above}{os.sep}".startswith(f"{os.path.realpath(link).rstrip(os.sep)}{os.sep}")


def unread(error: OSError) -> str:
    """Return the message about a folder that cannot be read."""
    name = storage.text_of(error.filename or "a folder")
    return f"{name} cannot be read ({error.strerror}). Its files are skipped. Change its permissions"


def search(folder: str | os.PathLike[str]) -> Found:
    """Find the audio files of a folder and its subfolders; hidden files and folders are skipped.

    Links to folders are followed. Each folder is read once, because links may form loops.

    Args:
        folder: path of the folder.

    Returns:
        The files with audio endings (:data:`~voxtrait.audio.SUFFIXES`), and messages about skipped files.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.txt").touch()
        ...     search(folder).notes
        ['1 file with another ending skipped (1 .txt)']
    """
    walk = Walk()
    root = os.fspath(folder)
    files = [Path(storage.path_of(os.path.join(root, name))) for name in names_below(root, SUFFIXES, walk)]  # noqa: PTH118
    return Found(sorted(files), walk.other_files(), walk.failures)


def audio_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the audio files of a folder and its subfolders, sorted by path, as :func:`search` finds them.

    Raises:
        NothingToDoError: if there are no audio files.
    """
    found = search(folder)
    if not found.files:
        why = "; ".join([*found.failures, *found.notes]) or "the folder is empty"
        expected = "Expected files ending in .mp3, .wav, .flac, .ogg, .opus, .m4a, .webm or another audio ending"
        raise NothingToDoError(f"No audio files in {storage.text_of(folder)}: {why}. {expected}")
    return found.files
