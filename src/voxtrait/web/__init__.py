"""The server: one page and a REST interface over a pool of recognisers, on this machine.

``create_app`` makes the application, ``serve`` runs it. Uploads are never stored. A decoder that fails on an upload
ends at most that one request. docs/how-to/web.md describes how to use the server and how it is protected.
"""

from voxtrait.web.app import create_app
from voxtrait.web.serving import require_extra, serve
from voxtrait.web.settings import Settings, is_loopback, read_token

__all__ = ["Settings", "create_app", "is_loopback", "read_token", "require_extra", "serve"]
