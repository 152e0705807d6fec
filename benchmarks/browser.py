"""Compares the JavaScript package with Python on real clips: python benchmarks/browser.py CORPORA

Draws clips from the folder, and predicts each in Python and in Node (`make node`): as a WAV at 16 kHz, which both
process alike, and as a WAV at its own rate, which both resample. Prints, for each bundle, how often the status agrees
and how far the values are apart. The third row shows how far Python's own values move if its features move by 0.000001,
as after another resampler.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voxtrait import audio, recognize
from voxtrait.audio.signals import SAMPLING_RATE
from voxtrait.errors import VoxtraitError
from voxtrait.recognize import portable

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "build" / "node" / "node_modules"
SEED = 5
LIMITS = {"p_female": 0.01, "age_years": 0.3}


class Nudged(recognize.Recognizer):
    """A recogniser whose features differ by rounding noise."""

    def windows(self, spoken: np.ndarray) -> np.ndarray:
        """Cut windows, and add noise of 0.000001."""
        found = super().windows(spoken)
        noise = np.random.default_rng(SEED).normal(0, 1e-6, found.shape)
        return np.asarray(found + noise, np.float32)


def drawn(folder: Path, count: int) -> list[Path]:
    """Draw audio files from a folder, also below links."""
    found = [
        Path(here, name)
        for here, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith((".mp3", ".wav", ".flac"))
    ]
    found.sort()
    return [found[at] for at in np.random.default_rng(SEED).permutation(len(found))[:count]]


def wavs(clips: list[Path], into: Path, rate_hz: int | None) -> list[Path]:
    """Write each clip as a WAV of floats, at its own rate or another, so that both decode the same samples."""
    into.mkdir()
    files = []
    for number, clip in enumerate(clips):
        try:
            signal, rate = audio.load(str(clip), rate_hz)
        except VoxtraitError:
            continue
        files.append(into / f"{number:04d}.wav")
        soundfile.write(files[-1], signal.T, rate, subtype="FLOAT")
    return files


def in_node(folder: Path, files: list[Path]) -> list[dict[str, Any]]:
    """Predict files with examples/javascript/predict.mjs."""
    command = ["node", "predict.mjs", "model", *map(str, files)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(name: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """Format how far predictions are from the expected ones."""
    agree = sum(one["status"] == other["status"] for one, other in zip(found, expected, strict=True))
    both = [
        (one, other) for one, other in zip(found, expected, strict=True) if one["status"] == other["status"] == "ok"
    ]
    cells = [f"{name:<40} {agree}/{len(found)}"]
    for field, limit in LIMITS.items():
        apart = np.abs([one[field] - other[field] for one, other in both])
        cells.append(
            f"{field}: median {np.median(apart):.4f}, 95 % {np.quantile(apart, 0.95):.4f}, most {apart.max():.4f}, "
            f"{100 * np.mean(apart <= limit):.1f} % within {limit}"
        )
    gender = sum(one["gender"] != other["gender"] for one, other in both)
    bias = np.mean([one["age_years"] - other["age_years"] for one, other in both])
    return "  ".join([*cells, f"mean of years {bias:+.3f}", f"other gender: {gender}"])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--models", nargs="+", default=["voxtrait-base", "voxtrait-fast"])
    options = parser.parse_args()
    if shutil.which("node") is None or not (PACKAGES / "onnxruntime-web").is_dir():
        sys.exit("Node or onnxruntime-web is missing. Install Node, and run: make node")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / "onnxruntime-web").symlink_to(PACKAGES / "onnxruntime-web")
        package = Path(portable.__file__).parent / "voxtrait-web"
        (folder / "node_modules" / "voxtrait-web").symlink_to(package)
        shutil.copy(ROOT / "examples" / "javascript" / "predict.mjs", folder)
        clips = drawn(options.corpora, options.clips)
        at_16_khz, at_own_rate = wavs(clips, folder / "16", SAMPLING_RATE), wavs(clips, folder / "own", None)
        for which in options.models:
            model = recognize.load(which)
            portable.export(which, folder / "model")
            for name, files in (("own rate", at_own_rate), ("16 kHz", at_16_khz)):
                expected = [model.predict(file).to_dict() for file in files]
                print(row(f"{which} in JavaScript, {name}", in_node(folder, files), expected), flush=True)
            nudged = Nudged(model.bundle)
            print(row(f"{which}, features moved", [nudged.predict(file).to_dict() for file in files], expected))
            shutil.rmtree(folder / "model")


if __name__ == "__main__":
    main()
