"""Readers of what a client sends: forms, whole requests, and messages of a live session."""

import asyncio
import json
import struct
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from fuzzing import Refused, Target
from fuzzing.sound import place, signal

FORM_WORDS: Final = (
    b"--edge", b"--edge--", b"\r\n", b"\r\n\r\n", b"Content-Disposition: form-data; ", b'name="file"', b"; filename=",
    b"filename*=UTF-8''%e2%82%ac", b'filename="../../../etc/passwd"', b'filename="a\0b"', b"Content-Type: ", b"X: ",
    b"\r\n--edge\r\n", b"\n", b"\xff", b"Content-Transfer-Encoding: base64", b'"', b"\\", b";",
)  # fmt: skip
MOST: Final = 100_000  # bytes of an upload


def form_seeds() -> tuple[bytes, ...]:
    """Forms with one file, two fields, and headers of all kinds; the first byte is the size of the pieces."""
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    other = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    return (
        b"\xff" + part + bytes(2000) + b"\r\n--edge--\r\n",
        b"\x07" + other + part + b"RIFF" + bytes(500) + b"\r\n--edge--\r\n",
        b"\x01" + part + b"x\r\n" + other + b"--edge--\r\nepilogue",
    )


def form(data: bytes) -> str:
    """A form in pieces of one size: its file and the name of it."""
    from voxtrait.web.errors import KINDS, RequestError
    from voxtrait.web.upload_folder import StoredUpload
    from voxtrait.web.uploads import NAME, _Form

    size = data[0] or 1 if data else 1
    folder = place("uploads").parent
    with StoredUpload(folder) as file:
        made = _Form(b"edge", file, MOST)
        try:
            for at in range(1, len(data), size):
                made.take(data[at : at + size])
            made.check()
        except RequestError as error:
            assert KINDS[error.code].status == error.status < 500
            raise Refused(error.message) from None
        assert 0 < file.size <= MOST
        assert made.name is None or len(made.name) <= NAME
        return f"{file.size} bytes"


LIVE_WORDS: Final = (
    b'{"sampling_rate": 16000}', b'{"end": true}', b'{"end": 1}', b"NaN", b"1e400", b"9" * 5000, b"[" * 2000,
    b'"\\ud800"', struct.pack("<f", float("nan")), struct.pack("<f", float("inf")), struct.pack("<f", 1e38),
    b"\0t", b"\0b", b"null",
)  # fmt: skip


def packed(*messages: str | bytes) -> bytes:
    """Messages as one input: kind, length, content."""
    found = b""
    for one in messages:
        content = one.encode() if isinstance(one, str) else one
        found += (b"t" if isinstance(one, str) else b"b") + struct.pack("<I", len(content)) + content
    return found


def live_seeds() -> tuple[bytes, ...]:
    samples = np.asarray(signal()[:6000], "<f4").tobytes()
    quiet = '{"sampling_rate": 8000}'
    return (
        packed('{"sampling_rate": 16000}', samples[:8000], samples[8000:], '{"end": true}'),
        packed('{"sampling_rate": 44100.0}', samples, b"", '{"end": true}'),
        packed(quiet, bytes(8000), samples),
    )


class _Socket:
    """A client that sends these messages, and closes the connection at the end."""

    def __init__(self, data: bytes) -> None:
        self.scope: dict[str, Any] = {"record": SimpleNamespace(code=None, audio_s=0.0), "subprotocols": []}
        self.sent: list[dict[str, Any]] = []
        self.code: int | None = None
        self._data, self._at = data, 0

    async def accept(self, subprotocol: str | None = None) -> None:
        pass

    async def receive(self) -> dict[str, Any]:
        head = self._data[self._at : self._at + 5]
        if len(head) < 5:
            return {"type": "websocket.disconnect", "code": 1001}
        content = self._data[self._at + 5 : self._at + 5 + struct.unpack("<I", head[1:])[0]]
        self._at += 5 + len(content)
        if head[:1] == b"t":
            return {"type": "websocket.receive", "text": content.decode(errors="replace")}
        return {"type": "websocket.receive", "bytes": content}

    async def send_text(self, text: str) -> None:
        assert self.code is None, "a message after the end"
        self.sent.append(json.loads(text, parse_constant=_refuse))

    async def close(self, code: int) -> None:
        self.code = code


def _refuse(name: str) -> None:
    raise AssertionError(f"a message has {name}, which is not JSON")


@cache
def _live() -> Any:
    import voxtrait
    from voxtrait.web import Settings
    from voxtrait.web.live import Live

    counter = SimpleNamespace(inc=lambda: None, dec=lambda: None)
    metrics: Any = SimpleNamespace(live=counter)
    return Live(voxtrait.load("voxtrait-fast"), Settings(workers=1, max_seconds=30, live_sessions=2), metrics)


def live(data: bytes) -> str:
    """A session: it ends with a prediction, an error, or the connection."""
    from voxtrait.web.errors import KINDS

    socket = _Socket(data)
    asyncio.run(_live().serve(socket))
    last = socket.sent[-1] if socket.sent else {"type": "nothing"}
    if last["type"] == "error":
        assert last["error"]["code"] in KINDS
        assert socket.code is not None
        raise Refused(last["error"]["message"])
    return str(last["type"])


TARGETS: Final = (
    Target("form", form_seeds, form, (Refused,), FORM_WORDS),
    Target("live", live_seeds, live, (Refused,), LIVE_WORDS, seconds=20.0),
)
