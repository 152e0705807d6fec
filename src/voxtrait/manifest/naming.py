"""Derives file names from clip ids: readable, unique, and valid on any disk."""

import hashlib
import re
from typing import Final

import polars as pl

LONGEST: Final = 180  # bytes of a name; disks allow 255, and an ending and a hash are added
_PLAIN: Final = r"^[\w+=.-]+(/[\w+=.-]+)*$"  # an id that is a file name once its slashes are replaced
_DOUBTFUL: Final = r"^[._]|_/|/_|__"  # two of these could get the same name, or be a hidden file
_ODD_ELSEWHERE: Final = r"^-|/\.|\.$"  # looks like an option, or is not allowed on some disks


def file_names(ids: pl.Series, *, any_disk: bool = False) -> pl.Series:
    """Return a file name for each clip id; the name does not depend on the other rows of the table.

    Slashes become ``__``. Part of a hash is added where the name could clash with that of another id, or is not valid
    on a disk.

    Args:
        ids: unique clip ids, without nulls.
        any_disk: also add part of a hash where a name is not valid on some other disk, or where two ids differ only in
            case.

    Examples:
        >>> file_names(pl.Series(["cv/6.1/ab/clip_1", "cv/6.1/ab/clip 2?"])).to_list()
        ['cv__6.1__ab__clip_1', 'cv__6.1__ab__clip_2_-9e80549878']
        >>> file_names(pl.Series(["x/A", "x/a"]), any_disk=True).to_list()
        ['x__A-5802710f4e', 'x__a-d2d719f574']
    """
    plain = ids.str.contains(_PLAIN) & ~ids.str.contains(_DOUBTFUL) & (ids.str.len_bytes() <= LONGEST)
    if any_disk:
        plain &= ~ids.str.contains(_ODD_ELSEWHERE) & ~ids.str.to_lowercase().is_duplicated()
    names = ids.str.replace_all("/", "__", literal=True)
    if not plain.all():
        odd = ids.filter(~plain).unique()
        named = pl.Series([hashed_name(one) for one in odd], dtype=pl.String)
        names = plain.to_frame("plain").select(
            pl.when("plain").then(names).otherwise(ids.replace_strict(odd, named, default=None))
        )[:, 0]
    return names.alias("name")


def hashed_name(text: str, odd: str = r"[^\w+=.-]", longest: int = LONGEST) -> str:
    """Return a file name made of a text's valid characters and a hash, so that different texts get different names.

    Args:
        text: any text.
        odd: regular expression of the characters to replace by ``_``.
        longest: maximum size of the readable part, in bytes.

    Examples:
        >>> hashed_name("a b", r"[^a-z]")
        'a_b-2847e54c57'
    """
    readable = re.sub(odd, "_", text.replace("/", "__")).lstrip("._-")
    while len(readable.encode()) > longest:
        readable = readable[:-1]
    return f"{readable}-{hashlib.blake2b(text.encode(), digest_size=5).hexdigest()}"
