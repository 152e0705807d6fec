"""Layout of a single table with one row per clip: a manifest, or any other table that names audio files.

Source: any; ``voxtrait corpus import`` and ``corpus export --to csv`` write such tables. Licence: that of the clips.

Tree::

    clips.csv                       or .tsv, .parquet, .jsonl: import the file itself
    my-export/                      or a folder with only manifest.csv and audio/
        manifest.csv
        audio/one.ogg

Columns: the file of the clip is in ``path``, ``file``, ``file_name``, ``filename``, ``audio``, ``audio_path`` or
``wav``, absolute or relative to the table. The other columns are as in
:mod:`voxtrait.corpora.layouts.audio_folder`. A table with all columns of a manifest is read as a manifest: clip ids,
splits and extra columns are kept.

Known problems:

- TSV is read without quotes, as in Common Voice, but the TSV of a manifest with quotes, as voxtrait writes it.
- ``path`` may name a file that only the author of the table has; ``corpus check`` reports missing files.
- If a table is named after a split (``train.csv``) and has no column for it, all clips are in that split.
- Columns of numbers, lists and records become text; columns of bytes are dropped.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Final, NamedTuple

import polars as pl

from voxtrait.corpora import delimited, spellings
from voxtrait.corpora.source import (
    UNREADABLE,
    Listing,
    Rows,
    Source,
    complete,
    drop_nameless,
    file_name,
    rename,
    without_suffix,
)
from voxtrait.errors import CorpusError
from voxtrait.labels import GENDERS
from voxtrait.manifest.faults import TABLE_ERRORS, reason
from voxtrait.manifest.table import MOST_COLUMNS, SCHEMA, SPLIT_UNIT, readable

LAYOUT: Final = "table"
EXPECTED: Final = "table: only manifest.csv (.tsv, .parquet, .jsonl) and audio/"
EXPECTED_FILE: Final = "a table of clips: .csv, .tsv, .parquet or .jsonl, with a column path, file, file_name or audio"
SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
FILES: Final = ("path", "file", "file_name", "filename", "audio", "audio_path", "wav")
PLAIN_NAMES: Final = ("manifest", "metadata", "clips", "index", "all", "data", "files")  # too generic to name a corpus

MOST_TIMES: Final = 200  # uncompressed size of a file of JSON lines, as a multiple of its size, …
SPARE_BYTES: Final = 1 << 28  # … and so many bytes
LONGEST_LINE: Final = 1 << 26  # bytes
_FIELD: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*+:')
_PIECE: Final = 1 << 22  # bytes whose fields are looked at together
_CHUNK: Final = 1 << 26  # bytes of JSON lines parsed at a time
_OWN: Final = frozenset(SCHEMA) - {"path", "split"}
_COLUMNS: Final = {
    "speaker_id": ("speaker_id", "speaker", "client_id"),
    "gender": ("gender", "sex"),
    "age": ("age_years", "age", "age_group"),
    "split": ("split",),
    "locale": ("locale", "language"),
    "accent": ("accent", "accents"),
    "duration_s": ("duration_s", "duration"),
    "sentence": ("sentence", "text", "transcription", "transcript"),
}
_ELSEWHERE: Final = {name for names in _COLUMNS.values() for name in names} - set(
    SCHEMA
)  # columns that are not in a manifest
MANIFEST_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in SCHEMA if name not in ("path", "age_group", "age_years")},
    "age": ("age_years", "age_group", "age"),
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder that contains only a manifest, or a manifest and its exported audio."""
    if not _manifests(listing) or listing.folders - {"audio"}:
        return None
    return Source(LAYOUT, listing.folder, listing.folder.name)


def _manifests(listing: Listing) -> list[str]:
    return [f"manifest{suffix}" for suffix in SUFFIXES if f"manifest{suffix}" in listing.files]


