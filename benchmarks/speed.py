"""Measures the time per clip of several methods for the same task: interleaved, after a warm-up, best of rounds."""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxtrait import audio, bundle
from voxtrait.derived.convert import convert
from voxtrait.derived.folders import Summary
from voxtrait.derived.pictures import draw
from voxtrait.recognize import Recognizer


@dataclass
class Way:
    """One method: ``run`` processes ``clips`` into a new folder, and is timed as a whole."""

    name: str
    clips: int
    run: Callable[[Path], object]
    best_s: float = float("inf")

    @property
    def ms(self) -> float:
        return 1000 * self.best_s / self.clips


def measure(ways: list[Way], rounds: int, work: Path) -> None:
    """Time all methods, interleaved in every round, so that other load affects all of them."""
    for number in range(rounds + 1):
        for at, way in enumerate(ways):
            out = work / f"round{number}-{at}"
            start = time.perf_counter()
            way.run(out)
            if number:  # the first round is a warm-up: imports, caches of files, filters and fonts
                way.best_s = min(way.best_s, time.perf_counter() - start)
            shutil.rmtree(out, ignore_errors=True)


def convert_ways(clips: list[Path]) -> list[Way]:
    """Return the methods for WAV conversion: voxtrait, and one ffmpeg process per clip."""
    ways = [Way("voxtrait convert, 1 process", len(clips), lambda out: whole(convert, clips, out))]
    if shutil.which("ffmpeg"):
        ways.append(Way("one ffmpeg process per clip", len(clips), lambda out: by_ffmpeg(clips, out)))
    return ways


def whole(job: Callable[..., Summary], clips: list[Path], out: Path, jobs: int = 1) -> None:
    """Run a function of the library, which must not fail for any clip."""
    summary = job(clips[0].parent, out, jobs=jobs)
    if summary.done != len(clips):
        raise SystemExit(f"{summary.done} of {len(clips)} clips done: {list(summary.failures())}")


def by_ffmpeg(clips: list[Path], out: Path) -> None:
    out.mkdir()
    for clip in clips:
        target = out / f"{clip.stem}.wav"
        wav = ["-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"]
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(clip), *wav, str(target)]
        subprocess.run(command, check=True)


def picture_ways(clips: list[Path], many: list[Path], wavs: list[Path]) -> list[Way]:
    """Return the methods for images: voxtrait from mp3 with one and two processes, and matplotlib from WAV."""
    return [
        Way("voxtrait images, 1 process", len(clips), lambda out: whole(draw, clips, out)),
        Way(f"voxtrait images, 2 processes, {len(many)} clips", len(many), lambda out: whole(draw, many, out, 2)),
        Way("librosa + matplotlib", len(wavs), lambda out: by_matplotlib(wavs, out)),
    ]


def by_matplotlib(wavs: list[Path], out: Path) -> None:
    """Draw with librosa and matplotlib: 432×288 pixels are 6×4 inches at 72 dots per inch."""
    import librosa
    import librosa.display
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    out.mkdir()
    for wav in wavs:
        signal, rate = librosa.load(wav)  # at 22,050 Hz, the default
        mel = librosa.feature.melspectrogram(y=signal, sr=rate)
        figure = plt.figure(figsize=(6, 4), dpi=72)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        librosa.display.specshow(librosa.power_to_db(mel, ref=np.max), sr=rate, ax=axes)
        figure.savefig(out / f"{wav.stem}.png", dpi=72)
        plt.close(figure)


def window_bundles() -> list[Path]:
    """List the shipped bundles that have a speaker encoder."""
    return [folder for folder in bundle.shipped() if bundle.load(folder).front_end.fit == "windows"]


def predict_ways(clips: list[Path], recognizers: Sequence[Recognizer]) -> list[Way]:
    """Return the methods for prediction: each bundle, then decoding and resampling alone."""
    return [
        *(prediction_way(clips, recognizer) for recognizer in recognizers),
        Way("decode + resample alone", len(clips), lambda out: [audio.load(clip) for clip in clips]),
    ]


def prediction_way(clips: list[Path], recognizer: Recognizer) -> Way:
    name = f"voxtrait predict, 1 process, {recognizer.bundle.name}"
    return Way(name, len(clips), lambda out: list(recognizer.predict_many(clips)))
