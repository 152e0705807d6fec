"""Finds the inputs of ``predict`` and ``timeline``: files, folders, manifests, lists, URLs and standard input."""

import contextlib
import difflib
import itertools
import os
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from voxtrait.cli.options import note
from voxtrait.errors import ManifestError, NothingToDoError, StorageError, require_corpus

if TYPE_CHECKING:
    from voxtrait.audio import Found

Item: TypeAlias = str | BytesIO

TABLES: Final = (".parquet", ".csv", ".tsv")
LIST: Final = ".txt"
MANY_WORDS: Final = 20  #: first arguments that may be the words of one path


class Inputs(NamedTuple):
    """Inputs of a command."""

    items: list[Item]
    many: bool  # the output is a list, also for one file
    left_out: list[str]  # notes about files that were skipped in folders
    unread: bool  # a folder cannot be read


def find_inputs(inputs: Sequence[str], quiet: bool = False, files_from: str | None = None) -> Inputs:
    """Return the files that the arguments name.

    A folder is replaced by its audio files, a manifest or a list (``.txt``) by the files that it names, ``-`` by the
    bytes of standard input. Unusable inputs stay in the list: each gets a row with the reason. The files that
    ``files_from`` lists come last.

    Raises:
        NothingToDoError: if there is no argument, or no audio in any of them.
    """
    from voxtrait import storage

    items: list[Item] = []
    empty: dict[str, str] = {}
    many = len(inputs) != 1 or bool(files_from)
    for text in inputs if files_from is None else [*inputs, files_from]:
        if storage.is_url(text):
            storage.require_remote(text)
        if storage.suffix_of(text) in TABLES and (storage.is_url(text) or Path(text).is_file()):
            require_corpus(f"reading {storage.shown(text)}")
    left_out: list[str] = []
    unread = False
    for text in [*inputs, *(_listed(files_from) if files_from else [])]:
        name = text if storage.is_url(text) else storage.path_of(text)
        try:
            if not name:
                raise NothingToDoError("Got an empty file name. A variable of the shell may be empty.")
            if name == "-":
                items.append(BytesIO(_standard_input()))
                continue
            found, others = _named_by(name)
        except (NothingToDoError, StorageError) as error:
            items.append(name)
            empty[text] = str(error)
            continue
        items += found
        many |= found != [name]
        if others is not None:
            left_out += [*others.failures, *others.notes]
            unread |= bool(others.failures)
    if len(inputs) == 1 and not files_from and (hint := _meant_as_output(inputs[0])):
        raise NothingToDoError(hint)
    if len(items) == len(empty):
        reasons = "; ".join(empty.values())
        raise NothingToDoError(
            reasons or "No file given. Name files or folders, or - for standard input: voxtrait clip.mp3"
        )
    path = _with_spaces(inputs)
    quoted = [f"Put a path with spaces in quotes: '{path}'"] if path else []
    words = path.split(" ") if path else []
    for message in [*empty.values(), *quoted, *filter(None, (_hint(name) for name in inputs if name not in words))]:
        note(f"warning: {message}", quiet)
    return Inputs(items, many, left_out, unread)


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        raise NothingToDoError("Standard input is a keyboard. Pipe audio into it, or name a file.")
    return sys.stdin.buffer.read()


def _hint(name: str) -> str | None:
    """Return a hint about an argument that names no file, or ``None``."""
    from voxtrait import storage

    if name == "-" or storage.is_url(name) or os.path.lexists(storage.path_of(name)):
        return None
    if hint := _meant_as_output(name):
        return hint
    place = Path(name)
    if set(name) & set("*?"):
        return f"No file matches {name}."
    there: list[str] = []
    with contextlib.suppress(OSError):  # the folder does not exist or cannot be read
        there = os.listdir(place.parent)  # noqa: PTH208 - names, not paths
    for other in difflib.get_close_matches(place.name, there, n=1, cutoff=0.75):
        return f"There is no file or folder {name}. Did you mean {storage.text_of(place.with_name(other))}?"
    return None if place.suffix else f"There is no file or folder {name}."


def _with_spaces(names: Sequence[str]) -> str | None:
    """Return the path that successive arguments make when they are joined by spaces, or ``None``."""
    missing = [not os.path.lexists(name) for name in names]
    for begin, end in itertools.combinations(range(min(len(names), MANY_WORDS) + 1), 2):
        if end - begin > 1 and all(missing[begin:end]) and os.path.lexists(path := " ".join(names[begin:end])):
            return path
    return None


