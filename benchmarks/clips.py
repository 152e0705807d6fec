"""Clips for the benchmarks: real mp3 files if available, otherwise synthetic voices."""

import os
import shutil
from pathlib import Path

SPEECH = Path(os.environ.get("VOXTRAIT_SPEECH") or Path(__file__).resolve().parents[2] / "shared" / "corpora")


def choose(folder: Path, count: int) -> tuple[list[Path], str]:
    """Copy ``count`` clips to ``folder``, repeatedly if there are fewer, and return them with a description."""
    real = sorted(SPEECH.glob("cv-corpus-*/*/clips/*.mp3")) if SPEECH.is_dir() else []
    if real:
        step = max(1, len(real) // count)
        found, what = real[::step][:count], "real speech, Common Voice mp3"
    else:
        from voxtrait.synthetic import cohort, write_common_voice

        release = write_common_voice(folder.parent / "synthetic", cohort(28, seed=1), 2, seed=1, jobs=2)
        found, what = sorted(release.glob("*/clips/*.mp3")), "synthetic voices, mp3 at 32 kHz"
    return repeat(found, folder, count), what


def repeat(clips: list[Path], folder: Path, count: int) -> list[Path]:
    """Copy clips to ``folder`` until it has ``count`` files with different names."""
    folder.mkdir(parents=True)
    copies = []
    for number in range(count):
        clip = clips[number % len(clips)]
        copies.append(Path(shutil.copy(clip, folder / f"{number:04d}{clip.suffix}")))
    return copies
