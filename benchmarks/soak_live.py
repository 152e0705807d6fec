"""The clients of ``benchmarks/soak.py`` with live sessions: good ones, and ones that break off or stall."""

import base64
import contextlib
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Iterator

from soak_right import LIVE_PATIENCE_S, TIMEOUT_S, WAIT_S, Good, Tally, send_until_ended
from soak_uploads import RESET
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from servers import RATE, slow_reader
from voxtrait.web.live import GOING_AWAY


class Sessions:
    """Clients of one server with live sessions.

    Args:
        place: address and port of the server.
        live: signals with known final predictions, the shortest first.
        tally: counts the responses.
        stop: set at the end of the load.
    """

    def __init__(self, place: tuple[str, int], live: list[Good], tally: Tally, stop: threading.Event) -> None:
        self.place = place
        self.tally = tally
        self.stop = stop
        self._live = live

    def speak_live(self, chance: random.Random) -> None:
        """Send a signal, at up to four times real time, and check the final prediction."""
        one = chance.choice(self._live)
        step = 4 * RATE // 4
        try:
            with self._session() as session:
                for at in range(0, len(one.content), step):
                    session.send(one.content[at : at + step])
                    time.sleep(0.25 / chance.choice([1, 2, 4]))
                    drain(session)
                session.send('{"end": true}')
                while (said := json.loads(session.recv(WAIT_S)))["type"] not in ("final", "error"):
                    pass
        except ConnectionClosed as error:
            said = {"type": "error", "error": {"code": "busy" if closed_as_busy(error) else str(error)}}
        if said["type"] == "error" and said["error"]["code"] == "busy":
            self.tally.add("live", "busy")
        elif said.get("prediction") == one.right:
            self.tally.add("live", "right")
        else:
            self.tally.add_wrong("live", f"{str(said)[:150]}, expected {str(one.right)[:150]}")

    def break_off_live(self, chance: random.Random) -> None:
        """End a session without its end, or with a message that is not valid."""
        with contextlib.suppress(ConnectionClosed), self._session() as session:
            session.send(self._live[0].content[: 4 * RATE])
            time.sleep(chance.uniform(0, 2))
            match chance.choice(["reset", "closed", "malformed"]):
                case "reset":
                    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    session.socket.close()
                case "malformed":
                    session.send(b"abc")
        self.tally.add("live, broken off", "broken off")

    def stall_live(self, chance: random.Random) -> None:
        """Send nothing after the first message: the server must end the session."""
        begun = time.monotonic()
        try:
            with self._session() as session:
                said = json.loads(session.recv(LIVE_PATIENCE_S + 2 * TIMEOUT_S))
                code = said["error"]["code"]
        except ConnectionClosed as error:
            code = "busy" if closed_as_busy(error) else str(error)
        except TimeoutError:
            code = f"none in {time.monotonic() - begun:.0f} s"
        if code in ("upload_timeout", "busy"):
            self.tally.add("live, silent", code)
        else:
            self.tally.add_wrong("live, silent", code)

    def ignore_live(self, chance: random.Random) -> None:
        """Send samples and read no estimate: the server must end the session."""
        key = base64.b64encode(chance.randbytes(16)).decode()
        with contextlib.closing(slow_reader(self.place[1], WAIT_S)) as connection:
            connection.sendall(
                b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
            )
            connection.recv(4096)
            connection.sendall(Frame(Opcode.TEXT, b'{"sampling_rate": 16000}').serialize(mask=True))
            samples = Frame(Opcode.BINARY, self._live[0].content[: 4 * RATE]).serialize(mask=True)
            ended = send_until_ended(connection, itertools.repeat(samples), self.stop)
        if ended:
            self.tally.add("live, not read", "ended by the server")
        else:
            self.tally.add_wrong("live, not read", "the server did not end the connection")

    def stay_until_the_end(self) -> None:
        """Keep a session open until the server ends it."""
        code = 0
        try:
            with self._session() as session:
                while True:
                    session.send(self._live[0].content[:RATE])
                    session.recv(WAIT_S)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else 1006
        if code == GOING_AWAY:
            self.tally.add("live during the end", "right")
        else:
            self.tally.add_wrong("live during the end", f"closed with {code}, expected {GOING_AWAY}")

    @contextlib.contextmanager
    def _session(self) -> Iterator[ClientConnection]:
        address = "ws://{}:{}/v1/live".format(*self.place)
        with connect(address, open_timeout=WAIT_S, close_timeout=5, max_queue=None) as session:
            session.send(json.dumps({"sampling_rate": RATE}))
            yield session


def drain(session: ClientConnection) -> None:
    """Read the messages that have arrived."""
    with contextlib.suppress(TimeoutError):
        while json.loads(session.recv(0))["type"] != "error":
            pass


def closed_as_busy(error: ConnectionClosed) -> bool:
    """Return whether the server closed a session with the code for busy."""
    return error.rcvd is not None and error.rcvd.code == 1013
