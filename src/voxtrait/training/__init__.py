"""Trains a recipe on a dataset, and writes bundle and report: the only package that imports torch and Lightning."""

import os
from typing import TYPE_CHECKING

from voxtrait.errors import CORPUS, require

if TYPE_CHECKING:
    from voxtrait.training.recipe import EncoderRecipe, Recipe
    from voxtrait.training.run import Outcome


def require_extra() -> None:
    """Check that the packages of the extra ``[train]`` are installed.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require("training", "train", "torch", "lightning", "torchmetrics", "onnx", "onnxscript", *CORPUS)


def leads() -> bool:
    """Return whether this process prints: under ``torchrun`` only rank 0 does, otherwise every process."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def train(
    settings: "Recipe | EncoderRecipe",
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    jobs: int = 1,
    label: str | None = None,
) -> "Outcome":
    """Train a recipe, export the network, check the export, evaluate the bundle, and write a report.

    A :class:`~voxtrait.training.recipe.Recipe` trains a CNN on spectrogram images, an
    :class:`~voxtrait.training.recipe.EncoderRecipe` heads on a speaker encoder. Processes that ``torchrun`` starts
    train a CNN together; rank 0 alone trains heads.

    Args:
        settings: the recipe.
        data: a manifest with splits; for a CNN also a folder that ``voxtrait images`` wrote.
        out: run folder, for ``bundle/``, ``report/`` and the files from which a run is resumed.
        resume: resume the run in ``out``; if there is none, start one.
        jobs: number of processes that read clips and predict.
        label: label of the progress lines on standard error; ``None`` shows no progress.

    Returns:
        The paths of bundle and report, and the figures of the evaluation.

    Raises:
        MissingExtraError: if the packages of the extra ``[train]`` are not installed.
        OptionError: if ``out`` holds another run, or another process trains there.
        ManifestError: if the dataset lacks the clips or splits that training needs.
        PretrainedMissingError: if the package with the encoder's weights is needed and not installed.
        DiskFullError: if the disk is full; the last epoch is kept.
        WorkerError: if one of several processes that train together has ended.

    Examples:
        >>> from voxtrait.training import recipe, train
        >>> settings = recipe.load("diary-gender", ["max_epochs=4"])
        >>> outcome = train(settings, "split.parquet", "runs/gender", jobs=4)  # doctest: +SKIP
        >>> outcome.bundle  # doctest: +SKIP
        PosixPath('runs/gender/bundle')
    """
    require_extra()
    from voxtrait.training import ranks
    from voxtrait.training.pictures import fit
    from voxtrait.training.recipe import Recipe
    from voxtrait.training.voices import ensemble

    if isinstance(settings, Recipe):
        return fit.train(settings, data, out, resume=resume, jobs=jobs, label=label)
    with ranks.joined() as share:  # training heads takes a minute; summarising takes hours, in worker processes
        return share.lead(lambda: ensemble.train(settings, data, out, resume=resume, jobs=jobs, label=label))
