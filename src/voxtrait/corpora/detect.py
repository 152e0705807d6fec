"""Find the corpora in a folder, whatever their layout: the folder itself, or folders below it."""

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
from voxtrait.errors import CorpusError

MAX_DEPTH: Final = (
    5  # folders below the one that was named: enough for a folder of releases of locales, not for a whole disk
)


MOST_AUDIO: Final = 100_000  # files that are counted where there is no corpus


class Layout(Protocol):
    """What the module of a layout has: its name, a short description, how it is recognised, and how it is read."""

    LAYOUT: str
    EXPECTED: str

    def find(self, listing: Listing, /) -> Source | None: ...  # noqa: D102 - documented in the layouts
    def read(self, source: Source, tables: Sequence[str] | None = None, /) -> Rows: ...  # noqa: D102


class FileLayout(Protocol):
    """What the module of a layout has whose corpora may be a single file."""

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
"""The layouts in the order in which they are tried on a folder: the more specific first."""

FILE_LAYOUTS: Final[tuple[FileLayout, ...]] = (agender, lhotse, hugging_face, table)
"""The layouts of a single file, in the order in which they are tried on a file."""


def find(
    path: str | os.PathLike[str], *, name: str | os.PathLike[str] | None = None, closed: list[str] | None = None
) -> list[Source]:
    """Find every corpus in a folder, or the one that a file is.

    A folder that is in a known layout is one corpus and is not searched further; otherwise the folders in it are tried
    in the order of their names, numbers as numbers (release 6.1 before 17.0).

    Args:
        path: the folder or file.
        name: what to call it in an error, where that is something else.
        closed: gets the folders that cannot be read, and why.

    Raises:
        CorpusError: if there is no such folder or file, or nothing in it is in a known layout.
    """
    root = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are: a release's name may be a link's
    if root.is_file():
        return [_find_file(root)]
    if not root.is_dir():
        raise CorpusError(f"{path} does not exist, expected the folder of a corpus, or a file that is one")
    unread: list[str] = [] if closed is None else closed
    found = list(_search(root, MAX_DEPTH, set(), unread))
    if not found:
        raise CorpusError(f"no corpus in {storage.text_of(name or path)}: {_what_lacks(root)}")
    return found


def _what_lacks(root: Path) -> str:
    """Return what is in a folder without a corpus, and what was expected."""
    here = Listing.of(root)
    audio = sorted(itertools.islice(names_below(root, trees.AUDIO), MOST_AUDIO))
    if audio:
        count = f"more than {MOST_AUDIO}" if len(audio) == MOST_AUDIO else str(len(audio))
        files = f"{count} audio file{'s' if len(audio) > 1 else ''}"
        named = sorted(name for name in here.files if name.lower().endswith(table.SUFFIXES))
        if named:
            return (
                f"it has {files}, and no table of a known name. If {named[0]} is about them, give that file instead of "
                f"the folder, or rename it to metadata.csv ({table.EXPECTED_FILE})"
            )
        above = [name for name in Listing.of(root.resolve().parent).files if name.lower().endswith(table.SUFFIXES)]
        if above:
            return (
                f"it has {files} and no labels, and the folder above it has {sorted(above)[0]}. If that table is about "
                f"them, give the folder above: {storage.text_of(root.resolve().parent)}"
            )
        return (
            f"it has {files} and no labels. Put metadata.csv beside them, with a line for each file:\n"
            f"  file_name,gender,age,speaker_id\n  {audio[0]},female,34,anna\n"
            "Leave unknown values empty. Or sort the files into folders called female/ and male/. No labels are needed "
            f"to predict: voxtrait {storage.text_of(root)}"
        )
    names = [f"{name}/" for name in sorted(here.folders)] + sorted(here.files)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"found {storage.text_of(shown) or 'nothing'}; expected one of these layouts, in it or up to {MAX_DEPTH} "
        "folders below:" + "".join(f"\n  {layout.EXPECTED}" for layout in LAYOUTS)
    )


def _find_file(path: Path) -> Source:
    for layout in FILE_LAYOUTS:
        if (source := layout.find_file(path)) is not None:
            return source
    if path.suffix.lower() in trees.AUDIO:
        raise CorpusError(
            f"{storage.text_of(path)} is an audio file, expected a corpus: give its folder, with metadata.csv in it "
            "that has the columns file_name, gender, age, speaker_id"
        )
    raise CorpusError(
        f"{path} is a file in no known layout; expected the folder of a corpus, a Common Voice .tar.gz, or one of:"
        + "".join(f"\n  {layout.EXPECTED_FILE}" for layout in FILE_LAYOUTS)
    )


def _search(folder: Path, depth: int, seen: set[Path], closed: list[str]) -> Iterator[Source]:
    real = folder.resolve()
    if real in seen:  # links may run in circles
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
    """Sort names with the numbers in them as numbers.

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
    """Read a source with the layout that recognised it; errors are the layout's."""
    readers = {layout.LAYOUT: layout.read for layout in FILE_LAYOUTS} | {
        layout.LAYOUT: layout.read for layout in LAYOUTS
    }
    return readers[source.layout](source, tables)
