"""Predictions as a table: the schema of shards, and the files that they are joined to."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voxtrait import storage
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import AudioMissingError, OptionError
from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize.prediction import CSV_FIELDS, FIELDS, UNPRINTED, Prediction

if TYPE_CHECKING:
    import polars as pl

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
        OptionError: if the ending is not ``.parquet``, ``.csv`` or ``.jsonl``, if it is on a web server, or if its
            name is not UTF-8.

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
    if storage.text_of(target) != os.fspath(target):  # Polars opens files by names in UTF-8
        raise OptionError(f"The name of the output file {storage.text_of(target)} is not UTF-8. Choose another name.")


def check_replaceable(
    target: str | os.PathLike[str], paths: Iterable[str], model: str, *, channels: bool = False
) -> None:
    """Refuse to replace a finished table that holds anything but predictions of the same files by the same bundle.

    Nothing is lost if the new table has a row for each file of the old one, so it may have more.

    Args:
        target: a path or a URL, as for :func:`write_table`.
        paths: the files of the new table, as predictions name them; ``-`` for bytes.
        model: title of the bundle of the new table.
        channels: whether the new table has a row for each channel, whose path ends in ``#`` and its number.

    Raises:
        OptionError: if predictions, or other content, would be lost.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.csv").write_text("path,model\\na.mp3,voxtrait-base 2.1\\n")
        ...     check_replaceable(f"{folder}/a.csv", ["a.mp3", "b.mp3"], "voxtrait-base 2.1")
        ...     check_replaceable(f"{folder}/b.csv", ["c.mp3"], "voxtrait-base 2.1")
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

    remedy = "Pass --overwrite to replace it, or choose another name with --out."
    if not file.stat().st_size:
        return
    try:
        rows = _scan(file, storage.suffix_of(name)).select("path", "model").collect()
    except (pl.exceptions.PolarsError, OSError):
        raise OptionError(f"{name} exists and holds no predictions. {remedy}") from None
    models = rows["model"].drop_nulls().unique().sort().to_list()
    if set(models) - {model}:
        raise OptionError(f"{name} holds predictions of {', '.join(models)}. This run would use {model}. {remedy}")
    path = pl.col("path").str.replace(r"#\d+$", "") if channels else pl.col("path")
    known = pl.Series("path", [storage.text_of(one) for one in paths], dtype=pl.String)
    lost = rows.select(path).filter(~pl.col("path").is_in(known.implode()))["path"]
    if lost.len():
        files = f"1 file that is not among the inputs: {lost[0]}"
        if lost.len() > 1:
            files = f"{lost.len()} files that are not among the inputs, such as {lost[0]}"
        raise OptionError(f"{name} holds predictions of {files}. {remedy}")


def _scan(file: Path, suffix: str) -> "pl.LazyFrame":
    import polars as pl

    match suffix:
        case ".parquet":
            return pl.scan_parquet(file)
        case ".csv":
            return pl.scan_csv(file, infer_schema=False)
        case _:
            return pl.scan_ndjson(file)
