"""A tree of folders named after classes, as most image and audio tutorials use it.

Source: anyone; also the folders that ``voxtrait images`` makes. Licence: that of the clips.

Tree::

    my-tree/                               its name becomes ``corpus``
        female/001.wav  male/001.wav       gender
        female_fifties/…  fifties/…        gender and age group, or age group alone
        woman/…  M/…  weiblich/…           any spelling of :mod:`voxtrait.corpora.spellings`; unknown/ has no label
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
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio import SUFFIXES
from voxtrait.audio.folders import Walk, names_below
from voxtrait.corpora import spellings
from voxtrait.corpora.source import Listing, Rows, Source, complete
from voxtrait.corpora.spellings import class_of
from voxtrait.labels import AGE_GROUPS, GENDERS

LAYOUT: Final = "class folders"
EXPECTED: Final = (
    "class folders: female/, male/, female_fifties/ …, below train/, validation/, test/ and gender/, age/ if you like"
)
AXES: Final = ("age", "gender")

_MAX_LEVELS: Final = 3  # a split, an axis, a class
_SHORT: Final = 5  # letters of a word for a gender that may be a name


def find(listing: Listing) -> Source | None:
    """Recognise the root of a tree: class folders are in it, or below folders of splits and axes alone."""
    for folder in _class_folders(listing, _MAX_LEVELS):
        if next(names_below(folder, SUFFIXES), None) is not None:
            return Source(LAYOUT, listing.folder, listing.folder.name)
    return None


def _class_folders(listing: Listing, levels: int) -> Iterator[Path]:
    named = {name: class_of(name) for name in sorted(listing.folders)}
    if _are_classes(named):
        yield from (listing.folder / name for name, found in named.items() if found)
    for name, found in named.items():
        if not found and levels > 1 and (name.lower() in spellings.SPLIT_SPELLINGS or name.lower() in AXES):
            yield from _class_folders(Listing.of(listing.folder / name), levels - 1)


def _are_classes(named: Mapping[str, tuple[str | None, str | None] | None]) -> bool:
    """Return whether folders are classes and not people or shelves whose names are short words for a gender too.

    ``f`` and ``m`` beside ``e`` and ``g`` are letters, and ``donna`` beside ``anna`` is a name.
    """
    known = {name: found for name, found in named.items() if found and any(found)}
    if any(len(spellings.word(name)) > _SHORT or age or name.lower() in GENDERS for name, (_, age) in known.items()):
        return True
    letters = sum(len(name) == 1 for name in named)
    return {gender for gender, _ in known.values()} == set(GENDERS) and (
        letters <= 3 or letters == sum(len(name) == 1 for name in known)
    )


def read(source: Source, tables: Sequence[str] | None = None, suffixes: Collection[str] = SUFFIXES) -> Rows:
    """List the files of a tree with the labels that their folders' names give.

    Args:
        source: as :func:`find` gives it.
        tables: has no meaning here.
        suffixes: endings of the files that count, in lower case.
    """
    files: dict[str, list[str | None]] = {"file": [], "stem": [], "gender": [], "age": [], "split": [], "axis": []}
    outside: list[str] = []
    walk = Walk()
    for path in sorted(names_below(source.folder, suffixes, walk)):
        row = _describe(path)
        if row is None:
            outside.append(path)
        for name, value in zip(files, row or (), strict=False):
            files[name].append(value)
    table = pl.DataFrame(files, schema=dict.fromkeys(files, pl.String))
    merged = _merge_axes(table)
    dropped = {
        "in no class folder": len(outside),
        "same clip under another axis, labels joined": table.height - merged.height,
    }
    notes = ["has no speaker ids", *walk.notes()]
    examples = {"in no class folder": outside[:3]}
    return Rows(complete(merged), ["folders"], dropped, notes, examples, walk.failures)


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
