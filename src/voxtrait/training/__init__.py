"""Training: recipes to bundles. The only place where torch and Lightning are imported."""

import importlib.util
import os
from typing import TYPE_CHECKING

from voxtrait.errors import MissingExtraError

if TYPE_CHECKING:
    from voxtrait.training.fit import Outcome
    from voxtrait.training.recipe import EncoderRecipe, Recipe


def require_extra() -> None:
    """Say what to install where the packages of the extra ``[train]`` are not there.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    if any(importlib.util.find_spec(package) is None for package in ("torch", "lightning", "torchmetrics", "onnx")):
        raise MissingExtraError("training", "train")


def train(
    settings: "Recipe | EncoderRecipe",
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    jobs: int = 1,
    label: str | None = None,
) -> "Outcome":
    """Train a recipe of whichever kind: see ``train`` of :mod:`voxtrait.training.fit` and
    :mod:`voxtrait.training.ensemble`.

    Raises:
        MissingExtraError: if the packages of the extra ``[train]`` are not there.
    """
    require_extra()
    from voxtrait.training import ensemble, fit
    from voxtrait.training.recipe import Recipe

    if isinstance(settings, Recipe):
        return fit.train(settings, data, out, resume=resume, jobs=jobs, label=label)
    return ensemble.train(settings, data, out, resume=resume, jobs=jobs, label=label)
