"""Names of files after the clips they are made of: readable, unique, and fit for a disk."""

import hashlib
import re
from typing import Final

import polars as pl

LONGEST: Final = 180  # bytes of a name; disks take 255, and an ending and a hash are still to come
_PLAIN: Final = r"^[\w+=.-]+(/[\w+=.-]+)*$"  # an id that is a file name once its slashes are replaced
_DOUBTFUL: Final = r"^[._]|_/|/_|__"  # two of these could meet under one name, or hide
_ODD_ELSEWHERE: Final = r"^-|/\.|\.$"  # looks like an option, or some disks do not take it


def file_names(ids: pl.Series, *, any_disk: bool = False) -> pl.Series:
    """Name files by their clip, the same whatever else is in the table.

    Slashes become ``__``. An id that would get the same name as another one so, or that no disk takes, gets part of
    its hash.

    Args:
        ids: unique names of clips, no nulls.
        any_disk: names are to leave this machine: ids that are the same on a disk that ignores case get part of
            their hash too.

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
    """Make a name of the letters that are fit for one and of a hash, so that no two texts meet.

    Args:
        text: any.
        odd: a regular expression of the letters to replace.
        longest: bytes of the readable part.

    Examples:
        >>> hashed_name("a b", r"[^a-z]")
        'a_b-2847e54c57'
    """
    readable = re.sub(odd, "_", text.replace("/", "__")).lstrip("._-")
    while len(readable.encode()) > longest:
        readable = readable[:-1]
    return f"{readable}-{hashlib.blake2b(text.encode(), digest_size=5).hexdigest()}"
