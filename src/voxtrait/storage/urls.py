"""Splits, joins and hides parts of URLs, as strings: ``Path`` would remove one of their slashes."""

import posixpath
import re
from pathlib import Path
from typing import Final, TypeGuard

WEB: Final = ("http", "https")
USER: Final = re.compile(r"(?<=://)[^/?#]*:[^/?#]*@|(?<=http://)[^/?#]*@|(?<=https://)[^/?#]*@")
_SECRET: Final = re.compile(
    r"x-(amz|goog|oss|cos)-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id|sig|"
    r"(access_?|auth_?)?token|(api_?)?key|password|secret",
    re.IGNORECASE,
)  # parameters that grant access: signatures of object stores, and tokens


def is_url(name: object) -> TypeGuard[str]:
    """Return whether a name is a URL and not a path.

    Examples:
        >>> is_url("s3://bucket/clips"), is_url("clips/a.mp3"), is_url(Path("a.mp3"))
        (True, False, False)
    """
    return isinstance(name, str) and "://" in name


def shown(name: str) -> str:
    """Return a URL without its password, signature and tokens, to print or store it; paths are unchanged.

    Examples:
        >>> shown("https://me:pw@host/a.mp3?part=2&X-Amz-Signature=abc")
        'https://host/a.mp3?part=2'
        >>> shown("clips/a.mp3")
        'clips/a.mp3'
    """
    if "://" not in name or ("@" not in name and "?" not in name):
        return name
    url, mark, query = USER.sub("", name).partition("?")
    if not mark:
        return url
    kept = [part for part in query.split("&") if not _SECRET.fullmatch(part.partition("=")[0])]
    return "?".join([url, "&".join(kept)] if kept else [url])


def join(folder: str, name: str) -> str:
    """Join the URL or path of a folder and the name of a file in it.

    Examples:
        >>> join("s3://bucket/clips/", "a.mp3")
        's3://bucket/clips/a.mp3'
    """
    return f"{folder.rstrip('/')}/{name}"


def parent(url: str) -> str:
    """Return the URL of the folder of a file.

    Examples:
        >>> parent("s3://bucket/clips/a.mp3")
        's3://bucket/clips'
    """
    return url.partition("?")[0].rstrip("/").rpartition("/")[0]


def name_of(url: str) -> str:
    """Return the last part of a URL, without its query.

    Examples:
        >>> name_of("https://host/clips/a.mp3?part=2")
        'a.mp3'
    """
    return url.partition("?")[0].rstrip("/").rpartition("/")[2]


def suffix_of(name: str) -> str:
    """Return the file ending of a URL or path in lower case, with its dot."""
    return posixpath.splitext(name_of(name))[1].lower() if is_url(name) else Path(name).suffix.lower()


def protocol_of(url: str) -> str:
    """Return the part of a URL before ``://``, in lower case."""
    return url.partition("://")[0].lower()
