"""A voice live: the same columns as a picture, the same answer as a file, and what ends a session."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import voxtrait
from odd_jobs import odd
from servers import RATE, until, wav
from voxtrait import audio, features
from voxtrait.web import Settings, create_app
from voxtrait.web.live import FRONT_END, Columns, Live
from voxtrait.web.pool import Pool
from voxtrait.web.request_log import Metrics, RequestRecord


def make_client(**settings: Any) -> TestClient:
    app = create_app(settings.pop("bundle", None), Settings(workers=1, **settings))
    app.state.server.pool = Pool(odd, 1, 20)
    return TestClient(app, base_url="http://localhost:8000")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with make_client(live_sessions=1, max_seconds=20, live_patience_s=3) as found:
        yield found


def speak(client: TestClient, signal: np.ndarray, rate: int, size: int = 4000) -> list[dict[str, Any]]:
    """All messages of a session."""
    said = []
    with client.websocket_connect("ws://localhost:8000/v1/live") as socket:
        socket.send_text(json.dumps({"sampling_rate": rate}))
        for at in range(0, len(signal), size):
            socket.send_bytes(signal[at : at + size].astype("<f4").tobytes())
        socket.send_text(json.dumps({"end": True}))
        while True:
            said.append(socket.receive_json())
            if said[-1]["type"] in ("final", "error"):
                return said


def error_of(client: TestClient, *messages: str | bytes) -> str:
    """The code of what a session ends with after these messages."""
    with client.websocket_connect("ws://localhost:8000/v1/live") as socket:
        for message in messages:
            if isinstance(message, str):
                socket.send_text(message)
            else:
                socket.send_bytes(message)
        while True:
            said = socket.receive_json()
            if said["type"] == "error":
                assert list(said["error"]) == ["code", "message"]
                with pytest.raises(WebSocketDisconnect):
                    socket.receive_json()
                return str(said["error"]["code"])


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_last_answer_is_that_of_a_file_and_estimates_come_each_second(client: TestClient, rate: int) -> None:
    signal, _ = audio.load(io.BytesIO(wav(5.0, 1, rate)), None)
    said = speak(client, signal, rate)
    expected = voxtrait.load().predict(signal, rate).to_dict()
    assert said[-1] == {"type": "final", "prediction": expected}
    assert expected["status"] == "ok"
    estimates = [one["estimate"] for one in said if one["type"] == "estimate"]
    assert [one["at_s"] for one in estimates] == [1.0, 2.0, 3.0, 4.0, 5.0][: len(estimates)]
    assert len(estimates) >= 4
    assert list(estimates[0]) == [*expected, "at_s", "final", "window"]


def test_columns_are_those_of_a_picture(client: TestClient) -> None:
    signal, _ = audio.load(io.BytesIO(wav(2.0)))
    columns = [one for one in speak(client, signal, RATE, 1111) if one["type"] == "columns"]
    assert {(one["height"], one["hop_s"]) for one in columns} == {(96, 0.02)}
    drawn = np.concatenate([np.frombuffer(base64.b64decode(one["data"]), np.uint8).reshape(-1, 96) for one in columns])
    assert drawn.shape == (99, 96)  # 32,000 samples: one column each 320, the last where 512 samples follow it
    power = features.mel_power(signal, FRONT_END, 320 * np.arange(99))
    assert np.array_equal(drawn, features.greys(power, FRONT_END)[::-1].T)
    # and features.picture, which centres a clip, draws the very same columns
    whole = features.picture(signal[: 320 * 98], front_end=features.FrontEnd(n_mels=96, hop_length=320, columns=99))
    assert np.array_equal(whole.T[2:-2], drawn[2:-2])


def test_how_the_sound_is_cut_changes_no_column() -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    whole = Columns(48_000).feed(signal)
    piecewise = Columns(48_000)
    parts = np.concatenate([piecewise.feed(signal[at : at + 77]) for at in range(0, 16_000, 77)])
    assert np.array_equal(parts, whole[: len(parts)])


def test_what_is_no_session_is_told_why(client: TestClient) -> None:
    first = '{"sampling_rate": 16000}'
    assert error_of(client, "abc") == "malformed"
    assert error_of(client, b"abcd") == "malformed"
    assert error_of(client, '{"sampling_rate": 4000}') == "malformed"
    assert error_of(client, '{"sampling_rate": true}') == "malformed"
    assert error_of(client, '{"sampling_rate": 1e999}') == "malformed"
    assert error_of(client, "[" * 100_000) == "malformed"
    assert error_of(client, first, b"abc") == "malformed"
    assert error_of(client, first, bytes(4 * 16_001)) == "malformed"
    assert error_of(client, first, "{}") == "malformed"
    assert error_of(client, first, np.array([np.nan], "<f4").tobytes()) == "unusable"
    assert error_of(client, first, *[bytes(4 * 16_000)] * 21) == "too_long"
    assert error_of(client, first) == "upload_timeout"


def test_so_many_voices_and_no_more(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost:8000/v1/live") as socket:
        socket.send_text('{"sampling_rate": 16000}')
        assert error_of(client) == "busy"
        socket.close()
    until(lambda: "voxtrait_live_sessions 0.0" in client.get("/metrics").text)
    assert speak(client, np.zeros(16_000, np.float32), RATE)[-1]["prediction"]["status"] == "no_speech"


class Unread:
    """A connection whose buffer is full after the handshake, as uvicorn treats it, or that uvicorn has closed."""

    def __init__(self, *messages: dict[str, Any], closed: str = "") -> None:
        self.scope = {"record": RequestRecord("1")}
        self._messages, self._closed = list(messages), closed

    async def accept(self, subprotocol: str | None) -> None:
        pass

    async def receive(self) -> dict[str, Any]:
        return self._messages.pop(0) if self._messages else await asyncio.Future()

    async def send_text(self, text: str) -> None:
        if self._closed:
            raise RuntimeError(self._closed)
        await asyncio.Future()

    async def close(self, code: int) -> None:
        await asyncio.Future()


FIRST = {"type": "websocket.receive", "text": '{"sampling_rate": 16000}'}
SECOND = {"type": "websocket.receive", "bytes": bytes(4 * RATE)}  # enough for an estimate


def served(*messages: dict[str, Any], closed: str = "") -> RequestRecord:
    async def run() -> RequestRecord:
        live = Live(voxtrait.load(), Settings(workers=1, live_sessions=1, live_patience_s=0.3), Metrics())
        websocket: Any = Unread(*messages, closed=closed)
        async with asyncio.timeout(20):
            await live.serve(websocket)
        live.close()
        return websocket.scope["record"]

    return asyncio.run(run())


def test_who_does_not_read_loses_the_session() -> None:
    assert served(FIRST, SECOND).is_gone
    assert served(FIRST, {"type": "websocket.receive", "text": '{"end": true}'}).is_gone  # the final estimate
    assert served({"type": "websocket.receive", "text": "abc"}).code == "malformed"
    assert served(FIRST).code == "upload_timeout"


def test_a_connection_that_the_server_closed_during_an_estimate_is_gone() -> None:
    closed = "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."
    assert served(FIRST, SECOND, closed=closed).is_gone
    with pytest.raises(RuntimeError, match="no loop"):
        served(FIRST, SECOND, closed="no loop")


def test_who_leaves_in_the_middle_leaves_nothing(client: TestClient) -> None:
    for _ in range(3):
        with client.websocket_connect("ws://localhost:8000/v1/live") as socket:
            socket.send_text('{"sampling_rate": 16000}')
            socket.send_bytes(bytes(64_000))
        until(lambda: "voxtrait_live_sessions 0.0" in client.get("/metrics").text)


def test_a_bundle_of_pictures_cannot_listen(tmp_path: Path) -> None:
    with make_client(bundle="voxtrait-diary") as client:
        assert error_of(client, '{"sampling_rate": 16000}') == "unusable"