def find_file(path: Path) -> Source | None:
    """Recognise a file by its ending; the corpus is named after it, or after its folder if its name is generic.

    Raises:
        CorpusError: if the file is a table of Common Voice, whose clips are found only from the whole folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    if path.suffix.lower() == ".tsv" and (path.parent / "clips").is_dir():
        raise CorpusError(f"{path} is one table of a Common Voice release. Import its folder: {path.parent}")
    plain = path.stem.lower() in (*PLAIN_NAMES, *spellings.SPLIT_SPELLINGS)
    return Source(LAYOUT, path.parent, path.parent.name if plain else path.stem, file=path)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the table.

    Args:
        source: a result of :func:`find` or :func:`find_file`.
        tables: ignored.

    Raises:
        CorpusError: if no column names a file, or the file is not a table.
    """
    path = source.file or source.folder / _manifests(Listing.of(source.folder))[0]
    bad = Bad([], Counter())
    table, unreadable = read_any(path, bad)
    if not {name.lower() for name in table.columns} & set(FILES):
        raise CorpusError(
            f"{path} has the columns {delimited.shown(table.columns)}. Expected one with the clip's file: "
            f"{', '.join(FILES)}."
        )
    rows, nameless = drop_nameless(renamed(table, FILES))
    if path.stem.lower() in spellings.SPLIT_SPELLINGS and not rows["split"].count():
        rows = rows.with_columns(split=pl.lit(spellings.SPLIT_SPELLINGS[path.stem.lower()]))
    rows = with_stem(rows.with_columns(spellings.split("split")))
    examples = [f"{path.name}:{line}" for line in bad.lines]
    dropped = {UNREADABLE: unreadable, **nameless}
    return Rows(complete(rows), [path.name], dropped, examples={UNREADABLE: examples}, reasons=bad.reasons)


def is_foreign(path: Path) -> bool:
    """Return whether a file is a table of clips but not a manifest, judged by its ending and columns."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return False
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        return True
    try:
        names = (
            pl.read_parquet_schema(readable(path)) if path.suffix.lower() == ".parquet" else delimited.columns_of(path)
        )
    except (CorpusError, *TABLE_ERRORS):
        return False  # reading it raises the error
    lower = {name.lower() for name in names}
    if "path" not in lower:
        return bool(lower & set(FILES))
    if is_manifest(list(names)) or "clip_id" in names:
        return False
    return bool(lower & _ELSEWHERE) or ("gender" in names and _has_spellings(path))


def _has_spellings(path: Path) -> bool:
    """Return whether a table has a gender in a spelling that manifests do not have, such as ``F``."""
    try:
        written = read_any(path)[0]["gender"].cast(pl.String).drop_nulls().unique()
    except CorpusError:
        return False  # reading it raises the error
    return any(spellings.word(one) in spellings.GENDER_SPELLINGS and one not in GENDERS for one in written)


def is_manifest(columns: Sequence[str]) -> bool:
    """Return whether a table has the columns of a manifest; ``path`` and ``split`` may come from elsewhere."""
    return set(columns) >= _OWN


def renamed(table: pl.DataFrame, files: Sequence[str]) -> pl.DataFrame:
    """Rename the columns of a table to those of :data:`~voxtrait.corpora.source.ROW_SCHEMA`.

    The columns of a manifest keep their names and the clip ids. Other tables are read by common column names.

    Args:
        table: columns of any type; they are converted to text.
        files: possible names of the column with files, in lower case.
    """
    own = is_manifest(table.columns)
    # a split by clip stays marked
    unit: dict[str, tuple[str, ...]] = {SPLIT_UNIT: (SPLIT_UNIT,)} if SPLIT_UNIT in table.columns else {}
    table = as_text(table)
    if own and (kept := next((name for name in files if name in table.columns), None)):
        files = (kept,)  # the others are extra columns of the manifest
    rows = rename(table, {"file": tuple(files), **(MANIFEST_COLUMNS | unit if own else _COLUMNS)})
    if own:
        return rows
    # other tables may have ./a.wav, or blanks around names
    return rows.with_columns(pl.col("file").str.strip_chars().str.replace(r"^\./", ""))


def as_text(table: pl.DataFrame) -> pl.DataFrame:
    """Convert all columns to text: lists and records to JSON, durations to seconds; bytes are dropped."""
    out = []
    for name, kind in table.schema.items():
        column = pl.col(name)
        if kind == pl.Binary or kind == pl.Object:
            continue
        if isinstance(kind, pl.List | pl.Array | pl.Struct):
            out.append(json_text(name))
        elif kind == pl.Duration:
            out.append((column.dt.total_microseconds() / 1e6).cast(pl.String))
        else:
            out.append(column.cast(pl.String))
    return table.select(out)


def json_text(name: str) -> pl.Expr:
    """Return the values of a column as JSON text; nulls stay null."""
    head = len(json.dumps(name, ensure_ascii=False)) + 2  # {"name":
    encoded = pl.struct(name).struct.json_encode().str.strip_suffix("}")
    return pl.when(pl.col(name).is_not_null()).then(encoded.str.slice(head)).alias(name)


def with_stem(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``stem``, the name of the clip in its corpus.

    It is the last part of the clip id of a manifest; otherwise the file name without ending, if unique in the table;
    otherwise the path with ending.
    """
    stems = rows.select("file").unique().select("file", stem=without_suffix("file")).with_columns(file_name("stem"))
    stems = stems.with_columns(
        stem=pl.when(pl.col("stem").is_duplicated()).then(pl.col("file")).otherwise(pl.col("stem"))
    )
    rows = rows.join(stems, on="file", how="left", maintain_order="left")
    if "clip_id" not in rows.columns:
        return rows
    known = pl.col("clip_id").str.extract(r"(?s)^(?:[^/]*/){3}(.*)$")
    return rows.with_columns(stem=pl.coalesce(known, "clip_id", "stem"))


