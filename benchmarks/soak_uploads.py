"""The clients of ``benchmarks/soak.py`` that send uploads: good, hostile, slow and aborted ones."""

import contextlib
import http.client
import itertools
import json
import random
import socket
import struct
import threading
import time
from typing import Any

from soak_right import UPLOAD_S, WAIT_S, Good, Tally, send_until_ended

from hostile import first_line, requests, uploads
from servers import form, slow_reader
from voxtrait.web.errors import KINDS

RETRIED = ("busy", "interrupted")  # what a client may receive for a good upload; it then tries again
LINES = {"Accept": "application/x-ndjson"}
RESET = struct.pack("ii", 1, 0)  # close with a reset


class Uploads:
    """Clients of one server that send uploads.

    Args:
        place: address and port of the server.
        good: uploads with known responses.
        tally: counts the responses.
        stop: set at the end of the load.
        seed: random seed of the hostile uploads.
    """

    def __init__(
        self, place: tuple[str, int], good: list[Good], tally: Tally, stop: threading.Event, seed: int
    ) -> None:
        self.place = place
        self.tally = tally
        self.stop = stop
        self._good = good
        self._hostile = uploads(10**9, seed)
        self._raw = itertools.cycle(requests().items())

    def send_good(self, chance: random.Random) -> None:
        self._until_right("good upload", chance.choice(self._good), chance)

    def send_burst(self, chance: random.Random) -> None:
        """Send more uploads at a time than the server accepts."""
        predicted = [one for one in self._good if one.path == "/v1/predict"]
        chosen = [chance.choice(predicted) for _ in range(24)]
        threads = [
            threading.Thread(target=self._until_right, args=("good upload, burst of 24", one, random.Random(number)))
            for number, one in enumerate(chosen)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _until_right(self, client: str, one: Good, chance: random.Random) -> None:
        """Send an upload, and send it again while the server is busy or after its worker was killed."""
        for _ in range(20):
            lines = one.path == "/v1/timeline" and chance.random() < 0.5
            try:
                status, headers, body = self._post(one.path, one.content, one.name, LINES if lines else {})
            except (OSError, http.client.HTTPException) as error:
                self.tally.add_wrong(client, f"no response: {type(error).__name__}: {error}")
                return
            if lines and status == 200:
                status, body = unfolded(body)
                headers["retry-after"] = "1"
            if not self._judge(client, status, headers, body, one.right):
                return
            time.sleep(chance.uniform(0.5, 1.5) * float(headers.get("retry-after", "1")))
        self.tally.add_wrong(client, f"{one.path} {one.name}: no place in 20 attempts")

    def _judge(
        self, client: str, status: int, headers: dict[str, str], body: bytes, right: dict[str, Any] | None
    ) -> bool:
        """Count a response, and return whether the client should try again."""
        said = parsed(body)
        if status == 200:
            if right is None:
                self.tally.add(client, "answered")
            elif said == right:
                self.tally.add(client, "right")
            else:
                self.tally.add_wrong(client, f"200 {body[:200]!r}, expected {str(right)[:200]}")
            return False
        code = said["error"]["code"] if isinstance(said, dict) and "error" in said else ""
        declared = code in KINDS and KINDS[code].status == status and status != 500
        if not declared or (status == 503 and "retry-after" not in headers):
            self.tally.add_wrong(client, f"{status} {body[:200]!r}")
            return False
        if right is not None and code not in RETRIED:
            self.tally.add_wrong(client, f"{status} {code} for a good upload")
            return False
        self.tally.add(client, f"{status} {code}")
        return code in RETRIED

    def send_hostile(self, chance: random.Random) -> None:
        upload = next(self._hostile)
        path = chance.choice(["/v1/predict", "/v1/predict", "/v1/show", "/v1/timeline"])
        status, headers, body = self._post(path, upload.content, upload.name)
        self._judge("hostile upload", status, headers, body, None)

    def send_raw(self, chance: random.Random) -> None:
        kind, request = next(self._raw)
        line = first_line(self.place, request)
        if line in ("closed", "ConnectionResetError", "BrokenPipeError", "TimeoutError") or " 4" in line:
            self.tally.add("false headers", "refused")
        elif line.startswith("HTTP/1.1 503"):
            self.tally.add("false headers", "503 busy")
        else:
            self.tally.add_wrong("false headers", f"{kind}: {line}")

    def send_slowly(self, chance: random.Random) -> None:
        """Send an upload over several seconds; a part of them is slower than the server allows."""
        seconds = 1.6 * UPLOAD_S if chance.random() < 0.15 else chance.uniform(2, 0.5 * UPLOAD_S)
        self._dribble("slow upload", chance.choice(self._good), seconds)

    def send_in_flight(self, chance: random.Random) -> None:
        """Send an upload that is not complete when the server is told to end."""
        self._dribble("upload during the end", chance.choice(self._good), 6.0)

    def _dribble(self, client: str, one: Good, seconds: float) -> None:
        request = self._request(one)
        pieces = 30
        size = -(-len(request) // pieces)
        with contextlib.closing(socket.create_connection(self.place, WAIT_S)) as connection:
            for at in range(0, len(request), size):
                connection.sendall(request[at : at + size])
                time.sleep(seconds / pieces)
            response = http.client.HTTPResponse(connection)
            response.begin()
            body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        too_slow = response.status == 408 and seconds > UPLOAD_S
        self._judge(client, response.status, headers, body, None if too_slow else one.right)

    def abort(self, chance: random.Random) -> None:
        """Close the connection during an upload or before its response, with or without a reset."""
        request = self._request(chance.choice(self._good))
        share = chance.choice([0.02, 0.5, 0.95, 1.0])
        with contextlib.closing(socket.create_connection(self.place, WAIT_S)) as connection:
            connection.sendall(request[: int(share * len(request))])
            time.sleep(chance.choice([0.0, 0.01, 0.2]))
            if chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.tally.add("aborted upload", "aborted")

    def ignore_responses(self, chance: random.Random) -> None:
        """Request many pages and read none: the server must end the connection."""
        with contextlib.closing(slow_reader(self.place[1], WAIT_S)) as connection:
            request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ended = send_until_ended(connection, itertools.repeat(request), self.stop)
        if ended:
            self.tally.add("responses not read", "ended by the server")
        else:
            self.tally.add_wrong("responses not read", "the server did not end the connection")

    def _post(
        self, path: str, content: bytes, name: str, more: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        body, headers = form(content, name)
        with contextlib.closing(http.client.HTTPConnection(*self.place, timeout=WAIT_S)) as connection:
            connection.request("POST", path, body, headers | (more or {}))
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()

    def _request(self, one: Good) -> bytes:
        """Return an upload as it is sent."""
        body, headers = form(one.content, one.name)
        lines = [f"POST {one.path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def scrape(self, chance: random.Random) -> None:
        for path in ("/metrics", "/healthz"):
            with contextlib.closing(http.client.HTTPConnection(*self.place, timeout=WAIT_S)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read()
            if response.status == 200 and (b"voxtrait_requests_total" in body or b'"status":"ok"' in body):
                self.tally.add("metrics and health", "right")
            elif response.status == 503 and b'"workers":0' in body:
                self.tally.add("metrics and health", "503, no worker")
            else:
                self.tally.add_wrong("metrics and health", f"{path}: {response.status} {body[:100]!r}")


def unfolded(body: bytes) -> tuple[int, bytes]:
    """Return the status and the body of the plain response that equals a response of JSON lines."""
    lines = [json.loads(line) for line in body.splitlines()]
    for line in lines:
        if line["type"] == "error":
            code = line["error"]["code"]
            return KINDS[code].status if code in KINDS else 500, json.dumps({"error": line["error"]}).encode()
        if line["type"] == "timeline":
            return 200, json.dumps(line["timeline"]).encode()
    return 200, body


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
