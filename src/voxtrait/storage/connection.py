"""Connects to object stores and web servers: one fsspec filesystem per process, three tries, readable errors."""

import errno
import functools
import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from voxtrait.errors import AudioMissingError, MissingExtraError, OptionError, StorageError, require
from voxtrait.storage.urls import USER, WEB, protocol_of, shown

Result = TypeVar("Result")

CONNECT_S: Final = 10  # timeout of a connection, in seconds
SILENCE_S: Final = 30  # timeout without a byte from the server, in seconds
STORES: Final = frozenset(
    {
        *("http", "https", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "wasbs", "oci", "oss"),
        *("ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "memory"),
    }
)
"""Kinds of URLs that are opened. fsspec knows more: files that name other files, archives, caches, and chains of these,
joined by ``::``. A table of clips may come from somebody else, so its URLs must not reach these."""
WAITS: Final = (0.5, 2.0)  # seconds before the second and the third try


def place_of(url: str) -> tuple[Any, str]:
    """Return the filesystem of a URL, one per process, and the file's name in it."""
    protocol, _, rest = url.partition("://")
    fs = _filesystem(f"{protocol}://{rest.partition('/')[0]}", os.getpid())
    return fs, fs._strip_protocol(url)


def require_remote(url: str) -> None:
    """Check that the packages of the extra ``[remote]`` for a URL are installed, before any work is done.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    protocol = protocol_of(url)
    package = "s3fs" if protocol in ("s3", "s3a") else "aiohttp" if protocol in WEB else "fsspec"
    require(f"reading {shown(url)}", "remote", "fsspec", package)


@functools.lru_cache(maxsize=64)
def _filesystem(root: str, process: int) -> Any:
    """Make the filesystem of a root such as ``s3://bucket``; fsspec itself makes one per thread."""
    if protocol_of(root) not in STORES or "::" in root:
        raise StorageError(
            f"{shown(root)} cannot be opened: {protocol_of(root)}:// is not one of {', '.join(sorted(STORES))}."
        )
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(f"reading {shown(root)}", "remote") from None
    try:
        fs, _ = url_to_fs(root, **_options(protocol_of(root)))
    except ImportError as error:
        if protocol_of(root) in ("s3", "s3a", *WEB):
            raise MissingExtraError(f"reading {shown(root)}", "remote") from None
        raise StorageError(f"{shown(root)} needs a package that is not installed: {error}") from None
    except ValueError as error:
        raise StorageError(f"{shown(root)} cannot be opened: {error}") from None
    if protocol_of(root) in ("s3", "s3a"):
        fs.retries = 1  # tried() repeats calls for every kind of store
    return fs


def _options(protocol: str) -> dict[str, Any]:
    if protocol in WEB:
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        return {"client_kwargs": {"timeout": limits, "trust_env": True}}
    options: dict[str, Any] = {"use_listings_cache": False}  # this run must find what it writes
    if protocol in ("s3", "s3a"):
        from fsspec.config import conf  # type: ignore[import-untyped] # FSSPEC_S3 and FSSPEC_S3_… of the environment

        network: dict[str, Any] = {
            "connect_timeout": CONNECT_S,
            "read_timeout": SILENCE_S,
            "retries": {"total_max_attempts": 1},
        }
        options["config_kwargs"] = network | conf.get("s3", {}).get("config_kwargs", {})
    return options


def tried(url: str, call: Callable[[], Result]) -> Result:
    """Make a call that needs the network, repeat it where that may help, and raise a readable error if it fails."""
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:
            found, passing = _explained(url, error)
            if wait is None or not passing:
                raise found from None
        time.sleep(wait)
    raise AssertionError


def _explained(url: str, error: Exception) -> tuple[Exception, bool]:
    """Convert a library's error to one of voxtrait's, and return whether another try may succeed."""
    name, kind, status = shown(url), type(error).__name__, getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        bucket = "bucket" in str(error) or "container" in str(error)
        return AudioMissingError(f"no such file: {name}{' (no such bucket)' if bucket else ''}"), False
    if isinstance(error, PermissionError) or status in (401, 403, 407):
        return StorageError(f"Access to {name} refused. Check the permissions of the credentials in use."), False
    if "Credentials" in kind or "Token" in kind:
        return StorageError(
            f"No credentials for {name}. Set them as its library expects (for s3: AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket)."
        ), False
    if status is not None:
        reason = f"the server returned status {status} {getattr(error, 'message', '')}".rstrip()
        return StorageError(f"{name} cannot be reached: {reason}"), status >= 500 or status in (408, 425, 429)
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return StorageError(f"{name} cannot be reached: no response within {SILENCE_S} s."), True
    if "Connect" in kind or "DNS" in kind:
        return StorageError(f"{name} cannot be reached: the host is unknown or refuses connections."), True
    if isinstance(error, StorageError | OptionError | MissingExtraError):
        return error, False
    text = USER.sub("", str(error).replace(url, name)).partition("\n")[0]
    passing = (isinstance(error, OSError) and error.errno != errno.EINVAL) or kind.startswith(
        ("Client", "HTTP", "Server")
    )
    return StorageError(f"{name} cannot be reached: {text or kind}"), passing
