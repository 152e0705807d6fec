"""The manifest: a table with one row per clip. Schema, validation, reading and writing.

A manifest always has the columns of ``SCHEMA``, in this order and with these types. The extra columns of a corpus
follow under their own names. Unknown values are null, never an empty string.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait import storage
from voxtrait.audio.writing import atomic_path, create_folder
from voxtrait.errors import AudioMissingError, ManifestError, OptionError, StorageError, counted
from voxtrait.labels import AGE_GROUPS, SPLITS, UNKNOWN_WORDS
from voxtrait.manifest import funnel, parquet
from voxtrait.manifest.faults import TABLE_ERRORS, reason
from voxtrait.manifest.funnel import Step
from voxtrait.manifest.narrow import joined

SCHEMA: Final[dict[str, type[pl.DataType]]] = {
    # Name of the clip, `corpus/release/locale/stem`. Unique in a manifest, and the same in every import. Never null.
    "clip_id": pl.String,
    # Audio file: relative to the manifest's folder, absolute, or a URL. Never null.
    "path": pl.String,
    "speaker_id": pl.String,  # Name of the speaker, unique in the manifest. Null if the corpus has no speaker ids.
    # `female`, `male`, or another self-description as written in the corpus. Null if unknown.
    "gender": pl.String,
    "age_group": pl.String,  # Decade of the age, from `under_ten` to `nineties`. Null if unknown.
    "age_years": pl.Float64,  # Age in years. Null if unknown, or if the corpus has only decades.
    "split": pl.String,  # `train`, `validation` or `test`. Null if the clip is in no split.
    "corpus": pl.String,  # Name of the corpus, such as `common-voice`. Null if unknown.
    "release": pl.String,  # Name of the release, such as `cv-corpus-6.1-2020-12-11`. Null if the corpus has none.
    "locale": pl.String,  # Language of the clip, such as `en`. Null if unknown.
    "accent": pl.String,  # Accent as written in the corpus. Null if unknown.
    "duration_s": pl.Float64,  # Duration in seconds. Null if unknown.
    "sentence": pl.String,  # Text that was read. Null if unknown.
}
SPLIT_UNIT: Final = "split_unit"
"""Extra column; ``clip`` marks rows that were split without a speaker id (``--allow-leak``)."""

LABELS: Final = ("gender", "age_group", "age_years")
"""The columns in which words for "unknown" are read as null. In other columns ``N/A`` is ordinary text."""

MOST_COLUMNS: Final = 2000  # of a table; the widest known one has 90
_BYTES: Final = 8  # of a number
_HISTORY: Final = "voxtrait.funnel"  # key of a Parquet file's own metadata


def conform(table: pl.DataFrame) -> pl.DataFrame:
    """Convert a table to the manifest's columns, order and types.

    Empty strings become null. Extra columns follow the columns of ``SCHEMA``. Without a column ``clip_id``, clips
    are named by ``path`` without its ending.

    Raises:
        ManifestError: if there is no column ``path``, a column cannot be cast, a ``path`` or ``clip_id`` is missing, a
            ``clip_id`` is repeated, or a ``split`` or ``age_group`` is unknown.

    Examples:
        >>> table = conform(pl.DataFrame({"path": ["clips/a.mp3"], "gender": [""]}))
        >>> table["clip_id"][0], table["gender"][0], table.columns == list(SCHEMA)
        ('clips/a', None, True)
    """
    if table.width > MOST_COLUMNS:
        raise ManifestError(f"A manifest has {table.width:,} columns. Expected at most {MOST_COLUMNS:,}.")
    if "path" not in table.columns:
        columns = ", ".join(table.columns[:12])[:200]
        raise ManifestError(
            f"No column 'path' (columns: {columns}). Expected a manifest. To convert another table: voxtrait "
            "corpus import TABLE all.parquet"
        )
    if "clip_id" not in table.columns:
        table = table.with_columns(clip_id=pl.col("path").cast(pl.String).str.replace(r"\.[^./]+$", ""))
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in table.columns]
    return _typed(table.with_columns(missing), SCHEMA)


def _typed(table: pl.DataFrame, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """Cast columns to their types, replace empty strings by null, and check the values."""
    extra = [name for name in table.columns if name not in schema]
    labels = [name for name in LABELS if table.schema.get(name) == pl.String]
    table = table.with_columns(known(name) for name in labels if _has_unknown(table.select(pl.col(name).unique())))
    try:
        table = table.select(
            [pl.col(name).cast(kind) for name, kind in schema.items()] + [pl.col(name) for name in extra]
        )
    except TABLE_ERRORS as error:
        raise ManifestError(f"A column has values of the wrong type: {reason(error)}") from None
    if "age_years" in schema:  # NaN is pandas' null
        table = table.with_columns(pl.col("age_years").fill_nan(None))
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    blanks = table.select((pl.col(name) == "").any() for name in texts)
    blank = [name for name in texts if blanks[name][0]]  # most columns have none and are not copied
    table = table.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in blank)
    for column, allowed in (("split", SPLITS), ("age_group", AGE_GROUPS)):
        if column in table.columns:
            _refuse_unknown(table, column, allowed)
    for column in {"clip_id", "path"} & set(table.columns):
        if table[column].null_count():
            raise ManifestError(f"{counted(table[column].null_count(), 'row has', 'rows have')} no {column}.")
    if "clip_id" in table.columns and not _is_unique(table["clip_id"]):
        repeated = table.filter(pl.col("clip_id").is_duplicated())["clip_id"][0]
        raise ManifestError(f"clip_id {repeated!r} is on more than one row. Expected one row per clip_id.")
    return table


def known(column: str) -> pl.Expr:
    """Return a text column with words for "unknown" replaced by null.

    Examples:
        >>> pl.DataFrame({"g": ["male", " NaN", "unknown", "Agender"]}).select(known("g"))["g"].to_list()
        ['male', None, None, 'Agender']
    """
    return pl.when(~_is_unknown(column)).then(pl.col(column)).alias(column)


def _has_unknown(labels: pl.DataFrame) -> bool:
    return bool(labels.select(_is_unknown(labels.columns[0]).any()).item())


def _is_unknown(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().str.to_lowercase().is_in(UNKNOWN_WORDS)


def _is_unique(names: pl.Series) -> bool:
    if names.is_sorted():  # as 'corpus import' and 'corpus split' write them
        return not (names == names.shift()).any()
    return names.n_unique() == len(names)


def _refuse_unknown(table: pl.DataFrame, column: str, known: tuple[str, ...]) -> None:
    unknown = table.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(known))[column]
    if unknown.len():
        raise ManifestError(f"Got {column} {unknown[0]!r}. Expected one of {', '.join(known)}, or no value.")


def read(path: str | os.PathLike[str], columns: Collection[str] | None = None) -> pl.DataFrame:
    """Read a manifest in the format of its file ending: ``.parquet``, ``.csv`` or ``.tsv``.

    Args:
        path: the file or its URL.
        columns: columns of ``SCHEMA`` to read; other columns are neither read nor checked. ``None`` reads all
            columns, including extra ones.

    Returns:
        The manifest. ``path`` is unchanged; :func:`voxtrait.manifest.with_absolute_paths` resolves it.

    Raises:
        ManifestError: if the file does not exist, has another ending, or is not a manifest.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "all.csv").write_text("path,gender\\na.mp3,male\\n")
        ...     read(f"{folder}/all.csv", ("clip_id", "gender")).rows()
        [('a', 'male')]
    """
    if storage.is_url(path):
        try:
            with storage.local_copies([path]) as (copy,):
                return read(copy, columns)
        except (StorageError, AudioMissingError) as error:
            raise ManifestError(str(error)) from None
    file = Path(path)
    if file.is_dir():
        raise ManifestError(
            f"{file} is a folder. Expected a manifest. To make one: voxtrait corpus import {file} all.parquet"
        )
    if not file.is_file():
        raise ManifestError(f"No such manifest: {file}. To make it: voxtrait corpus import SOURCE {file.name}")
    try:
        match file.suffix.lower():
            case ".parquet":
                rows = pl.scan_parquet(readable(file))
            case ".csv":
                rows = pl.scan_csv(readable(file), infer_schema=False)
            case ".tsv":
                rows = pl.scan_csv(readable(file), separator="\t", infer_schema=False)
            case other:
                raise ManifestError(f"Got a manifest ending in {other!r}. Expected .parquet, .csv or .tsv.")
        there = rows.collect_schema().names()
        if columns is None or not {"path", *({"clip_id"} & set(columns))} <= set(there):
            whole = conform(_collected(rows, there, file))
            return whole if columns is None else whole.select(columns)
        table = _collected(rows, [name for name in there if name in columns], file)
    except TABLE_ERRORS as error:
        raise ManifestError(f"{file} cannot be read as a manifest: {reason(error)}") from None
    wanted = {name: SCHEMA[name] for name in SCHEMA if name in columns}
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in wanted.items() if name not in there]
    return _typed(table.with_columns(missing), wanted)


def _collected(rows: pl.LazyFrame, names: Sequence[str], file: Path) -> pl.DataFrame:
    if file.suffix.lower() != ".parquet" or not names:
        return rows.select(names).collect()
    # one after the other: all together, with their buffers, take a fifth more memory
    return joined(rows.select(name).collect().to_series() for name in names)


def readable(path: Path) -> Path | BytesIO:
    """Return a source that Polars can open: the path, or the file's content if its name is not UTF-8.

    Raises:
        OSError: if the file cannot be opened, or is a Parquet file with impossible sizes.
    """
    if path.suffix.lower() == ".parquet":
        parquet.check(path)
    return path if storage.text_of(path) == str(path) else BytesIO(path.read_bytes())


def check_name(path: str | os.PathLike[str]) -> None:
    """Check that a manifest can be written under a name, before any work is done.

    Raises:
        ManifestError: if the ending is not ``.parquet``, ``.csv`` or ``.tsv``, or the name is a URL.

    Examples:
        >>> check_name("all.parquet")
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", os.fspath(path)):  # as ``Path`` leaves a URL, with one slash
        raise ManifestError(
            f"Cannot write a manifest to the URL {os.fspath(path)}. Write it to a path, then copy the file."
        )
    if storage.suffix_of(os.fspath(path)) not in (".parquet", ".csv", ".tsv"):
        raise ManifestError(
            f"Got the manifest name {os.fspath(path)!r}. Expected one ending in .parquet, .csv or .tsv."
        )


