"""Uploads that mean no good, and requests made up from the server's own description: all answers are documented."""

import http
import io
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("av")

from hostile import PLAYLISTS, first_line, requests, uploads
from servers import Running, running, wav
from voxtrait.audio import media
from voxtrait.audio.streams import incoming
from voxtrait.errors import DecodeError
from voxtrait.web.errors import KINDS
from voxtrait.web.upload_folder import PREFIX

TOGETHER = 66  # uploads, six of each kind; benchmarks/hostile.py sends two thousand


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("spool")
    with running("--workers", "2", "--quiet", "--max-seconds", "1800", "--timeout", "20",
                 environment=os.environ | {"TMPDIR": str(folder)}) as found:  # fmt: skip
        yield found
    assert list(folder.glob(f"{PREFIX}*")) == []


def test_each_hostile_upload_has_a_documented_answer_and_the_server_goes_on(server: Running) -> None:
    paths = server.get("/openapi.json")[1]["paths"]["/v1/predict"]["post"]["responses"]
    seen: Counter[tuple[str, str]] = Counter()
    for number, upload in enumerate(uploads(TOGETHER)):
        path = ("/v1/predict", "/v1/predict", "/v1/timeline", "/v1/show")[number % 4]
        status, said = server.post(path, upload.content, upload.name)
        code = "answered" if status == 200 else said["error"]["code"]
        assert status == 200 or KINDS[code].status == status, upload.kind
        assert status < 500, (upload.kind, said)
        assert str(status) in paths
        seen[upload.kind, code] += 1
    assert seen["html", "not_audio"] == seen["zip", "not_audio"] == 6
    assert seen["playlist", "not_audio"] + seen["playlist", "unusable"] == 6
    assert seen["flac that lies", "unusable"] == 6
    assert seen["swelling, hours", "too_long"] >= 1  # 4,000 s of silence in a few kilobytes
    assert seen["two files in one", "answered"] + seen["cut short", "answered"] >= 5
    assert server.post("/v1/predict", wav())[0] == 200
    assert server.get("/healthz")[1]["workers"] == 2


def test_no_playlist_makes_the_server_read_or_fetch_anything(server: Running) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.5)
        address = f"127.0.0.1:{listener.getsockname()[1]}".encode()
        for content in PLAYLISTS:
            for name in ("list.m3u8", "voice.mp4"):
                status, said = server.post("/v1/predict", content.replace(b"127.0.0.1:9", address), name)
                assert (status, said["error"]["code"]) in {(415, "not_audio"), (422, "unusable")}
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("kind", requests())
def test_headers_that_lie_are_answered_or_hung_up_on(server: Running, kind: str) -> None:
    expected = {
        # Python 3.13 renamed the phrase: "Request Entity Too Large" became "Content Too Large"
        "a terabyte announced": f"HTTP/1.1 413 {http.HTTPStatus(413).phrase}",
        "deflated": "HTTP/1.1 415 Unsupported Media Type",
        "less announced than sent": "HTTP/1.1 400 Bad Request",
        "a thousand fields": "HTTP/1.1 400 Bad Request",
        "fields with large headers": "HTTP/1.1 400 Bad Request",
    }
    port = int(server.url.rpartition(":")[2])
    said = first_line(("127.0.0.1", port), requests()[kind])
    assert said == expected.get(kind, said)
    assert said == "closed" or said.startswith("HTTP/1.1 4"), said
    assert server.get("/healthz")[0] == 200


SCRIPT = b"ffconcat version 1.0\nfile 'private.wav'\n"


def test_ffmpeg_is_not_let_at_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    (tmp_path / "private.wav").write_bytes(wav(1.0))
    (tmp_path / "script").write_bytes(SCRIPT)
    monkeypatch.chdir(tmp_path)
    with av.open("script") as container:  # left to itself, it reads what a script names
        assert sum(frame.samples for frame in container.decode(audio=0)) == 16_000
    with pytest.raises(av.error.FFmpegError):
        av.open("script", options=media.ALONE)
    with pytest.raises(DecodeError, match="is not a readable audio file"):
        list(incoming(io.BytesIO(SCRIPT)))


def test_requests_made_up_from_the_description(server: Running, tmp_path: Path) -> None:
    tool = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("schemathesis is not installed: pip install schemathesis")
    # what is schema-valid is any bytes, and most bytes are no sound: being refused is right
    command = [tool, "run", f"{server.url}/openapi.json", "-n", "25", "--generation-deterministic",
               "--exclude-checks", "positive_data_acceptance", "--no-color"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "7 selected / 7 total" in done.stdout
    assert [line for line in server.lines if not line.startswith('{"time": ')] == []
    errors = [entry for entry in server.log if entry["level"] != "warning"]
    assert errors == [], [entry.get("trace") for entry in errors]
