"""Makes files survive a power failure: sends them from memory to the disk (fsync), one by one or many at a time.

A system keeps written files in memory for some time. After a power failure, a file may have its name but not its
content. So a single result (a table, a report, a bundle) is sent to the disk before it gets its name. For folders with
thousands of small files that would take longer than making them. Such a folder is sent to the disk once a minute, and
at the end. Until then it has a hidden note, from which the next run knows which files it cannot trust.
"""

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from voxtrait import storage

Item = TypeVar("Item")

NOTE: Final = ".unsynced"
NEW: Final = f"{NOTE}.new"
EVERY_S: Final = 60.0  # seconds of work that a power failure may cost
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def sync_file(path: str | os.PathLike[str]) -> None:
    """Send the content of a file to the disk.

    Raises:
        OSError: if the disk is full or fails; it names the file.
    """
    try:
        opened = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Send the names in a folder to the disk; does nothing on disks and systems that cannot."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def sync_disk(folder: str | os.PathLike[str]) -> None:
    """Send all files of the disk of a folder to it.

    Raises:
        OSError: if the disk is full or fails; it names the folder.
    """
    if not sys.platform.startswith("linux"):
        getattr(os, "sync", lambda: None)()
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(opened):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fspath(folder))
    finally:
        os.close(opened)


class Unsynced:
    """Sends a folder of many files to the disk, and knows which files of an earlier run to make again.

    Args:
        folder: an existing folder, claimed by this process, or a URL, whose files are always complete.

    Attributes:
        since: modification time from which files may be incomplete, in ns since 1970; ``None`` if there was no power
            failure, so that all files can be trusted.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.note = None if storage.is_url(folder) else Path(folder, NOTE)
        self.since: int | None = None
        self._next = time.monotonic() + EVERY_S
        if self.note is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if not _boot() or self.note.read_text("ascii", errors="replace") != _boot():
                self.since = self.note.stat().st_mtime_ns

    def watch(self, results: Iterable[Item]) -> Iterator[Item]:
        """Yield results unchanged, and send the folder to the disk once a minute."""
        for result in results:
            if self.note is not None and time.monotonic() >= self._next:
                part = _write(self.note)  # before the files are sent, so that it is not newer than any of them
                sync_disk(self.note.parent)
                part.replace(self.note)
                self._next = time.monotonic() + EVERY_S
            yield result

    def begin(self) -> None:
        """Write the note, unless there is one, which then covers the files of this run too."""
        if self.note is not None and not self.note.exists():
            _write(self.note).replace(self.note)
            sync_folder(self.note.parent)

    def end(self) -> None:
        """Send the folder to the disk, and remove the note."""
        if self.note is not None:
            sync_disk(self.note.parent)
            self.note.unlink(missing_ok=True)


def is_older(status: os.stat_result, since: int | None) -> bool:
    """Return whether a file was complete before ``since``, so that it survived a power failure.

    Args:
        status: status of the file.
        since: time of :class:`Unsynced`; ``None`` if there was no power failure.
    """
    # the time of the change too: copies keep the modification time of their source
    return since is None or max(status.st_mtime_ns, status.st_ctime_ns) < since


def _write(note: Path) -> Path:
    """Write a new note beside the one that it replaces later."""
    part = note.with_name(NEW)
    part.write_text(_boot(), "ascii")
    sync_file(part)
    return part


def _boot() -> str:
    """Return the id of this start of the system; empty if unknown."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""
