"""Request logging and metrics: no file names, no audio, no queries."""

import dataclasses
import datetime
import json
import logging
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from voxtrait.web.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from voxtrait.web.pool import Pool

BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds
GONE: Final = 499  # logged if the client disconnected before the response
_log = logging.getLogger("voxtrait.web")


@dataclasses.dataclass
class RequestRecord:
    """Values that request handling adds to the log line."""

    id: str
    bytes: int = 0  # size of the upload
    audio_s: float = 0.0  # seconds of decoded audio
    code: str | None = None  # error code
    is_gone: bool = False  # the client disconnected before the end of the response


class Metrics:
    """Prometheus metrics, in a separate registry."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("voxtrait_requests", "Requests by route and status.", ["route", "status"], **own)
        self.problems = Counter("voxtrait_problems", "Requests refused, by error code.", ["code"], **own)
        self.seconds = Histogram(
            "voxtrait_request_seconds", "Duration of a request.", ["route"], buckets=BUCKETS, **own
        )
        self.audio = Counter("voxtrait_audio_seconds", "Seconds of audio decoded.", **own)
        self.bytes = Counter("voxtrait_upload_bytes", "Bytes of uploads received.", **own)
        self.live = Gauge("voxtrait_live_sessions", "Open live sessions.", **own)
        self.places = Gauge("voxtrait_places_taken", "Uploads being received, waiting, or being processed.", **own)
        self._pool_gauges = {
            "waiting": Gauge("voxtrait_queue_length", "Uploads that wait for a worker.", **own),
            "busy": Gauge("voxtrait_workers_busy", "Workers that process an upload.", **own),
            "alive": Gauge("voxtrait_workers", "Running workers.", **own),
        }
        self._replaced = Gauge("voxtrait_worker_restarts", "Workers replaced, by reason.", ["reason"], **own)
        ProcessCollector(registry=self.registry)

    def text(self, pool: "Pool") -> bytes:
        """Return all metrics in the Prometheus text format."""
        from prometheus_client import generate_latest

        for name, gauge in self._pool_gauges.items():
            gauge.set(getattr(pool, name))
        for reason, count in pool.replaced.items():
            self._replaced.labels(reason).set(count)
        return generate_latest(self.registry)


class RequestLog:
    """Outermost middleware: assigns an id to each request, measures and logs it.

    Args:
        app: the application whose requests are logged.
        metrics: the metrics to update.
        settings: whether client addresses are logged.
    """

    def __init__(self, app: "ASGIApp", metrics: Metrics, settings: Settings) -> None:
        self.app = app
        self._metrics = metrics
        self._settings = settings

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Process a request, then log it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        record = scope["record"] = RequestRecord(secrets.token_hex(8))
        begun = time.monotonic()
        status = 101 if scope["type"] == "websocket" else GONE

        async def send_with_id(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"X-Request-Id", record.id.encode())]
            elif message["type"] == "websocket.close" and record.code is None and message.get("code") == 1008:
                status, record.code = 403, message.get("reason") or None
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            self._write(scope, record, GONE if record.is_gone else status, time.monotonic() - begun)

    def _write(self, scope: "Scope", record: RequestRecord, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        metrics = self._metrics
        metrics.requests.labels(route, status).inc()
        if scope["type"] == "http":  # the duration of a live session depends on the speaker
            metrics.seconds.labels(route).observe(seconds)
        metrics.audio.inc(record.audio_s)
        metrics.bytes.inc(record.bytes)
        if record.code is not None:
            metrics.problems.labels(record.code).inc()
        line = {
            "id": record.id,
            "method": scope.get("method", "WS"),
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes": record.bytes,
            "audio_s": round(record.audio_s, 2),
        }
        if record.code is not None:
            line["code"] = record.code
        if self._settings.log_clients and scope.get("client"):
            line["client"] = scope["client"][0]
        _log.info("request", extra=line)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: ``time``, ``level``, ``event`` and the fields of ``extra``."""

    _USUAL: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= {name: value for name, value in record.__dict__.items() if name not in self._USUAL}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr(quiet: bool = False) -> None:
    """Send the server's log to standard error as JSON lines; with ``quiet``, only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    level = logging.WARNING if quiet else logging.INFO
    # the form parser warns about each malformed form, but the log line of that request already reports it
    levels = {"voxtrait.web": level, "uvicorn.error": logging.WARNING, "python_multipart": logging.ERROR}
    for name in levels:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(levels[name])