class Bad(NamedTuple):
    """The unreadable rows of one table."""

    lines: list[int]  # line numbers of the first few
    reasons: Counter[str]


def read_any(path: Path, bad: Bad | None = None) -> tuple[pl.DataFrame, int]:
    """Read a table in the format of its file ending.

    Args:
        path: path of the table.
        bad: gets the lines of unreadable rows, and the reasons.

    Returns:
        The table, and the number of unreadable rows.

    Raises:
        CorpusError: if the file is not a table in this format.
    """
    bad = Bad([], Counter()) if bad is None else bad
    try:
        match path.suffix.lower():
            case ".parquet":
                return pl.read_parquet(readable(path)), 0
            case ".jsonl" | ".ndjson" | ".gz":
                return read_json_lines(path, bad)
            case _:
                return _read_text(path, bad)
    except (*TABLE_ERRORS, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read as a table: {reason(error)}") from None


def _read_text(path: Path, bad: Bad) -> tuple[pl.DataFrame, int]:
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    with path.open("rb") as data:
        header = data.readline().decode(errors="replace").strip().split(separator)
    if is_manifest([name.strip('"') for name in header]):
        try:  # as voxtrait writes it, with valid quotes: one pass without Python objects
            return pl.read_csv(readable(path), separator=separator, infer_schema=False), 0
        except TABLE_ERRORS:
            pass  # another program changed it: read row by row, so that only damaged rows are lost
    return delimited.read(path, bad_lines=bad.lines, reasons=bad.reasons)


def read_json_lines(path: Path, found: Bad | None = None) -> tuple[pl.DataFrame, int]:
    """Read a file with one JSON object per line, plain or gzipped.

    Args:
        path: path of the file.
        found: gets the numbers of unreadable lines, and the reasons.

    Returns:
        The table, with a column for each key, and the number of lines that are not JSON objects.

    Raises:
        CorpusError: if no line is a JSON object.
        OSError: if the file cannot be read or decompressed.
    """
    parts, bad, first = [], 0, 1
    fields: set[bytes] = set()
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as data:
        for chunk in _chunks(data, path):
            _check_fields(chunk, fields, path)
            try:
                parts.append(pl.read_ndjson(chunk, infer_schema_length=None))
            except TABLE_ERRORS:
                lines = chunk.split(b"\n")
                good = [line for line in lines if line.strip() and _is_object(line)]
                wrong = [at for at, line in enumerate(lines, first) if line.strip() and not _is_object(line)]
                bad += len(wrong)
                if found is not None:
                    found.lines.extend(wrong[: max(0, delimited.FIRST - len(found.lines))])
                    found.reasons["not a JSON object"] += len(wrong)
                if good:
                    parts.append(pl.read_ndjson(BytesIO(b"\n".join(good)), infer_schema_length=None))
            first += chunk.count(b"\n")
    if not parts:
        raise CorpusError(f"{path} has no JSON objects. Expected one per line and clip.")
    return pl.concat(parts, how="diagonal_relaxed"), bad


def _chunks(data: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    """Yield chunks of whole lines; a file that swells when it is decompressed is refused."""
    left = MOST_TIMES * path.stat().st_size + SPARE_BYTES
    while chunk := data.read(_CHUNK):
        rest = data.readline(LONGEST_LINE)
        if len(rest) == LONGEST_LINE:
            raise CorpusError(f"{path} has a line of more than {LONGEST_LINE:,} bytes. Expected one clip per line.")
        left -= len(chunk) + len(rest)
        if left < 0:
            raise CorpusError(f"{path} expands to more than {MOST_TIMES} times its size, as no table does.")
        chunk += rest
        if chunk.strip():
            yield chunk


def _check_fields(chunk: bytes, fields: set[bytes], path: Path) -> None:
    """Refuse a file with very many different fields: a table of them would have more cells than the file has bytes."""
    for at in range(0, len(chunk), _PIECE):  # names that are cut here count as others
        fields.update(_FIELD.findall(chunk[at : at + _PIECE]))
        if len(fields) > MOST_COLUMNS:
            raise CorpusError(f"{path} has more than {MOST_COLUMNS:,} different fields. Expected one clip per line.")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
