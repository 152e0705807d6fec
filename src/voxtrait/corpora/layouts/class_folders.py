"""A tree of folders named after classes, as most image and audio tutorials use it.

Source: anyone; also the folders that ``voxtrait images`` makes. Licence: that of the clips.

Tree::

    my-tree/                               its name becomes ``corpus``
        female/001.wav  male/001.wav       gender
        female_fifties/…  fifties/…        gender and age group, or age group alone
        train/…  validation/…  test/…      may be above the classes
        gender/…  age/…                    may be above the classes, above or below the split

Known dirt:

- No speaker ids: whether its splits share speakers cannot be checked.
- ``female/001.wav`` and ``male/001.wav`` are two clips, so the class belongs to the clip's name. Under ``gender/`` and
  ``age/`` the same clip is once under each, so there the name is what follows the class, and the two become one row
  with both labels.
- ``fourties`` again, where folders were made from Common Voice.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio import SUFFIXES
from voxtrait.corpora import spellings
from voxtrait.corpora.source import Listing, Rows, Source, complete, is_text
from voxtrait.labels import AGE_GROUPS, GENDERS

LAYOUT: Final = "class folders"
EXPECTED: Final = (
    "class folders: female/, male/, female_fifties/ …, below train/, validation/, test/ and gender/, age/ if you like"
)
AXES: Final = ("age", "gender")

_MAX_LEVELS: Final = 3  # a split, an axis, a class


def find(listing: Listing) -> Source | None:
    """Recognise the root of a tree: class folders are in it, or below folders of splits and axes alone."""
    for folder in _class_folders(listing, _MAX_LEVELS):
        if next(_audio(folder, SUFFIXES), None) is not None:
            return Source(LAYOUT, listing.folder, listing.folder.name)
    return None


def _class_folders(listing: Listing, levels: int) -> Iterator[Path]:
    for name in sorted(listing.folders):
        if class_of(name) is not None:
            yield listing.folder / name
        elif levels > 1 and (name.lower() in spellings.SPLIT_SPELLINGS or name.lower() in AXES):
            yield from _class_folders(Listing.of(listing.folder / name), levels - 1)


def class_of(name: str) -> tuple[str | None, str | None] | None:
    """Read a folder's name as a class: its gender and its age group, each ``None`` where the name has none.

    Examples:
        >>> class_of("female_fourties"), class_of("male"), class_of("Teens"), class_of("music")
        (('female', 'forties'), ('male', None), (None, 'teens'), None)
    """
    text = name.lower()
    if text in spellings.AGE_SPELLINGS:
        return None, spellings.AGE_SPELLINGS[text]
    gender = next((gender for gender in GENDERS if text == gender or text.startswith(f"{gender}_")), None)
    if gender is None:
        return None
    rest = text[len(gender) + 1 :]
    if not rest or text in spellings.GENDER_SPELLINGS:
        return gender, None
    return (gender, spellings.AGE_SPELLINGS[rest]) if rest in spellings.AGE_SPELLINGS else None


def read(source: Source, tables: Sequence[str] | None = None, suffixes: Collection[str] = SUFFIXES) -> Rows:
    """List the files of a tree with the labels that their folders' names give.

    Args:
        source: as :func:`find` gives it.
        tables: has no meaning here.
        suffixes: endings of the files that count, in lower case.
    """
    files: dict[str, list[str | None]] = {"file": [], "stem": [], "gender": [], "age": [], "split": [], "axis": []}
    outside = 0
    for path in _audio(source.folder, suffixes):
        row = _describe(path) if is_text(path) else None
        outside += row is None
        for name, value in zip(files, row or (), strict=False):
            files[name].append(value)
    table = pl.DataFrame(files, schema=dict.fromkeys(files, pl.String))
    merged = _merge_axes(table)
    dropped = {
        "in no class folder": outside,
        "same clip under another axis, labels joined": table.height - merged.height,
    }
    return Rows(complete(merged), ["folders"], dropped, ["has no speaker ids"])


def places(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the places of clips, in the folders that ``voxtrait images`` makes too.

    Args:
        rows: of a manifest, with ``name``, the file's.

    Returns:
        One row a place, in the order of the clips: ``at``, the clip's number; and ``place``, such as
        ``train/gender/female/a.mp3`` and ``train/age/female_fifties/a.mp3``. A clip whose gender is neither ``female``
        nor ``male`` and that has no age group has none; one without a split has places right below the root.
    """
    split = pl.when(pl.col("split").is_not_null()).then(pl.col("split") + "/").otherwise(pl.lit(""))
    gender = pl.when(pl.col("gender").is_in(GENDERS)).then("gender")
    group = pl.when(pl.col("age_group").is_in(AGE_GROUPS)).then("age_group")
    age = pl.coalesce(gender + "_" + group, group)
    axes = (("gender", gender), ("age", age))
    parts = [
        rows.with_row_index("at").select("at", place=split + f"{axis}/" + one + "/" + pl.col("name"))
        for axis, one in axes
    ]
    return pl.concat(parts).drop_nulls().sort("at", maintain_order=True)


def _audio(root: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the files below a folder as paths relative to it, sorted."""
    for here, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):  # noqa: PTH122 - a name, not a path
                yield Path(here, name).relative_to(root).as_posix()


def _describe(path: str) -> tuple[str, str, str | None, str | None, str | None, str | None] | None:
    """Read one path: file, stem, gender, age, split, axis; ``None`` where no class folder is on the way."""
    *folders, name = path.split("/")
    split = axis = None
    for at, folder in enumerate(folders[:_MAX_LEVELS]):
        text = folder.lower()
        if (found := class_of(folder)) is not None:
            kept = [*folders[at + 1 :], name] if axis else [*folders, name]
            stem = "/".join(kept).removesuffix(os.path.splitext(name)[1])  # noqa: PTH122
            return path, stem, *found, split, axis
        if text in spellings.SPLIT_SPELLINGS and split is None:
            split = spellings.SPLIT_SPELLINGS[text]
        elif text in AXES and axis is None:
            axis = text
        else:
            return None
    return None


def _merge_axes(table: pl.DataFrame) -> pl.DataFrame:
    """Make one row of the files of one clip under the two axes; of the gender, the gender axis counts."""
    by_gender_axis = table.filter(pl.col("axis") == "gender").unique("stem", keep="first", maintain_order=True)
    twins = table.filter(pl.col("axis") == "age").unique("stem", keep="first", maintain_order=True)
    twins = twins.join(by_gender_axis.select("stem"), on="stem", how="semi")
    labels = twins.select("stem", twin_age="age")
    rest = table.join(twins.select("file"), on="file", how="anti", maintain_order="left")
    joined = rest.join(labels, on="stem", how="left", maintain_order="left")
    is_twin = pl.col("axis") == "gender"
    age = pl.when(is_twin).then(pl.coalesce("age", "twin_age")).otherwise(pl.col("age"))
    return joined.with_columns(age=age).drop("axis", "twin_age")
