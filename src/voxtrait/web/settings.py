"""Server settings: limits, host names and token."""

import dataclasses
import ipaddress
import os
import re
from pathlib import Path
from typing import Final

from voxtrait.errors import OptionError

MAX_UPLOAD: Final = 100_000_000  # bytes
MAX_SECONDS: Final = 3600.0  # of audio in one upload
TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,512}")  # also valid as a WebSocket subprotocol
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Raises:
        OptionError: if a limit is not positive, or the token is not valid.

    Examples:
        >>> Settings(workers=2).most_requests
        18
    """

    workers: int = 0  # number of worker processes; 0: one for each usable core
    queue: int = 16  # maximum requests being received or waiting, in addition to those being processed
    max_upload_bytes: int = MAX_UPLOAD
    max_seconds: float = MAX_SECONDS  # of audio in one upload, or in one live session
    timeout_s: float = 60.0  # maximum processing without progress, and maximum wait for a worker
    upload_timeout_s: float = 120.0  # maximum duration of an upload
    grace_s: float = 30.0  # for requests in flight at shutdown
    live_sessions: int = 4  # maximum at a time
    live_patience_s: float = 30.0  # maximum time without a message from a live client
    worker_memory_bytes: int = 2**30  # maximum memory of a worker, in addition to the loaded model
    local: bool = True  # bound to a loopback address: only loopback names are accepted
    hosts: frozenset[str] = frozenset()  # other accepted host names, in lower case
    token: str | None = None
    folder: Path | None = None  # for temporary files; None: the system's temporary folder
    log_clients: bool = False  # log client addresses

    def __post_init__(self) -> None:
        """Set the number of workers, and check the settings."""
        if not self.workers:
            object.__setattr__(self, "workers", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        for name in ("workers", "max_upload_bytes", "max_seconds", "timeout_s", "upload_timeout_s", "live_sessions"):
            if not getattr(self, name) > 0:
                raise OptionError(f"got {name} {getattr(self, name)}, expected a positive number")
        if self.queue < 0:
            raise OptionError(f"got queue {self.queue}, expected 0 or more")
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise OptionError(
                "the token is not valid, expected 16 to 512 of the characters A-Z a-z 0-9 . _ ~ -. Create one with: "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )

    @property
    def most_requests(self) -> int:
        """Maximum number of simultaneous requests with uploads."""
        return self.workers + self.queue


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached only from this machine.

    Examples:
        >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0"), is_loopback("example.org")
        (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: str | os.PathLike[str]) -> str:
    """Read a token from the first line of a file.

    Raises:
        OptionError: if the file cannot be read.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the token file {os.fspath(file)} cannot be read: {error}") from None
    return lines[0] if lines else ""
