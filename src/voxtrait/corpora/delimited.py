"""Tables of text, read so that a damaged line costs that line and not the table.

Common Voice writes its TSV without any quoting, so a bare ``"`` is a character like any other; everyone else's CSV is
quoted.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from voxtrait.errors import CorpusError

CHUNK: Final = 1 << 26  # bytes read at a time: memory stays flat beside the columns themselves
_BOM: Final = b"\xef\xbb\xbf"


def read(path: Path) -> tuple[pl.DataFrame, int]:
    """Read a table by its ending: ``.csv`` with quotes, anything else as unquoted TSV.

    Args:
        path: a UTF-8 file with a header line; blank lines do not count as rows.

    Returns:
        The table, all columns text, fields that are empty null; and the number of rows left out because they have
        another number of fields than the header, or are not UTF-8. Of columns with the same name the first one counts.

    Raises:
        CorpusError: if the file is empty, or is no such table at all.
    """
    data = path.open("rb")
    with data:
        header = data.readline().removeprefix(_BOM)
        quoted = path.suffix.lower() == ".csv"
        separator = b"," if quoted else b"\t"
        if not header.strip():
            raise CorpusError(f"{path} is empty, expected a table with a header line")
        try:
            if quoted and b'"' in header + data.read():
                data.seek(0)
                return _read_quoted(path, data.read().removeprefix(_BOM))
            data.seek(0)
            data.readline()
            names = _unique(header.rstrip(b"\r\n").decode().split(separator.decode()))
            parts, unreadable = [], 0
            for chunk in _chunks(data):
                lines, bad = _good_lines(chunk, separator, len(names) - 1)
                unreadable += bad
                if lines:
                    parts.append(_parse(lines, separator, names))
        except UnicodeDecodeError:
            raise CorpusError(f"{path} is no UTF-8 text, expected a table with a header line") from None
        except (pl.exceptions.PolarsError, csv.Error) as error:
            raise CorpusError(f"{path} cannot be read as a table: {error}") from None
    table = pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    return _first_of_each(table), unreadable


def _chunks(data: io.BufferedReader) -> Iterator[bytes]:
    """Yield whole lines, about :data:`CHUNK` bytes of them, each ending in one newline."""
    while chunk := data.read(CHUNK):
        chunk += data.readline()
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n")
        yield chunk if chunk.endswith(b"\n") else chunk + b"\n"


def _good_lines(chunk: bytes, separator: bytes, separators: int) -> tuple[bytes, int]:
    """Keep the lines with the right number of separators and in UTF-8; count the others, blank ones aside."""
    letters = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    found = np.diff(np.searchsorted(np.flatnonzero(letters == ord(separator)), ends), prepend=0)
    lengths = np.diff(ends, prepend=-1)
    good = (found == separators) & (lengths > 1)
    unreadable = int(np.count_nonzero((found != separators) & (lengths > 1)))
    if not good.all():
        chunk = letters[np.repeat(good, lengths)].tobytes()
    try:
        chunk.decode()
    except UnicodeDecodeError:
        lines = [line + b"\n" for line in chunk.split(b"\n")[:-1]]
        whole = [line for line in lines if _is_utf8(line)]
        unreadable += len(lines) - len(whole)
        chunk = b"".join(whole)
    return chunk, unreadable


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parse(lines: bytes, separator: bytes, names: list[str]) -> pl.DataFrame:
    return pl.read_csv(
        lines,
        separator=separator.decode(),
        quote_char=None,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
    )


def _read_quoted(path: Path, data: bytes) -> tuple[pl.DataFrame, int]:
    # Only a parser that goes row by row can leave out one row of a quoted table and keep the next.
    rows = csv.reader(io.StringIO(data.decode(errors="replace"), newline=""))
    names = _unique(next(rows))
    good, unreadable = [], 0
    for row in rows:
        if len(row) == len(names) and not any("\ufffd" in field for field in row):
            good.append(row)
        elif row:
            unreadable += 1
    schema = dict.fromkeys(names, pl.String)
    table = pl.DataFrame(good, schema=schema, orient="row") if good else pl.DataFrame(schema=schema)
    blank_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return _first_of_each(table.with_columns(blank_is_null)), unreadable


def _unique(names: list[str]) -> list[str]:
    """Strip header names.

    And mark those that come again (two columns ``accents`` in one release) with a leading NUL.
    """
    out: list[str] = []
    for at, name in enumerate(names):
        clean = name.strip().strip('"') or f"column_{at + 1}"
        out.append(clean if clean not in out else f"\0{at}{clean}")
    return out


def _first_of_each(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(name for name in table.columns if not name.startswith("\0"))


def shown(names: Sequence[str]) -> str:
    """Show column names in an error, the first few of them."""
    text = ", ".join(names[:8])
    return repr(text if len(text) <= 100 else text[:97] + "...")
