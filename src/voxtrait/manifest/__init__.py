"""The manifest, a table with one row per clip: schema, reading and writing, splits, and the funnel of dropped rows."""

from voxtrait.errors import require_corpus

require_corpus("reading tables")

from voxtrait.manifest.table import (
    SCHEMA,
    SPLIT_UNIT,
    check_name,
    check_replaceable,
    check_split_kept,
    conform,
    history,
    known,
    lookup,
    moved,
    read,
    sorted_by_id,
    with_absolute_paths,
    with_relative_paths,
    write,
)

__all__ = [
    "SCHEMA",
    "SPLIT_UNIT",
    "check_name",
    "check_replaceable",
    "check_split_kept",
    "conform",
    "history",
    "known",
    "lookup",
    "moved",
    "read",
    "sorted_by_id",
    "with_absolute_paths",
    "with_relative_paths",
    "write",
]
