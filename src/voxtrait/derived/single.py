"""Derives one file under a given name: ``convert clip.mp3 out.wav``, ``images clip.mp3 out.png``."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from voxtrait import batch, storage
from voxtrait.audio import SUFFIXES
from voxtrait.audio.writing import writing
from voxtrait.derived.folders import LIST, MANIFESTS, Outcome, Summary
from voxtrait.errors import NothingToDoError, OptionError

FILES: Final = SUFFIXES | {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
"""Endings that mark an output name as a file, not a folder."""


def names_file(source: str | os.PathLike[str], out: str | os.PathLike[str], suffix: str) -> bool:
    """Return whether ``out`` names a file for one clip, and not a folder.

    Args:
        source: the source of the clips.
        out: a folder, or a file name with an ending.
        suffix: ending of the derived files.

    Raises:
        OptionError: if ``out`` has another file ending, or ``source`` may contain several clips.
        NothingToDoError: if ``source`` does not exist.

    Examples:
        >>> names_file("clip.mp3", "folder", ".wav")
        False
    """
    ending = storage.suffix_of(os.fspath(out))
    if ending not in FILES or os.fspath(out).endswith("/") or (not storage.is_url(out) and Path(out).is_dir()):
        return False
    shown, of = (storage.text_of(storage.shown(os.fspath(name))) for name in (out, source))
    if not storage.is_url(source) and not Path(source).exists():
        raise NothingToDoError(f"No such file or folder: {of}")
    several = storage.suffix_of(os.fspath(source)) in (*MANIFESTS, LIST)
    if several or (storage.suffix_of(source) not in SUFFIXES if storage.is_url(source) else Path(source).is_dir()):
        raise OptionError(f"{of} may contain many clips, but {shown} names one file. Expected a folder.")
    if ending != suffix:
        raise OptionError(f"Got the output {shown}. Expected a folder, or a name ending in {suffix}.")
    return True


def make(
    job: Callable[[tuple[str, str]], Outcome],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    summary: Summary,
    *,
    overwrite: bool,
    jobs: batch.Jobs,
) -> None:
    """Derive one file from one clip.

    Args:
        job: called with the clip and the name of the file in its folder.
        source: path or URL of the clip.
        out: path or URL of the file.
        summary: gets the outcome.
        overwrite: overwrite an existing file.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.

    Raises:
        OptionError: if the file exists and ``overwrite`` is false, or the file is the clip itself.
    """
    start = time.perf_counter()
    shown = storage.text_of(storage.shown(os.fspath(out)))
    clip = source if storage.is_url(source) else storage.text_of(Path(source).resolve())
    if storage.is_url(out):
        storage.check_writable(out)
        there = bool(storage.listing(out))
    else:
        there = os.path.lexists(out)
        if there and not storage.is_url(source) and Path(out).exists() and Path(out).samefile(source):
            raise OptionError(f"{shown} is both source and output. Use another name for the output.")
        with writing(out):
            Path(out).resolve().parent.mkdir(parents=True, exist_ok=True)
    if there and not overwrite:
        raise OptionError(f"{shown} exists. Use another name, or pass --overwrite to overwrite it.")
    name = storage.name_of(out) if storage.is_url(out) else Path(out).name
    for outcome in batch.run(job, [(clip, name)], jobs=jobs, on_crash=crashed):
        summary.count(outcome)
        if outcome.status == "failed":
            summary.only = {"path": storage.shown(outcome.path), "reason": storage.text_of(outcome.reason)}
    summary.elapsed_s = time.perf_counter() - start


def folder_of(out: str | os.PathLike[str]) -> str:
    """Return the path or URL of the folder of a file."""
    return storage.parent(out) if storage.is_url(out) else os.fspath(Path(out).absolute().parent)


def crashed(item: tuple[str, ...], reason: str) -> Outcome:
    """Return the outcome of a clip whose worker died."""
    return Outcome("failed", item[0], reason=f"{storage.shown(item[0])}: {reason}")
