"""Timelines by REST: as one JSON object, as lines while the work goes on, and what ends them early."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from pydantic import TypeAdapter
from starlette.testclient import TestClient

import voxtrait
from odd_jobs import odd
from servers import RATE, Running, form, running, silence, until, wav
from voxtrait import audio, features
from voxtrait.synthetic import cohort, speak
from voxtrait.timelines.formats import render
from voxtrait.web import Settings, create_app
from voxtrait.web.answers import Line, TimelineAnswer
from voxtrait.web.errors import KINDS
from voxtrait.web.lines import Each, Lines
from voxtrait.web.pool import Pool
from voxtrait.web.request_log import RequestRecord

PATH = "/v1/timeline"
LINES = {"Accept": "application/x-ndjson"}


def two_voices() -> bytes:
    """A made-up man and a made-up woman in turns."""
    cast = cohort(4, 3)
    turns = [speak(cast[who], 4.0, seed=at, sampling_rate=RATE) for at, who in enumerate((2, 3, 2, 3))]
    target = io.BytesIO()
    soundfile.write(target, 0.2 * np.concatenate(turns), RATE, format="WAV", subtype="PCM_16")
    return target.getvalue()


@contextmanager
def client_of(settings: Settings, bundle: Any = None, job: Any = None) -> Iterator[TestClient]:
    app = create_app(bundle, settings)
    if job is not None:
        app.state.server.pool = Pool(job, settings.workers, settings.timeout_s)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(Settings(workers=1, max_upload_bytes=4_000_000, max_seconds=65)) as found:
        yield found


def send(client: TestClient, content: bytes, name: str = "talk.wav", **headers: str) -> Any:
    return client.post(PATH, files={"file": (name, content)}, headers=headers)


def lines_of(client: TestClient, content: bytes) -> list[dict[str, Any]]:
    response = send(client, content, **LINES)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in response.text.splitlines()]
    for line in found:
        TypeAdapter(Line).validate_python(line)
    return found


def test_the_object_is_the_one_that_python_gives(client: TestClient, tmp_path: Path) -> None:
    content = two_voices()
    (tmp_path / "talk.wav").write_bytes(content)
    response = send(client, content, "мой разговор.wav")
    expected = voxtrait.timeline(tmp_path / "talk.wav").to_dict()
    assert response.status_code == 200
    assert response.json() == expected | {"path": "мой разговор.wav"}
    assert TimelineAnswer.model_validate(response.json()).status == "ok"


def test_lines_end_with_the_same_timeline_and_its_formats(client: TestClient, tmp_path: Path) -> None:
    content = two_voices()
    lines = lines_of(client, content)
    several = len(lines[-2]["timeline"]["speakers"]) > 1
    types = [line["type"] for line in lines]
    assert types == ["piece", *([] if several else ["course"]), "timeline", "formats"]
    assert lines[-2]["timeline"] == send(client, content).json()
    file = tmp_path / "talk.wav"
    file.write_bytes(content)
    timeline = voxtrait.timeline(file)
    rendered = {one["format"]: one["content"] for one in lines[-1]["formats"]}
    assert list(rendered) == ["json", "csv", "rttm", "textgrid", "srt", "audacity"]
    for name in ("rttm", "textgrid", "srt", "audacity"):
        assert rendered[name] == render([timeline], name)
    assert json.loads(rendered["json"]) == lines[-2]["timeline"]
    assert [one["ending"] for one in lines[-1]["formats"]] == [".json", ".csv", ".rttm", ".TextGrid", ".srt", ".txt"]


def test_one_voice_has_its_course(client: TestClient) -> None:
    voice = cohort(4, 3)[1]
    lines = lines_of(client, wav(10.0, speaker=1))
    (course,) = [line for line in lines if line["type"] == "course"]
    assert len(course["at_s"]) == len(course["p_female"]) == len(course["age_years"]) >= 6
    assert np.diff(course["at_s"]) == pytest.approx(1.0, abs=0.3)
    low, age, high = (np.array(course[name]) for name in ("age_low", "age_years", "age_high"))
    assert ((low < age) & (age < high)).all()
    hz = [value for value in course["pitch"]["hz"] if value is not None]
    assert np.median(hz) == pytest.approx(voice.f0_hz, rel=0.1)
    assert (course["pitch"]["step_s"], len(course["pitch"]["hz"])) == (0.01, 996)
    ends = np.array(course["speech"])
    assert (np.diff(ends.ravel()) > 0).all()
    spoken = client.post("/v1/predict", files={"file": ("a.wav", wav(10.0))}).json()["speech_s"]
    assert np.diff(ends).sum() == pytest.approx(spoken, abs=0.05)


def test_pieces_lie_end_to_end_and_show_what_was_sent(client: TestClient) -> None:
    content = wav(35.0, rate=8000)
    lines = [line for line in lines_of(client, content) if line["type"] == "piece"]
    assert [(line["start_s"], line["end_s"], line["at_s"], line["duration_s"]) for line in lines] == [
        (0.0, 30.0, 30.0, 35.0), (30.0, 35.0, 35.0, 35.0)
    ]  # fmt: skip
    signal, _ = audio.load(io.BytesIO(content))
    drawn = features.decode_png(base64.b64decode(lines[0]["spectrogram"].removeprefix("data:image/png;base64,")))
    assert np.array_equal(drawn, features.picture(signal[: 30 * RATE], RATE, size=(432, 96), fit="stretch"))
    assert len(lines[0]["waveform"]) == 300


def test_silence_has_a_timeline_without_segments(client: TestClient) -> None:
    lines = lines_of(client, silence(3))
    assert [line["type"] for line in lines] == ["piece", "timeline"]
    assert (lines[1]["timeline"]["status"], lines[1]["timeline"]["segments"]) == ("no_speech", [])


@pytest.mark.parametrize("headers", [{}, LINES])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"This is no audio.\n", (415, "not_audio")),
        (b"", (422, "unusable")),
        (wav()[:44], (422, "unusable")),
        (bytes(4_000_001), (413, "too_large")),
    ],
)
def test_an_error_before_the_first_line_has_its_status(
    client: TestClient, content: bytes, expected: tuple[int, str], headers: dict[str, str]
) -> None:
    response = send(client, content, **headers)
    assert (response.status_code, response.json()["error"]["code"]) == expected
    assert response.headers["content-type"] == "application/json"


def test_an_error_after_the_first_line_is_the_last_line(client: TestClient) -> None:
    lines = lines_of(client, silence(66))
    assert [line["type"] for line in lines] == ["piece", "piece", "error"]
    assert lines[-1]["error"]["code"] == "too_long"
    assert send(client, silence(66)).status_code == 422


@pytest.mark.parametrize(
    ("word", "code"),
    [("crash", "decoder_crashed"), ("killed", "interrupted"), ("hang", "too_slow"), ("fail", "internal")],
)
def test_what_happens_to_a_worker_ends_the_lines_and_nothing_else(
    word: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    patience_s = 4 if word == "hang" else 60  # a new worker needs its time on a busy machine
    with client_of(Settings(workers=1, timeout_s=patience_s), job=odd) as client:
        lines = [json.loads(line) for line in send(client, f"parts 2 0 {word}".encode(), **LINES).text.splitlines()]
        assert [line["type"] for line in lines] == ["part", "part", "error"]
        assert lines[-1]["error"]["code"] == code
        if word != "hang":
            assert send(client, f"parts 2 0 {word}".encode()).status_code == KINDS[code].status
        times = 1 if word == "hang" else 2
        assert f'voxtrait_problems_total{{code="{code}"}} {times}.0' in client.get("/metrics").text
        assert send(client, b"hello").json()["said"] == "hello"
    assert sum(one.getMessage() == "internal server error" for one in caplog.records) == 2 * (code == "internal")


def test_a_client_that_reads_no_line_in_time_is_gone() -> None:
    record = RequestRecord("1")
    sent: list[Any] = []

    async def stuck(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    async def work(each: Each) -> None:
        await each(None)
        await each({"type": "part"})
        sent.append("more")

    async def nothing() -> Any:
        raise AssertionError

    asyncio.run(Lines(work, 0.1)({"record": record}, nothing, stuck))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert record.is_gone


def test_a_model_without_speaker_embeddings_makes_none() -> None:
    with client_of(Settings(workers=1), "voxtrait-diary") as client:
        response = send(client, wav())
        assert (response.status_code, response.json()["error"]["code"]) == (501, "unsupported")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--workers", "1") as found:
        yield found


def first_line(server: Running, content: bytes) -> tuple[socket.socket, dict[str, Any]]:
    """Ask for lines; return the connection after the first one."""
    body, headers = form(content)
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    head = {"Host": "localhost", "Content-Length": str(len(body)), **headers, **LINES}
    text = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    connection.sendall(f"POST {PATH} HTTP/1.1\r\n{text}\r\n".encode() + body)
    file = connection.makefile("rb")
    while file.readline() != b"\r\n":
        pass
    file.readline()  # the size of the chunk
    return connection, json.loads(file.readline())


def long_one() -> bytes:
    target = io.BytesIO()
    signal = 0.2 * np.tile(speak(cohort(4, 3)[2], 10.0, 1, sampling_rate=RATE), 60)
    soundfile.write(target, signal, RATE, format="WAV", subtype="PCM_16")
    return target.getvalue()


def test_when_the_client_leaves_the_work_stops_and_the_worker_stays(server: Running) -> None:
    before = server.workers()
    connection, line = first_line(server, long_one())
    assert (line["type"], line["at_s"], line["duration_s"]) == ("piece", 30.0, 600.0)
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    until(lambda: any(one.get("status") == 499 for one in server.log))
    assert server.post("/v1/predict", wav())[1]["status"] == "ok"
    until(lambda: "voxtrait_places_taken 0.0" in server.get("/metrics")[1])
    assert server.workers() == before
    done = [one for one in server.log if one.get("route") == PATH]
    assert [one["status"] for one in done] == [499]


def test_a_killed_worker_is_the_last_line(server: Running) -> None:
    connection, _ = first_line(server, long_one())
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    with connection, connection.makefile("rb") as file:
        rest = file.read().decode()
    assert '"code":"interrupted"' in rest
    assert rest.endswith("0\r\n\r\n")  # the response is complete
    until(lambda: server.get("/healthz")[1]["workers"] == 1)
