"""Checks the sizes that a Parquet file states, before Polars takes memory for them.

Polars believes the counts in a file: memory for ten billion values that are not there cannot be had, and the process is
aborted. So :func:`check` walks through the footer and the headers of all pages (Apache Parquet, ``parquet.thrift``, in
Thrift's compact protocol) and compares the counts with each other and with the size of the file. It reads no values.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from voxtrait.errors import counted

MAGIC: Final = b"PAR1"
ROWS_A_BYTE: Final = 4  # maximum rows per byte of a file: an id that is different in each row takes more than a byte
SPARE_ROWS: Final = 1_000_000  # rows that any file may have
MOST_TIMES: Final = 200  # maximum uncompressed size of a file, as a multiple of its size, …
SPARE_BYTES: Final = 1 << 28  # … and so many bytes
MOST_PARTS: Final = 20_000_000  # values of all headers together
MOST_DEPTH: Final = 12

_DATA, _INDEX, _DICTIONARY, _DATA_2 = range(4)  # kinds of pages
_HEADERS: Final = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}  # kind of page → field with its details


class DamagedError(OSError):
    """A file is not Parquet, or states sizes that it cannot have."""


def check(path: Path) -> None:
    """Check a file.

    Raises:
        DamagedError: if the file is not Parquet, or states sizes that it cannot have.
        OSError: if it cannot be opened.
    """
    with path.open("rb") as file:
        if path.stat().st_size < 12:
            raise DamagedError("it is not a Parquet file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _Walk(data).file()
            except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise DamagedError("its headers are damaged") from error


def checked(path: Path) -> Path:
    """Check a file, and return its path, to be opened by Polars.

    Raises:
        OSError: as for :func:`check`.
    """
    check(path)
    return path


class _Walk:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.size = len(data)
        self.left = MOST_PARTS
        self.swollen = 0

    def file(self) -> None:
        data, size = self.data, self.size
        if data[:4] != MAGIC or data[-4:] != MAGIC:
            raise DamagedError("it is not a Parquet file")
        footer = size - 8 - int.from_bytes(data[-8:-4], "little")
        if footer < 4:
            raise DamagedError("its footer is larger than the file")
        details, _ = self.struct(footer, 0)
        groups = details.get(4, [])
        rows = sum(_count(group[3]) for group in groups)
        if rows != _count(details[3]):
            raise DamagedError("its numbers of rows differ")
        if rows > ROWS_A_BYTE * size + SPARE_ROWS:
            raise DamagedError(f"it states {counted(rows, 'row')} in {counted(size, 'byte')}")
        for group in groups:
            for column in group[1]:
                self.column(column[3], _count(group[3]), footer)

    def column(self, details: dict[int, Any], rows: int, footer: int) -> None:
        """Check one column of a group of rows."""
        values, swollen, packed = (_count(details[field]) for field in (5, 6, 7))
        start = min(place for place in (details[9], details.get(11) or details[9]))
        if not 4 <= start <= start + packed <= footer:
            raise DamagedError("it has a column outside the file")
        if values > max(rows, 8 * self.size):  # a list has more values than rows
            raise DamagedError(f"it states {counted(values, 'value')} in a column")
        self.swollen += swollen
        if self.swollen > MOST_TIMES * self.size + SPARE_BYTES:
            raise DamagedError(f"it states more than {self.swollen:,} bytes uncompressed")
        seen = 0
        for header in self.pages(start, start + packed):
            unpacked = _count(header[2])
            if unpacked > swollen:
                raise DamagedError("it has a page that is larger than its column")
            if header[1] not in _HEADERS:
                continue
            more = header[_HEADERS[header[1]]]
            number = _count(more[1])
            if header[1] == _DICTIONARY:
                if number > unpacked:
                    raise DamagedError("it has more words than bytes in a dictionary")
                continue
            seen += number
            if header[1] == _DATA_2 and (_count(more[5]) + _count(more[6]) > unpacked or _count(more[2]) > number):
                raise DamagedError("it has a page with false lengths")
        if seen != values:
            raise DamagedError(f"it has {seen:,} of {counted(values, 'value')} of a column")

    def pages(self, at: int, end: int) -> Iterator[dict[int, Any]]:
        """Yield the headers of the pages between two places."""
        while at < end:
            header, at = self.struct(at, 0)
            at += _count(header[3])
            if at > end:
                raise DamagedError("it has a page outside its column")
            yield header

    def struct(self, at: int, depth: int) -> tuple[dict[int, Any], int]:
        """Read a struct of Thrift at a place: its fields by number, and the place after it."""
        if depth > MOST_DEPTH:
            raise DamagedError("its headers are nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while head := self.data[at]:
            at += 1
            if head >> 4:
                number += head >> 4
            else:
                number, at = self.whole(at)
            kind = head & 15
            if kind in (1, 2):
                found[number] = kind == 1
            else:
                found[number], at = self.value(kind, at, depth)
        return found, at + 1

    def value(self, kind: int, at: int, depth: int) -> tuple[Any, int]:
        self.left -= 1
        if self.left < 0:
            raise DamagedError(f"its headers have more than {MOST_PARTS:,} values")
        if kind in (4, 5, 6):
            return self.whole(at)
        if kind == 8:
            length, at = self.varint(at)
            if length > self.size - at:
                raise DamagedError("its headers are damaged")
            return None, at + length  # texts are not needed
        if kind in (1, 2, 3):
            return self.data[at], at + 1
        if kind == 7:
            return None, at + 8
        if kind in (9, 10):
            return self.list(at, depth + 1)
        if kind == 12:
            return self.struct(at, depth + 1)
        raise DamagedError("its headers are damaged")  # Parquet has no maps

    def list(self, at: int, depth: int) -> tuple[list[Any], int]:
        if depth > MOST_DEPTH:
            raise DamagedError("its headers are nested too deeply")
        head, at = self.data[at], at + 1
        length = head >> 4
        if length == 15:
            length, at = self.varint(at)
        if length > self.size - at:  # an item has at least one byte
            raise DamagedError("its headers are damaged")
        found = []
        for _ in range(length):
            item, at = self.value(head & 15, at, depth)
            found.append(item)
        return found, at

    def whole(self, at: int) -> tuple[int, int]:
        value, at = self.varint(at)
        return value >> 1 ^ -(value & 1), at

    def varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        raise DamagedError("its headers are damaged")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise DamagedError("it states a negative size")
    return value