def check_replaceable(path: str | os.PathLike[str], sources: Sequence[str | os.PathLike[str]] = ()) -> int | None:
    """Check that writing a manifest overwrites only a manifest, and none of its sources.

    Returns:
        The number of rows of the existing manifest; ``None`` if the file does not exist.

    Raises:
        OptionError: if the file is one of the sources, or exists and is not a manifest.
    """
    place = Path(path)
    if not place.exists():
        return None
    shown = storage.text_of(place)
    if any(place.samefile(one) for one in sources if not storage.is_url(os.fspath(one)) and Path(one).exists()):
        raise OptionError(f"{shown} is both source and output. Choose another name for the output.")
    try:
        return read(place, ("clip_id", "path")).height
    except (ManifestError, OSError):
        raise OptionError(
            f"{shown} exists and is not a manifest. Choose another name for the output, or delete that file."
        ) from None


def check_split_kept(table: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Check that replacing a manifest loses no split.

    Args:
        table: the new manifest.
        path: the existing manifest.

    Raises:
        OptionError: if the existing manifest has a split for a clip, and the new one has none at all.
    """
    split = read(path, ("split",))["split"].count()
    if split and not table["split"].count():
        raise OptionError(
            f"{storage.text_of(path)} has a split of {split:,} clips, and this import has none. Choose another name "
            "for the output, or pass --overwrite and run 'voxtrait corpus split' again."
        )


def history(path: str | os.PathLike[str]) -> list[Step]:
    """Read the funnel stored in a Parquet manifest; empty for CSV and TSV, which cannot store one."""
    if Path(path).suffix.lower() != ".parquet":
        return []
    try:
        return funnel.decode(pl.read_parquet_metadata(readable(Path(path))).get(_HISTORY))
    except TABLE_ERRORS:
        return []


def write(table: pl.DataFrame, path: str | os.PathLike[str], steps: Sequence[Step] = ()) -> None:
    """Write a manifest in the format of its file ending, atomically.

    The bytes depend only on the table and the funnel.

    Args:
        table: the manifest.
        path: the file to write.
        steps: the funnel to store with the manifest. CSV and TSV cannot store one.

    Raises:
        ManifestError: if the ending is not ``.parquet``, ``.csv`` or ``.tsv``.
    """
    check_name(path)
    file = Path(path)
    table = conform(table)
    create_folder(file.parent)
    with atomic_path(file) as unfinished, unfinished.open("wb") as part:  # Polars opens only names in UTF-8
        match file.suffix.lower():
            case ".parquet":
                known_steps = {_HISTORY: funnel.encode(steps)} if steps else None
                table.write_parquet(part, compression_level=1, metadata=known_steps)  # not larger here, and faster
            case ".csv":
                table.write_csv(part)
            case _:
                table.write_csv(part, separator="\t")


def sorted_by_id(table: pl.DataFrame) -> pl.DataFrame:
    """Sort a table by ``clip_id``; ``table`` is emptied, so that a large one is never in memory twice.

    The names of one corpus begin alike, and comparing texts beyond their first bytes is slow. So names that differ in
    at most eight bytes are sorted as numbers.

    Examples:
        >>> sorted_by_id(pl.DataFrame({"clip_id": ["c/12", "c/9", "c/1"], "split": ["a", "b", "c"]}))["split"].to_list()
        ['c', 'a', 'b']
    """
    order = _order(table["clip_id"])
    return table if order is None else joined(table.drop_in_place(name).gather(order) for name in table.columns)


def _order(names: pl.Series) -> pl.Series | None:
    """Return the order that sorts names; ``None`` if they are sorted."""
    if names.is_sorted():
        return None
    start = os.path.commonprefix([str(names.min()), str(names.max())])  # noqa: RUF071 - of texts, not of paths
    rest = names.str.slice(len(start))
    lengths = rest.str.len_bytes()
    if lengths.max() <= _BYTES and (lengths == rest.str.len_chars()).all():  # type: ignore[operator]
        padded = rest.str.pad_end(_BYTES, "\0").cast(pl.Binary)
        rest = padded.bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return rest.arg_sort()


def lookup(table: pl.DataFrame, other: pl.DataFrame, on: str, column: str) -> pl.Series:
    """Return a column of another table, matched to the rows of ``table`` by a unique key.

    Rows without a match get null. A join of the whole table would copy all of its columns.

    Examples:
        >>> ages = pl.DataFrame({"speaker_id": ["b"], "age": [30]})
        >>> lookup(pl.DataFrame({"speaker_id": ["a", "b", None]}), ages, "speaker_id", "age").to_list()
        [None, 30, None]
    """
    return table.select(on).join(other.select(on, column), on=on, how="left", maintain_order="left")[column]


def with_absolute_paths(table: pl.DataFrame, folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Resolve ``path`` against the manifest's folder, which may be a URL; absolute paths and URLs are unchanged."""
    base = folder.rstrip("/") if storage.is_url(folder) else storage.text_of(Path(folder).resolve())
    absolute = pl.col("path").str.starts_with("/") | pl.col("path").str.contains(r"^[A-Za-z]:[\\/]|://")
    return table.with_columns(
        path=pl.when(absolute).then(pl.col("path")).otherwise(pl.lit(base + "/") + pl.col("path"))
    )


def with_relative_paths(table: pl.DataFrame, folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Make paths below a folder relative to it; other paths are unchanged."""
    path = pl.col("path")
    # links are kept, then followed
    for base in dict.fromkeys((os.path.abspath(folder), os.path.realpath(folder))):  # noqa: PTH100
        path = path.str.strip_prefix(storage.text_of(base).rstrip("/") + "/")
    return table.with_columns(path=path)


def moved(table: pl.DataFrame, here: str | os.PathLike[str], there: str | os.PathLike[str]) -> pl.DataFrame:
    """Rewrite the relative paths of a manifest that moves from folder ``here`` to folder ``there``."""
    if Path(here).resolve() == Path(there).resolve():
        return table
    return with_relative_paths(with_absolute_paths(table, here), there)
