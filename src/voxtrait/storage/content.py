"""The content of files behind URLs: fetched, sent, copied, removed."""

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

IN_MEMORY: Final = 64 * 2**20  # bytes of a file that is held in memory while it is decoded; a larger one goes to disk


class Held(BytesIO):
    """The content of a file, in memory; ``origin`` is the URL that it came from, as it may be shown."""

    origin: str


class Kept(NamedTuple):
    """The content of a large file, on this machine's disk for the moment."""

    path: str
    origin: str  # the URL that it came from, as it may be shown

    def __fspath__(self) -> str:
        """Give the place on the disk."""
        return self.path


@contextlib.contextmanager
def fetched(url: str) -> Iterator[Held | Kept]:
    """Provide the content of a file: in memory, or on disk where it has more than 64 MB.

    Raises:
        AudioMissingError: if there is no such file.
        StorageError: if the place cannot be reached, or refuses.
        MissingExtraError: if fsspec, or its part for this kind of URL, is not installed.
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
    """Read a file; raises as :func:`fetched` does."""
    with fetched(url) as content:
        return content.getvalue() if isinstance(content, Held) else Path(content).read_bytes()


class _Sink(BytesIO):
    """Takes the bytes of a file: in memory while they are few, then in a file that goes when this is closed."""

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
    # a range, for s3fs asks for the size first where it is to read a file whole, and for the part of a larger one
    at = 0
    while True:
        try:
            data = fs.cat_file(place, start=at, end=at + IN_MEMORY)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return  # a range that begins behind the end: the file is empty, or had just this size
        sink.write(data)
        at += len(data)
        if len(data) < IN_MEMORY:
            return


@contextlib.contextmanager
def uploaded(url: str) -> Iterator[Path]:
    """Provide a file on this machine's disk to write to; it is sent to the URL if all went well and the file is there.

    Raises:
        StorageError: if the place cannot be reached, or refuses.
    """
    check_writable(url)
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        part = Path(folder, f"part{suffix_of(url)}")
        yield part
        if part.exists():
            fs, place = place_of(url)
            tried(url, lambda: fs.put_file(str(part), place))


def write(url: str, data: bytes, *, unless_same: bool = False) -> None:
    """Send bytes to a URL; raises as :func:`uploaded` does.

    Args:
        url: of the file.
        data: its content.
        unless_same: look first, and send nothing where this content is there already.
    """
    check_writable(url)
    with contextlib.suppress(AudioMissingError):
        if unless_same and read(url) == data:
            return
    fs, place = place_of(url)
    tried(url, lambda: fs.pipe_file(place, data))


def check_writable(url: str) -> None:
    """Refuse a place that files cannot be sent to, before any work is done.

    Raises:
        OptionError: for a web server.
        MissingExtraError: if the extra ``[remote]`` is not installed.
    """
    if protocol_of(url) in WEB:
        raise OptionError(
            f"got {shown(url)} to write to, expected a folder or an object store (s3://…, gs://…): "
            "a web server takes no files"
        )
    require_remote(url)


def copy(source: str, target: str) -> None:
    """Copy a file inside a store, without its bytes coming here; raises as :func:`uploaded` does."""
    fs, place = place_of(source)
    tried(source, lambda: fs.cp_file(place, place_of(target)[1]))


def remove(urls: Sequence[str]) -> None:
    """Remove files of one store; what is not there is no error. Raises as :func:`uploaded` does."""
    for url in urls:
        fs, place = place_of(url)
        with contextlib.suppress(AudioMissingError):
            tried(url, functools.partial(fs.rm_file, place))


@contextlib.contextmanager
def local_copies(names: Sequence[str | os.PathLike[str]]) -> Iterator[list[Path]]:
    """Provide files as files on this machine's disk: those behind URLs are fetched and go again, the others stay.

    Raises:
        StorageError: if a place cannot be reached, or refuses.
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
