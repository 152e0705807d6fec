"""Makes one file, with the name that the user gives: ``convert clip.mp3 out.wav``, ``images clip.mp3 out.png``."""

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
"""Endings of names that are those of files, where a folder or a file could be meant."""


def names_file(source: str | os.PathLike[str], out: str | os.PathLike[str], suffix: str) -> bool:
    """Return whether ``out`` is the name of a file to make from one clip, and not of a folder.

    Args:
        source: the source of the clips.
        out: a folder, or a file with an ending.
        suffix: the ending of the files that are made.

    Raises:
        OptionError: if ``out`` has the ending of another kind of file, or ``source`` is not one clip.
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
        raise NothingToDoError(f"no such file or folder: {of}")
    several = storage.suffix_of(os.fspath(source)) in (*MANIFESTS, LIST)
    if several or (storage.suffix_of(source) not in SUFFIXES if storage.is_url(source) else Path(source).is_dir()):
        raise OptionError(
            f"got {of}, which may contain many clips, and {shown}, the name of one file: expected a folder"
        )
    if ending != suffix:
        raise OptionError(f"got {shown} to write to, expected a name that ends in {suffix}, or a folder")
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
    """Make one file of one clip.

    Args:
        job: takes the clip, and the file's name in its folder.
        source: the clip, or its URL.
        out: the file, or its URL.
        summary: takes what became of the clip.
        overwrite: replace a file that is there.
        jobs: where to work.

    Raises:
        OptionError: if the file is there already, or is the clip itself.
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
            raise OptionError(f"got {shown} as source and as the file to write: expected another name")
        with writing(out):
            Path(out).resolve().parent.mkdir(parents=True, exist_ok=True)
    if there and not overwrite:
        raise OptionError(f"{shown} exists already. Use another name, or pass --overwrite to replace it.")
    name = storage.name_of(out) if storage.is_url(out) else Path(out).name
    for outcome in batch.run(job, [(clip, name)], jobs=jobs, on_crash=crashed):
        summary.count(outcome)
        if outcome.status == "failed":
            summary.only = {"path": storage.shown(outcome.path), "reason": storage.text_of(outcome.reason)}
    summary.elapsed_s = time.perf_counter() - start


def folder_of(out: str | os.PathLike[str]) -> str:
    """Return the folder that a file is in, or its URL."""
    return storage.parent(out) if storage.is_url(out) else os.fspath(Path(out).absolute().parent)


def crashed(item: tuple[str, ...], reason: str) -> Outcome:
    """Return the outcome of a clip whose worker died."""
    return Outcome("failed", item[0], reason=f"{storage.shown(item[0])}: {reason}")
