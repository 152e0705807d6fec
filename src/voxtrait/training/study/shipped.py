"""Rebuilds the shipped bundles from a folder of corpora: ``make model SPEECH=DIR``.

All corpora of the folder become one manifest, split by speaker. The recipe ``base`` trains ``voxtrait-base`` on all of
them. The recipe ``fast`` trains ``voxtrait-fast`` on a smaller encoder that is fitted to CAM++. The recipes
``diary-gender`` and ``diary-age`` train the spectrogram CNNs (baseline) on the images of Common Voice; their merged
graphs are ``voxtrait-diary``. All bundles are evaluated on the same test speakers.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import torch

from voxtrait import bundle as bundles
from voxtrait import integrity, manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.batch import default_jobs
from voxtrait.bundle import Bundle
from voxtrait.corpora import import_corpora
from voxtrait.corpora.detect import find
from voxtrait.derived.pictures import draw
from voxtrait.errors import BundleError, ManifestError, NothingToDoError
from voxtrait.evaluate import evaluate
from voxtrait.manifest.splitting import split
from voxtrait.training import export, recipe, train
from voxtrait.training.distillation import encoder
from voxtrait.training.run import headline
from voxtrait.training.voices.ensemble import ENCODER

DIARY: Final = "voxtrait-diary"
DESCRIPTION: Final = "Two spectrogram CNNs (baseline) on one mel-spectrogram image: gender, and gender with age group"
SEED: Final = 1
THREADS: Final = 2  # of torch, on any machine: the last digits of sums depend on their number
COMMON_VOICE: Final = ("common-voice", "cv-")


def build(
    speech: Path,
    out: Path,
    *,
    bundle: str = "base",
    overrides: Sequence[str] = (),
    jobs: int = 1,
    label: str | None = None,
) -> Bundle:
    """Build a shipped bundle from a folder of corpora.

    Args:
        speech: folder of corpora.
        out: working folder; an interrupted run is resumed.
        bundle: ``base``, ``fast`` or ``diary``.
        overrides: ``key=value`` strings for the recipes.
        jobs: number of processes.
        label: label of the progress lines; ``None`` shows no progress.

    Raises:
        NothingToDoError: if there is no Common Voice in the folder.
        ManifestError: if the check of the manifest finds fatal errors.
    """
    table = out / "manifest.parquet"
    if not table.is_file():
        manifest.write(speakers_split(speech), table)
    checked = integrity.check(table, jobs=jobs, label=label and "check")
    print(json.dumps(checked.to_dict(), indent=1), file=sys.stderr)
    if checked.fatal:
        raise ManifestError(f"{table} has fatal findings, shown above. Correct the corpora, then run again.")
    if bundle == "diary":
        return diary(table, out, overrides=overrides, jobs=jobs, label=label)
    if bundle == "fast" and not (out / bundle / ENCODER).is_file():
        (out / bundle).mkdir(exist_ok=True)
        with atomic_path(out / bundle / ENCODER) as part:
            encoder.make(table, out / "distilled", jobs=jobs, label=label and "fast encoder")
            shutil.copy(out / "distilled" / ENCODER, part)
    outcome = train(recipe.load(bundle, overrides), table, out / bundle, resume=True, jobs=jobs, label=label)
    return bundles.load(outcome.bundle)


def speakers_split(speech: Path) -> pl.DataFrame:
    """Import all corpora of a folder into one table, split by speaker.

    Common Voice is split as a whole, because its speakers occur in several releases. The other corpora are split
    separately, so that neither split changes the test speakers of the other.

    Raises:
        NothingToDoError: if there is no Common Voice in the folder.
    """
    folders = {True: [], False: []}  # type: dict[bool, list[Path]]
    for source in find(speech):
        folders[source.corpus.startswith(COMMON_VOICE)].append(source.folder)
    if not folders[True]:
        raise NothingToDoError(f"No Common Voice in {speech}. Expected folders such as cv-corpus-6.1-2020-12-11.")
    parts = [split(import_corpora(some).table, seed=SEED) for some in folders.values() if some]
    return pl.concat(parts, how="diagonal_relaxed")


def diary(table: Path, out: Path, *, overrides: Sequence[str] = (), jobs: int = 1, label: str | None = None) -> Bundle:
    """Train the two spectrogram CNNs on the images of Common Voice and merge them; arguments as for :func:`build`."""
    is_common_voice = pl.any_horizontal(pl.col("corpus").str.starts_with(name) for name in COMMON_VOICE)
    rows = manifest.read(table).filter(is_common_voice)
    own = out / "common-voice.parquet"
    manifest.write(rows, own)
    draw(own, out / "pictures", jobs=jobs, label=label and "images")
    runs = []
    for name in ("diary-gender", "diary-age"):
        settings = recipe.load(name, overrides)
        train(settings, out / "pictures", out / name, resume=True, jobs=jobs, label=label and name)
        runs.append(bundles.load(out / name / "bundle"))
    graph = export.merge([run.model for run in runs])
    made = join(runs, out / DIARY)
    speakers = rows.filter(pl.col("split").is_in(["train", "validation"]))["speaker_id"].drop_nulls().unique().to_list()
    bundles.write(made, graph, speakers)
    report = evaluate(made.folder, table, out / "report", split="test", jobs=jobs, label=label and "evaluate")
    made = dataclasses.replace(made, scores=headline(report))
    bundles.write(made, graph, speakers)
    return made


def join(runs: Sequence[Bundle], folder: Path) -> Bundle:
    """Return the description of a bundle that merges several bundles with the same input.

    Raises:
        BundleError: if their front ends differ.
    """
    first = runs[0]
    if any(run.front_end != first.front_end for run in runs):
        raise BundleError("Got bundles with different front ends. Expected the same front end for all.")
    outputs: dict[str, tuple[str, ...]] = {}
    calibration: dict[str, Any] = {}
    for run in runs:
        outputs |= run.outputs
        calibration |= run.calibration
    made_with = {key: value for key, value in first.made_with.items() if key != "recipe"}
    made_with |= {f"recipe {run.name}": run.made_with["recipe"] for run in runs}
    return dataclasses.replace(
        first,
        folder=folder,
        name=DIARY,
        description=DESCRIPTION,
        outputs=outputs,
        calibration=calibration,
        scores={},
        data=max((run.data for run in runs), key=lambda data: sum(one["clips"] for one in data)),
        made_with=made_with,
    )


def main() -> None:
    """Build a bundle, and copy it into the package."""
    parser = argparse.ArgumentParser(description="Rebuild a shipped bundle from a folder of corpora.")
    parser.add_argument("speech", type=Path, help="folder of corpora")
    parser.add_argument("out", type=Path, help="working folder")
    parser.add_argument("--bundle", choices=("base", "fast", "diary"), default="base", help="bundle to rebuild")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="value of the recipe to replace",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    made = build(
        arguments.speech,
        arguments.out,
        bundle=arguments.bundle,
        overrides=arguments.overrides,
        jobs=default_jobs(),
        label="model",
    )
    target = bundles.SHIPPED / made.name
    shutil.copytree(made.folder, target, dirs_exist_ok=True)
    print(f"{target}  {json.dumps(made.scores)}")


if __name__ == "__main__":
    main()
