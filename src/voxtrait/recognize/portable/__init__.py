"""Exports a bundle as ONNX graphs that take samples, for programs in other languages and for browsers.

:mod:`~voxtrait.recognize.portable.windows` writes the front end, :mod:`~voxtrait.recognize.portable.detection` the
speech detection, :mod:`~voxtrait.recognize.portable.answer` encoder, heads and calibration,
:mod:`~voxtrait.recognize.portable.voices` the separation of speakers, and
:mod:`~voxtrait.recognize.portable.folder` a folder with all of them. Importing these modules needs the package ``onnx``
(extra ``site``).
"""

import os
from pathlib import Path
from typing import Literal

from voxtrait.errors import require

__all__ = ["export"]


def export(which: str | os.PathLike[str] | None, out: Path, to: Literal["onnx", "web"] = "onnx") -> list[Path]:
    """Write a bundle as a folder of ONNX graphs, with a description for programs and one for people.

    Args:
        which: folder or name of a bundle with a speaker encoder, or ``None`` for the default bundle.
        out: the new folder. It may exist if it is empty.
        to: ``onnx`` for the graphs, or ``web`` for the JavaScript package voxtrait-web with the graphs in ``model``.

    Returns:
        Paths of the files.

    Raises:
        MissingExtraError: if the package ``onnx`` is not installed.
        BundleError: if there is no such bundle, or if it has no encoder.
        OptionError: if the folder is not empty.
        OutputError: if a file cannot be written.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "fast"
        >>> sorted(file.name for file in export("voxtrait-fast", folder))[-3:]
        ['quick.onnx', 'silero.onnx', 'voice.onnx']
    """
    require("exporting a bundle", "site", "onnx")
    from voxtrait import bundle
    from voxtrait.recognize.portable import folder

    write = folder.write_package if to == "web" else folder.write
    return write(bundle.load(which), out)
