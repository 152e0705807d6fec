"""Rebuild the bundle that ships, from a folder of real speech: ``make model SPEECH=DIR``.

Every Common Voice in the folder is joined into one manifest and split by speaker; the two recipes of the diary are
trained on the pictures; their graphs become one bundle, ``voxtrait-diary``, which is evaluated on the test speakers
and put into the package.
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

from voxtrait import bundle as bundles
from voxtrait import integrity, manifest
from voxtrait.batch import default_jobs
from voxtrait.bundle import Bundle
from voxtrait.corpora import import_corpora
from voxtrait.corpora.detect import find
from voxtrait.errors import BundleError, ManifestError, NothingToDoError
from voxtrait.evaluate import evaluate
from voxtrait.pictures import draw
from voxtrait.splitting import split
from voxtrait.training import export, recipe
from voxtrait.training.fit import headline, train

NAME: Final = bundles.DEFAULT
SEED: Final = 1
DESCRIPTION: Final = (
    "The two networks of the diary in one bundle, on one picture: gender, and gender with decade of age"
)


def build(speech: Path, out: Path, *, overrides: Sequence[str] = (), jobs: int = 1, label: str | None = None) -> Bundle:
    """Run the whole way from a folder of corpora to the bundle.

    Args:
        speech: holds Common Voice releases; corpora of other kinds are left out.
        out: working folder; a second run goes on where the first was stopped.
        overrides: ``key=value`` for both recipes.
        jobs: processes.
        label: of progress lines; ``None`` for none.

    Raises:
        NothingToDoError: if there is no Common Voice in the folder.
        ManifestError: if the check of the manifest finds something fatal.
    """
    table = out / "manifest.parquet"
    if not table.is_file():
        manifest.write(split(common_voice(speech), seed=SEED), table)
    checked = integrity.check(table, jobs=jobs, label=label and "check")
    print(json.dumps(checked.to_dict(), indent=1), file=sys.stderr)
    if checked.fatal:
        raise ManifestError(f"{table} has fatal findings, which stand above: mend the corpora before a bundle is made")
    draw(table, out / "pictures", jobs=jobs, label=label and "pictures")
    runs = []
    for name in ("diary-gender", "diary-age"):
        settings = recipe.load(name, overrides)
        train(settings, out / "pictures", out / name, resume=True, jobs=jobs, label=label and name)
        runs.append(bundles.load(out / name / "bundle"))
    graph = export.merge([run.model for run in runs])
    made = join(runs, out / NAME)
    rows = manifest.read(table).filter(pl.col("split").is_in(["train", "validation"]))
    speakers = rows["speaker_id"].drop_nulls().unique().to_list()
    bundles.write(made, graph, speakers)
    report = evaluate(made.folder, table, out / "report", split="test", jobs=jobs, label=label and "evaluate")
    made = dataclasses.replace(made, scores=headline(report))
    bundles.write(made, graph, speakers)
    return made


def common_voice(speech: Path) -> pl.DataFrame:
    """Join every Common Voice of a folder into one table."""
    folders = [source.folder for source in find(speech) if source.corpus.startswith(("common-voice", "cv-"))]
    if not folders:
        raise NothingToDoError(f"no Common Voice in {speech}: expected folders such as cv-corpus-6.1-2020-12-11")
    return import_corpora(folders).table


def join(runs: Sequence[Bundle], folder: Path) -> Bundle:
    """Describe the bundle of several bundles that see the same pictures.

    Raises:
        BundleError: if their front ends differ.
    """
    first = runs[0]
    if any(run.front_end != first.front_end for run in runs):
        raise BundleError("got bundles with different front ends, expected the same for all")
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
        name=NAME,
        description=DESCRIPTION,
        outputs=outputs,
        calibration=calibration,
        scores={},
        data=max((run.data for run in runs), key=lambda data: sum(one["clips"] for one in data)),
        made_with=made_with,
    )


def main() -> None:
    """Build, and put the bundle into the package."""
    parser = argparse.ArgumentParser(description="Rebuild the bundle that ships.")
    parser.add_argument("speech", type=Path, help="folder of corpora")
    parser.add_argument("out", type=Path, help="working folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    jobs = default_jobs()
    made = build(arguments.speech, arguments.out, overrides=arguments.overrides, jobs=jobs, label="model")
    shutil.copytree(made.folder, bundles.SHIPPED / NAME, dirs_exist_ok=True)
    print(f"{bundles.SHIPPED / NAME}  {json.dumps(made.scores)}")


if __name__ == "__main__":
    main()
