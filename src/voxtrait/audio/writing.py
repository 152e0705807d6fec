"""Signals to 16-bit WAV files, and files that appear under their name only when they are whole."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from voxtrait import storage
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import Signal, check_signal, to_pcm16
from voxtrait.errors import DecodeError

WAV_BYTES: Final = 2**32 - 1024  # of samples in a WAV, whose sizes are 32-bit numbers


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
    with atomic_path(target) as part:
        soundfile.write(part, samples, sampling_rate, format="WAV", subtype="PCM_16")


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
                file = stack.enter_context(wave.open(str(part), "wb"))
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

    Where ``target`` is a URL it is a temporary file, which is sent there.
    """
    if storage.is_url(target):
        with storage.uploaded(target) as part:
            yield part
        return
    final = Path(target)
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)
