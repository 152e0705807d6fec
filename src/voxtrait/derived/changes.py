"""Notices clips that are replaced after a file was derived from them, or that change while they are read."""

import contextlib
from pathlib import Path

from voxtrait import storage
from voxtrait.errors import DecodeError


def changed_ns(path: str) -> int | None:
    """Return when the content or the name of a clip changed, in ns since 1970; ``None`` for URLs and missing files.

    The time of the change counts, not only that of the modification, which a renamed or copied file may keep.
    """
    if storage.is_url(path):
        return None
    with contextlib.suppress(OSError, UnicodeError):
        status = Path(storage.path_of(path)).stat()
        return max(status.st_mtime_ns, status.st_ctime_ns)
    return None


def check_unchanged(path: str, before: int | None) -> None:
    """Check that a clip has not changed while it was read; a file that is gone by then was read completely.

    Args:
        path: the clip.
        before: result of :func:`changed_ns` before the clip was read.

    Raises:
        DecodeError: if it has changed.
    """
    now = changed_ns(path)
    if now is not None and now != before:
        raise DecodeError(f"{path} changed while it was read. Run the same command again.")
