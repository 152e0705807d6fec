"""Finds the files of a table on disk, under their names in the table or under similar names.

A table may be written on one machine and read on another: macOS decomposes letters (NFD), Windows separates folders by
backslashes and ignores case, and clips may be converted after the table was written.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import polars as pl

from voxtrait import storage
from voxtrait.audio import SUFFIXES
from voxtrait.audio.folders import names_below
from voxtrait.corpora.source import is_file, is_folder
from voxtrait.manifest.table import lookup

WAYS: Final = ("Unicode form", "slash", "case", "ending")
SHOWN: Final = 3  # names shown in a hint

_SEARCHED: Final = 100_000  # files searched for a hint


class Respelled(NamedTuple):
    """Files of one source that have a different name on disk than in the table."""

    way: str  # one of WAYS
    files: int
    named: str  # path of the first of them in the table
    there: str  # … and on disk


def marked(table: pl.DataFrame, archived: Sequence[pl.Series]) -> tuple[pl.DataFrame, dict[int, list[Respelled]]]:
    """Mark the rows whose file exists, listing each folder once: checking each file takes minutes on a network disk.

    Args:
        table: rows with an absolute ``path``, and ``_source``.
        archived: paths of files inside archives.

    Returns:
        The table, with ``_on_disk`` (the file exists) and ``_present`` (it exists or is in an archive). If exactly one
        file with a similar name exists, ``path`` is replaced by its path. And these replacements by source.
    """
    folders = table["path"].str.replace(r"/[^/]*$", "").unique().to_list()
    on_disk = pl.concat([pl.Series("path", dtype=pl.String), *(_files_in(folder) for folder in folders)])
    packed = pl.concat([pl.Series("path", dtype=pl.String), *(names.rename("path") for names in archived)])
    table = table.with_columns(_on_disk=_among(table, on_disk), _present=_among(table, packed))
    table = table.with_columns(pl.col("_present") | pl.col("_on_disk"))
    if table["_present"].all():
        return table, {}
    missing = table.filter(~pl.col("_present")).select("path", "_source").unique("path", maintain_order=True)
    taken = set(table.filter("_on_disk")["path"])
    missing = missing.with_columns(_there=pl.Series(list(_spelled(missing["path"], taken)), dtype=pl.String))
    found = missing.drop_nulls().filter(pl.col("_there").is_unique())  # a.wav may be from a.mp3 or a.ogg
    if not found.height:
        return table, {}
    there = lookup(table, found, "path", "_there")
    path = pl.coalesce(there, "path").alias("path")
    table = table.with_columns(path, pl.Series("_on_disk", table["_on_disk"] | there.is_not_null()))
    return table.with_columns(pl.col("_present") | pl.col("_on_disk")), _summed(found)


def _among(table: pl.DataFrame, paths: pl.Series) -> pl.Series:
    there = paths.unique().to_frame().with_columns(_there=pl.lit(True))
    return lookup(table, there, "path", "_there").fill_null(False)


def _summed(found: pl.DataFrame) -> dict[int, list[Respelled]]:
    counts: dict[int, Counter[str]] = {}
    first: dict[tuple[int, str], tuple[str, str]] = {}
    for named, source, there in found.iter_rows():
        way = way_of(named, there)
        counts.setdefault(source, Counter())[way] += 1
        first.setdefault((source, way), (named, there))
    return {
        source: [Respelled(way, some[way], *first[source, way]) for way in WAYS if some[way]]
        for source, some in counts.items()
    }


def way_of(named: str, there: str) -> str:
    """Return the main difference between two similar paths, one of :data:`WAYS`.

    Examples:
        >>> way_of("/x/a.mp3", "/x/A.mp3"), way_of("/x/a.mp3", "/x/a.wav")
        ('case', 'ending')
    """
    first, second = (unicodedata.normalize("NFC", path) for path in (named, there))
    if first == second:
        return "Unicode form"
    first = first.replace("\\", "/")
    if first == second:
        return "slash"
    return "case" if first.casefold() == second.casefold() else "ending"


def other_spelling(path: str) -> str | None:
    """Return the path of the only existing file with a similar name, or ``None``.

    Examples:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, "Clip.wav").touch()
        ...     os.path.basename(other_spelling(f"{folder}/clip.mp3"))
        'Clip.wav'
    """
    return next(_spelled([path], set()))


def _spelled(paths: Iterable[str], taken: set[str]) -> Iterator[str | None]:
    disk = _Disk()
    for path in paths:
        found = disk.find(path) or (disk.find(path.replace("\\", "/")) if "\\" in path else None)
        yield None if found in taken else found


class _Disk:
    """Lists folders, each once, and finds names by their normalised spelling."""

    def __init__(self) -> None:
        self.real: dict[str, str | None] = {"": ""}  # folder in a table → folder on disk
        self.listed: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}

    def find(self, path: str) -> str | None:
        """Return the only file with a similar name."""
        folder, _, name = path.rpartition("/")
        if (real := self.folder(folder)) is None:
            return None
        if real not in self.listed:
            self.listed[real] = _keys(real)
        whole, stems = self.listed[real]
        same = unicodedata.normalize("NFC", name)
        key, stem = same.casefold(), os.path.splitext(same)[0].casefold()  # noqa: PTH122 - a name, not a path
        for names in (whole.get(key), stems.get(key), stems.get(stem)):
            if names:
                exact = [one for one in names if unicodedata.normalize("NFC", one) == same]
                one = exact if len(exact) == 1 else names
                return f"{real}/{one[0]}" if len(one) == 1 else None
        return None

    def folder(self, path: str) -> str | None:
        """Return the folder itself, or the only one with a similar name."""
        if path not in self.real:
            self.real[path] = None
            if os.path.isdir(storage.path_of(path)):  # noqa: PTH112 - once a folder
                self.real[path] = path
            elif "/" in path and (above := self.folder(path.rpartition("/")[0])) is not None:
                key = _key(path.rpartition("/")[2])
                alike = [name for name in _folders_in(above) if _key(name) == key]
                self.real[path] = f"{above}/{alike[0]}" if len(alike) == 1 else None
        return self.real[path]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _keys(folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    whole: dict[str, list[str]] = {}
    stems: dict[str, list[str]] = {}
    for path in _files_in(folder):
        name = path.rpartition("/")[2]
        whole.setdefault(_key(name), []).append(name)
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
        if ending.lower() in SUFFIXES:
            stems.setdefault(_key(stem), []).append(name)
    return whole, stems


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(storage.path_of(folder) or "/") as entries:
            return [storage.text_of(entry.name) for entry in entries if is_folder(entry)]
    except (OSError, ValueError):
        return []


def _files_in(folder: str) -> pl.Series:
    try:
        with os.scandir(storage.path_of(folder) or "/") as entries:
            names = [storage.text_of(entry.name) for entry in entries if is_file(entry)]
    except (OSError, ValueError):
        names = []
    return pl.Series("path", [f"{folder}/{name}" for name in names], dtype=pl.String)


def hint(path: str, base: str) -> str:
    """Return a hint about a missing file: the contents of its folder, and a file of the same name elsewhere.

    Args:
        path: absolute path of the file.
        base: folder that the paths of the table are relative to.
    """
    folder, _, name = path.rpartition("/")
    missing = ""
    while folder and not os.path.isdir(storage.path_of(folder)):  # noqa: PTH112
        folder, _, missing = folder.rpartition("/")
    files = [one.rpartition("/")[2] for one in _files_in(folder).sort()]
    there = [f"{one}/" for one in sorted(_folders_in(folder))] + files
    there = [one for one in there if not one.startswith(".")]
    shown = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    lacks = f"{folder or '/'} has no {missing + '/' if missing else name} (it contains {shown or 'no files'})"
    wanted = os.path.splitext(name.replace("\\", "/").rpartition("/")[2])[0]  # noqa: PTH122
    for at, other in enumerate(names_below(base, tuple(SUFFIXES))):
        if os.path.splitext(other.rpartition("/")[2])[0] == wanted:  # noqa: PTH122
            return f"{lacks}. The file may be {base}/{other}"
        if at >= _SEARCHED:
            break
    return lacks
