"""Files behind URLs, by fsspec: ``s3://bucket/clips``, ``gs://…``, ``https://host/clip.mp3``.

A name is a URL if ``://`` is in it; fsspec (the extra ``[remote]``) is imported only then. URLs stay plain strings,
for ``Path`` would swallow a slash of them. Credentials come from where the libraries look for them (environment,
configuration files, the machine's role) and are in no message and no table.

A file is read by one request, whole; a folder is listed by one request a thousand files; a file is written by one
request and is there only when it is whole. What fails for reasons of the network is tried three times.
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
