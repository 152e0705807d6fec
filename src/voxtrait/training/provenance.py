"""Counts the clips that a training used, and the others by reason: the last step of the funnel."""

import csv
from pathlib import Path

import polars as pl

from voxtrait import manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.manifest import funnel
from voxtrait.manifest.funnel import Step
from voxtrait.training.voices.summaries import TOO_LITTLE

UNSPLIT, TESTED = "in no split", "kept for the test"


def of_clips(table: pl.DataFrame, heard: pl.DataFrame, trained: int) -> Step:
    """Account for a training on clips.

    Args:
        table: the whole manifest.
        heard: its rows of train and validation; ``summaries`` is null where a clip could not be used, and ``message``
            gives the reason.
        trained: clips that were used for training.
    """
    unusable = heard.filter(pl.col("summaries").is_null())
    short = unusable.filter(pl.col("message") == TOO_LITTLE).height
    dropped = _by_split(table) | {
        TOO_LITTLE: short,
        "absent, or no audio that can be used": unusable.height - short,
        "neither gender nor age known": heard.height - unusable.height - trained,
    }
    return Step("train", table.height, _only(dropped))


def of_pictures(table: pl.DataFrame, drawn: pl.DataFrame, trained: int, unreadable: int = 0) -> Step:
    """Account for a training on pictures.

    Args:
        table: the manifest, or the pictures themselves where there is none: ``split``.
        drawn: the pictures of the task: ``split``.
        trained: pictures of train and validation whose class is trained.
        unreadable: pictures that are in neither table, for they are broken or of another size.
    """
    known = drawn.filter(pl.col("split") != "test").height
    dropped = _by_split(table)
    wanted = table.height - sum(dropped.values())
    dropped |= {
        "not drawn: no label of the task, or no audio that can be used": wanted - known,
        "in a class of too few speakers": known - trained,
        "pictures that are broken or of another size": unreadable,
    }
    return Step("train", table.height + unreadable, _only(dropped))


def write(data: Path, step: Step, report: Path) -> None:
    """Write ``funnel.csv`` and ``funnel.png``: the funnel that the data came with, and the training's step."""
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
