"""Measures the time of each part of a prediction, and speech detected in noise, for docs/notes/results.md.

python benchmarks/parts.py
"""

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import clips as chosen
import numpy as np
import threadpoolctl
from PIL import Image

from voxtrait import audio, features, recognize, speech

ROUNDS = 5


def timed(what: str, call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    results = [call(item) for item in items]
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for item in items:
            call(item)
        best = min(best, time.perf_counter() - start)
    print(f"{what:36} {1000 * best / len(items):6.2f} ms per clip")
    return results


def with_pillow(drawn: features.Picture) -> bytes:
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, format="PNG", compress_type=3)  # run lengths, Pillow's fastest
    return out.getvalue()


def not_speech(seconds: float = 5.0) -> dict[str, Any]:
    n = int(seconds * audio.SAMPLING_RATE)
    at = np.arange(n) / audio.SAMPLING_RATE
    chance = np.random.default_rng(0)
    noise = chance.standard_normal(n)
    return {
        "silence": np.zeros(n),
        "white noise, -20 dBFS": 0.1 * noise,
        "white noise, -50 dBFS": 0.003 * noise,
        "tone": 0.3 * np.sin(2 * np.pi * 440 * at),
        "chord": 0.1 * sum(np.sin(2 * np.pi * hz * at) for hz in (220, 277, 330, 440)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * at),
        "clicks": 0.8 * (chance.random(n) < 2e-4),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, threadpoolctl.threadpool_limits(1):
        files, what = chosen.choose(Path(folder) / "clips", 48)
        print(f"{len(files)} clips ({what}), best of {ROUNDS} rounds, one process")
        model = recognize.load()
        signals = timed("decode and resample", lambda file: audio.load(file)[0], files)
        timed("speech detection", speech.speech_seconds, signals)
        audible = [signal for signal in signals if speech.speech_seconds(signal) > 0]
        inputs = timed("speech detection and windows", model.inputs, audible)
        front_end = model.bundle.front_end
        spoken = [speech.spoken(signal) for signal in audible]
        timed("windows alone", lambda signal: features.windows(signal, front_end), spoken)
        logits = timed("graphs", model.run, inputs)
        timed("decision", model.decide, logits)
        timed("whole prediction", model.predict, files)
        drawn = timed("picture", features.picture, signals)
        ours = timed("PNG, voxtrait", features.encode_png, drawn)
        theirs = timed("PNG, Pillow", with_pillow, drawn)
        print(f"size of a PNG, voxtrait / Pillow: {sum(map(len, ours)) / sum(map(len, theirs)):.2f}")
    for name, signal in not_speech().items():
        print(f"speech in 5 s of {name:22} {speech.speech_seconds(signal.astype(np.float32)):5.2f} s")


if __name__ == "__main__":
    main()
