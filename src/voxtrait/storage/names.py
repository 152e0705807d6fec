"""Converts file names to text and back: names that are not UTF-8 are escaped for tables, JSON and terminals.

Python represents the bytes of such names as lone surrogates (PEP 383), which encoders reject.
"""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Final

_LONGEST_PATH: Final = 1000  # bytes; libsndfile opens paths of up to 1,023
_ASCII: Final = sys.getfilesystemencoding() == "ascii"  # LC_ALL=C without UTF-8 mode
_ESCAPED: Final = re.compile(r"\\x([89a-f][0-9a-f])")


def text_of(path: str | os.PathLike[str]) -> str:
    r"""Return a path as valid text: a byte that is not UTF-8 is escaped, for example as ``\xe9``.

    Examples:
        >>> text_of("caf\udce9.mp3"), text_of("café.mp3")
        ('caf\\xe9.mp3', 'café.mp3')
    """
    name = os.fspath(path)
    if name.isascii():
        return name
    try:
        data = os.fsencode(name) if _ASCII else name.encode("utf-8", "surrogateescape")
        return data.decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a surrogate pair, which Windows allows in names
        return name.encode("utf-8", "backslashreplace").decode()


def path_of(text: str) -> str:
    r"""Return the path for a text from :func:`text_of`, unescaped if only that file exists.

    Examples:
        >>> path_of("clip.mp3")
        'clip.mp3'
    """
    if _ASCII and not text.isascii():
        text = _native(text)
    if "\\x" not in text or os.path.lexists(text):
        return text
    name = unspelled(text)
    return name if os.path.lexists(name) else text


def unspelled(text: str) -> str:
    r"""Return the path for a text from :func:`text_of`, always unescaped.

    Examples:
        >>> os.fsencode(unspelled("caf\\xe9.mp3"))
        b'caf\xe9.mp3'
    """
    name = _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    return _native(name) if _ASCII else name


def _native(text: str) -> str:
    """Return a path as Python spells it where file names are ASCII: other bytes are surrogates."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def openable(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> Path:
    """Return a path to a file that every library can open, valid until ``stack`` is closed.

    libsndfile cannot open paths of more than 1,023 bytes, and Polars cannot open paths that are not UTF-8. For these
    the folder is opened, and the path goes through ``/proc/self/fd``. On systems without it, the path is unchanged.
    """
    file = Path(path)
    name = os.fspath(file)
    if len(os.fsencode(name)) <= _LONGEST_PATH and text_of(name) == name:
        return file
    if text_of(file.name) != file.name or not Path("/proc/self/fd").is_dir():
        return file
    opened = os.open(file.parent, os.O_RDONLY)
    stack.callback(os.close, opened)
    return Path(f"/proc/self/fd/{opened}", file.name)
