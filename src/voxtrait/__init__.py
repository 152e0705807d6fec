"""Estimate how a voice presents: gender and age, each with its uncertainty.

One voice::

    import voxtrait

    model = voxtrait.load()                 # the shipped bundle, or voxtrait.load("path/to/bundle")
    prediction = model.predict("clip.mp3")  # also bytes, an open file, or an array with its sampling rate
    print(prediction)                       # clip.mp3  female (p 0.97)  34 years (24–47), thirties  3.9 s speech
    prediction.gender, prediction.p_female, prediction.age_years

Many files, and a table of the predictions::

    predictions = model.predict_many(["a.mp3", "b.wav"], jobs=2)  # in order, in two processes
    voxtrait.to_frame(predictions)                                # Polars; library="pandas" for pandas

Several speakers in one recording, and a speaker embedding::

    voxtrait.timeline("talk.mp3")       # who speaks when
    model.embed("clip.mp3")             # (192,), length 1

A file that cannot be used gets a prediction with status ``error``. All other errors are subclasses of
:class:`~voxtrait.VoxtraitError`. Several threads may share one recogniser. ``import voxtrait`` is fast: modules are
loaded at first use. Guide: ``docs/how-to/python.md``. Command line: ``voxtrait --help``.

>>> import voxtrait
>>> voxtrait.load().bundle.name
'voxtrait-base'
"""

import importlib
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from voxtrait import features
    from voxtrait.errors import VoxtraitError
    from voxtrait.recognize import Prediction, Recognizer, load, to_frame
    from voxtrait.timelines import Timeline, timeline

# Telemetry of ONNX Runtime 1.29 and newer. voxtrait sets 1, which disables it, unless the variable is set. ONNX Runtime
# reads it when it is loaded: a program that imports `onnxruntime` before `voxtrait` must set it itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Prediction",
    "Recognizer",
    "Timeline",
    "VoxtraitError",
    "__version__",
    "features",
    "load",
    "timeline",
    "to_frame",
]

_HOMES = {
    "Prediction": "voxtrait.recognize",
    "Recognizer": "voxtrait.recognize",
    "Timeline": "voxtrait.timelines",
    "VoxtraitError": "voxtrait.errors",
    "load": "voxtrait.recognize",
    "timeline": "voxtrait.timelines",
    "to_frame": "voxtrait.recognize",
}

_MOVED = {
    "convert": "derived.convert",
    "corpora.agender": "corpora.layouts.agender",
    "decision": "recognize.decision",
    "funnel": "manifest.funnel",
    "intake": "audio.streams",
    "metrics": "evaluate.metrics",
    "naming": "manifest.naming",
    "pictures": "derived.pictures",
    "shards": "derived.shards",
    "splitting": "manifest.splitting",
}


class _Moved:
    """Imports modules under their former names, with a deprecation warning."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, cast(Any, self)) if fullname.removeprefix(f"{__name__}.") in _MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        new = f"{__name__}.{_MOVED[module.__name__.removeprefix(f'{__name__}.')]}"
        warnings.warn(f"{module.__name__} is now {new}: import it from there", DeprecationWarning, stacklevel=2)
        # the import statement reads sys.modules afterwards, so both names are one module
        sys.modules[module.__name__] = importlib.import_module(new)


sys.meta_path.append(_Moved())


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
