"""Lists files below URLs, with one request per thousand files, and reads lists of files."""

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
    """A URL from a listing, with a ``stamp`` that changes with the content."""

    __slots__ = ("stamp",)  # of millions of them
    stamp: str


class Entry(NamedTuple):
    """A file in a listing."""

    size: int  # bytes
    stamp: str  # size, and the store's hash or modification time


def files(folder: str, suffixes: Collection[str]) -> list[ListedUrl]:
    """List the files below a URL that have one of the endings, in the order of a local folder.

    Hidden files are skipped. If the URL is that of a file, the list contains only this URL.

    Raises:
        NothingToDoError: if no file is found, or the URL cannot be listed.
        StorageError: if the store cannot be reached.
    """
    found = listing(folder)
    if list(found) == [""]:
        return [_listed(folder, found[""])]
    names = [name for name in found if suffix_of(f"://{name}") in suffixes and not _is_hidden(name)]
    if not names:
        raise NothingToDoError(f"No audio files in {shown(folder)}. Expected files ending in .mp3, .wav, .flac, …")
    names.sort(key=lambda name: name.split("/"))
    return [_listed(join(folder, name), found[name]) for name in names]


def _listed(url: str, entry: Entry) -> ListedUrl:
    one = ListedUrl(url)
    one.stamp = entry.stamp
    return one


def _is_hidden(name: str) -> bool:
    return name[0] == "." or "/." in name


def names_in(file: str | os.PathLike[str]) -> list[str]:
    """Read a list of files, with one path or URL per line.

    Empty lines and lines that begin with ``#`` are skipped, and quotes around a name are removed, unless the line is
    exactly the name of a file. The text is UTF-8, or UTF-16 with a byte order mark. Names are separated by line ends of
    any system, or by the null characters of ``find -print0``. Bytes that are not UTF-8 become lone surrogates, as in
    Python's file names.

    Args:
        file: a path, a URL, or ``-`` for standard input. In a list behind a URL, paths are relative to its folder.

    Raises:
        NothingToDoError: if the list does not exist, or names no file.
    """
    try:
        data = read(file) if is_url(file) else sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except FileNotFoundError:
        raise NothingToDoError(f"No such list of files: {shown(os.fspath(file))}") from None
    names = [name for line in _lines(data) if (name := _name_in(line))]
    if not names:
        raise NothingToDoError(f"{shown(os.fspath(file))} names no file. Expected one path or URL per line.")
    if is_url(file):
        home = parent(file)
        return [name if is_url(name) else join(home, name) for name in names]
    return names


def _lines(data: bytes) -> list[str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        text = data.decode("utf-16", "replace")
    else:
        # the encoding of file names, nearly always UTF-8
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
    """List all files below a URL by relative name; may be empty.

    If the URL is that of a file, its name is ``""``.

    Raises:
        NothingToDoError: if the URL cannot be listed: a web server, or a bucket that does not exist.
        StorageError: if the store cannot be reached.
    """
    if protocol_of(folder) in WEB:
        raise NothingToDoError(
            f"Cannot list {shown(folder)}: web servers do not list files. Name the files, or give a list of their URLs "
            "(--files-from FILE)."
        )
    if folder.endswith("://"):
        raise NothingToDoError(f"No bucket in {folder}. Expected, for example, {folder}bucket/clips")
    store, root = place_of(folder.rstrip("/"))
    try:
        found = tried(folder, lambda: store.find(root, detail=True))
    except AudioMissingError as error:
        raise NothingToDoError(str(error).replace("file", "file or folder", 1)) from None
    start = len(root) + 1
    return {
        name[start:]: Entry(info["size"] or 0, f"{info['size']} {_version(info)}")
        for name, info in found.items()
        if info["type"] != "directory" and not (name.endswith("/") and not info["size"])  # how a store marks a folder
    }


def _version(info: Mapping[str, Any]) -> str:
    keys = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "Last-Modified")
    return next((str(info[key]) for key in keys if info.get(key)), "")


def statuses(urls: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the size of each file, in bytes, and a number that changes with its content.

    Object stores need one request per thousand files of a folder, web servers one per file. Files that do not exist,
    or whose size or version is unknown, have no entry.
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
