"""What is below a URL: one request a thousand files, none for each of them."""

import codecs
import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from voxtrait.errors import AudioMissingError, NothingToDoError, StorageError
from voxtrait.storage.connection import place_of, tried
from voxtrait.storage.content import read
from voxtrait.storage.urls import WEB, is_url, join, parent, protocol_of, shown, suffix_of


class ListedUrl(str):
    """A URL from a listing, with its ``stamp``: another content has another stamp."""

    __slots__ = ("stamp",)  # of millions of them
    stamp: str


class Entry(NamedTuple):
    """A file in a listing."""

    size: int  # bytes
    stamp: str  # size with the store's hash or time of change


def files(folder: str, suffixes: Collection[str]) -> list[ListedUrl]:
    """List the files below a URL that have one of the endings, in the order that a local folder has; hidden ones are
    left out. For a URL that is itself a file, the list holds that URL.

    Raises:
        NothingToDoError: if there is none, or the place cannot be listed.
        StorageError: if the place cannot be reached.
    """
    found = listing(folder)
    if list(found) == [""]:
        return [_listed(folder, found[""])]
    names = [name for name in found if suffix_of(f"://{name}") in suffixes and not _is_hidden(name)]
    if not names:
        raise NothingToDoError(f"no audio in {shown(folder)}: expected files ending in .mp3, .wav, .flac, .ogg, …")
    names.sort(key=lambda name: name.split("/"))
    return [_listed(join(folder, name), found[name]) for name in names]


def _listed(url: str, entry: Entry) -> ListedUrl:
    one = ListedUrl(url)
    one.stamp = entry.stamp
    return one


def _is_hidden(name: str) -> bool:
    return name[0] == "." or "/." in name


def names_in(file: str | os.PathLike[str]) -> list[str]:
    """Read a list of files, a path or a URL a line.

    Empty lines and lines that begin with ``#`` are skipped, and quotes around a name are removed; a file whose
    name is exactly the line has precedence. The text is UTF-8, or UTF-16 with the mark of Windows; any ends of lines,
    and the null characters of ``find -print0``, separate names. A byte that is not UTF-8 stays as Python's names of
    files have it.

    Args:
        file: a path, a URL, or ``-`` for standard input. In a list behind a URL, paths are relative to its folder.

    Raises:
        NothingToDoError: if there is no such list, or nothing in it.
    """
    try:
        data = read(file) if is_url(file) else sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except FileNotFoundError:
        raise NothingToDoError(f"no such list of files: {shown(os.fspath(file))}") from None
    names = [name for line in _lines(data) if (name := _name_in(line))]
    if not names:
        raise NothingToDoError(f"{shown(os.fspath(file))} names no file: expected a path or a URL a line")
    if is_url(file):
        home = parent(file)
        return [name if is_url(name) else join(home, name) for name in names]
    return names


def _lines(data: bytes) -> list[str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        text = data.decode("utf-16", "replace")
    else:
        # the encoding of file names: UTF-8 but for a few terminals
        text = data.removeprefix(codecs.BOM_UTF8).decode(sys.getfilesystemencoding(), "surrogateescape")
    if "\0" in text:
        return text.split("\0")
    return text.replace("\r\n", "\n").split("\n" if "\n" in text else "\r")


def _name_in(line: str) -> str:
    """Return the name in a line, without quotes; the empty string for a comment."""
    name = line.strip()
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    if (name == line and not quoted and not name.startswith("#")) or os.path.lexists(line):
        return line
    return "" if name.startswith("#") else name[1:-1] if quoted else name


def listing(folder: str) -> dict[str, Entry]:
    """List everything below a URL, by its name relative to it; a file has the name ``""``. Nothing there is no error.

    Raises:
        NothingToDoError: if the place cannot be listed: a web server, or a bucket that is not there.
        StorageError: if the place cannot be reached.
    """
    if protocol_of(folder) in WEB:
        raise NothingToDoError(
            f"got {shown(folder)} as a folder, but a web server does not list its files: name them, or give a list "
            "of their addresses (--files-from FILE)"
        )
    if folder.endswith("://"):
        raise NothingToDoError(f"got {folder}, expected the name of a bucket behind it, such as {folder}bucket/clips")
    store, root = place_of(folder.rstrip("/"))
    try:
        found = tried(folder, lambda: store.find(root, detail=True))
    except AudioMissingError as error:
        raise NothingToDoError(str(error).replace("file", "file or folder", 1)) from None
    start = len(root) + 1
    return {
        name[start:]: Entry(info["size"] or 0, f"{info['size']} {_version(info)}")
        for name, info in found.items()
        if info["type"] != "directory" and not (name.endswith("/") and not info["size"])  # a store's mark of a folder
    }


def _version(info: Mapping[str, Any]) -> str:
    keys = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "Last-Modified")
    return next((str(info[key]) for key in keys if info.get(key)), "")


def statuses(urls: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Give the sizes of files, each with a number that is another one where the content is.

    Object stores are listed, a request a thousand files of a folder; a web server is asked for each file. What is not
    there, or does not state it, has no entry.
    """
    found: dict[str, tuple[int, int]] = {}
    for folder in sorted({parent(url) for url in urls if protocol_of(url) not in WEB}):
        with contextlib.suppress(NothingToDoError, StorageError):
            found |= {join(folder, name): (one.size, _number(one.stamp)) for name, one in listing(folder).items()}
    for url in urls:
        if protocol_of(url) in WEB:
            web, place = place_of(url)
            with contextlib.suppress(AudioMissingError, StorageError):
                info = tried(url, functools.partial(web.info, place))
                if info.get("size") and (version := _version(info)):
                    found[url] = info["size"], _number(f"{info['size']} {version}")
    return found


def _number(stamp: str) -> int:
    return int.from_bytes(hashlib.blake2b(stamp.encode(), digest_size=8).digest(), "little", signed=True)
