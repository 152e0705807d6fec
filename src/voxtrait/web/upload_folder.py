"""Private folder for uploads: an upload is removed after its request, the folder at the end of the server.

On Linux, uploads are files without a name (``O_TMPFILE``): the kernel removes them however the process ends. On other
systems they have names, and the next server to start removes the folder of a crashed server. Each server holds a lock
in its folder while it runs.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PREFIX: Final = "voxtrait-web-"
LOCK: Final = "lock"
NEWBORN_S: Final = 60.0  # seconds; a newer folder without a lock may belong to a server that is starting


class UploadFolder:
    """A private folder, mode 0700.

    Args:
        parent: parent folder; ``None``: the system's temporary folder.

    Examples:
        >>> with UploadFolder() as uploads, uploads.file() as upload:
        ...     upload.write(b"abc")
        ...     Path(upload.place).read_bytes()
        b'abc'
        >>> uploads.folder.exists()
        False
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(parent or tempfile.gettempdir())
        remove_stale(self._parent)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
        self._lock = _locked(self.folder / LOCK)

    def file(self) -> "StoredUpload":
        """Create an empty file."""
        return StoredUpload(self.folder)

    def close(self) -> None:
        """Remove the folder and its files. A second call does nothing."""
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """Return the object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Remove the folder."""
        self.close()


class StoredUpload:
    """The file of an upload. Other processes on this machine can open it at the path ``place``."""

    def __init__(self, folder: Path) -> None:
        self._name: Path | None = None
        self.size = 0  # bytes
        try:
            self._descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
            self.place = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        except (AttributeError, OSError):  # another system, or a file system without such files
            self._descriptor, self.place = tempfile.mkstemp(dir=folder)
            self._name = Path(self.place)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: if the disk is full.
        """
        self.size += len(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def __enter__(self) -> Self:
        """Return the object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Remove the file."""
        if self._name is not None:
            self._name.unlink(missing_ok=True)
        os.close(self._descriptor)


def remove_stale(parent: Path) -> list[Path]:
    """Remove the folders of servers that no longer run, and return their paths."""
    removed = []
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or _is_alive(folder):
                continue
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


def _is_alive(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return time.time() - folder.stat().st_mtime < NEWBORN_S
    lock = _locked(folder / LOCK)
    if lock is not None:
        os.close(lock)
    return lock is None


def _locked(file: Path) -> int | None:
    """Open a file and lock it until the descriptor is closed; ``None`` if another process holds the lock."""
    import fcntl

    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
