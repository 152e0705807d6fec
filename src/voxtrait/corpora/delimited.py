"""Tables of text, read so that a damaged line costs that line and not the table.

Common Voice writes its TSV without any quoting, so a bare ``"`` is a character like any other; everyone else's CSV is
quoted.
"""

import contextlib
import csv
import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from voxtrait.errors import CorpusError
from voxtrait.manifest.table import lookup

CHUNK: Final = 1 << 24  # bytes read at a time: few enough for the processor's caches and for memory to be used again
FIRST: Final = 5  # bad lines named of each table
_BOM: Final = b"\xef\xbb\xbf"
_AGAIN: Final = "\0"  # before a header name that came before


def read(
    path: Path,
    *,
    columns: Collection[str] | None = None,
    repeated: Collection[str] = (),
    bad_lines: list[int] | None = None,
) -> tuple[pl.DataFrame, int]:
    """Read a table by its ending: ``.csv`` with quotes, anything else as unquoted TSV.

    Args:
        path: a UTF-8 file with a header line; blank lines do not count as rows.
        columns: names of the columns to keep, those of them that are there; ``None`` keeps all.
        repeated: columns whose long values come again and again, such as speaker ids: each is kept once in memory.
        bad_lines: gets the line numbers, from 1, of the first few rows left out.

    Returns:
        The table, all columns text, fields that are empty null; and the number of rows left out because they have
        another number of fields than the header, or are not UTF-8. Of columns with the same name the first one counts.

    Raises:
        CorpusError: if the file is empty, or is no such table at all.
    """
    bad_lines = [] if bad_lines is None else bad_lines
    with path.open("rb") as data:
        header = data.readline().removeprefix(_BOM)
        quoted = path.suffix.lower() == ".csv"
        separator = b"," if quoted else b"\t"
        if not header.strip():
            raise CorpusError(f"{path} is empty, expected a table with a header line")
        try:
            names = _unique(header.rstrip(b"\r\n").decode().split(separator.decode()))
            if quoted and b'"' in header + data.read():
                data.seek(0)
                table, unreadable = _read_quoted(data.read().removeprefix(_BOM), bad_lines)
                return table.select(name for name in table.columns if columns is None or name in columns), unreadable
            data.seek(0)
            data.readline()
            keep = [name for name in names if name[0] != _AGAIN and (columns is None or name in columns)]
            parts, unreadable = [], 0
            for part, bad in _parsed(_chunks(data), separator, names, keep):
                parts.append(part)
                unreadable += len(bad)
                bad_lines += bad[: max(0, FIRST - len(bad_lines))]
        except UnicodeDecodeError:
            raise CorpusError(f"{path} is no UTF-8 text, expected a table with a header line") from None
        except (pl.exceptions.PolarsError, csv.Error) as error:
            raise CorpusError(f"{path} cannot be read as a table: {error}") from None
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(keep, pl.String)), unreadable
    # one chunk: tables of many are copied as a whole by whatever comes next
    columns_ = [_joined(parts, name, name in repeated) for name in keep]
    return pl.DataFrame(columns_), unreadable


def _chunks(data: io.BufferedReader) -> Iterator[bytes]:
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
) -> Iterator[tuple[pl.DataFrame, list[int]]]:
    """Parse chunks of whole lines; with each come the line numbers of the lines that are left out.

    One chunk is parsed while the next one is read and counted.
    """
    first = 2  # the header is line 1
    waiting: deque[tuple[bytes, int, Future[pl.DataFrame] | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for chunk in chunks:
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
) -> tuple[pl.DataFrame, list[int]]:
    if task is not None:
        with contextlib.suppress(pl.exceptions.PolarsError):
            return task.result(), []
    good, bad = _good_lines(chunk, separator, len(names) - 1)
    return _parse_good(good, separator, names, keep), [first + at for at in bad]


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


def _good_lines(chunk: bytes, separator: bytes, separators: int) -> tuple[bytes, list[int]]:
    """Keep the lines with the right number of separators and in UTF-8; give the places of the others, blank ones
    aside."""
    letters = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    found = np.diff(np.searchsorted(np.flatnonzero(letters == ord(separator)), ends), prepend=0)
    lengths = np.diff(ends, prepend=-1)
    good = (found == separators) & (lengths > 1)
    try:
        chunk.decode()
    except UnicodeDecodeError:
        starts = ends - lengths + 1
        for at in np.flatnonzero(good):
            good[at] = _is_utf8(chunk[starts[at] : ends[at]])
    kept = chunk if good.all() else letters[np.repeat(good, lengths)].tobytes()
    return kept, np.flatnonzero(~good & (lengths > 1)).tolist()


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


def _read_quoted(data: bytes, bad_lines: list[int]) -> tuple[pl.DataFrame, int]:
    # Only a parser that goes row by row can leave out one row of a quoted table and keep the next.
    rows = csv.reader(io.StringIO(data.decode(errors="replace"), newline=""))
    names = _unique(next(rows))
    good, unreadable, line = [], 0, rows.line_num
    for row in rows:
        if len(row) == len(names) and not any("\ufffd" in field for field in row):
            good.append(row)
        elif row:
            unreadable += 1
            bad_lines += [line + 1][: max(0, FIRST - len(bad_lines))]
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
