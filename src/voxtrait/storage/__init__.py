"""Reads, writes and lists files behind URLs with fsspec: ``s3://bucket/clips``, ``gs://…``, ``https://host/clip.mp3``.

A name is a URL if it contains ``://``. Only then fsspec (the extra ``[remote]``) is imported. URLs are plain strings,
because ``Path`` would remove one of their slashes. Credentials come from where the libraries look for them
(environment, configuration files, the role of the machine). They never appear in messages or tables.

One request reads a whole file, one request lists up to a thousand files, and one request writes a file, which exists
only when it is complete. Calls that fail because of the network are tried three times.
"""

from voxtrait.storage.connection import require_remote
from voxtrait.storage.content import (
    Held,
    Kept,
    check_writable,
    copy,
    fetched,
    local_copies,
    read,
    remove,
    uploaded,
    write,
)
from voxtrait.storage.listings import Entry, ListedUrl, files, listing, names_in, statuses
from voxtrait.storage.names import openable, path_of, text_of, unspelled
from voxtrait.storage.urls import is_url, join, name_of, parent, protocol_of, shown, suffix_of

__all__ = [
    "Entry",
    "Held",
    "Kept",
    "ListedUrl",
    "check_writable",
    "copy",
    "fetched",
    "files",
    "is_url",
    "join",
    "listing",
    "local_copies",
    "name_of",
    "names_in",
    "openable",
    "parent",
    "path_of",
    "protocol_of",
    "read",
    "remove",
    "require_remote",
    "shown",
    "statuses",
    "suffix_of",
    "text_of",
    "unspelled",
    "uploaded",
    "write",
]
