"""File names as text: names that are not UTF-8 have a spelling that tables, JSON and terminals can hold.

Python gives the bytes of such names as lone surrogates (PEP 383), which no encoder accepts.
"""

import os
import re
from typing import Final

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
    name = _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    return name if os.path.lexists(name) else text
