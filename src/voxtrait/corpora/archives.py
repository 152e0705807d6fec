"""Reads the tables of a packed release without unpacking it, even from an archive of 90 GB.

One pass over the archive writes its tables to a temporary folder and lists its recordings, without their audio. The
rows get the paths that their clips will have once the archive is unpacked in its own folder.

An archive comes from somebody else. Only tables are written, as ordinary files below the temporary folder: links,
devices and names that lead out of it are ignored, and sizes that members state are not believed. An archive that
expands to :data:`MOST_TIMES` its size, or has more than :data:`MOST_TABLES` tables, is refused.
"""

import contextlib
import errno
import gzip
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

import polars as pl

from voxtrait import batch, storage
from voxtrait.audio import SUFFIXES as AUDIO
from voxtrait.errors import CorpusError

SUFFIXES: Final = (".tar.gz", ".tgz", ".tar", ".tar.tar", ".tar.bz2", ".tar.xz", ".zip")
TABLES: Final = (".tsv", ".csv", ".txt")
UNUSED: Final = ("validated_sentences.tsv", "unvalidated_sentences.tsv", "reported.tsv")  # large, and without clips

MOST_TIMES: Final = 100  # uncompressed size of an archive, as a multiple of its size, …
MOST_MORE: Final = 1 << 28  # … and so many bytes; tables of text are 3 to 30 times as large, audio hardly larger
MOST_BYTES: Final = 1 << 35  # of the tables together: those of the largest release have less than a tenth
MOST_TABLES: Final = 10_000
MOST_HEADER: Final = 1 << 20  # bytes of a long name or of other details of a member, which tarfile keeps in memory

_MB: Final = 1 << 20
_NAMES: Final = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
_MANY: Final = 50_000
_BROKEN: Final = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError,
    # what tarfile and zipfile pass on for damaged numbers, names, sizes, methods of compression, and nested headers
    ValueError, ArithmeticError, LookupError, struct.error, NotImplementedError, RecursionError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """The contents of an archive.

    Attributes:
        path: path of the archive.
        tables: temporary folder with the tables of the archive, in their subfolders.
        home: folder of the files once the archive is unpacked, with the same subfolders as ``tables``.
        clips: the recordings: ``file``, relative to ``home``, and its size in ``bytes``.
    """

    path: Path
    tables: Path
    home: Path
    clips: pl.DataFrame


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Return whether a file exists and has the ending of a supported archive."""
    return os.fspath(path).lower().endswith(SUFFIXES) and Path(path).is_file()


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], *, label: str | None = None) -> Iterator[Archive]:
    """Read the contents of an archive; its tables exist until the end of the ``with`` block.

    Args:
        path: a tar file, compressed or not, or a zip file.
        label: shown before the progress line on standard error, which counts MB; ``None`` shows no progress.

    Raises:
        CorpusError: if the file is truncated, damaged, or not an archive.
    """
    archive = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are: a release's name may be a link's
    ending = max((one for one in SUFFIXES if archive.name.lower().endswith(one)), key=len, default="")
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        # releases 1 to 4 have their tables at the top level: the name of the archive is that of the release
        root = Path(folder, archive.name.removesuffix(archive.name[len(archive.name) - len(ending) :]))
        root.mkdir()
        clips, room = _Clips(), _Room(archive)
        try:
            steps = _zipped(archive, root, clips, room) if ending == ".zip" else _tarred(archive, root, clips, room)
            for _ in batch.progress(steps, -(-archive.stat().st_size // _MB), label, unit="MB"):
                pass
        except CorpusError:
            raise
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (None, *_NAMES):
                raise  # the disk, and not the archive
            reason = storage.text_of(str(error).partition("\n")[0][:200]) or type(error).__name__
            if "password" in reason or "encrypted" in reason:
                raise CorpusError(f"{archive} is encrypted. Unpack it first, and import the folder.") from None
            raise CorpusError(
                f"{archive} is truncated or damaged ({reason}). Download it again, and compare "
                "its size and checksum with those on the download page."
            ) from None
        at_top = any(child.suffix.lower() in (".tsv", ".csv") for child in root.iterdir())
        yield Archive(archive, root, archive.parent / root.name if at_top else archive.parent, clips.table())


class _Member(tarfile.TarInfo):
    """A member with a complete header; tarfile alone takes a truncated one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile, /) -> "_Member":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the block of zeros that ends an archive
                raise
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """Read a header, and refuse one whose details would fill the memory."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _DETAILS and found.size > MOST_HEADER:
            raise tarfile.ReadError(f"a header has {found.size:,} bytes")
        return found


_DETAILS: Final = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class _Room:
    """Counts what an archive really contains, and refuses one that swells."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.most = MOST_TIMES * archive.stat().st_size + MOST_MORE
        self.written = self.tables = 0

    def check(self, reached: int) -> None:
        """Check a position in the uncompressed archive."""
        if reached > self.most:
            raise CorpusError(
                f"{self.archive} expands to more than {self.most:,} bytes, which no release does. Download it again "
                "from its publisher. If it is right, unpack it, and import the folder."
            )

    def copy(self, file: IO[bytes], out: IO[bytes]) -> None:
        """Write a table."""
        self.tables += 1
        if self.tables > MOST_TABLES:
            raise CorpusError(f"{self.archive} has more than {MOST_TABLES:,} tables. Unpack it, and import the folder.")
        while part := file.read(_MB):
            self.written += len(part)
            self.check(self.written)
            if self.written > MOST_BYTES:
                raise CorpusError(
                    f"{self.archive} has tables of more than {MOST_BYTES:,} bytes. Unpack it, and import the folder."
                )
            out.write(part)


