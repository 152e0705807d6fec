"""Live estimates over a WebSocket: receives samples, sends spectrogram columns and estimates."""

import asyncio
import base64
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from voxtrait import features
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import VoxtraitError
from voxtrait.recognize import Listening, Recognizer
from voxtrait.web import memory
from voxtrait.web.access import SUBPROTOCOL
from voxtrait.web.errors import GoneError, RequestError
from voxtrait.web.request_log import Metrics, RequestRecord
from voxtrait.web.settings import Settings

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

BANDS: Final = 96
HOP: Final = 320  # samples at 16 kHz: 20 ms a column
RATES: Final = (8_000, 96_000)  # Hz
LONGEST_MESSAGE_S: Final = 1.0
FRONT_END: Final = features.FrontEnd(n_mels=BANDS, hop_length=HOP)
LAST_S: Final = 2.0  # seconds at the end of the server for sessions to close
FAREWELL_S: Final = 0.5  # … and for their clients to receive this: uvicorn then closes the connections at once
GOING_AWAY: Final = 1001
TRY_LATER: Final = 1013
MESSAGES: Final = (
    ("client, first", '{"sampling_rate": HZ}', f"Sampling rate of the samples, {RATES[0]:,} to {RATES[1]:,} Hz."),
    ("client, then", "binary", f"Mono float32 samples, little-endian, at most {LONGEST_MESSAGE_S:g} s in a message."),
    ("client, last", '{"end": true}', "End of the audio."),
    (
        "server",
        '{"type": "columns", "height": N, "hop_s": S, "data": TEXT}',
        f"Grey levels of a mel spectrogram, in base64: columns of {BANDS} bands, the highest band first. A column is "
        f"{1000 * HOP / SAMPLING_RATE:g} ms.",
    ),
    (
        "server, each second of audio",
        '{"type": "estimate", "estimate": OBJECT}',
        "The object that `voxtrait listen --format jsonl` prints.",
    ),
    (
        "server, last",
        '{"type": "final", "prediction": OBJECT}',
        "The prediction for the whole audio, as for a file.",
    ),
    (
        "server, instead",
        '{"type": "error", "error": {"code": CODE, "message": TEXT}}',
        "The error. The connection is then closed.",
    ),
)
"""The protocol: sender, message and meaning."""
CLOSED: Final = (
    (1000, "The session is over."),
    (GOING_AWAY, "The server stops."),
    (1008, "The token, the host name or the origin is refused."),
    (TRY_LATER, "All live sessions are in use. Try again later."),
)
"""Codes with which the server closes a connection."""


