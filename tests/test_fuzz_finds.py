"""Inputs that fuzzing has found, made by code, with their neighbours."""

from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'voxtrait[media]'")

from formats import KINDS, patched
from piping import piped
from voxtrait import audio
from voxtrait.errors import DecodeError

SIGNAL = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)
Blocks = Iterator[tuple[np.ndarray, int]]


def of_codec(number: int) -> bytes:
    """A WAV whose samples have a codec of that number."""
    return patched(KINDS["wav-pcm16.wav"], lambda wav: wav.__setitem__(slice(20, 22), number.to_bytes(2, "little")))(
        SIGNAL
    )


WAYS: dict[str, Callable[[bytes], Blocks]] = {"file": lambda data: audio.blocks(BytesIO(data)), "pipe": piped}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [0x0004, 0xFF01, 0xFFFF])
def test_a_wav_with_an_unknown_codec_is_refused_by_files_and_pipes(way: str, number: int) -> None:
    with pytest.raises(DecodeError, match="the codec of its audio is unknown"):
        list(WAYS[way](of_codec(number)))
