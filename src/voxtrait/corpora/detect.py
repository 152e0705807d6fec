"""Finds the corpora in a folder and its subfolders, and recognises their layouts."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from voxtrait import storage
from voxtrait.audio.folders import names_below, unread
from voxtrait.corpora import table, trees
from voxtrait.corpora.layouts import (
    agender,
    audformat,
    audio_folder,
    audiomnist,
    class_folders,
    common_voice,
    crema_d,
    hugging_face,
    kaggle,
    kaldi,
    lhotse,
    librispeech,
    speech_accent_archive,
    spontaneous,
    timit,
    vctk,
    voxceleb,
)
from voxtrait.corpora.source import Listing, Rows, Source
from voxtrait.errors import CorpusError, counted

MAX_DEPTH: Final = 5  # levels of subfolders searched: enough for locales in releases, too few for a whole disk
MOST_AUDIO: Final = 100_000  # audio files counted at most, for an error


class Layout(Protocol):
    """Interface of a layout's module: name, description, and functions that recognise and read a folder."""

    LAYOUT: str
    EXPECTED: str

    def find(self, listing: Listing, /) -> Source | None: ...  # noqa: D102 - documented in the layouts
    def read(self, source: Source, tables: Sequence[str] | None = None, /) -> Rows: ...  # noqa: D102


class FileLayout(Protocol):
    """Interface of a layout's module whose corpora may be a single file."""

    LAYOUT: str
    EXPECTED_FILE: str

    def find_file(self, path: Path, /) -> Source | None: ...  # noqa: D102
    def read(self, source: Source, tables: Sequence[str] | None = None, /) -> Rows: ...  # noqa: D102


LAYOUTS: Final[tuple[Layout, ...]] = (
    common_voice,
    spontaneous,
    kaggle,
    librispeech,
    speech_accent_archive,
    audiomnist,
    crema_d,
    voxceleb,
    timit,
    vctk,
    audformat,
    hugging_face,
    lhotse,
    kaldi,
    agender,
    audio_folder,
    table,
    class_folders,
)
"""The layouts in the order in which they are tried on a folder, the most specific first."""

FILE_LAYOUTS: Final[tuple[FileLayout, ...]] = (agender, lhotse, hugging_face, table)
"""The layouts of a single file, in the order in which they are tried."""


def find(
    path: str | os.PathLike[str], *, name: str | os.PathLike[str] | None = None, closed: list[str] | None = None
) -> list[Source]:
    """Find all corpora in a folder, or recognise a file as a corpus.

    A folder in a known layout is one corpus; its subfolders are not searched. Otherwise its subfolders are searched, in
    natural order of their names (release 6.1 before 17.0).

    Args:
        path: the folder or file.
        name: name of the folder in errors; ``None`` takes ``path``.
        closed: gets the folders that cannot be read, with the reason.

    Raises:
        CorpusError: if the path does not exist, or no known layout is found.
    """
    root = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are: a release's name may be a link's
    if root.is_file():
        return [_find_file(root)]
    if not root.is_dir():
        raise CorpusError(f"{path} does not exist. Expected the folder of a corpus, or a table or archive of one.")
    unread: list[str] = [] if closed is None else closed
    found = list(_search(root, MAX_DEPTH, set(), unread))
    if not found:
        raise CorpusError(f"No corpus in {storage.text_of(name or path)}: {_what_lacks(root)}")
    return found


def _what_lacks(root: Path) -> str:
    """Describe what a folder without a corpus contains, and what was expected."""
    here = Listing.of(root)
    audio = sorted(itertools.islice(names_below(root, trees.AUDIO), MOST_AUDIO))
    if audio:
        files = f"{'at least ' * (len(audio) == MOST_AUDIO)}{counted(len(audio), 'audio file')}"
        named = sorted(name for name in here.files if name.lower().endswith(table.SUFFIXES))
        if named:
            return (
                f"it contains {files}, but no table with a known name. If {named[0]} describes them, import that file "
                f"instead of the folder, or rename it to metadata.csv ({table.EXPECTED_FILE})."
            )
        above = [name for name in Listing.of(root.resolve().parent).files if name.lower().endswith(table.SUFFIXES)]
        if above:
            return (
                f"it contains {files}, but no labels. The folder above contains {sorted(above)[0]}. If that table "
                f"describes them, import the folder above: {storage.text_of(root.resolve().parent)}"
            )
        return (
            f"it contains {files}, but no labels. Add a file metadata.csv, with one line per audio file:\n"
            f"  file_name,gender,age,speaker_id\n  {audio[0]},female,34,anna\n"
            "Leave unknown values empty. Or sort the files into folders named female/ and male/. Predictions need no "
            f"labels: voxtrait {storage.text_of(root)}"
        )
    names = [f"{name}/" for name in sorted(here.folders)] + sorted(here.files)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"found {storage.text_of(shown) or 'no files'}. Expected one of these layouts, in it or up to {MAX_DEPTH} "
        "levels below:" + "".join(f"\n  {layout.EXPECTED}" for layout in LAYOUTS)
    )


def _find_file(path: Path) -> Source:
    for layout in FILE_LAYOUTS:
        if (source := layout.find_file(path)) is not None:
            return source
    if path.suffix.lower() in trees.AUDIO:
        raise CorpusError(
            f"{storage.text_of(path)} is an audio file. Expected a corpus. Import its folder, with a file metadata.csv "
            "that has the columns file_name, gender, age, speaker_id."
        )
    raise CorpusError(
        f"{path} is not in a known layout. Expected the folder of a corpus, a Common Voice .tar.gz, or one of:"
        + "".join(f"\n  {layout.EXPECTED_FILE}" for layout in FILE_LAYOUTS)
    )


def _search(folder: Path, depth: int, seen: set[Path], closed: list[str]) -> Iterator[Source]:
    real = folder.resolve()
    if real in seen:  # links may form circles
        return
    seen.add(real)
    listing = Listing.of(folder)
    if listing.error is not None:
        closed.append(unread(listing.error))
    for layout in LAYOUTS:
        if (source := layout.find(listing)) is not None:
            yield source
            return
    if depth:
        for name in natural_order(listing.folders):
            yield from _search(folder / name, depth - 1, seen, closed)


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order: numbers in them are compared as numbers.

    Examples:
        >>> natural_order(["v17.0", "v6.1", "a"])
        ['a', 'v6.1', 'v17.0']
    """
    return sorted(
        names,
        key=lambda name: [
            (part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)
        ],
    )


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the rows of a source with its layout.

    Args:
        source: a result of :func:`find`.
        tables: names of the tables to read, for layouts with several; ``None`` takes the layout's default.

    Raises:
        CorpusError: if the layout cannot read the source.
    """
    readers = {layout.LAYOUT: layout.read for layout in FILE_LAYOUTS} | {
        layout.LAYOUT: layout.read for layout in LAYOUTS
    }
    return readers[source.layout](source, tables)
