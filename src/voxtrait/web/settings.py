"""The settings of a server: its limits, names and token, in one frozen record."""

import dataclasses
import ipaddress
import os
import re
from pathlib import Path
from typing import Final

from voxtrait.errors import OptionError

MAX_UPLOAD: Final = 100_000_000  # bytes
MAX_SECONDS: Final = 3600.0  # of sound in one upload
TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,512}")  # also legal as a subprotocol of a WebSocket
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of a server at its start.

    Raises:
        OptionError: if a limit is not positive, or the token cannot be one.

    Examples:
        >>> Settings(workers=2).most_requests
        18
    """

    workers: int = 0  # processes; 0: one for each usable core
    queue: int = 16  # requests that may wait, or be on their way in, beside those in work
    max_upload_bytes: int = MAX_UPLOAD
    max_seconds: float = MAX_SECONDS  # of sound in one upload, or in one live session
    timeout_s: float = 60.0  # of work on a request without progress, and of waiting for a worker
    upload_timeout_s: float = 120.0  # until all of an upload is there
    grace_s: float = 30.0  # that requests in flight have at the end
    live_sessions: int = 4  # at a time
    live_patience_s: float = 30.0  # without a message from a live client
    worker_memory_bytes: int = 2**30  # that a worker may take beside what the loaded model needs
    local: bool = True  # bound to a loopback address: only loopback names are accepted
    hosts: frozenset[str] = frozenset()  # other accepted host names, in lower case
    token: str | None = None
    folder: Path | None = None  # where temporary files go; None: the system's folder for them
    log_clients: bool = False  # addresses of clients in the log

    def __post_init__(self) -> None:
        """Fill in the number of workers, and refuse invalid settings."""
        if not self.workers:
            object.__setattr__(self, "workers", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        for name in ("workers", "max_upload_bytes", "max_seconds", "timeout_s", "upload_timeout_s", "live_sessions"):
            if not getattr(self, name) > 0:
                raise OptionError(f"got {name} {getattr(self, name)}, expected a positive number")
        if self.queue < 0:
            raise OptionError(f"got a queue of {self.queue}, expected 0 or more")
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise OptionError(
                "the token is too short or has other characters than A-Z a-z 0-9 . _ ~ - in it, expected 16 to 512 of "
                "them: python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
            )

    @property
    def most_requests(self) -> int:
        """Requests with uploads that may be in work at one moment."""
        return self.workers + self.queue


def is_loopback(host: str) -> bool:
    """Return whether an address to listen at can be reached from this machine only.

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
