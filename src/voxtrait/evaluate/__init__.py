"""Evaluates a bundle on a manifest and writes the report: figures, page, model card, predictions.

::

    manifest ─ clips.choose ─► clips ─ Recognizer.predict_shards ─► predictions ─ report.build ─► report.json
                                                                                      ├─ page.html ─► report.html
                                                                                      └─ page.card ─► model-card.md
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from voxtrait import batch
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import NothingToDoError, OptionError, counted, require_corpus
from voxtrait.recognize import load
from voxtrait.storage import path_of, text_of

__all__ = ["evaluate"]

_REPORT: Final = "report.json"


def evaluate(
    bundle: str | os.PathLike[str] | None,
    manifest: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    allow_leak: bool = False,
    overwrite: bool = False,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> dict[str, Any]:
    """Evaluate a bundle on the labelled clips of a manifest and write the report. Interrupted runs are resumed.

    Args:
        bundle: a folder, the name of a shipped bundle, or ``None`` for the default bundle.
        manifest: path of the manifest.
        out: folder for ``report.json``, ``report.html``, ``model-card.md`` and ``predictions.csv``.
        split: split to evaluate; ``None`` means ``test`` if the manifest has splits, otherwise ``all``.
        allow_leak: evaluate even if the bundle was trained on some of the speakers; the report is marked as leaked.
        overwrite: replace the report of another bundle in ``out``.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: text of the progress line on standard error; ``None`` for no progress line.

    Returns:
        The content of ``report.json``.

    Raises:
        BundleError: if the bundle is damaged or incomplete.
        ManifestError: if the table is not a manifest.
        LeakageError: if the bundle was trained on speakers of these clips, or if they also occur in another split.
        MissingExtraError: if the extra ``[corpus]`` is not installed.
        NothingToDoError: if no clip has a label of a task of this bundle.
        OptionError: if ``out`` holds the report of another bundle.
    """
    require_corpus("an evaluation")
    import polars as pl

    from voxtrait.evaluate import clips, page, report
    from voxtrait.manifest.table import history, read, with_absolute_paths

    recognizer = load(bundle)
    whole = read(manifest)
    chosen, name = clips.choose(whole, split)
    labelled = clips.with_truth(chosen, tuple(recognizer.bundle.outputs))
    if not labelled.height:
        tasks = " or ".join(recognizer.bundle.outputs)
        raise NothingToDoError(
            f"no labels to evaluate: {counted(chosen.height, 'clip')} in split '{name}', none with a label of {tasks}"
        )
    home = Path(manifest).parent
    if not overwrite:
        _check_replaceable(Path(out) / _REPORT, recognizer.bundle.title)
    leakage = clips.examine(labelled, whole, name, recognizer.bundle, allow_leak=allow_leak, folder=home)
    folder = Path(out)
    parts = folder / ".parts"
    paths = list(map(path_of, with_absolute_paths(labelled, Path(manifest).parent)["path"]))
    shards = recognizer.predict_shards(paths, parts, jobs=jobs, label=label)
    predicted = pl.concat([labelled, pl.read_parquet(shards).drop("path", "age_groups")], how="horizontal")
    # the report is for other machines too: remove the folders of this one
    here = f"{text_of(Path(manifest).parent.resolve())}/"
    predicted = predicted.with_columns(pl.col("message").str.replace_all(here, "", literal=True))
    figures = report.build(
        predicted,
        recognizer.bundle,
        split=name,
        leakage=leakage,
        n_unlabelled=chosen.height - len(paths),
        n_elsewhere=whole.height - chosen.height,
        steps=history(manifest),
    )
    _write(folder / _REPORT, json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
    _write(folder / "report.html", page.html(figures, predicted))
    _write(folder / "model-card.md", page.card(figures))
    with atomic_path(folder / "predictions.csv") as part:
        predicted.select(clips.PREDICTION_COLUMNS).write_csv(part)
    shutil.rmtree(parts)
    return figures


def _check_replaceable(file: Path, model: str) -> None:
    """Refuse to replace the report of another bundle, which may have taken hours."""
    try:
        there = json.loads(file.read_text("utf-8"))["model"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (ValueError, KeyError, TypeError):
        there = "an unknown bundle"
    if there != model:
        raise OptionError(
            f"{file.parent} contains a report of {there}. This run would use {model}. Pass --overwrite to replace it, "
            "or use another folder with --out."
        )


def _write(file: Path, text: str) -> None:
    with atomic_path(file) as part:
        part.write_text(text, "utf-8")
