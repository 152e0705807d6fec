"""The clips that are measured: real mp3 where there are some, made-up ones elsewhere."""

import os
import shutil
from pathlib import Path

SPEECH = Path(os.environ.get("VOXTRAIT_SPEECH") or Path(__file__).resolve().parents[2] / "shared" / "corpora")


def choose(folder: Path, count: int) -> tuple[list[Path], str]:
    """Copy ``count`` clips into ``folder``, and say what they are; fewer different ones are copied again."""
    real = sorted(SPEECH.glob("cv-corpus-*/*/clips/*.mp3")) if SPEECH.is_dir() else []
    if real:
        step = max(1, len(real) // count)
        found, what = real[::step][:count], "real speech, Common Voice mp3"
    else:
        from voxtrait.synthetic import cohort, write_common_voice

        release = write_common_voice(folder.parent / "synthetic", cohort(28, seed=1), 2, seed=1, jobs=2)
        found, what = sorted(release.glob("*/clips/*.mp3")), "made-up voices, mp3 at 32 kHz"
    return repeat(found, folder, count), what


def repeat(clips: list[Path], folder: Path, count: int) -> list[Path]:
    """Copy clips into ``folder`` until it holds ``count``, each under a name of its own."""
    folder.mkdir(parents=True)
    copies = []
    for number in range(count):
        clip = clips[number % len(clips)]
        copies.append(Path(shutil.copy(clip, folder / f"{number:04d}{clip.suffix}")))
    return copies
