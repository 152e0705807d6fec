"""Training: recipes to bundles. The only place where torch and Lightning are imported."""

import os
from typing import TYPE_CHECKING

from voxtrait.errors import require

if TYPE_CHECKING:
    from voxtrait.training.recipe import EncoderRecipe, Recipe
    from voxtrait.training.run import Outcome


def require_extra() -> None:
    """Check that the packages of the extra ``[train]`` are installed.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require("training", "train", "torch", "lightning", "torchmetrics", "onnx", "onnxscript")


def leads() -> bool:
    """Return whether this process prints: of those that ``torchrun`` starts, only the first; any other process does."""
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
    """Train a recipe of either kind, on spectrogram images or on a speaker encoder.

    Started by ``torchrun``, processes share a network on pictures; heads are trained by the first of them.

    Raises:
        MissingExtraError: if the packages of the extra ``[train]`` are not installed.
    """
    require_extra()
    from voxtrait.training import ranks
    from voxtrait.training.pictures import fit
    from voxtrait.training.recipe import Recipe
    from voxtrait.training.voices import ensemble

    if isinstance(settings, Recipe):
        return fit.train(settings, data, out, resume=resume, jobs=jobs, label=label)
    with ranks.joined() as share:  # heads train in a minute; summarising takes hours, in worker processes
        return share.lead(lambda: ensemble.train(settings, data, out, resume=resume, jobs=jobs, label=label))
