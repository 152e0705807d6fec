"""Finds the images of a task in class folders, in the layout of ``images`` or of Keras, and skips damaged ones.

Layouts: ``SPLIT/gender/CLASS/*.png`` and ``SPLIT/age/CLASS/*.png``, as ``voxtrait images`` writes them, or
``SPLIT/CLASS/*.png``, as Keras's ``flow_from_directory`` reads them. Splits and classes may have any spelling that
``voxtrait corpus import`` knows (``val``, ``Train``, ``F``), and images may be JPEG files.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from voxtrait import batch, derived, manifest, storage
from voxtrait.corpora.spellings import SPLIT_SPELLINGS, class_of, word
from voxtrait.derived.pictures import MANIFEST as PICTURES_MANIFEST
from voxtrait.errors import ManifestError, VoxtraitError
from voxtrait.features import FrontEnd, decode_png
from voxtrait.labels import JOINT_CLASSES, SPLITS

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
NAMED: Final = 5  # maximum images in a message
FOUND: Final = 8  # maximum folders in a message
WORTH_PROCESSES: Final = 2000  # minimum images for several processes: with fewer, starting them takes longer
_COLUMNS: Final = {"path": pl.String, "label": pl.String, "split": pl.String}


class LeftOut(NamedTuple):
    """A skipped image, with the reason."""

    path: str
    reason: str


def read_folder(folder: Path, task: str) -> pl.DataFrame:
    """List the images of a task.

    Returns:
        Columns ``path``, ``label``, ``split``, and ``clip_id``, ``speaker_id``, ``age_years`` (null if unknown),
        sorted by path.

    Raises:
        ManifestError: if the folder has no images of this task for training or for validation, or if two of its
            folders stand for the same split.
    """
    rows = [row for split, place in _splits(folder) for row in _pictures(place, split, task)]
    table = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    check_splits(table, folder, task)
    known = folder / PICTURES_MANIFEST
    if known.is_file():
        table = table.with_columns(name=pl.col("path").str.split("/").list.last())
        whose = manifest.read(known).select(
            "clip_id", "speaker_id", "age_years", name=pl.col("path").str.split("/").list.last()
        )
        table = table.join(whose, on="name", how="left", maintain_order="left").drop("name")
    else:
        unknown = pl.lit(None, dtype=pl.String)
        table = table.with_columns(clip_id=unknown, speaker_id=unknown, age_years=pl.lit(None, dtype=pl.Float64))
    return table.sort("path")


def check_splits(table: pl.DataFrame, folder: Path, task: str) -> None:
    """Check that there are images for training and for validation.

    Raises:
        ManifestError: if not; the message names the folders found.
    """
    missing = [split for split in ("train", "validation") if not (table["split"] == split).any()]
    if missing:
        example = {"gender": "female", "age": "female_fifties"}[task]
        raise ManifestError(
            f"No images for {' and '.join(missing)} in {folder}. "
            f"Expected {missing[0]}/{task}/{example}/*.png or {missing[0]}/{example}/*.png. "
            f"Found {'; '.join(_found(folder)) or 'no images'}. "
            "Run 'voxtrait corpus split' and 'voxtrait images', or move the images into such folders."
        )


def without_broken(
    table: pl.DataFrame, front_end: FrontEnd, *, jobs: int = 1, label: str | None = None
) -> tuple[pl.DataFrame, list[LeftOut]]:
    """Read every image once, and skip images that are damaged or have another size.

    Args:
        table: result of :func:`read_folder`.
        front_end: front end with the expected size.
        jobs: number of processes.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Raises:
        ManifestError: if no image is left.
    """
    paths = table["path"].to_list()
    processes = jobs if len(paths) >= WORTH_PROCESSES else 1
    checked = batch.run(
        _Check(front_end),
        paths,
        jobs=processes,
        on_crash=lambda _, why: why,
        label=label if len(paths) >= WORTH_PROCESSES else None,
        unit="image",
    )
    reasons = list(checked)
    left_out = [LeftOut(path, why) for path, why in zip(paths, reasons, strict=True) if why is not None]
    if len(left_out) == len(paths):
        raise ManifestError(_none_left(left_out, front_end))
    return table.filter(pl.Series(reasons, dtype=pl.String).is_null()), left_out


def in_words(left_out: list[LeftOut], total: int) -> str:
    """Return a message about skipped images: their number, and the names of the first.

    Examples:
        >>> in_words([LeftOut("x/a.png", "it is empty (0 bytes)")], 10)
        '1 of 10 images skipped: x/a.png: it is empty (0 bytes)'
    """
    lines = [f"{path}: {reason}" for path, reason in left_out[:NAMED]]
    more = [f"and {len(left_out) - NAMED:,} more"] if len(left_out) > NAMED else []
    return f"{len(left_out):,} of {total:,} image{'' if total == 1 else 's'} skipped: {'; '.join(lines + more)}"


def check_manifest(data: Path, task: str) -> pl.DataFrame:
    """Check, before any image is drawn, that a manifest has clips of a task for training and validation.

    Returns:
        The clips to draw: ``path``, ``speaker_id``, ``label`` and ``split``.

    Raises:
        ManifestError: if not.
    """
    clips = manifest.read(data, ("clip_id", "path", "speaker_id", "gender", "age_group", "split"))
    places = derived.class_folders(clips)
    label = places[f"{task}_at"].str.split("/").list.last().alias("label")
    table = clips.select("path", "speaker_id", "split").with_columns(label).filter(pl.col("label").is_not_null())
    counts = {split: int((table["split"] == split).sum()) for split in SPLITS}
    missing = [split for split in ("train", "validation") if not counts[split]]
    if not table.height:
        raise ManifestError(f"No clip in {data} has a label for {task}. Expected female or male in the column gender.")
    if missing:
        there = ", ".join(f"{split} {count:,}" for split, count in counts.items() if count)
        unsplit = table["split"].null_count()
        found = "; ".join(part for part in (there, f"{unsplit:,} in no split" if unsplit else "") if part)
        raise ManifestError(
            f"No {'/'.join(missing)} split in {data}. Clips with a label for {task}: {found}. "
            "Run 'voxtrait corpus split' first."
        )
    return table


@dataclasses.dataclass(frozen=True)
class _Check:
    """Job: image → the reason why it cannot be used, or ``None``."""

    front_end: FrontEnd

    def __call__(self, path: str) -> str | None:
        try:
            drawn = decode_png(Path(storage.path_of(path)).read_bytes())
        except (VoxtraitError, OSError) as error:
            return storage.text_of(derived.reason_of(error))
        height, width = self.front_end.n_mels, self.front_end.columns
        if drawn.shape != (height, width):
            return f"it has {drawn.shape[1]}×{drawn.shape[0]} pixels, expected {width}×{height}"
        return None


def _splits(folder: Path) -> Iterator[tuple[str, Path]]:
    found: dict[str, Path] = {}
    for place in _folders(folder):
        split = SPLIT_SPELLINGS.get(word(place.name))
        if split is None:
            continue
        if split in found:
            raise ManifestError(
                f"{folder} has two folders for {split}: {found[split].name} and {place.name}. "
                "Expected one folder per split."
            )
        found[split] = place
    yield from ((split, found[split]) for split in SPLITS if split in found)


def _pictures(place: Path, split: str, task: str) -> Iterator[tuple[str, str, str]]:
    """Find the images of a split, in ``TASK/CLASS`` or in ``CLASS``."""
    direct = [(label, one) for one in _folders(place) if (label := _class_of(one.name, task))]
    inner = [one for one in _folders(place) if one.name.lower() == task]
    nested = [(label, one) for home in inner for one in _folders(home) if (label := _class_of(one.name, task))]
    if direct and nested:
        raise ManifestError(
            f"{place} has both {nested[0][1].relative_to(place)} and {direct[0][1].name}. Expected one layout: "
            f"{task}/CLASS or CLASS."
        )
    for label, home in nested or direct:
        yield from ((storage.text_of(file), label, split) for file in _files(home))


def _class_of(name: str, task: str) -> str | None:
    gender, age = class_of(name) or (None, None)
    if task == "gender":
        return gender if age is None else None
    label = f"{gender}_{age}"
    return label if label in JOINT_CLASSES else None


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(one for one in place.iterdir() if one.is_dir() and not one.name.startswith("."))


def _files(home: Path) -> Iterator[Path]:
    """List the images below a folder. Hidden files are not images: macOS writes ``._a.png`` beside ``a.png``."""
    for here, folders, names in os.walk(home):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if _is_picture(name))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _found(folder: Path) -> list[str]:
    counts = [
        f"{storage.text_of(os.path.relpath(here, folder))}/ ({number:,})"
        for here, _, names in os.walk(folder)
        if (number := sum(map(_is_picture, names)))
    ]
    counts.sort()
    more = len(counts) - FOUND
    return counts[:FOUND] + ([f"{more} more folder{'' if more == 1 else 's'}"] if more > 0 else [])


def _none_left(left_out: list[LeftOut], front_end: FrontEnd) -> str:
    ((reason, number),) = collections.Counter(why for _, why in left_out).most_common(1)
    if number == len(left_out) and "pixels" in reason:
        width, _, height = reason.split()[2].partition("×")
        return (
            f"All images ({number:,}) have {width}×{height} pixels. The recipe expects "
            f"{front_end.columns}×{front_end.n_mels}. Use --set width={width} --set height={height}, "
            "or make images with 'voxtrait images'."
        )
    return f"No usable images. {in_words(left_out, len(left_out))}"
