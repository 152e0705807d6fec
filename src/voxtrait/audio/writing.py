"""Writes signals as 16-bit WAV files, and any file atomically: it appears under its name only when complete."""

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from voxtrait import storage
from voxtrait.audio import durability
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import Signal, check_signal, to_pcm16
from voxtrait.errors import DecodeError, DiskFullError, OptionError, OutputError, VoxtraitError

WAV_BYTES: Final = 2**32 - 1024  # maximum bytes of samples in a WAV, whose sizes are 32-bit numbers
LONGEST_NAME: Final = 255  # maximum bytes of a file name on most disks
LONGEST_S: Final = 24 * 3600.0  # maximum seconds of writing a file: no process still writes to an older one
ENDING_S: Final = 2.0  # maximum seconds that the workers of a killed run take to end
CLOCK_S: Final = 5.0  # maximum difference between the clocks of a disk and of processes, in seconds
PICTURES: Final = (".png", ".svg", ".pdf", ".jpg")  # kinds of file that plots are written to
_PART: Final = re.compile(r"\.(\d+)\.part$")
_PROBE: Final = 2**18  # bytes; more than any library writes at a time without reporting an error
_FULL: Final = frozenset([errno.ENOSPC, errno.EDQUOT] if hasattr(errno, "EDQUOT") else [errno.ENOSPC])
_REFUSED: Final = _FULL | {errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG}
"""Error numbers that the system reports only to the writing process."""


def write_wav(target: Source, signal: Signal, sampling_rate: int) -> None:
    """Write a 16-bit PCM WAV; the file appears under its name only when it is complete.

    Args:
        target: a path in an existing folder, or a ``BytesIO``.
        signal: ``(samples,)`` or ``(channels, samples)``, float32; samples outside [-1, 1] are clipped.
        sampling_rate: sampling rate in Hz.

    Raises:
        DiskFullError: if the disk is full.
        OutputError: if the file cannot be written for another reason.

    Examples:
        >>> import numpy as np
        >>> data = BytesIO()
        >>> write_wav(data, np.zeros(8000, np.float32), 8000)
        >>> data.getvalue()[:4]
        b'RIFF'
    """
    import soundfile

    samples = to_pcm16(check_signal(signal)).T
    if isinstance(target, BytesIO):
        soundfile.write(target, samples, sampling_rate, format="WAV", subtype="PCM_16")
        target.seek(0)
        return
    with atomic_path(target) as part, part.open("wb") as file:
        soundfile.write(file, samples, sampling_rate, format="WAV", subtype="PCM_16")


