"""What tests of the server share: one in this process, and one in a process of its own."""

import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voxtrait.synthetic import cohort, speak

RATE = 16_000


def wav(seconds: float = 3.0, speaker: int = 1, rate: int = RATE) -> bytes:
    """A WAV of a made-up voice."""
    target = io.BytesIO()
    signal = 0.2 * speak(cohort(4, 3)[speaker], seconds, 1, sampling_rate=rate)
    soundfile.write(target, signal, rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


def silence(seconds: float, rate: int = RATE) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, np.zeros(round(seconds * rate), np.int16), rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


def form(content: bytes, name: str = "voice.wav", boundary: str = "edge") -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form with one file."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class Running:
    """A server in a process of its own."""

    def __init__(
        self, options: Sequence[str], environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        command = [*prefix, sys.executable, "-m", "voxtrait", "serve", "--port", "0", "--format", "json", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.lines: list[str] = []  # of its standard error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, f"the server ended: {self.lines}"
            said += line
        self.url = json.loads(said)["url"].rstrip("/")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def close(self) -> None:
        """End it, in a good way if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(40)
        self._reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path: str, content: bytes, name: str = "voice.wav", **headers: str) -> tuple[int, Any]:
        body, said = form(content, name)
        return self._ask(urllib.request.Request(self.url + path, body, said | headers))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def workers(self) -> list[int]:
        """The processes that work for it."""
        found = []
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():  # each lists the processes that it started
            with contextlib.suppress(OSError):
                for child in (thread / "children").read_text().split():
                    if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                        found.append(int(child))
        return found


def slow_reader(port: int, seconds: float = 60.0) -> socket.socket:
    """A connection to a server on this machine whose responses fill its small buffer if they are not read."""
    connection = socket.socket()
    connection.settimeout(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    return connection


@contextlib.contextmanager
def running(*options: str, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """A server on a free port, ended at the end. A program in front of it must execute it in its own process."""
    server = Running(options, environment, prefix)
    try:
        yield server
    finally:
        server.close()


def until(true: Any, seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
