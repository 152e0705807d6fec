"""Predictions as a table: the schema of shards, and the files that they are joined to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from voxtrait import storage
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import OptionError
from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize.prediction import CSV_FIELDS, FIELDS, UNPRINTED, Prediction

TABLE_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")


def table_row(one: Prediction) -> dict[str, Any]:
    """Give a prediction as a row of :func:`table_schema`."""
    return one.to_dict() | {name: getattr(one, name) for name in UNPRINTED}


def table_schema() -> dict[str, Any]:
    """Give the Polars schema of predictions as a table: the fields of a prediction, and those that are not printed."""
    import polars as pl

    texts = ("path", "status", "message", "gender", "age_group", "model", "voices", "joint_class")
    groups = pl.Struct(dict.fromkeys(AGE_GROUPS, pl.Float64))
    return {
        name: pl.String if name in texts else groups if name == "age_groups" else pl.Float64
        for name in (*FIELDS, *UNPRINTED)
    }


def write_table(shards: Sequence[Path], target: str | os.PathLike[str]) -> None:
    """Join shards into one file by its ending: ``.parquet``, ``.csv`` (without ``age_groups``) or ``.jsonl``.

    Args:
        shards: as :meth:`Recognizer.predict_shards` returns them; bytes without a path have the path ``-``.
        target: a path or a URL; it appears only when it is whole, in memory that does not grow with its length.

    Raises:
        OptionError: if the ending is another one.
    """
    import polars as pl

    check_table_name(target)
    table = pl.scan_parquet(list(shards)).select(FIELDS).with_columns(pl.col("path").fill_null("-"))
    with atomic_path(target) as part:
        match storage.suffix_of(os.fspath(target)):
            case ".parquet":
                table.sink_parquet(part)
            case ".csv":
                table.select(CSV_FIELDS).sink_csv(part)
            case _:
                table.sink_ndjson(part)


def check_table_name(target: str | os.PathLike[str]) -> None:
    """Refuse a file name for predictions before hours are spent on them.

    Raises:
        OptionError: if the ending is not ``.parquet``, ``.csv`` or ``.jsonl``, or it is a web server's.

    Examples:
        >>> check_table_name("out.xlsx")
        Traceback (most recent call last):
        ...
        voxtrait.errors.OptionError: got the output file out.xlsx, expected one ending in .parquet, .csv, .jsonl
    """
    if storage.is_url(target):
        storage.check_writable(target)
    if storage.suffix_of(os.fspath(target)) not in TABLE_SUFFIXES:
        raise OptionError(
            f"got the output file {os.fspath(target)}, expected one ending in {', '.join(TABLE_SUFFIXES)}"
        )
