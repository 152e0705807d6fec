"""HTTP connections of the server: slow headers end a connection, and late mistakes of a request are no server error."""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S: Final = 30.0  # maximum seconds from the connection, or a first byte, to the end of a request's headers


class Protocol(H11Protocol):
    """A connection of uvicorn with a time limit for headers, whose malformed requests are answered only once.

    uvicorn waits without a limit for the headers of a request: connections that send nothing, or a byte now and then,
    would take all file descriptors of the server. It has a limit only for a connection that is idle after a response.

    uvicorn responds with status 400 even if the application has begun a response, and the application may respond after
    that. Both are errors of the protocol, and uvicorn logs each with a traceback.
    """

    _headers_end: asyncio.TimerHandle | None = None  # when the connection is closed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Process data; if the headers of a request have not ended with them, the limit begins or continues."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_headers()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._headers_end is None:
            self._headers_end = self.loop.call_later(HEADERS_S, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._headers_end is not None:
            self._headers_end.cancel()
            self._headers_end = None

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request; to the application, the client has disconnected."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            super().send_400_response(msg)
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.close()
        else:
            super().send_400_response(msg)
