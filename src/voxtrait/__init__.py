"""voxtrait tells the gender and the age a voice presents as.

>>> import voxtrait
>>> model = voxtrait.load()                       # the shipped bundle, or voxtrait.load("path/to/bundle")
>>> model.bundle.name
'voxtrait-base'

``model.predict("clip.mp3")`` gives a :class:`Prediction`. Everything heavy is loaded on first use.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxtrait import features
    from voxtrait.errors import VoxtraitError
    from voxtrait.recognize import Prediction, Recognizer, load

# ONNX Runtime tells its maker of every session from 1.29 on, and reads this when it is loaded: nothing of what is done
# here is told to anybody, unless the user wants it
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Prediction", "Recognizer", "VoxtraitError", "__version__", "features", "load"]

_HOMES = {
    "Prediction": "voxtrait.recognize",
    "Recognizer": "voxtrait.recognize",
    "VoxtraitError": "voxtrait.errors",
    "load": "voxtrait.recognize",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("voxtrait")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "features":
        return importlib.import_module("voxtrait.features")
    raise AttributeError(f"module 'voxtrait' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
