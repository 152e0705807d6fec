"""Inputs that fuzzing has found, made by code, with their neighbours."""

import itertools
import os
import signal
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("av", reason="PyAV is not installed: pip install 'voxtrait[media]'")

import av

import voxtrait
from formats import KINDS, RATE, encode, patched, sndfile, with_sizes
from piping import piped
from voxtrait import audio
from voxtrait.audio import kinds, streams
from voxtrait.audio.arrays import full_scale
from voxtrait.errors import DecodeError, OptionError, SignalError
from voxtrait.integrity.examination import examine

SIGNAL = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)
Blocks = Iterator[tuple[np.ndarray, int]]
WAYS: dict[str, Callable[[bytes], Blocks]] = {
    "file": lambda data: audio.blocks(BytesIO(data), None, mono=False),
    "pipe": piped,
}
ways = pytest.mark.parametrize("way", WAYS)


def read(way: str, data: bytes) -> np.ndarray:
    """All samples, ``(channels, samples)``."""
    return np.concatenate([np.atleast_2d(block) for block, _ in WAYS[way](data)], axis=1)


def changed(kind: str, at: int, content: bytes) -> bytes:
    return patched(KINDS[kind], lambda made: made.__setitem__(slice(at, at + len(content)), content))(SIGNAL)


@ways
@pytest.mark.parametrize("number", [0xFF01, 0xFF10, 0x0101])
def test_a_wav_with_an_unknown_codec_is_refused(way: str, number: int) -> None:
    with pytest.raises(DecodeError, match="the codec of its audio is unknown"):
        read(way, changed("wav-pcm16.wav", 20, struct.pack("<H", number)))


def surround(channels: int, format_: str) -> tuple[np.ndarray, bytes]:
    """A signal of many channels, and a container of it that only PyAV reads."""
    pitches = (1 + np.arange(channels)[:, None]) / channels
    signal = (0.3 * np.sin(np.arange(2000) / 5 * pitches)).astype(np.float32)
    layout = "mono" if channels == 1 else f"{channels} channels"
    out = BytesIO()
    with av.open(out, "w", format=format_) as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
        packed = np.round(signal.T * 32768).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return signal, out.getvalue()


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 17, 64])
def test_eight_channels_and_more_are_read_by_pyav(channels: int) -> None:
    for format_ in ("mov", "matroska"):
        signal, data = surround(channels, format_)
        np.testing.assert_allclose(read("file", data), signal, atol=1e-4)
    aiff = BytesIO()
    soundfile.write(aiff, signal.T, RATE, "PCM_16", format="AIFF")
    np.testing.assert_allclose(read("pipe", aiff.getvalue()), signal, atol=1e-4)  # a process that crashed before


@pytest.mark.parametrize("format_", ["mov", "matroska"])
def test_more_channels_than_any_recording_has_are_refused(format_: str) -> None:
    with pytest.raises(DecodeError, match="its header states 65 channels"):
        read("file", surround(65, format_)[1])


ENDLESS = {"known": None, "zeros": 0, "maximum": 0xFFFFFFFF, "too large": 0x3FFFFFFF}


@pytest.mark.parametrize("size", ENDLESS)
@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM", "G721_32", "GSM610", "ULAW", "PCM_U8", "FLOAT"])
def test_a_wav_in_a_pipe_ends_with_its_bytes_and_not_where_its_header_says(subtype: str, size: str) -> None:
    data = sndfile("WAV", subtype)(SIGNAL)
    sized = ENDLESS[size]
    stated = bytearray(data)
    if sized is not None:
        with_sizes(sized, sized)(stated)
    assert read("pipe", bytes(stated)).shape[1] == pytest.approx(read("file", data).shape[1], abs=320)


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x3FFFFFFF])
@pytest.mark.parametrize("subtype", ["G721_32", "G723_24", "G723_40", "ULAW", "PCM_24"])
def test_an_au_in_a_pipe_is_read_whatever_its_encoding_and_size(subtype: str, size: int | None) -> None:
    data = sndfile("AU", subtype)(SIGNAL)
    stated = data if size is None else data[:8] + struct.pack(">I", size) + data[12:]
    assert read("pipe", stated).shape[1] == pytest.approx(read("file", data).shape[1], abs=120)


def ogg(codec: str, rate: int, channels: int) -> bytes:
    """Half a second, in Ogg."""
    signal = np.tile(SIGNAL[:, None], channels)
    if codec in ("VORBIS", "OPUS"):
        out = BytesIO()
        soundfile.write(out, signal, rate, codec, format="OGG")
        return out.getvalue()
    out = BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream: Any = container.add_stream("flac", rate=rate, layout="mono")
        stream.codec_context.open()
        encode(container, stream, SIGNAL, rate)
    return out.getvalue()


LINKS = {
    "opus": ogg("OPUS", 16_000, 1),
    "opus stereo": ogg("OPUS", 48_000, 2),
    "vorbis": ogg("VORBIS", 16_000, 1),
    "vorbis stereo": ogg("VORBIS", 44_100, 2),
    "flac": ogg("FLAC", 16_000, 1),
}


@pytest.mark.parametrize(("first", "second"), [*itertools.product(LINKS, LINKS)])
def test_chained_ogg_streams_are_all_read_from_a_pipe(first: str, second: str) -> None:
    data = LINKS[first] + LINKS[second] + LINKS[first]
    (rate,) = {rate for _, rate in piped(data)}
    seconds = read("pipe", data).shape[1] / rate
    expected = sum(audio.load(BytesIO(LINKS[one]))[0].size / RATE for one in (first, second, first))
    assert seconds == pytest.approx(expected, abs=0.07)  # FFmpeg trims Vorbis less exactly