def _meant_as_output(name: str) -> str | None:
    if "://" in name or not name.lower().endswith((*TABLES, ".jsonl")) or os.path.lexists(name):
        return None
    return f"There is no file {name}. To write predictions to it, use --out {name}."


def _named_by(name: str) -> tuple[list[Item], "Found | None"]:
    """Return the files that an input names, and, for a folder, the result of the search.

    Raises:
        NothingToDoError: if the input names no file.
        StorageError: if a URL cannot be reached.
    """
    from voxtrait import storage

    url = storage.is_url(name)
    if not url and Path(name).is_dir():
        return _in_folder(name)
    suffix = storage.suffix_of(name)
    if suffix in TABLES and (url or Path(name).is_file()):
        return [*_in_table(name)], None
    if suffix == LIST and not url and Path(name).is_file():
        return [*_in_list(name)], None
    return (_behind_url(name) if url else [name]), None


def _in_folder(folder: str) -> tuple[list[Item], "Found"]:
    """Return the audio files of a folder and its subfolders, and the result of the search.

    Raises:
        NothingToDoError: if the folder contains no audio.
    """
    from voxtrait import audio

    found = audio.search(folder)
    if not found.files:
        audio.audio_files(folder)  # raises with the reason
    return [str(file) for file in found.files], found


def _listed(files_from: str) -> list[str]:
    """Return the names in a list or in a manifest."""
    from voxtrait import storage

    if files_from != "-" and storage.suffix_of(files_from) in TABLES:
        try:
            return _in_table(files_from)
        except NothingToDoError:
            if storage.suffix_of(files_from) == ".parquet":
                raise
    if files_from != "-" and Path(files_from).is_file():
        from voxtrait.audio import kinds

        with Path(files_from).open("rb") as file:
            head = file.read(kinds.HEAD)
        if not head.startswith((b"\xff\xfe", b"\xfe\xff")) and (kind := kinds.kind_of(head)):  # else it is UTF-16
            raise NothingToDoError(
                f"{files_from} is an audio file ({kind.name}), not a list. Give it as FILE: voxtrait {files_from}"
            )
    return storage.names_in(files_from)


def _in_table(name: str) -> list[str]:
    """Return the files in the column ``path`` of a manifest, or of another table with that column.

    Raises:
        NothingToDoError: if none of the files exists.
    """
    from voxtrait import manifest, storage

    try:
        table = manifest.read(name, ("path",))
    except ManifestError as error:
        raise NothingToDoError(f"{storage.shown(name)}: {error}") from None
    if not table.height:
        raise NothingToDoError(f"{storage.shown(name)} has no rows. Expected a table with a row for each file.")
    if storage.is_url(name):
        return manifest.with_absolute_paths(table, storage.parent(name))["path"].to_list()
    home = Path(name).resolve().parent
    # Paths of a manifest are relative to its folder, those of a Common Voice table to the folder clips beside it, and
    # those of a table of predictions to the current folder
    for folder in (home, home / "clips", Path.cwd()):
        found = [
            path if storage.is_url(path) else storage.path_of(path)
            for path in manifest.with_absolute_paths(table, storage.text_of(folder))["path"].to_list()
        ]
        if any(storage.is_url(path) or os.path.lexists(path) for path in found):
            return found
    first = table["path"][0]
    raise NothingToDoError(
        f"No file of {name} exists. The first of {table.height} is {first}. Paths are relative to the folder of the "
        f"table, {home}."
    )


def _in_list(name: str) -> list[str]:
    """Return the files that a text file lists.

    Raises:
        NothingToDoError: if none of them exists.
    """
    from voxtrait import storage

    names = [one if storage.is_url(one) else storage.path_of(one) for one in storage.names_in(name)]
    if not any(storage.is_url(one) or os.path.lexists(one) for one in names):
        raise NothingToDoError(
            f"{name} is a text file and names no file that exists. Expected audio, a folder, a manifest "
            f"({', '.join(TABLES)}) or a list with one path or URL per line."
        )
    return names


def _behind_url(url: str) -> list[Item]:
    """Return the files at a URL. A URL with the suffix of a file, or a web URL without a final slash, is one file."""
    from voxtrait import storage
    from voxtrait.audio import SUFFIXES
    from voxtrait.recognize.recognizer import PICTURE_SUFFIXES

    web = storage.protocol_of(url) in ("http", "https") and not url.endswith("/")
    one = web or storage.suffix_of(url) in (*SUFFIXES, *PICTURE_SUFFIXES)
    return [url] if one else [*storage.files(url, SUFFIXES)]
