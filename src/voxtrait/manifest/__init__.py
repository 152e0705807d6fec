"""The table of clips: its columns, its splits, and where clips went on the way into it."""

from voxtrait.manifest.table import (
    SCHEMA,
    SPLIT_UNIT,
    check_name,
    check_replaceable,
    conform,
    history,
    known,
    lookup,
    moved,
    read,
    with_absolute_paths,
    with_relative_paths,
    write,
)

__all__ = [
    "SCHEMA",
    "SPLIT_UNIT",
    "check_name",
    "check_replaceable",
    "conform",
    "history",
    "known",
    "lookup",
    "moved",
    "read",
    "with_absolute_paths",
    "with_relative_paths",
    "write",
]
