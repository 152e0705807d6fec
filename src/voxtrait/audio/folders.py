"""The audio files of a folder, and what is in it besides."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from voxtrait import storage
from voxtrait.audio.kinds import SUFFIXES
from voxtrait.errors import NothingToDoError


class Found(NamedTuple):
    """What a search of a folder found."""

    files: list[Path]  # sorted, with an ending of audio
    others: Counter[str]  # other files: how many, by ending in lower case
    unread: list[str]  # folders that cannot be read

    @property
    def left_out(self) -> str | None:
        """What was left out, in words; ``None`` where nothing was.

        Examples:
            >>> Found([], Counter({".txt": 2, "": 1}), ["private"]).left_out
            '3 files with other endings passed over (2 .txt, 1 without ending); 1 folder cannot be read: private'
        """
        parts = []
        if count := self.others.total():
            most = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in self.others.most_common(3))
            files, more = ("file" if count == 1 else "files"), (", …" if len(self.others) > 3 else "")
            parts.append(f"{count} {files} with other endings passed over ({most}{more})")
        if self.unread:
            folders = "1 folder" if len(self.unread) == 1 else f"{len(self.unread)} folders"
            shown = ", ".join(self.unread[:3]) + (", …" if len(self.unread) > 3 else "")
            parts.append(f"{folders} cannot be read: {shown}")
        return "; ".join(parts) or None


def search(folder: str | os.PathLike[str]) -> Found:
    """Find the audio files of a folder and its subfolders; hidden files and folders are left out.

    Links to folders are followed, each folder is read once: links may run in circles.

    Args:
        folder: where to look.

    Returns:
        The files whose endings are audio's (:data:`~voxtrait.audio.SUFFIXES`), and what was left out.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    unread: list[str] = []
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        unread.append(storage.text_of(error.filename))

    for here, folders, names in os.walk(folder, followlinks=True, onerror=refused):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a string, a million times
            if ending in SUFFIXES:
                found.append(Path(here, name))
            else:
                others[storage.text_of(ending)] += 1
    return Found(sorted(found), others, unread)


def audio_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the audio files of a folder and its subfolders, sorted by path, as :func:`search` finds them.

    Raises:
        NothingToDoError: if there is none.
    """
    found = search(folder)
    if not found.files:
        raise NothingToDoError(
            f"no audio in {storage.text_of(folder)}: "
            + (found.left_out or "the folder is empty")
            + ". Expected files ending in .mp3, .wav, .flac, .ogg, .opus, .m4a, .webm or another ending of audio"
        )
    return found.files
