"""Clients that take connections: slow headers, and floods of live sessions and messages. The server answers others."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from servers import Running, running, until, wav
from voxtrait.web.live import TRY_LATER
from voxtrait.web.serving import MESSAGE

HEADERS_S = 1.5  # in place of that of the server
SLOW = 20  # connections
SESSIONS = 2
LIMITED = f"""
import runpy, sys
from voxtrait.web import protocol
protocol.HEADERS_S = {HEADERS_S}
del sys.argv[:3]
runpy.run_module("voxtrait", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    options = ("--workers", "1", "--live-sessions", str(SESSIONS))
    with running(*options, prefix=(sys.executable, "-c", LIMITED)) as found:
        yield found
        assert [entry for entry in found.log if entry["level"] == "error"] == []


def opened(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=10)


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_connections_whose_headers_do_not_end_are_closed(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(opened(server)) for _ in range(SLOW)]
        slow = [stack.enter_context(opened(server)) for _ in range(SLOW)]
        again = stack.enter_context(opened(server))
        again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert again.recv(4096).startswith(b"HTTP/1.1 200")
        for connection in [*slow, again]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        begun = time.monotonic()
        left = {*silent, *slow, again}
        while left and time.monotonic() < begun + HEADERS_S + 5:
            assert server.get("/healthz")[0] == 200
            time.sleep(0.1)
            left = {connection for connection in left if not is_closed(connection)}
            for connection in left - {*silent}:
                with contextlib.suppress(OSError):
                    connection.sendall(b"a")
        assert not left
        assert time.monotonic() - begun > HEADERS_S - 0.5
    assert server.post("/v1/predict", wav())[0] == 200


def test_a_request_and_a_session_may_take_longer_than_their_headers(server: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with opened(server) as connection, session(server) as live:
        connection.sendall(head + b"Content-Length: 3\r\n\r\n")
        time.sleep(HEADERS_S + 0.5)
        connection.sendall(b"abc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        live.send(json.dumps({"end": True}))
        assert json.loads(live.recv(10))["type"] in ("error", "final")


@contextlib.contextmanager
def session(server: Running) -> Iterator[ClientConnection]:
    url = f"{server.url.replace('http', 'ws')}/v1/live"
    with connect(url, open_timeout=10, compression=None, max_size=None) as live:
        with contextlib.suppress(ConnectionClosed):  # by a server whose sessions are all in use
            live.send(json.dumps({"sampling_rate": 16_000}))
        yield live


def free(server: Running) -> None:
    """Wait until all sessions have ended: a client knows it a moment before the server has a place for another."""
    until(lambda: "voxtrait_live_sessions 0.0" in server.get("/metrics")[1])
    time.sleep(0.1)


def code_of(live: ClientConnection) -> int | None:
    """The code with which the server closes a connection, if it arrives: messages that nobody reads reset it."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            live.recv(10)
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


def test_messages_above_the_limit_end_their_session_and_nothing_else(server: Running) -> None:
    for count in (1, 1, 20, 20, 20):
        free(server)
        with session(server) as live:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(count):
                    live.send(bytes(MESSAGE + 4))
            assert code_of(live) in ((1009,) if count == 1 else (1009, None))
    for text in ("{", json.dumps({"sampling_rate": 16_000})):
        free(server)
        with session(server) as live:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(2000):
                    live.send(text)
            assert code_of(live) in (1000, None)
    free(server)
    assert server.get("/healthz")[1]["workers"] == 1


def test_sessions_above_the_limit_are_sent_away(server: Running) -> None:
    free(server)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(session(server)) for _ in range(SESSIONS)]
        until(lambda: f"voxtrait_live_sessions {SESSIONS}.0" in server.get("/metrics")[1])
        more = [stack.enter_context(session(server)) for _ in range(40)]
        assert {code_of(live) for live in more} == {TRY_LATER}
        assert server.post("/v1/predict", wav())[0] == 200
        for live in held:
            live.send(bytes(4 * 16_000))
            assert json.loads(live.recv(10))["type"] != "error"
    free(server)
    with session(server) as live:
        live.send(bytes(4 * 16_000))
        assert json.loads(live.recv(10))["type"] != "error"
