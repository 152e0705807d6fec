"""Converts file names to text and back: names that are not UTF-8 get a spelling for tables, JSON and terminals.

Python gives the bytes of such names as lone surrogates (PEP 383), which no encoder accepts.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Final

_LONGEST_PATH: Final = 1000  # bytes; libsndfile opens paths of up to 1,023
_ESCAPED: Final = re.compile(r"\\x([89a-f][0-9a-f])")


def text_of(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text that every table and encoder accepts: a byte that is not UTF-8 becomes ``\xe9``.

    Examples:
        >>> text_of("caf\udce9.mp3"), text_of("café.mp3")
        ('caf\\xe9.mp3', 'café.mp3')
    """
    name = os.fspath(path)
    if name.isascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a half of a pair of surrogates, as Windows allows in names
        return name.encode("utf-8", "backslashreplace").decode()


def path_of(text: str) -> str:
    r"""Return the path that :func:`text_of` spelled: the text itself, unless only the other spelling exists.

    Examples:
        >>> path_of("clip.mp3")
        'clip.mp3'
    """
    if "\\x" not in text or os.path.lexists(text):
        return text
    name = unspelled(text)
    return name if os.path.lexists(name) else text


def unspelled(text: str) -> str:
    r"""Return the path that :func:`text_of` spelled, whether it exists or not.

    Examples:
        >>> os.fsencode(unspelled("caf\\xe9.mp3"))
        b'caf\xe9.mp3'
    """
    return _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def openable(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> Path:
    """Return a name for a file that every library can open, for as long as ``stack`` is not closed.

    libsndfile opens no path of more than 1,023 bytes, and Polars none that is not UTF-8: for these the folder is
    opened, and the name is one in the system's table of open files. Where there is no such table, it stays as it is.
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
