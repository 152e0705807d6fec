"""Shared by all training runs: the lock on recipe and dataset of a run folder, the outcome, the corpora in a bundle."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from voxtrait import storage
from voxtrait.audio.writing import atomic_path, create_folder
from voxtrait.corpora import licence_of, source_of
from voxtrait.errors import OptionError
from voxtrait.evaluate import figures, groups
from voxtrait.training.recipe import EncoderRecipe, Recipe


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Results of a training run."""

    bundle: Path  #: Folder of the bundle
    report: Path  #: Folder of the report
    figures: dict[str, dict[str, float]]  #: Split → loss, accuracy, uar
    evaluation: dict[str, Any]  #: Content of report.json, for the test split


def claim(folder: Path, recipe: Recipe | EncoderRecipe, data: Path, resume: bool, *, write: bool = True) -> None:
    """Record recipe and dataset in the run folder; if the folder holds a run, check that they are the same.

    Args:
        folder: run folder.
        recipe: settings.
        data: path of the dataset.
        resume: whether a run in the folder may be resumed.
        write: whether to record; otherwise only check.

    Raises:
        OptionError: if the folder holds a run and ``resume`` is not set, or the run has other settings.
    """
    wanted = {"recipe": dataclasses.asdict(recipe), "data": storage.text_of(data.resolve())}
    wanted = json.loads(json.dumps(wanted))
    note = folder / "run.json"
    if note.is_file():
        found = json.loads(note.read_text("utf-8"))
        if not resume:
            raise OptionError(f"{folder} already holds a run. Resume it with --resume, or choose another --out.")
        if found != wanted:
            differing = [key for key in wanted["recipe"] if found["recipe"].get(key) != wanted["recipe"][key]]
            raise OptionError(
                f"The run in {folder} has other settings ({', '.join(differing) or 'data'}). "
                "Resume with the same settings, or choose another --out."
            )
        return
    if not write:
        return
    create_folder(folder)
    with atomic_path(note) as part:
        part.write_text(json.dumps(wanted, indent=1) + "\n", "utf-8")


def data_of(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the corpora of a table's clips, each with its licence, and its number of clips and speakers."""
    place = pl.col("clip_id").str.split("/").list
    named = table.with_columns(corpus=place.get(0, null_on_oob=True), release=place.get(1, null_on_oob=True))
    for (corpus, release), rows in sorted(named.group_by("corpus", "release"), key=lambda pair: str(pair[0])):
        yield {
            "corpus": corpus or "unknown",
            "release": None if release == "-" else release,
            "licence": licence_of(corpus),
            "source": source_of(corpus),
            "clips": rows.height,
            "speakers": rows["speaker_id"].n_unique() if rows["speaker_id"].null_count() == 0 else None,
        }


def headline(report: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that a bundle stores: totals, errors by group as plain numbers, and the bins of
    the calibration plot."""
    found: dict[str, Any] = {key: report[key] for key in ("split", "n_clips", "n_speakers", "leakage")}
    found |= {task: report[task] | errors for task, errors in groups.by_group(report).items()}
    if found["gender"]["n_clips"]:
        found["gender"]["reliability"] = figures.merged_bins(report["reliability"])
    return found


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's warnings and tips; errors are still shown."""
    names = ("lightning", "lightning.pytorch", "lightning.fabric")
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torch|torchmetrics)\b.*")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
