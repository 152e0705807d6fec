"""Tables of text, read so that a damaged line costs that line and not the table.

Common Voice writes its TSV without any quoting, so a bare ``"`` is a character like any other; everyone else's CSV is
quoted.
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

from voxtrait.errors import CorpusError
from voxtrait.manifest.table import lookup

CHUNK: Final = 1 << 24  # bytes read at a time: few enough for the processor's caches and for memory to be used again
BadLine: TypeAlias = tuple[int, str]  # its number, and why it is left out
NOT_UTF8: Final = "not UTF-8"
FIRST: Final = 5  # bad lines named of each table
_BOM: Final = b"\xef\xbb\xbf"
_AGAIN: Final = "\0"  # before a header name that came before


def read(
    path: Path,
    *,
    columns: Collection[str] | None = None,
    repeated: Collection[str] = (),
    bad_lines: list[int] | None = None,
    reasons: Counter[str] | None = None,
) -> tuple[pl.DataFrame, int]:
    """Read a table by its ending: ``.csv`` with quotes, anything else as unquoted TSV.

    Commas, semicolons or tabs, whichever are in the header, if those of the ending are not; the lines may end as on any
    system; a file of UTF-16 is read too, as Excel's "Unicode text" is.

    Args:
        path: a file with a header line; blank lines do not count as rows.
        columns: names of the columns to keep, those of them that are there; ``None`` keeps all.
        repeated: columns whose long values come again and again, such as speaker ids: each is kept once in memory.
        bad_lines: gets the line numbers, from 1, of the first few rows left out.
        reasons: counts why rows were left out.

    Returns:
        The table, all columns text, fields that are empty null; and the number of rows left out because they have
        another number of fields than the header, or are not UTF-8. Of columns with the same name the first one counts.

    Raises:
        CorpusError: if the file is empty, or is no such table at all.
    """
    bad_lines = [] if bad_lines is None else bad_lines
    reasons = Counter() if reasons is None else reasons
    with _opened(path) as data:
        header = data.readline().removeprefix(_BOM)
        if not header.strip():
            raise CorpusError(f"{path} is empty, expected a table with a header line")
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
            for part, bad in _parsed(_chunks(data), separator, names, keep):
                parts.append(part)
                unreadable += len(bad)
                reasons.update(reason for _, reason in bad)
                bad_lines += [line for line, _ in bad[: max(0, FIRST - len(bad_lines))]]
        except UnicodeDecodeError:
            raise CorpusError(f"{path} is not UTF-8 text, expected a table with a header line") from None
        except (pl.exceptions.PolarsError, csv.Error) as error:
            raise CorpusError(f"{path} cannot be read as a table: {error}") from None
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(keep, pl.String)), unreadable
    # one chunk: tables of many are copied as a whole by whatever comes next
    columns_ = [_joined(parts, name, name in repeated) for name in keep]
    return pl.DataFrame(columns_), unreadable


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a table as UTF-8 whose header ends in a newline."""
    with path.open("rb") as data:
        start = data.readline()
        data.seek(0)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in start:
            yield io.BytesIO(data.read().decode("utf-16", errors="replace").replace("\r\n", "\n").encode())
        elif b"\r" in start.rstrip(b"\r\n"):  # as programs for the old Mac end their lines, Excel's among them
            yield io.BytesIO(data.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        else:
            yield data


def columns_of(path: Path) -> list[str]:
    """Read the names of a table's columns.

    Raises:
        CorpusError: if its first line is not UTF-8 text.
    """
    with _opened(path) as data:
        header = data.readline().removeprefix(_BOM)
    try:
        return _unique(header.rstrip(b"\r\n").decode().split(_separator(header, path).decode()))
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8 text, expected a table with a header line") from None


def _separator(header: bytes, path: Path) -> bytes:
    """Return the separator of the columns: that of the file's ending, unless the header has only another one."""
    expected = b"," if path.suffix.lower() == ".csv" else b"\t"
    others = [mark for mark in (b",", b";", b"\t") if mark in header]
    return others[0] if len(others) == 1 else expected


def _chunks(data: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, about :data:`CHUNK` bytes of them, each ending in one newline."""
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
    """Parse chunks of whole lines; with each come the lines that are left out.

    One chunk is parsed while the next one is read and counted.
    """
    first = 2  # the header is line 1
    waiting: deque[tuple[bytes, int, Future[pl.DataFrame] | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for chunk in chunks:
            chunk = _with_newlines(chunk, separator, len(names) - 1)
            lines = chunk.count(b"\n")
            # Where the separators add up and no line has too many of them, none has too few. So all lines are parsed
            # at once, and one by one only where that fails.
            plausible = chunk.count(separator) == lines * (len(names) - 1)
            plausible = plausible and b"\n\n" not in chunk and chunk[:1] != b"\n"
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
        with contextlib.suppress(pl.exceptions.PolarsError):
            return task.result(), []
    good, bad = _good_lines(chunk, separator, len(names) - 1)
    return _parse_good(good, separator, names, keep), [(first + at, reason) for at, reason in bad]


def _with_newlines(chunk: bytes, separator: bytes, separators: int) -> bytes:
    """End lines at each ``\\r`` too where that makes rows of most lines; else it is a letter of a text."""
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
    """Keep the lines with the right number of separators and in UTF-8; give the places of the others, blank ones
    aside, and why they are left out."""
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
    """Say which lines have the right number of separators, how long each is with its end, and where that is."""
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
        return "a line break inside quotes"
    return f"{found + 1} columns, the header has {separators + 1}"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _joined(parts: list[pl.DataFrame], name: str, repeated: bool) -> pl.Series:
    """Take a column out of all parts and join it; where its texts come again and again, all rows point to one copy."""
    column = pl.concat([part.drop_in_place(name) for part in parts], rechunk=True)
    if not repeated:
        return column
    # adding nothing makes a copy of the distinct texts, so that those of all rows can go
    once = column.drop_nulls().unique().to_frame().with_columns(once=pl.col(name) + "")
    return lookup(column.to_frame(), once, name, "once").alias(name)


def _read_quoted(data: bytes, separator: str, bad_lines: list[int], reasons: Counter[str]) -> tuple[pl.DataFrame, int]:
    # Only a parser that goes row by row can leave out one row of a quoted table and keep the next.
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
            lines = f", its quotes hold lines {line + 1} to {rows.line_num}" if rows.line_num > line + 1 else ""
            counted = f"{len(row)} columns, the header has {len(names)}{lines}"
            reasons[NOT_UTF8 if len(row) == len(names) else counted] += 1
        line = rows.line_num
    schema = dict.fromkeys(names, pl.String)
    table = pl.DataFrame(good, schema=schema, orient="row") if good else pl.DataFrame(schema=schema)
    blank_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return table.select(one for one, name in zip(blank_is_null, names, strict=True) if name[0] != _AGAIN), unreadable


def _unique(names: list[str]) -> list[str]:
    """Strip header names.

    And mark those that come again (two columns ``accents`` in one release) with a leading NUL.
    """
    out: list[str] = []
    for at, name in enumerate(names):
        clean = name.strip().strip('"') or f"column_{at + 1}"
        out.append(clean if clean not in out else f"{_AGAIN}{at}{clean}")
    return out


def shown(names: Sequence[str]) -> str:
    """Show column names in an error, the first few of them."""
    text = ", ".join(names[:8])
    return repr(text if len(text) <= 100 else text[:97] + "...")
