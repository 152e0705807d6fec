"""Uploads and live signals of ``benchmarks/soak.py`` with their right responses, and the count of responses."""

import base64
import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import clips
import numpy as np
import soundfile

import voxtrait
from hostile import seed_files
from servers import RATE
from voxtrait import audio, features
from voxtrait.synthetic import cohort, speak
from voxtrait.web.pictures import waveform

TIMEOUT_S = 20.0  # of the server: without progress, and for a worker
UPLOAD_S = 15.0  # of the server: maximum duration of an upload
LIVE_PATIENCE_S = 30.0  # of the server: without a message of a live client
WAIT_S = 90.0  # of a client for a response


class Good(NamedTuple):
    """An upload with its right response, or a live signal with its final prediction."""

    path: str
    name: str
    content: bytes
    right: dict[str, Any]


class Tally:
    """Counts responses by client and outcome, and keeps the wrong ones."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def add(self, client: str, outcome: str) -> None:
        with self._lock:
            self.counts[client, outcome] += 1

    def add_wrong(self, client: str, what: str) -> None:
        self.add(client, "wrong")
        with self._lock:
            self.wrong.append(f"{client}: {what[:300]}")

    def total(self, outcome: str) -> int:
        return sum(count for (_, found), count in self.counts.items() if found == outcome)


def known(folder: Path, seed: int) -> tuple[list[Good], list[Good]]:
    """Return uploads and live signals with the responses of the Python API."""
    model = voxtrait.load()
    chosen, _ = clips.choose(folder / "clips", 12)
    contents = {clip.name: clip.read_bytes() for clip in chosen}
    contents |= {f"voice.{ending}": content for ending, content in seed_files().items()}
    found = []
    for name, content in contents.items():
        found.append(Good("/v1/predict", name, content, predicted(model, name, content)))
        found.append(Good("/v1/show", name, content, shown(content)))
    talk = wav_of(conversation())
    timeline = voxtrait.timeline(io.BytesIO(talk), model=model).to_dict() | {"path": "talk.wav"}
    found.append(Good("/v1/timeline", "talk.wav", talk, timeline))
    live = []
    for seconds in (6, 45):
        signal = (0.2 * speak(cohort(4, seed)[seconds % 4], seconds, 1)).astype("<f4")
        right = model.predict(signal, RATE).to_dict()
        live.append(Good("/v1/live", f"{seconds} s", signal.tobytes(), right))
    return found, live


def predicted(model: voxtrait.Recognizer, name: str, content: bytes) -> dict[str, Any]:
    return model.predict(io.BytesIO(content)).to_dict() | {"path": name}


def shown(content: bytes) -> dict[str, Any]:
    signal, rate = audio.load(io.BytesIO(content))
    png = features.encode_png(features.picture(signal, rate, fit="stretch"))
    seconds = round(len(signal) / rate, 3)
    return {
        "duration_s": seconds,
        "shown_s": seconds,
        "waveform": waveform(signal),
        "spectrogram": "data:image/png;base64," + base64.b64encode(png).decode(),
    }


def conversation() -> np.ndarray:
    """Return four turns of two synthetic voices."""
    voices = cohort(4, 3)
    return np.concatenate([0.2 * speak(voices[turn % 2], 6.0, turn) for turn in range(4)])


def wav_of(signal: np.ndarray) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, signal, RATE, format="WAV", subtype="PCM_16")
    return target.getvalue()


def send_until_ended(connection: socket.socket, parts: Iterator[bytes], stop: threading.Event) -> bool:
    """Send without reading until the server ends the connection; return whether it did, or ``stop`` is set."""
    connection.settimeout(1.0)
    end = time.monotonic() + LIVE_PATIENCE_S + 3 * TIMEOUT_S
    left = memoryview(b"")
    while time.monotonic() < end and not stop.is_set():
        left = left or memoryview(next(parts))
        try:
            left = left[connection.send(left) :]
        except TimeoutError:
            continue
        except OSError:
            return True
    return stop.is_set()