def write_wav_blocks(
    target: str | os.PathLike[str], parts: Iterable[tuple[Signal, int]], *, sync: bool = True
) -> float:
    """Write a 16-bit PCM WAV block by block, so that memory does not grow with its length.

    Args:
        target: a path in an existing folder; the file appears there only when it is complete.
        parts: blocks with their sampling rate in Hz, as :func:`voxtrait.audio.blocks` yields them, all with the same
            rate and number of channels.
        sync: as for :func:`atomic_path`.

    Returns:
        Duration in seconds.

    Raises:
        DecodeError: if there are no samples, or more than a WAV can hold.
        SignalError: if a block holds NaN or infinity.
        OutputError: if the file cannot be written.
    """
    import wave  # not soundfile, which waits for the disk (fsync) when it closes a file

    frames, rate, file = 0, 0, None
    with atomic_path(target, sync=sync) as part, contextlib.ExitStack() as stack:
        for signal, rate in parts:
            if not signal.shape[-1]:
                continue
            samples = to_pcm16(check_signal(signal)).T
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            if file is None:
                # opened here, because an incomplete Wave_write prints a traceback when it is deleted
                opened = stack.enter_context(part.open("wb"))
                file = stack.enter_context(wave.open(opened, "wb"))
                file.setparams((channels, 2, rate, 0, "NONE", ""))
            frames += len(samples)
            if frames * channels * 2 > WAV_BYTES:
                raise DecodeError(f"{target} would exceed 4 GB, the maximum size of a WAV. Cut the recording first.")
            file.writeframesraw(samples.astype("<i2").tobytes())
        stack.close()
        if not frames:
            raise DecodeError(f"No samples for {target}: the file is a header without sound")
    return frames / rate


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside ``target`` to write to, which is renamed to ``target`` after success.

    After a crash or a power failure, ``target`` is the old file or the whole new one.

    The hidden name is short, so that the name of ``target`` may have the maximum length. If ``target`` is a URL, the
    path is a temporary file, which is then uploaded.

    Args:
        target: a path in an existing folder, or a URL.
        sync: wait until the content and the name are on the disk. Without it, only a crash of the program is safe, not
            a power failure: for folders of many small files, see :mod:`voxtrait.audio.durability`.

    Raises:
        DiskFullError: if the disk is full.
        OutputError: if the file cannot be written for another reason, such as a name that is too long for the disk.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(f"{folder}/a.txt") as part:
        ...         _ = part.write_text("whole")
        ...     os.listdir(folder)
        ['a.txt']
    """
    if storage.is_url(target):
        with storage.uploaded(target) as part, writing(target, part):
            yield part
        return
    final = Path(target)
    part = final.with_name(f".{secrets.token_hex(4)}.{os.getpid()}.part")
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, part)  # removed last: `writing` may test whether it is still writable
        stack.enter_context(writing(target, part))
        _check_length(final)
        yield storage.openable(part, stack)
        if sync and part.exists():
            durability.sync_file(part)
        part.replace(final)
        if sync:
            durability.sync_folder(final.parent)


@contextlib.contextmanager
def writing(target: str | os.PathLike[str], part: Path | None = None) -> Iterator[None]:
    """Convert the errors of a full disk, or of a folder that is not writable, to one that names ``target``.

    Args:
        target: path or URL of the output file.
        part: path of the temporary file that is written first.

    Raises:
        DiskFullError: if the disk is full.
        OutputError: if ``target`` cannot be written for another reason.
    """
    try:
        yield
    except VoxtraitError:
        raise
    except Exception as error:
        code = _code_of(error, part)
        if code is None:
            raise
        name = storage.text_of(storage.shown(os.fspath(target)))
        kind = DiskFullError if code in _FULL else OutputError
        raise kind(f"{name} cannot be written ({os.strerror(code)}): {_advice(code, target)}") from None


@contextlib.contextmanager
def synced(folder: str | os.PathLike[str]) -> Iterator[durability.Unsynced]:
    """Send a folder of many files to the disk at the end of the block, also after an error.

    Args:
        folder: an existing folder, claimed by this process, or a URL, whose files are always complete.

    Raises:
        DiskFullError: if the disk is full.
        OutputError: if the disk fails.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with synced(folder) as unsynced:
        ...         inside = os.listdir(folder)
        ...     inside, os.listdir(folder), unsynced.since
        (['.unsynced'], [], None)
    """
    unsynced = durability.Unsynced(folder)
    with writing(folder, Path(durability.NEW)):
        unsynced.begin()
    try:
        yield unsynced
    except BaseException:
        with contextlib.suppress(OSError):
            unsynced.end()
        raise
    with writing(folder, Path(durability.NEW)):
        unsynced.end()


def create_folder(folder: str | os.PathLike[str]) -> None:
    """Create a folder for output, and those above it; it may exist.

    Raises:
        DiskFullError: if the disk is full.
        OutputError: if the folder cannot be created, or is a file.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     create_folder(f"{folder}/a/b")
        ...     os.listdir(folder)
        ['a']
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"The output {folder} is a file. Expected a folder or a new name.") from None
    except OSError as error:
        with writing(folder, Path(error.filename or folder)):
            raise


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove incomplete files of killed runs below a folder; files of running processes are kept.

    The workers of a killed run end a moment after it. So files of processes that still run are examined again for
    :data:`ENDING_S` seconds.
    """
    deadline = time.monotonic() + ENDING_S
    parts = [Path(here, name) for here, _, names in os.walk(folder) for name in names if _is_part(name)]
    while parts := [part for part in parts if _may_be_written(part)]:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _is_part(name: str) -> bool:
    return name[0] == "." and _PART.search(name) is not None


def _may_be_written(part: Path) -> bool:
    """Remove an incomplete file if nobody writes to it. Return whether somebody may."""
    found = _PART.search(part.name)
    with contextlib.suppress(OSError):
        changed = part.stat().st_mtime
        if found and time.time() - changed <= LONGEST_S and _may_write(int(found[1]), changed):
            return True
        part.unlink()
    return False


def _may_write(process: int, changed: float) -> bool:
    """Return whether the process that changed a file may still run; ``True`` if unknown."""
    if os.name == "nt":  # on Windows, the test would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        pass
    try:  # the first process of a container has the same number at every start
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        if fields[0] in "ZX":  # ended, but nobody has collected its status: frequent in containers
            return False
        ticks = int(fields[19])
        booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return True
    return booted + ticks / os.sysconf("SC_CLK_TCK") < changed + CLOCK_S


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):  # an error here would hide the original one
        part.unlink(missing_ok=True)


def _check_length(final: Path) -> None:
    """Refuse a name that is too long, before the computation starts."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(final)


def _code_of(error: Exception, part: Path | None) -> int | None:
    """Return the system's error number if an error is about writing a file, otherwise ``None``."""
    if isinstance(error, OSError) and error.errno is not None:
        named = {os.path.basename(str(name)) for name in (error.filename, error.filename2) if name}  # noqa: PTH119
        return error.errno if error.errno in _REFUSED or (part and part.name in named) else None
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # format of Polars
        return int(found[1]) if int(found[1]) in _REFUSED else None
    # Polars, PyTorch and libsndfile may report a full disk without its number: a test write gives the number
    return _refusal(part) if isinstance(error, OSError | RuntimeError) or "PolarsError" in _kinds(error) else None


def _kinds(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _refusal(part: Path | None) -> int | None:
    """Write to a file that is removed anyway, and return the number of the error, if there is one."""
    if part is None:
        return None
    try:
        with part.open("ab") as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error.errno if error.errno in _REFUSED else None
    return None


def _advice(code: int, target: str | os.PathLike[str]) -> str:
    if code in _FULL:
        return "earlier results are kept. Free some space and run the same command again"
    if code == errno.ENAMETOOLONG:
        path = os.fsencode(target)
        size = len(path.rpartition(b"/")[2])
        if size <= LONGEST_NAME:
            return f"the path has {len(path)} bytes. Write to a folder with a shorter path."
        return f"the name has {size} bytes, and most disks allow {LONGEST_NAME}. Shorten the name."
    if code == errno.EFBIG:
        return "earlier results are kept. The disk or the account does not allow files of that size"
    return "choose another folder, or change its permissions"


def check_picture(path: str | os.PathLike[str]) -> None:
    """Check the file ending of a plot, before any work is done.

    Raises:
        OptionError: if the ending is not one of :data:`PICTURES`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURES:
        raise OptionError(f"Got a plot file ending in {suffix!r}. Expected one of {', '.join(PICTURES)}.")
