"""Reads files up to a maximum size, and compares them with the SHA-256 hashes that they should have."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from voxtrait.errors import BundleError

_COMPARED: Final[dict[tuple[str | int, ...], str]] = {}  # file and its state → hash, in this process


def read(file: Path, largest: int, digest: str | None = None) -> bytes:
    """Read a file.

    Args:
        file: the file. A pipe or a device is refused, because reading it might never end.
        largest: maximum size in bytes. No more than that is read, whatever size the file states.
        digest: SHA-256 hash that the file should have, in lower-case hexadecimal digits; ``None`` compares nothing.

    Raises:
        BundleError: if the file is missing, cannot be read, is larger, or has another hash.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a").write_bytes(b"abc")
        ...     read(Path(folder, "a"), 100), read(Path(folder, "a"), 3, hashlib.sha256(b"abc").hexdigest())
        (b'abc', b'abc')
    """
    changed = f"{file} is missing or was changed: its hash differs from that in bundle.json."
    if not file.is_file():
        raise BundleError(f"{file} is missing, or is not a file." if digest is None else changed)
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            state = _state(file, status)
            # one byte more than there are, to see a file that grows; read takes memory for all that it is asked for
            content = opened.read(min(status.st_size, largest) + 1)
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error}") from None
    if len(content) > largest:
        raise BundleError(f"{file} is too large. Expected at most {largest:,} bytes.")
    if digest is not None:
        if hashlib.sha256(content).hexdigest() != digest:
            raise BundleError(changed)
        _COMPARED[state] = digest
    return content


def verify(file: Path, largest: int, digest: str) -> None:
    """Compare a file with its hash.

    A file that is in the state of the last comparison in this process (number on the disk, size, and times) is not
    read again.

    Raises:
        BundleError: as for :func:`read`.
    """
    try:
        state = _state(file, file.stat())
    except OSError:
        state = ()
    if _COMPARED.get(state) != digest:
        read(file, largest, digest)


def read_json(file: Path, largest: int) -> dict[str, Any]:
    """Read a JSON object from a file, with a maximum size, as in :func:`read`.

    Raises:
        BundleError: as for :func:`read`; or if the file is not a JSON object, or has a key twice, because another
            parser may use the other value.
    """
    try:
        values = json.loads(read(file, largest).decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise BundleError(f"{file} is JSON that is nested too deeply. Expected a JSON object.") from None
    except ValueError as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{file} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise BundleError(f"{file} contains a {type(values).__name__}. Expected a JSON object.")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _state(file: Path, found: os.stat_result) -> tuple[str | int, ...]:
    return str(file), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
