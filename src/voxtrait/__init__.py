"""voxtrait estimates the gender and the age a voice presents as.

>>> import voxtrait
>>> model = voxtrait.load()                       # the shipped bundle, or voxtrait.load("path/to/bundle")
>>> model.bundle.name
'voxtrait-base'

``model.predict("clip.mp3")`` gives a :class:`Prediction`. Everything heavy is loaded on first use.
"""

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxtrait import features
    from voxtrait.errors import VoxtraitError
    from voxtrait.recognize import Prediction, Recognizer, load

# From 1.29 on, ONNX Runtime sends telemetry for every session. It reads this variable when it is loaded: nothing is
# sent unless the user wants it
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Prediction", "Recognizer", "VoxtraitError", "__version__", "features", "load"]

_HOMES = {
    "Prediction": "voxtrait.recognize",
    "Recognizer": "voxtrait.recognize",
    "VoxtraitError": "voxtrait.errors",
    "load": "voxtrait.recognize",
}

_MOVED = {
    "convert": "voxtrait.derived.convert",
    "decision": "voxtrait.recognize.decision",
    "funnel": "voxtrait.manifest.funnel",
    "intake": "voxtrait.audio.streams",
    "metrics": "voxtrait.evaluate.metrics",
    "naming": "voxtrait.manifest.naming",
    "pictures": "voxtrait.derived.pictures",
    "shards": "voxtrait.derived.shards",
    "splitting": "voxtrait.manifest.splitting",
}
"""Former name of a module → where it is now. ``from voxtrait import splitting`` works, with a warning."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("voxtrait")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "features":
        return importlib.import_module("voxtrait.features")
    if name in _MOVED:
        text = f"voxtrait.{name} is now {_MOVED[name]}: import it from there"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return importlib.import_module(_MOVED[name])
    raise AttributeError(f"module 'voxtrait' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