class _Clips:
    """Collects the recordings of an archive in Polars tables, because there may be millions."""

    def __init__(self) -> None:
        self.parts: list[pl.DataFrame] = []
        self.last: list[tuple[str, int]] = []

    def add(self, name: str, size: int) -> None:
        self.last.append((name, size))
        if len(self.last) >= _MANY:
            self.table()

    def table(self) -> pl.DataFrame:
        schema = {"file": pl.String, "bytes": pl.Int64}
        self.parts.append(pl.DataFrame(self.last, schema, orient="row"))
        self.last = []
        return pl.concat(self.parts) if len(self.parts) > 1 else self.parts[0]


def _tarred(path: Path, root: Path, clips: _Clips, room: _Room) -> Iterator[None]:
    """Write the tables of a tar file to ``root`` and list its recordings; yields once per MB read."""
    done = 0
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*", tarinfo=_Member) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps millions of them
            if member.isfile():
                _take(member.name, member.size, partial(tar.extractfile, member), root, clips, room)
            room.check(tar.offset)  # of the next member
            yield from [None] * (raw.tell() // _MB - done)
            done = raw.tell() // _MB
    yield from [None] * (-(-path.stat().st_size // _MB) - done)


def _zipped(path: Path, root: Path, clips: _Clips, room: _Room) -> Iterator[None]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                _take(member.filename, member.file_size, partial(archive.open, member), root, clips, room)
    yield from [None] * -(-path.stat().st_size // _MB)


def _take(name: str, size: int, opener: Callable[[], IO[bytes] | None], root: Path, clips: _Clips, room: _Room) -> None:
    """Write a member to ``root`` if it is a table, list it if it is a recording.

    Names that lead out of the archive, and files that macOS adds, are ignored.
    """
    parts = [part for part in PurePosixPath(name).parts if part != "."]
    if not parts or "\0" in name or name.startswith("/") or ".." in parts:
        return
    if parts[0] == "__MACOSX" or parts[-1].startswith("."):
        return
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name, not a path
    if ending in AUDIO:
        clips.add(storage.text_of("/".join(parts)), size)
    elif ending in TABLES and parts[-1] not in UNUSED and (file := opener()) is not None:
        target = root.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            out = target.open("wb")
        except OSError as error:
            if error.errno not in _NAMES:
                raise
            raise tarfile.ReadError(f"the member {parts[-1][:50]!r} has an impossible name") from None
        with file, out:
            room.copy(file, out)
