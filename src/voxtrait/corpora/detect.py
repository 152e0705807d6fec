"""Find the corpora in a folder, whatever their layout: the folder itself, or folders below it."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from voxtrait.corpora import audio_folder, class_folders, common_voice, kaggle
from voxtrait.corpora.source import Listing, Rows, Source
from voxtrait.errors import CorpusError

MAX_DEPTH: Final = (
    5  # folders below the one that was named: enough for a folder of releases of locales, not for a whole disk
)


class Layout(NamedTuple):
    """One layout: how it is recognised, how it is read, and what it looks like in a word."""

    find: Callable[[Listing], Source | None]
    read: Callable[[Source, Sequence[str] | None], Rows]
    expected: str


LAYOUTS: Final = {
    common_voice.LAYOUT: Layout(common_voice.find, common_voice.read, common_voice.EXPECTED),
    kaggle.LAYOUT: Layout(kaggle.find, kaggle.read, kaggle.EXPECTED),
    audio_folder.LAYOUT: Layout(audio_folder.find, audio_folder.read, audio_folder.EXPECTED),
    class_folders.LAYOUT: Layout(class_folders.find, class_folders.read, class_folders.EXPECTED),
}
"""The layouts in the order in which a folder is held against them."""


def find(folder: str | os.PathLike[str]) -> list[Source]:
    """Find every corpus in a folder.

    A folder that is in a known layout is one corpus and is not searched further; otherwise the folders in it are tried
    in the order of their names, numbers as numbers (release 6.1 before 17.0).

    Raises:
        CorpusError: if there is no such folder, or nothing in it is in a known layout.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are: a release's name may be a link's
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise CorpusError(f"{folder} {what}, expected the folder of a corpus (unpack an archive first)")
    found = list(_search(root, MAX_DEPTH, set()))
    if not found:
        here = Listing.of(root)
        names = [f"{name}/" for name in sorted(here.folders)] + sorted(here.files)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise CorpusError(
            f"no corpus in {folder}: found {shown or 'nothing'}; expected one of "
            + " | ".join(layout.expected for layout in LAYOUTS.values())
        )
    return found


def _search(folder: Path, depth: int, seen: set[Path]) -> Iterator[Source]:
    real = folder.resolve()
    if real in seen:  # links may run in circles
        return
    seen.add(real)
    listing = Listing.of(folder)
    for layout in LAYOUTS.values():
        if (source := layout.find(listing)) is not None:
            yield source
            return
    if depth:
        for name in natural_order(listing.folders):
            yield from _search(folder / name, depth - 1, seen)


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
    return LAYOUTS[source.layout].read(source, tables)
