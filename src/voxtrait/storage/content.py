"""Reads, writes, copies and removes files behind URLs."""

import contextlib
import errno
import functools
import os
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from voxtrait.errors import AudioMissingError, OptionError
from voxtrait.storage.connection import place_of, require_remote, tried
from voxtrait.storage.names import openable
from voxtrait.storage.urls import WEB, is_url, protocol_of, shown, suffix_of

IN_MEMORY: Final = 64 * 2**20  # bytes; larger files are written to disk while they are decoded


class Held(BytesIO):
    """The content of a file, in memory; ``origin`` is its URL without secrets."""

    origin: str


class Kept(NamedTuple):
    """The content of a large file, in a temporary file on this machine."""

    path: str
    origin: str  # its URL without secrets

    def __fspath__(self) -> str:
        """Return the path of the temporary file."""
        return self.path


@contextlib.contextmanager
def fetched(url: str) -> Iterator[Held | Kept]:
    """Provide the content of a file: in memory, or on disk if it is larger than 64 MB.

    Raises:
        AudioMissingError: if the file does not exist.
        StorageError: if the store cannot be reached or refuses access.
        MissingExtraError: if fsspec, or its package for this kind of URL, is not installed.
    """
    origin = shown(url)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(_Sink())
        tried(url, lambda: _read_into(sink, url))
        if sink.file is None:
            held = Held(sink.getvalue())
            held.origin = origin
            yield held
        else:
            sink.file.flush()
            yield Kept(sink.file.name, origin)


def read(url: str) -> bytes:
    """Return the content of a file; raises the same errors as :func:`fetched`."""
    with fetched(url) as content:
        return content.getvalue() if isinstance(content, Held) else Path(content).read_bytes()


class _Sink(BytesIO):
    """Collects the bytes of a file: in memory up to :data:`IN_MEMORY`, then in a file that is deleted on closing."""

    file: BinaryIO | None = None

    def write(self, data: Any, /) -> int:
        if self.file is None and self.tell() + len(data) > IN_MEMORY:
            self.file = tempfile.NamedTemporaryFile(prefix="voxtrait-")  # type: ignore[assignment]  # noqa: SIM115
            self.file.write(self.getbuffer())  # type: ignore[union-attr]
            self.truncate(0)
        return self.file.write(data) if self.file else super().write(data)

    def clear(self) -> None:
        self.seek(0)
        self.truncate()
        if self.file is not None:
            self.file.close()
            self.file = None

    def close(self) -> None:
        self.clear()
        super().close()


def _read_into(sink: _Sink, url: str) -> None:
    sink.clear()
    fs, place = place_of(url)
    if protocol_of(url) in WEB:
        fs.get_file(place, sink)
        return
    # read a range: for a whole file, s3fs would first request its size
    at = 0
    while True:
        try:
            data = fs.cat_file(place, start=at, end=at + IN_MEMORY)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return  # the range begins after the end: the file is empty, or ended with the last range
        sink.write(data)
        at += len(data)
        if len(data) < IN_MEMORY:
            return


@contextlib.contextmanager
def uploaded(url: str) -> Iterator[Path]:
    """Provide a temporary file to write to; without an error, it is then sent to the URL.

    Nothing is sent if the file was not written.

    Raises:
        StorageError: if the store cannot be reached or refuses access.
    """
    check_writable(url)
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        part = Path(folder, f"part{suffix_of(url)}")
        yield part
        if part.exists():
            fs, place = place_of(url)
            tried(url, lambda: fs.put_file(str(part), place))


def write(url: str, data: bytes, *, unless_same: bool = False) -> None:
    """Write a file behind a URL; raises the same errors as :func:`uploaded`.

    Args:
        url: URL of the file.
        data: content of the file.
        unless_same: read the file first, and write nothing if it has this content already.
    """
    check_writable(url)
    with contextlib.suppress(AudioMissingError):
        if unless_same and read(url) == data:
            return
    fs, place = place_of(url)
    tried(url, lambda: fs.pipe_file(place, data))


def check_writable(url: str) -> None:
    """Check that files can be written to a URL, before any work is done.

    Raises:
        OptionError: if the URL is that of a web server.
        MissingExtraError: if the extra ``[remote]`` is not installed.
    """
    if protocol_of(url) in WEB:
        raise OptionError(
            f"Cannot write to the web server at {shown(url)}. Expected a folder or an object store (s3://…, gs://…)."
        )
    require_remote(url)


def copy(source: str, target: str) -> None:
    """Copy a file within a store, without downloading it; raises the same errors as :func:`uploaded`."""
    fs, place = place_of(source)
    tried(source, lambda: fs.cp_file(place, place_of(target)[1]))


def remove(urls: Sequence[str]) -> None:
    """Remove files, also if they do not exist; raises the same errors as :func:`uploaded`."""
    for url in urls:
        fs, place = place_of(url)
        with contextlib.suppress(AudioMissingError):
            tried(url, functools.partial(fs.rm_file, place))


@contextlib.contextmanager
def local_copies(names: Sequence[str | os.PathLike[str]]) -> Iterator[list[Path]]:
    """Provide local files: temporary copies of those behind URLs, and the others as they are.

    Raises:
        StorageError: if a store cannot be reached or refuses access.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="voxtrait-")) if any(map(is_url, names)) else ""
        copies = []
        for at, name in enumerate(names):
            if not is_url(name):
                copies.append(openable(name, stack))
                continue
            copies.append(Path(folder, f"{at}{suffix_of(str(name))}"))
            with fetched(str(name)) as content:
                if isinstance(content, Held):
                    copies[-1].write_bytes(content.getbuffer())
                else:
                    os.link(content, copies[-1])
        yield copies