def test_damage_between_chained_streams_keeps_the_audio_before_it() -> None:
    one = LINKS["opus"]
    assert read("pipe", one + b"?" * 100 + one).shape[1] >= read("pipe", one).shape[1]
    assert read("pipe", one + one[:20]).shape == read("pipe", one).shape  # the header of a page is cut


def of_rate(kind: str, rate: int) -> bytes:
    at, order = {"wav-pcm16.wav": (24, "<I"), "au.au": (16, ">I")}[kind]
    return changed(kind, at, struct.pack(order, rate))


@ways
@pytest.mark.parametrize("kind", ["wav-pcm16.wav", "au.au"])
def test_a_rate_that_makes_hours_of_a_second_is_refused(kind: str, way: str) -> None:
    for rate in (1, 999, 1_000_001, 2**31 - 1):
        with pytest.raises(DecodeError, match="1000 to 1000000 Hz"):
            read(way, of_rate(kind, rate))
    for rate in (1000, 1_000_000):
        assert read(way, of_rate(kind, rate)).shape == (1, 8000)


@pytest.mark.parametrize("rate", [0, 999, 1_000_001])
def test_raw_samples_have_the_same_limits(rate: int) -> None:
    with pytest.raises(OptionError, match="1000 to 1000000 Hz"):
        list(streams.incoming(BytesIO(bytes(100)), streams.Raw(rate=rate)))


@pytest.fixture(scope="module")
def model() -> voxtrait.Recognizer:
    return voxtrait.load()


@pytest.mark.parametrize("sample", [1e10, -1e19, 3e38])
def test_a_sample_of_damage_is_refused_and_not_computed_with(
    model: voxtrait.Recognizer, sample: float, tmp_path: Path
) -> None:
    signal = np.tile(SIGNAL, 3)
    signal[9000] = sample
    data = BytesIO(sndfile("WAV", "FLOAT")(signal))
    path = tmp_path / "a.wav"
    path.write_bytes(data.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(data)
        recording = voxtrait.timeline(data, model=model)
        (state,) = {examine((str(path),), quick=quick).state for quick in (True, False)}
    assert (found.status, recording.status, state) == ("error", "error", "undecodable")
    assert found.message is not None
    assert "Got samples up to" in found.message


def test_a_part_of_a_recording_has_the_limit_of_the_whole() -> None:
    most = np.float32(2**31)
    assert audio.check_signal(np.array([most, 0.0], np.float32))[0] == most
    assert full_scale(float(most)) == most
    with pytest.raises(SignalError, match="Got samples up to"):
        audio.check_signal(np.array([np.nextafter(most, np.float32(np.inf)), 0.0], np.float32))


@pytest.mark.parametrize(
    "part", [b"#!AMR\n", sndfile("FLAC", "PCM_16")(SIGNAL[:0]), sndfile("WAV", "PCM_16")(SIGNAL[:0])]
)
def test_a_file_of_thousands_of_empty_files_is_refused_early(part: bytes) -> None:
    with pytest.raises(DecodeError):
        read("file", part * 20_000)


def test_empty_files_among_others_are_skipped() -> None:
    wav = KINDS["wav-pcm16.wav"]
    assert read("file", (wav(SIGNAL[:0]) * 50 + wav(SIGNAL)) * 3).shape[1] == 24_000


def test_audio_after_the_stated_end_of_a_pipe_is_never_dropped_silently() -> None:
    aiff = KINDS["aiff.aiff"](SIGNAL)
    assert read("pipe", aiff + bytes(1000)).shape[1] == 8000
    with pytest.raises(DecodeError, match=r"damaged after 0\.5 s"):
        read("pipe", aiff * 10)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\xff\xe0" * 4000, False),
        (b"\xff\xfb\x90\x64" * 2000, False),
        ("Größe ".encode() * 2000, True),
        (b"x" * (kinds.HEAD - 1) + "ü".encode(), True),  # the end cuts a character
        (b"x" * 100 + "ü".encode()[:1], False),
    ],
)
def test_bytes_are_only_called_text_if_they_are(head: bytes, text: bool) -> None:
    assert (kinds.described(head[: kinds.HEAD]) == "a text file") == text


@pytest.mark.parametrize("kind", ["w64.w64", "wav-rf64.wav", "wav-pcm24.wav", "aiff.aiff", "caf.caf", "flac.flac"])
def test_a_truncated_file_has_one_result_on_a_disk_and_in_memory(kind: str, tmp_path: Path) -> None:
    whole = KINDS[kind](SIGNAL)
    path = tmp_path / "a"
    for size in range(40, len(whole), len(whole) // 9):
        path.write_bytes(whole[:size])
        results = []
        for source in (path, BytesIO(whole[:size])):
            try:
                results.append(audio.load(source, None)[0].tolist())
            except DecodeError:
                results.append(None)
        assert results[0] == results[1], size


CRASH = """
import os, signal, sys
from voxtrait.audio import opening
from voxtrait.cli import main
opening.AudioFile.blocks = lambda self, samples=None: os.kill(os.getpid(), signal.SIGSEGV)
sys.argv[1:] = ["predict", sys.argv[1]]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_decoder_that_crashes_in_the_command_itself_leaves_words(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(KINDS["wav-pcm16.wav"](SIGNAL))
    done = subprocess.run([sys.executable, "-c", CRASH, path], capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith("Fatal Python error: Segmentation fault")
    assert "files.py" in done.stderr
