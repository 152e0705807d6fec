"""Writes predictions as a table: schema, joining of shards, and checks of the output file."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voxtrait import storage
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import AudioMissingError, OptionError, require
from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize.prediction import CSV_FIELDS, FIELDS, UNPRINTED, Prediction

if TYPE_CHECKING:
    import polars as pl

TEXTS: Final = ("path", "status", "message", "gender", "age_group", "model", "voices", "joint_class")
"""The fields of a prediction that are texts."""

TABLE_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")


def table_row(one: Prediction) -> dict[str, Any]:
    """Return a prediction as a row of :func:`table_schema`."""
    return one.to_dict() | {name: getattr(one, name) for name in UNPRINTED}


def table_schema() -> dict[str, Any]:
    """Return the Polars schema of a table of predictions, including the fields that are not printed.

    Raises:
        MissingExtraError: if the extra ``[corpus]`` is not installed.
    """
    require("a table", "corpus", "polars")
    import polars as pl

    groups = pl.Struct(dict.fromkeys(AGE_GROUPS, pl.Float64))
    return {
        name: pl.String if name in TEXTS else groups if name == "age_groups" else pl.Float64
        for name in (*FIELDS, *UNPRINTED)
    }


def write_table(shards: Sequence[Path], target: str | os.PathLike[str]) -> None:
    """Join shards into one ``.parquet``, ``.csv`` (without ``age_groups``) or ``.jsonl`` file.

    Memory does not grow with the number of rows. The file appears only when it is complete.

    Args:
        shards: shards of :meth:`voxtrait.Recognizer.predict_shards`. A null path is written as ``-``.
        target: path or URL of the file.

    Raises:
        OptionError: if the suffix is not one of these.
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
    """Check the name of an output file before any work is done.

    Raises:
        OptionError: if the suffix is not ``.parquet``, ``.csv`` or ``.jsonl``, if the URL is that of a web server, or
            if the name is not UTF-8.

    Examples:
        >>> check_table_name("out.xlsx")
        Traceback (most recent call last):
        ...
        voxtrait.errors.OptionError: Got the output file out.xlsx. Expected one ending in .parquet, .csv or .jsonl.
    """
    if storage.is_url(target):
        storage.check_writable(target)
    if storage.suffix_of(os.fspath(target)) not in TABLE_SUFFIXES:
        raise OptionError(
            f"Got the output file {os.fspath(target)}. Expected one ending in {', '.join(TABLE_SUFFIXES[:-1])} or "
            f"{TABLE_SUFFIXES[-1]}."
        )
    if storage.text_of(target) != os.fspath(target):  # Polars opens files by names in UTF-8
        raise OptionError(f"The name of the output file {storage.text_of(target)} is not UTF-8. Choose another name.")


def check_replaceable(
    target: str | os.PathLike[str], paths: Iterable[str], model: str, *, channels: bool = False
) -> None:
    """Check that replacing a finished table loses nothing.

    The old table must contain only predictions by the same bundle, for files that the new table has too.

    Args:
        target: path or URL of the table, as for :func:`write_table`.
        paths: files of the new table, as predictions name them; ``-`` for bytes.
        model: title of the bundle of the new table.
        channels: whether the new table has one row per channel, whose path ends in ``#`` and the channel's number.

    Raises:
        OptionError: if predictions or other content would be lost.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.csv").write_text("path,model\\na.mp3,voxtrait-base 2.2\\n")
        ...     check_replaceable(f"{folder}/a.csv", ["a.mp3", "b.mp3"], "voxtrait-base 2.2")
        ...     check_replaceable(f"{folder}/b.csv", ["c.mp3"], "voxtrait-base 2.2")
    """
    if storage.is_url(target):
        try:
            with storage.local_copies([target]) as (copy,):
                _check_rows(Path(copy), storage.shown(target), paths, model, channels)
        except AudioMissingError:
            return
    elif Path(target).is_file():
        _check_rows(Path(target), os.fspath(target), paths, model, channels)


def _check_rows(file: Path, name: str, paths: Iterable[str], model: str, channels: bool) -> None:
    import polars as pl

    from voxtrait.manifest.faults import TABLE_ERRORS

    remedy = "Pass --overwrite to replace it, or use another name with --out."
    if not file.stat().st_size:
        return
    try:
        rows = _scan(file, storage.suffix_of(name)).select("path", "model").collect()
    except TABLE_ERRORS:
        raise OptionError(f"{name} exists and contains no predictions. {remedy}") from None
    models = rows["model"].drop_nulls().unique().sort().to_list()
    if set(models) - {model}:
        raise OptionError(f"{name} contains predictions of {', '.join(models)}. This run would use {model}. {remedy}")
    path = pl.col("path").str.replace(r"#\d+$", "") if channels else pl.col("path")
    known = pl.Series("path", [storage.text_of(one) for one in paths], dtype=pl.String)
    lost = rows.select(path).filter(~pl.col("path").is_in(known.implode()))["path"]
    if lost.len():
        files = f"1 file that is not among the inputs: {lost[0]}"
        if lost.len() > 1:
            files = f"{lost.len()} files that are not among the inputs, such as {lost[0]}"
        raise OptionError(f"{name} contains predictions of {files}. {remedy}")


def _scan(file: Path, suffix: str) -> "pl.LazyFrame":
    import polars as pl

    from voxtrait.manifest import parquet

    match suffix:
        case ".parquet":
            return pl.scan_parquet(parquet.checked(file))
        case ".csv":
            return pl.scan_csv(file, infer_schema=False)
        case _:
            return pl.scan_ndjson(file)
