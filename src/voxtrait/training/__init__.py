"""Training: recipes to bundles. The only place where torch and Lightning are imported."""

import importlib.util

from voxtrait.errors import MissingExtraError


def require_extra() -> None:
    """Say what to install where the packages of the extra ``[train]`` are not there.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    if any(importlib.util.find_spec(package) is None for package in ("torch", "lightning", "torchmetrics", "onnx")):
        raise MissingExtraError("training", "train")
