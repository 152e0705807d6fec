"""Layout of class folders: clips in folders named after genders or age groups, as in many tutorials.

Source: any; also the folders that ``voxtrait images`` writes. Licence: that of the clips.

Tree::

    my-tree/                               its name becomes ``corpus``
        female/001.wav  male/001.wav       gender
        female_fifties/…  fifties/…        gender and age group, or age group alone
        woman/…  M/…  weiblich/…           any spelling in voxtrait.corpora.spellings; unknown/ has no label
        train/…  validation/…  test/…      optional, above the classes
        gender/…  age/…                    optional, above the classes, above or below the split

Known problems:

- There are no speaker ids, so shared speakers of splits cannot be detected.
- ``female/001.wav`` and ``male/001.wav`` are two clips, so the class is part of the clip's name. ``gender/`` and
  ``age/`` contain the same clips, so there the name is the part after the class, and the two files become one row with
  both labels.
- Folders made from Common Voice have the spelling ``fourties``.
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
    "class folders: female/, male/, female_fifties/ …, optionally below train/, validation/, test/ and gender/, age/"
)
AXES: Final = ("age", "gender")

_MAX_LEVELS: Final = 3  # a split, an axis, a class
_SHORT: Final = 5  # maximum letters of a word for a gender that may also be a name


def find(listing: Listing) -> Source | None:
    """Recognise a folder with class folders, directly or below folders of splits and axes."""
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
    """Return whether folders are classes, and not names or letters that are also short words for a gender.

    ``f`` and ``m`` next to ``e`` and ``g`` are letters, and ``donna`` next to ``anna`` is a name.
    """
    known = {name: found for name, found in named.items() if found and any(found)}
    if any(len(spellings.word(name)) > _SHORT or age or name.lower() in GENDERS for name, (_, age) in known.items()):
        return True
    letters = sum(len(name) == 1 for name in named)
    return {gender for gender, _ in known.values()} == set(GENDERS) and (
        letters <= 3 or letters == sum(len(name) == 1 for name in known)
    )


def read(source: Source, tables: Sequence[str] | None = None, suffixes: Collection[str] = SUFFIXES) -> Rows:
    """List the files, with labels from the names of their folders.

    Args:
        source: a result of :func:`find`.
        tables: ignored.
        suffixes: endings of the files to list, in lower case.
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
        "same clip under gender/ and age/, labels joined": table.height - merged.height,
    }
    notes = ["has no speaker ids", *walk.notes()]
    examples = {"in no class folder": outside[:3]}
    return Rows(complete(merged), ["folders"], dropped, notes, examples, walk.failures)


def places(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the paths of clips in class folders, which are the same as those of ``voxtrait images``.

    Args:
        rows: rows of a manifest, with ``name``, the file name.

    Returns:
        One row per path, in the order of the clips, with ``at``, the index of the clip, and ``place``, such as
        ``train/gender/female/a.mp3`` or ``train/age/female_fifties/a.mp3``. Clips without a split have no split in
        their paths. Clips that are neither ``female`` nor ``male`` and have no age group have no path.
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
    """Return file, stem, gender, age, split and axis of a path; ``None`` if it has no class folder."""
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
    """Merge the files of a clip under both axes into one row, with the gender of the gender axis."""
    by_gender_axis = table.filter(pl.col("axis") == "gender").unique("stem", keep="first", maintain_order=True)
    twins = table.filter(pl.col("axis") == "age").unique("stem", keep="first", maintain_order=True)
    twins = twins.join(by_gender_axis.select("stem"), on="stem", how="semi")
    labels = twins.select("stem", twin_age="age")
    rest = table.join(twins.select("file"), on="file", how="anti", maintain_order="left")
    joined = rest.join(labels, on="stem", how="left", maintain_order="left")
    is_twin = pl.col("axis") == "gender"
    age = pl.when(is_twin).then(pl.coalesce("age", "twin_age")).otherwise(pl.col("age"))
    return joined.with_columns(age=age).drop("axis", "twin_age")