class Columns:
    """A mel spectrogram that grows with the signal; its columns equal those of ``features.picture``.

    Args:
        rate: sampling rate in Hz.

    Examples:
        >>> columns = Columns(16_000)
        >>> columns.feed(np.zeros(16_000, np.float32)).shape  # the last columns need samples that follow
        (49, 96)
    """

    def __init__(self, rate: int) -> None:
        import soxr

        self._resampler = soxr.ResampleStream(rate, SAMPLING_RATE, 1, "float32") if rate != SAMPLING_RATE else None
        self._half = FRONT_END.window_length // 2
        self._kept: Signal = np.zeros(self._half, np.float32)  # … so that column 0 is centred at sample 0

    def feed(self, block: Signal) -> features.Picture:
        """Add samples, ``(samples,)``; return the columns that are now complete, ``(n, 96)``, highest band first."""
        if self._resampler is not None:
            block = np.asarray(self._resampler.resample_chunk(block), dtype=np.float32)
        self._kept = np.concatenate([self._kept, block])
        count = max(0, (len(self._kept) - 2 * self._half) // HOP + 1)
        if not count:
            return np.zeros((0, BANDS), np.uint8)
        centres = self._half + HOP * np.arange(count)
        power = features.mel_power(self._kept, FRONT_END, centres)
        self._kept = self._kept[count * HOP :].copy()
        return np.ascontiguousarray(features.greys(power, FRONT_END)[::-1].T)


class Session:
    """Live estimates of one voice. All slow work runs in a separate thread.

    Raises:
        BundleError: if the bundle can only process whole clips.
    """

    def __init__(self, recognizer: Recognizer, rate: int, max_seconds: float) -> None:
        self._rate = rate
        self._max_seconds = max_seconds
        self.seconds = 0.0
        self._columns = Columns(rate)
        self._listening = Listening(recognizer)

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Add float32 samples; return the messages to send.

        Raises:
            RequestError: if the data are not whole samples, or too many.
            SignalError: if a sample is not finite.
        """
        if len(data) % 4 or len(data) > 4 * LONGEST_MESSAGE_S * self._rate:
            raise RequestError("malformed", f"got {len(data)} bytes, expected float32 samples, at most 1 s of them")
        block = np.frombuffer(data, dtype="<f4").astype(np.float32)
        self.seconds += len(block) / self._rate
        if self.seconds > self._max_seconds:
            raise RequestError(
                "too_long", f"the session exceeds the limit of {self._max_seconds:g} s: start another session"
            )
        if not len(block):
            return []
        estimates = self._listening.feed(block, self._rate)  # first, because it refuses invalid samples
        messages = []
        columns = self._columns.feed(np.clip(block, -1, 1))
        if len(columns):
            data64 = base64.b64encode(columns.tobytes()).decode()
            messages.append({"type": "columns", "height": BANDS, "hop_s": HOP / SAMPLING_RATE, "data": data64})
        return messages + [{"type": "estimate", "estimate": estimate.to_dict()} for estimate in estimates]

    def end(self) -> dict[str, Any]:
        """Return the last message, with the final prediction."""
        return {"type": "final", "prediction": self._listening.close().so_far.to_dict()}

    def leave(self) -> None:
        """Stop processing, and discard the results that were not sent."""
        self._listening.__exit__(None, None, None)
        memory.trim()


class Live:
    """All live sessions of a server, up to a maximum number at a time."""

    def __init__(self, recognizer: Recognizer, settings: Settings, metrics: Metrics) -> None:
        self._recognizer = recognizer
        self._settings = settings
        self._metrics = metrics
        self._open = 0
        self._tasks: set[asyncio.Task[Any]] = set()  # one for each connection
        self._ending = False
        self._threads = ThreadPoolExecutor(settings.live_sessions, thread_name_prefix="voxtrait-live")

    async def end(self) -> None:
        """Close all connections with :data:`GOING_AWAY`, because the server stops."""
        self._ending = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_S)
            await asyncio.sleep(FAREWELL_S)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def serve(self, websocket: "WebSocket") -> None:
        """Run one session, from the first message to the last."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._tasks.add(task)
        try:
            await self._serve(websocket)
        except asyncio.CancelledError:
            if not self._ending:
                raise
            task.uncancel()
            await self._end(websocket, None, GOING_AWAY)
        finally:
            self._tasks.discard(task)

    async def _serve(self, websocket: "WebSocket") -> None:
        from starlette.websockets import WebSocketDisconnect

        record: RequestRecord = websocket.scope["record"]
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        code = 1000
        self._open += 1
        try:
            if self._open > self._settings.live_sessions:
                code = TRY_LATER
                raise RequestError(
                    "busy", f"all {self._settings.live_sessions} live sessions are in use: try again later"
                )
            self._metrics.live.inc()
            try:
                await self._run_session(websocket, record)
            finally:
                self._metrics.live.dec()
        except WebSocketDisconnect:
            return
        except GoneError:
            record.is_gone = True
        except RequestError as problem:
            record.code = problem.code
            await self._end(websocket, problem.body, code)
        except VoxtraitError as error:  # invalid samples, or a bundle without live recognition
            record.code = "unusable"
            await self._end(websocket, RequestError("unusable", str(error)).body, code)
        else:
            await self._end(websocket, None, code)
        finally:
            self._open -= 1

    async def _run_session(self, websocket: "WebSocket", record: RequestRecord) -> None:
        loop = asyncio.get_running_loop()
        rate = _rate(await self._next(websocket))
        session = await loop.run_in_executor(self._threads, Session, self._recognizer, rate, self._settings.max_seconds)
        try:
            while isinstance(message := await self._next(websocket), bytes):
                for response in await loop.run_in_executor(self._threads, session.feed, message):
                    await self._send(websocket, response)
            if not isinstance(command := _parsed(message), dict) or command.get("end") is not True:
                raise RequestError("malformed", 'got another text message, expected samples or {"end": true}')
            await self._send(websocket, await loop.run_in_executor(self._threads, session.end))
        finally:
            record.audio_s = session.seconds
            self._threads.submit(session.leave)

    async def _next(self, websocket: "WebSocket") -> str | bytes:
        from starlette.websockets import WebSocketDisconnect

        try:
            async with asyncio.timeout(self._settings.live_patience_s):
                message = await websocket.receive()
        except TimeoutError:
            raise RequestError("upload_timeout", f"no message for {self._settings.live_patience_s:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        data: bytes | None = message.get("bytes")
        return data if data is not None else str(message["text"])

    async def _send(self, websocket: "WebSocket", message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._settings.live_patience_s):
                await websocket.send_text(json.dumps(message, ensure_ascii=False))
        except TimeoutError:  # the client sends but does not read: it must not keep a session from others
            raise GoneError from None
        except RuntimeError as error:
            # uvicorn closed the connection itself, as for a ping without an answer, since the last message was read
            if "after sending 'websocket.close'" not in str(error):
                raise
            raise GoneError from None

    async def _end(self, websocket: "WebSocket", error: dict[str, Any] | None, code: int) -> None:
        """Send the error, if any, and close the connection."""
        from starlette.websockets import WebSocketDisconnect

        with contextlib.suppress(RuntimeError, WebSocketDisconnect, GoneError, TimeoutError):  # the client is gone
            if error is not None:
                await self._send(websocket, {"type": "error", **error})
            async with asyncio.timeout(self._settings.live_patience_s):
                await websocket.close(code)


def _rate(message: str | bytes) -> int:
    settings = _parsed(message) if isinstance(message, str) else None
    rate = settings.get("sampling_rate") if isinstance(settings, dict) else None
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not RATES[0] <= rate <= RATES[1]:
        raise RequestError(
            "malformed", f'expected {{"sampling_rate": HZ}} as the first message, {RATES[0]} to {RATES[1]} Hz'
        )
    return round(rate)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
