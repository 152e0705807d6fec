"""Last step of the funnel: counts the clips that a training run used, and the dropped ones by reason."""

import csv
from pathlib import Path

import polars as pl

from voxtrait import manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.manifest import funnel
from voxtrait.manifest.funnel import Step
from voxtrait.training.voices.summaries import TOO_LITTLE

UNSPLIT, TESTED = "in no split", "in the test split"


def of_clips(table: pl.DataFrame, heard: pl.DataFrame, trained: int) -> Step:
    """Return the funnel step of a training run on clips.

    Args:
        table: the whole manifest.
        heard: rows of train and validation; ``summaries`` is null for an unusable clip, and ``message`` gives the
            reason.
        trained: number of clips used for training.
    """
    unusable = heard.filter(pl.col("summaries").is_null())
    short = unusable.filter(pl.col("message") == TOO_LITTLE).height
    dropped = _by_split(table) | {
        TOO_LITTLE: short,
        "absent, or unusable audio": unusable.height - short,
        "neither gender nor age known": heard.height - unusable.height - trained,
    }
    return Step("train", table.height, _only(dropped))


def of_pictures(table: pl.DataFrame, drawn: pl.DataFrame, trained: int, unreadable: int = 0) -> Step:
    """Return the funnel step of a training run on images.

    Args:
        table: the manifest, or without one the table of images; needs ``split``.
        drawn: images of the task; needs ``split``.
        trained: number of images of train and validation whose class is trained.
        unreadable: number of images in neither table, because they are damaged or have another size.
    """
    known = drawn.filter(pl.col("split") != "test").height
    dropped = _by_split(table)
    wanted = table.height - sum(dropped.values())
    dropped |= {
        "no image: no label for the task, or unusable audio": wanted - known,
        "in a class with too few speakers": known - trained,
        "damaged images, or images of another size": unreadable,
    }
    return Step("train", table.height + unreadable, _only(dropped))


def write(data: Path, step: Step, report: Path) -> None:
    """Write ``funnel.csv`` and ``funnel.png``: the funnel of the dataset with the step of the training run."""
    steps = [*(manifest.history(data) if data.is_file() else ()), step]
    with atomic_path(report / "funnel.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("step", "what", "clips"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(funnel.rows(steps))
    funnel.picture(steps, report / "funnel.png")


def _by_split(table: pl.DataFrame) -> dict[str, int]:
    return {UNSPLIT: table["split"].null_count(), TESTED: int((table["split"] == "test").sum())}


def _only(dropped: dict[str, int]) -> dict[str, int]:
    return {reason: int(n) for reason, n in dropped.items() if n}
