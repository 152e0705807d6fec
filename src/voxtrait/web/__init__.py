"""The server: web page, REST API and live WebSocket over a pool of worker processes.

``create_app`` makes the ASGI application, ``serve`` runs it. Uploads are never stored. A file that crashes or hangs the
decoder fails only its own request. docs/how-to/web.md describes how to use the server and how it is protected.
"""

from voxtrait.web.app import create_app
from voxtrait.web.serving import require_extra, serve
from voxtrait.web.settings import Settings, is_loopback, read_token

__all__ = ["Settings", "create_app", "is_loopback", "read_token", "require_extra", "serve"]
