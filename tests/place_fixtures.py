"""Places on this machine that stand for those in the world: an object store, and a web server. A plugin of pytest."""

import functools
import http.server
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

import models
from places import Requests
from voxtrait import audio
from voxtrait.storage import connection


@pytest.fixture(scope="session")
def store() -> Iterator[Requests]:
    """An object store in this process; worker processes find it by the environment."""
    requests = Requests()
    log = logging.getLogger("werkzeug")
    log.addHandler(requests)
    log.setLevel(logging.INFO)
    log.propagate = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": host,
        }.items():
            patch.setenv(name, value)
        patch.setattr(connection, "WAITS", (0.0, 0.0))
        yield requests
        connection._filesystem.cache_clear()
    server.stop()


@pytest.fixture
def bucket(store: Requests, request: pytest.FixtureRequest) -> str:
    """An empty bucket of this test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-") + "-bucket"
    connection._filesystem("s3://any", os.getpid()).mkdir(name)
    store.lines.clear()
    return f"s3://{name}"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A web server for the files of ``tmp_path``, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if "busy" in self.path and asked.count(self.path) < 3:
                self.send_error(503)
            elif "secret" in self.path and not self.headers.get("Authorization"):
                self.send_error(403)
            else:
                super().do_GET()

        def log_message(self, format: str, *arguments: object) -> None:
            if format.startswith('"'):
                asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(connection, "WAITS", (0.0, 0.0))
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=os.fspath(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Clips whose order differs between letters and folders, one of them broken, one hidden."""
    for number, name in enumerate(["a.wav", "b-x/c.wav", "b/d.wav", "b/e é.wav", "b/f.wav", ".hidden/g.wav"]):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(tmp_path / "clips" / name, models.voice(1.0 + number / 10, seed=number).T, 16_000)
    (tmp_path / "clips" / "b" / "broken.wav").write_bytes(b"RIFF, but no more")
    (tmp_path / "clips" / "notes.txt").write_text("no audio")
    return tmp_path / "clips"
