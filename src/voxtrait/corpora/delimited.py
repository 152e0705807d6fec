"""Reads CSV and TSV tables; damaged lines are skipped and counted.

The TSV files of Common Voice have no quoting, so ``"`` is an ordinary character. CSV files have quoting.
"""

import codecs
import contextlib
import csv
import io
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import polars as pl

from voxtrait.errors import CorpusError, counted
from voxtrait.manifest.faults import TABLE_ERRORS, reason
from voxtrait.manifest.narrow import joined
from voxtrait.manifest.table import MOST_COLUMNS, lookup

CHUNK: Final = 1 << 24  # bytes read at a time: small enough for the processor's caches and for reuse of memory
BadLine: TypeAlias = tuple[int, str]  # its number, and the reason why it is skipped
NOT_UTF8: Final = "not UTF-8"
FIRST: Final = 5  # bad lines named per table
_BOM: Final = b"\xef\xbb\xbf"
_AGAIN: Final = "\0"  # prefix of a repeated header name


def read(
    path: Path,
    *,
    columns: Collection[str] | None = None,
    repeated: Collection[str] = (),
    bad_lines: list[int] | None = None,
    reasons: Counter[str] | None = None,
) -> tuple[pl.DataFrame, int]:
    """Read a table by its file ending: ``.csv`` with quotes, others as TSV without quotes.

    If the header has only one of comma, semicolon and tab, that is the separator. Lines may end as on any system. Files
    in UTF-16, such as Excel's "Unicode text", are converted.

    Args:
        path: a file with a header line; blank lines are ignored.
        columns: names of the columns to keep, if they exist; ``None`` keeps all.
        repeated: columns with long repeated values, such as speaker ids; each value is stored once.
        bad_lines: gets the line numbers, from 1, of the first few skipped rows.
        reasons: gets the number of skipped rows by reason.

    Returns:
        The table, and the number of rows skipped because they have another number of fields than the header, or are not
        UTF-8. All columns are text; empty fields are null. Of columns with the same name, only the first is read.

    Raises:
        CorpusError: if the file is empty or not a table.
    """
    bad_lines = [] if bad_lines is None else bad_lines
    reasons = Counter() if reasons is None else reasons
    with _opened(path) as data:
        header = data.readline().removeprefix(_BOM)
        if not header.strip():
            raise CorpusError(f"{path} is empty. Expected a table with a header line.")
        separator = _separator(header, path)
        quoted = separator != b"\t"
        try:
            names = _unique(header.rstrip(b"\r\n").decode().split(separator.decode()))
            if quoted and b'"' in header + data.read():
                data.seek(0)
                content = data.read().removeprefix(_BOM)
                table, unreadable = _read_quoted(content, separator.decode(), bad_lines, reasons)
                return table.select(name for name in table.columns if columns is None or name in columns), unreadable
            data.seek(0)
            data.readline()
            keep = [name for name in names if name[0] != _AGAIN and (columns is None or name in columns)]
            parts, unreadable = [], 0
            numbered = [pl.col(name).cast(pl.Categorical(pl.Categories.random())) for name in keep if name in repeated]
            for part, bad in _parsed(_chunks(data), separator, names, keep):
                parts.append(joined(part.with_columns(numbered).get_columns()))
                unreadable += len(bad)
                reasons.update(reason for _, reason in bad)
                bad_lines += [line for line, _ in bad[: max(0, FIRST - len(bad_lines))]]
        except UnicodeDecodeError:
            raise CorpusError(f"{path} is not UTF-8 text. Expected a table with a header line.") from None
        except (*TABLE_ERRORS, csv.Error) as error:
            raise CorpusError(f"{path} cannot be read as a table: {reason(error)}") from None
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(keep, pl.String)), unreadable
    # one chunk: later steps would copy a table of many chunks as a whole
    return joined(_column(parts, name) for name in keep), unreadable


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a table as UTF-8 whose header ends in a newline."""
    with path.open("rb") as data:
        start = data.readline()
        data.seek(0)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in start:
            yield io.BytesIO(data.read().decode("utf-16", errors="replace").replace("\r\n", "\n").encode())
        elif b"\r" in start.rstrip(b"\r\n"):  # line ends of old Mac programs, also written by Excel
            yield io.BytesIO(data.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        else:
            yield data


def columns_of(path: Path) -> list[str]:
    """Read the column names of a table.

    Raises:
        CorpusError: if the first line is not UTF-8 text.
    """
    with _opened(path) as data:
        header = data.readline().removeprefix(_BOM)
    try:
        return _unique(header.rstrip(b"\r\n").decode().split(_separator(header, path).decode()))
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8 text. Expected a table with a header line.") from None


def _separator(header: bytes, path: Path) -> bytes:
    """Return the separator: the only one in the header, otherwise that of the file ending."""
    expected = b"," if path.suffix.lower() == ".csv" else b"\t"
    others = [mark for mark in (b",", b";", b"\t") if mark in header]
    return others[0] if len(others) == 1 else expected


def _chunks(data: BinaryIO) -> Iterator[bytes]:
    """Yield chunks of about :data:`CHUNK` bytes of whole lines, each line ending in one newline."""
    rest = b""
    while read := data.read(CHUNK):
        whole, newline, after = read.rpartition(b"\n")
        if not newline:
            rest += read
            continue
        chunk, rest = rest + whole + newline, after
        yield chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk
    if rest:
        yield rest + b"\n"


def _parsed(
    chunks: Iterator[bytes], separator: bytes, names: list[str], keep: list[str]
) -> Iterator[tuple[pl.DataFrame, list[BadLine]]]:
    """Parse chunks of whole lines; yields the rows and the skipped lines of each.

    A chunk is parsed while the next one is read and counted.
    """
    first = 2  # the header is line 1
    waiting: deque[tuple[bytes, int, Future[pl.DataFrame] | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for chunk in chunks:
            chunk = _with_newlines(chunk, separator, len(names) - 1)
            lines = chunk.count(b"\n")
            # If the number of separators is right in total and no line has too many, no line has too few. So all
            # lines are parsed at once, and one by one only if that fails.
            plausible = chunk.count(separator) == lines * (len(names) - 1)
            if len(names) == 1:  # a blank line has as many separators as any other
                plausible = b"\n\n" not in chunk and chunk[:1] != b"\n"
            task = pool.submit(_parse_good, chunk, separator, names, keep) if plausible else None
            waiting.append((chunk, first, task))
            first += lines
            if len(waiting) > 2:
                yield _settled(*waiting.popleft(), separator, names, keep)
        while waiting:
            yield _settled(*waiting.popleft(), separator, names, keep)


def _settled(
    chunk: bytes, first: int, task: Future[pl.DataFrame] | None, separator: bytes, names: list[str], keep: list[str]
) -> tuple[pl.DataFrame, list[BadLine]]:
    if task is not None:
        with contextlib.suppress(*TABLE_ERRORS):
            return task.result(), []
    good, bad = _good_lines(chunk, separator, len(names) - 1)
    return _parse_good(good, separator, names, keep), [(first + at, reason) for at, reason in bad]


def _with_newlines(chunk: bytes, separator: bytes, separators: int) -> bytes:
    """Also end lines at each ``\\r`` if that makes most lines valid; otherwise it is part of a text."""
    if b"\r" not in chunk:
        return chunk
    good, lengths, _ = _fields_right(chunk, separator, separators)
    if not (~good & (lengths > 1)).any():
        return chunk
    ended = chunk.replace(b"\r", b"\n")
    better, lengths, _ = _fields_right(ended, separator, separators)
    return ended if better.sum() - good.sum() > (~better & (lengths > 1)).sum() else chunk


def _parse_good(lines: bytes, separator: bytes, names: list[str], keep: list[str]) -> pl.DataFrame:
    if not lines or not keep:
        return pl.DataFrame(schema=dict.fromkeys(keep, pl.String))
    table = pl.read_csv(
        lines,
        separator=separator.decode(),
        quote_char=None,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        columns=[names.index(name) for name in keep],
    )
    return table.select(keep)


def _good_lines(chunk: bytes, separator: bytes, separators: int) -> tuple[bytes, list[BadLine]]:
    """Keep the lines in UTF-8 with the right number of separators.

    Also returns the positions of the others, except blank lines, and why they are skipped.
    """
    good, lengths, ends = _fields_right(chunk, separator, separators)
    starts = ends - lengths + 1
    try:
        chunk.decode()
    except UnicodeDecodeError:
        for at in np.flatnonzero(good):
            good[at] = _is_utf8(chunk[starts[at] : ends[at]])
    kept = chunk if good.all() else np.frombuffer(chunk, np.uint8)[np.repeat(good, lengths)].tobytes()
    bad = np.flatnonzero(~good & (lengths > 1)).tolist()
    return kept, [(at, _reason(chunk[starts[at] : ends[at]], separator, separators)) for at in bad]


def _fields_right(chunk: bytes, separator: bytes, separators: int) -> tuple[Any, Any, Any]:
    """Return which lines have the right number of separators, their lengths with line end, and the line ends."""
    letters = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    found = np.diff(np.searchsorted(np.flatnonzero(letters == ord(separator)), ends), prepend=0)
    lengths = np.diff(ends, prepend=-1)
    return (found == separators) & (lengths > 1), lengths, ends


def _reason(line: bytes, separator: bytes, separators: int) -> str:
    found = line.count(separator)
    if found == separators:
        return NOT_UTF8
    if found < separators and line.count(b'"') % 2:
        return "line break inside quotes"
    return f"{counted(found + 1, 'column')}, expected {separators + 1}"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _column(parts: list[pl.DataFrame], name: str) -> pl.Series:
    """Remove a column from all parts and join it; repeated texts are stored once."""
    column = pl.concat([part.drop_in_place(name) for part in parts], rechunk=True)
    if column.dtype == pl.String:
        return column
    once = column.drop_nulls().unique()
    texts = pl.DataFrame({name: once.to_physical(), "text": once.cast(pl.String)})
    # not cast as a whole, which would copy the text of each row
    return lookup(column.to_physical().to_frame(), texts, name, "text").alias(name)


def _read_quoted(data: bytes, separator: str, bad_lines: list[int], reasons: Counter[str]) -> tuple[pl.DataFrame, int]:
    # Only a parser that works row by row can skip one row of a quoted table and keep the next.
    rows = csv.reader(io.StringIO(data.decode(errors="replace"), newline=""), delimiter=separator)
    names = _unique(next(rows))
    good, unreadable, line = [], 0, rows.line_num
    for row in rows:
        is_utf8 = not any("\ufffd" in field for field in row)
        if len(row) == len(names) and is_utf8:
            good.append(row)
        elif row:
            unreadable += 1
            bad_lines += [line + 1][: max(0, FIRST - len(bad_lines))]
            lines = f", quotes span lines {line + 1} to {rows.line_num}" if rows.line_num > line + 1 else ""
            why = f"{counted(len(row), 'column')}, expected {len(names)}{lines}"
            reasons[NOT_UTF8 if len(row) == len(names) else why] += 1
        line = rows.line_num
    schema = dict.fromkeys(names, pl.String)
    table = pl.DataFrame(good, schema=schema, orient="row") if good else pl.DataFrame(schema=schema)
    blank_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return table.select(one for one, name in zip(blank_is_null, names, strict=True) if name[0] != _AGAIN), unreadable


def _unique(names: list[str]) -> list[str]:
    """Strip header names, and prefix repeated ones with NUL (one release has two columns ``accents``)."""
    if len(names) > MOST_COLUMNS:
        raise CorpusError(f"A table has {len(names):,} columns. Expected at most {MOST_COLUMNS:,}.")
    out: dict[str, None] = {}
    for at, name in enumerate(names):
        clean = name.strip().strip('"').lstrip(_AGAIN) or f"column_{at + 1}"
        out[clean if clean not in out else f"{_AGAIN}{at}{clean}"] = None
    return list(out)


def shown(names: Sequence[str]) -> str:
    """Return the first few column names as text for an error."""
    text = ", ".join(names[:8])
    return repr(text if len(text) <= 100 else text[:97] + "...")
