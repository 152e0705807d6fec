"""Evaluates the shipped bundles again: ``make scores SPEECH=DIR``.

All bundles are evaluated on the same test speakers. Their scores go to ``bundle.json``, and the reports of
``voxtrait-base`` and ``voxtrait-fast`` become the model cards in ``docs/reference``. No bundle is trained.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from voxtrait import bundle as bundles
from voxtrait import manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.bundle import Bundle
from voxtrait.evaluate import evaluate
from voxtrait.training.run import headline
from voxtrait.training.study.shipped import speakers_split

SPLIT = "split.parquet"
KEPT = ("contradicted",)  # scores from training that an evaluation does not compute


def measure(bundle: Bundle, table: Path, out: Path, *, jobs: int = 1) -> dict[str, Any]:
    """Evaluate a bundle on the test speakers and write its scores into its ``bundle.json``.

    Args:
        bundle: bundle to evaluate.
        table: manifest with splits.
        out: folder for the report.
        jobs: processes.

    Returns:
        The scores, as :func:`voxtrait.training.run.headline` selects them.

    Raises:
        OptionError: if the bundle was trained on test speakers of the manifest.
    """
    report = evaluate(bundle.folder, table, out, split="test", jobs=jobs, label=bundle.name)
    scores = {name: bundle.scores[name] for name in KEPT if name in bundle.scores} | headline(report)
    file = bundle.folder / "bundle.json"
    values = json.loads(file.read_text("utf-8")) | {"scores": scores}
    with atomic_path(file) as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return scores


def main() -> None:
    """Evaluate the shipped bundles, and replace the model cards in a folder."""
    parser = argparse.ArgumentParser(description="Evaluate the shipped bundles again on the test speakers.")
    parser.add_argument("speech", type=Path, help="folder of corpora")
    parser.add_argument("out", type=Path, help="folder for the reports")
    parser.add_argument("--cards", type=Path, help="folder of the model cards")
    parser.add_argument("--jobs", type=int, default=1, help="number of worker processes")
    arguments = parser.parse_args()
    table = arguments.out / SPLIT
    manifest.write(speakers_split(arguments.speech), table)
    for bundle in map(bundles.load, (folder.name for folder in bundles.shipped())):
        scores = measure(bundle, table, arguments.out / bundle.name, jobs=arguments.jobs)
        print(f"{bundle.title}: {scores['n_clips']} clips of {scores['n_speakers']} speakers")
        name = f"model-card-{bundle.name.removeprefix('voxtrait-')}.md"
        if arguments.cards is not None and (arguments.cards / name).is_file():
            shutil.copy(arguments.out / bundle.name / "model-card.md", arguments.cards / name)


if __name__ == "__main__":
    main()
