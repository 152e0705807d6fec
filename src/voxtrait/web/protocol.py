"""HTTP connections of the server: a request that becomes malformed after its start ends without an error in the log."""

from uvicorn.protocols.http.h11_impl import H11Protocol


class Protocol(H11Protocol):
    """A connection of uvicorn whose malformed requests are answered only once.

    uvicorn responds with status 400 even if the application has begun a response, and the application may respond after
    that. Both are errors of the protocol, and uvicorn logs each with a traceback.
    """

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
