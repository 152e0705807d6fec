"""The server: one page and a REST interface over a pool of recognisers, on this machine.

``create_app`` makes the application, ``serve`` runs it. What is sent is never stored; what a decoder does to an upload
ends at most that one request. docs/web.md says how to use it and how it is guarded.
"""

from voxtrait.web.app import create_app
from voxtrait.web.serving import serve
from voxtrait.web.settings import Settings, is_loopback, read_token

__all__ = ["Settings", "create_app", "is_loopback", "read_token", "serve"]
