"""Signals to 16-bit WAV files, and files that appear under their name only when they are whole."""

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
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import Signal, check_signal, to_pcm16
from voxtrait.errors import DecodeError, DiskFullError, OutputError, VoxtraitError

WAV_BYTES: Final = 2**32 - 1024  # of samples in a WAV, whose sizes are 32-bit numbers
LONGEST_NAME: Final = 255  # bytes of a file's own name, on most disks
LONGEST_S: Final = 24 * 3600.0  # that a file may be in the making: what is older has nobody who writes to it
CLOCK_S: Final = 5.0  # by which the clocks of a disk and of processes may differ
_PART: Final = re.compile(r"\.(\d+)\.part$")
_PROBE: Final = 2**18  # bytes; more than any library writes at a time without saying how it went
_FULL: Final = frozenset([errno.ENOSPC, errno.EDQUOT] if hasattr(errno, "EDQUOT") else [errno.ENOSPC])
_REFUSED: Final = _FULL | {errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG}
"""What the system says only to who writes."""


def write_wav(target: Source, signal: Signal, sampling_rate: int) -> None:
    """Write a 16-bit PCM WAV; a file appears under its name only when it is whole.

    Args:
        target: a path, whose folder must exist, or a ``BytesIO``.
        signal: ``(samples,)`` or ``(channels, samples)``.
        sampling_rate: in Hz.
    """
    import soundfile

    samples = to_pcm16(check_signal(signal)).T
    if isinstance(target, BytesIO):
        soundfile.write(target, samples, sampling_rate, format="WAV", subtype="PCM_16")
        target.seek(0)
        return
    with atomic_path(target) as part, part.open("wb") as file:
        soundfile.write(file, samples, sampling_rate, format="WAV", subtype="PCM_16")


def write_wav_blocks(target: str | os.PathLike[str], parts: Iterable[tuple[Signal, int]]) -> float:
    """Write a 16-bit PCM WAV block by block, so that memory does not grow with its length.

    Args:
        target: a path, whose folder must exist; the file appears there only when it is whole.
        parts: blocks with their sampling rate, as :func:`blocks` gives them, all of one rate and shape.

    Returns:
        Its length in seconds.

    Raises:
        DecodeError: if there are no samples, or more than a WAV can hold.
        SignalError: if a block holds NaN or infinity.
        OutputError: if the file cannot be written.
    """
    import wave  # not soundfile, which waits for the disk (fsync) whenever it closes a file

    frames, rate, file = 0, 0, None
    with atomic_path(target) as part, contextlib.ExitStack() as stack:
        for signal, rate in parts:
            if not signal.shape[-1]:
                continue
            samples = to_pcm16(check_signal(signal)).T
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            if file is None:
                # opened here, for a half-made Wave_write writes a traceback to standard error when it goes
                opened = stack.enter_context(part.open("wb"))
                file = stack.enter_context(wave.open(opened, "wb"))
                file.setparams((channels, 2, rate, 0, "NONE", ""))
            frames += len(samples)
            if frames * channels * 2 > WAV_BYTES:
                raise DecodeError(f"{target} would be over 4 GB, which a WAV cannot hold: cut the recording first")
            file.writeframesraw(samples.astype("<i2").tobytes())
        stack.close()
        if not frames:
            raise DecodeError(f"no samples for {target}: the file is a header without sound")
    return frames / rate


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Provide a hidden name beside ``target`` to write to; it is renamed to ``target`` only if all went well.

    The hidden name is short, so that ``target`` may have as many letters as the disk allows. Where ``target`` is a URL
    it is a temporary file, which is sent there.

    Raises:
        DiskFullError: if there is no room.
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
        stack.callback(_remove, part)  # last: `writing` may try whether it can still be written to
        stack.enter_context(writing(target, part))
        _check_length(final)
        yield storage.openable(part, stack)
        part.replace(final)


@contextlib.contextmanager
def writing(target: str | os.PathLike[str], part: Path | None = None) -> Iterator[None]:
    """Turn the errors of a full disk, or of a folder that cannot be written to, into one that names ``target``.

    Args:
        target: the file that is written, or its URL.
        part: the file that its bytes go to first.

    Raises:
        DiskFullError: if there is no room.
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


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the files below a folder that killed runs left half-written; those of running processes stay."""
    for here, _, names in os.walk(folder):
        for name in names:
            if name[0] == "." and (found := _PART.search(name)):
                file = Path(here, name)
                with contextlib.suppress(OSError):
                    changed = file.stat().st_mtime
                    if time.time() - changed > LONGEST_S or not _may_write(int(found[1]), changed):
                        file.unlink()


def _may_write(process: int, changed: float) -> bool:
    """Return whether the process that changed a file may still run; unknown is yes."""
    if os.name == "nt":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        pass
    try:  # a container gives the same number to the first process of every start
        ticks = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
        booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return True
    return booted + ticks / os.sysconf("SC_CLK_TCK") < changed + CLOCK_S


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):  # whose reason would hide the one that matters
        part.unlink(missing_ok=True)


def _check_length(final: Path) -> None:
    """Refuse a name that is too long before anything is computed for it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(final)


def _code_of(error: Exception, part: Path | None) -> int | None:
    """Return the system's error number if a file cannot be written, or ``None`` for another error."""
    if isinstance(error, OSError) and error.errno is not None:
        named = {os.path.basename(str(name)) for name in (error.filename, error.filename2) if name}  # noqa: PTH119
        return error.errno if error.errno in _REFUSED or (part and part.name in named) else None
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # as Polars says it
        return int(found[1]) if int(found[1]) in _REFUSED else None
    # Polars, PyTorch and libsndfile may report a full disk without its number: the disk is asked for it
    return _refusal(part) if isinstance(error, OSError | RuntimeError) or "PolarsError" in _kinds(error) else None


def _kinds(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _refusal(part: Path | None) -> int | None:
    """Write to a file that is removed anyway, and return the number of the error that this raises."""
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
        return "earlier results are kept. Make room and run the same command again"
    if code == errno.ENAMETOOLONG:
        path = os.fsencode(target)
        size = len(path.rpartition(b"/")[2])
        if size <= LONGEST_NAME:
            return f"the path has {len(path)} bytes. Write to a folder with a shorter path."
        return f"the name has {size} bytes, and most disks allow {LONGEST_NAME}. Shorten the name."
    if code == errno.EFBIG:
        return "earlier results are kept. The disk, or a limit of this account, does not allow a file of that size"
    return "choose another folder, or change its permissions"
