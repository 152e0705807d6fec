"""Sound while it comes: every kind of pipe, what goes wrong in one, and the microphone."""

import struct
import sys
import tracemalloc
import types
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piping import RATE, SOUND, TEXT, encoded, piped, whole, with_length
from voxtrait import audio
from voxtrait.audio import streams
from voxtrait.audio.streams import Raw
from voxtrait.errors import DecodeError, MissingExtraError, NothingToDoError, OptionError

# --- pipes


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "opus", "flac", "au"])
def test_every_kind_of_pipe(suffix: str) -> None:
    if suffix in ("ogg", "opus", "flac"):
        pytest.importorskip("av")
    content = encoded(suffix)
    heard = whole(piped(content))
    np.testing.assert_allclose(heard, audio.load(BytesIO(content), None)[0], atol=1e-6)


def test_a_webm_and_a_fragmented_m4a_in_a_pipe(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for name, codec, options in (("a.webm", "libopus", {}), ("a.m4a", "aac", {"movflags": "frag_keyframe+empty_moov"})):
        with av.open(str(tmp_path / name), "w", options=options) as container:
            stream = container.add_stream(codec, rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            size = stream.codec_context.frame_size or 960
            resampler = av.AudioResampler(stream.codec_context.format, "mono", RATE, frame_size=size)
            for out in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(out))
            container.mux(stream.encode(None))
        content = (tmp_path / name).read_bytes()
        np.testing.assert_array_equal(whole(piped(content)), audio.load(BytesIO(content), None)[0])
        if codec == "libopus":
            with pytest.raises(DecodeError, match=r"is damaged after \d\.\d s"):
                whole(piped(content[: len(content) // 2] + TEXT))


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_of_unknown_length(length: int) -> None:
    wav = encoded("wav")
    np.testing.assert_array_equal(whole(piped(with_length(wav, length))), audio.load(BytesIO(wav), None)[0])


def test_raw_samples() -> None:
    samples = audio.to_pcm16(SOUND)
    for encoding, content in (
        ("s16le", samples.astype("<i2").tobytes()),
        ("s16be", samples.astype(">i2").tobytes()),
        ("f32le", (samples / 32768).astype("<f4").tobytes()),
    ):
        heard = whole(piped(content, Raw(encoding, RATE, 1)))
        np.testing.assert_array_equal(heard, (samples / 32768).astype(np.float32))
    stereo = next(piped(np.stack([samples, -samples], 1).tobytes(), Raw("s16le", RATE, 2)))
    assert stereo[0].shape == (2, 4800) and stereo[1] == RATE
    with pytest.raises(OptionError, match=r"Got raw samples of 's16'\. Expected one of s16le"):
        next(streams.incoming(BytesIO(b"1"), Raw("s16")))


def test_a_pipe_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    np.testing.assert_array_equal(whole(piped(encoded("ogg"))), audio.load(BytesIO(encoded("ogg")), None)[0])
    np.testing.assert_array_equal(whole(piped(encoded("flac"))), audio.load(BytesIO(encoded("flac")), None)[0])
    with pytest.raises(MissingExtraError, match=r"reading the input, which is Matroska, needs the extra \[media\]"):
        next(piped(b"\x1aE\xdf\xa3" + bytes(10_000)))


def test_a_stream_that_stops_being_sound() -> None:
    mp3 = encoded("mp3")
    heard = []
    with pytest.raises(DecodeError, match=r"the input is damaged after \d\.\d s"):
        for block, _ in piped(mp3[: len(mp3) // 2] + TEXT):
            heard.append(block.shape[1])
    assert sum(heard) / RATE == pytest.approx(3.5, abs=0.7)
    with pytest.raises(DecodeError, match=r"has more data after the end of its audio at 7\.0 s"):
        whole(piped(encoded("wav") + bytes(100_000)))
    np.testing.assert_array_equal(whole(piped(encoded("wav") * 2)), np.tile(whole(piped(encoded("wav"))), 2))
    assert len(whole(piped(mp3[: len(mp3) // 2]))) / RATE == pytest.approx(3.5, abs=0.7)  # cut short is no damage
    tagged = b"ID3\x03\0\0" + bytes([0, 4, 0, 0]) + bytes(4 * 16_384) + mp3 + b"TAG" + bytes(125)
    np.testing.assert_array_equal(whole(piped(tagged)), whole(piped(mp3)))


def test_no_sound_at_all() -> None:
    with pytest.raises(NothingToDoError, match=r"No data from the input\. Expected audio\."):
        next(piped(b""))
    for content, kind in ((TEXT, "a text file"), (bytes(100_000), "of an unknown kind")):
        with pytest.raises(DecodeError, match=f"is not a readable audio file: it is {kind}"):
            next(piped(content))


def test_blocks_of_a_container_are_bounded_and_a_clip_is_resampled_in_one_go() -> None:
    clip = [(part, RATE) for part in np.split(np.stack([SOUND, SOUND]), 200, axis=1)]
    (one,) = (block for block, _ in audio.at_rate(clip))
    np.testing.assert_array_equal(one, audio.resample(SOUND, RATE, 16_000))

    def peak(minutes: int) -> int:
        tracemalloc.start()
        lengths = [len(block) for block, _ in audio.at_rate((SOUND[:1024], RATE) for _ in range(minutes * 60 * 47))]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(lengths) == pytest.approx(minutes * 60 * 47 * 1024 / 3, abs=1)
        return found

    assert peak(6) < 1.1 * peak(2)


# --- the microphone


class PortAudioError(Exception):
    pass


def fake_sounddevice(opened: list[dict[str, Any]]) -> types.ModuleType:
    class InputStream:
        samplerate = 44_100.0

        def __init__(self, **options: Any) -> None:
            if options["device"] == "none":
                raise PortAudioError("No input device matching 'none'")
            opened.append(options)
            self.hear = options["callback"]

        def __enter__(self) -> "InputStream":
            for at in range(3):
                self.hear(np.full((441, 1), at / 4, np.float32), 441, None, None)
            return self

        def __exit__(self, *error: object) -> None:
            opened.append({})

    module = types.ModuleType("sounddevice")
    vars(module).update(InputStream=InputStream, PortAudioError=PortAudioError)
    return module


def test_a_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(opened))
    heard = streams.microphone("3")
    blocks = [next(heard) for _ in range(3)]
    assert [(float(block[0]), len(block), rate) for block, rate in blocks] == [(at / 4, 441, 44_100) for at in range(3)]
    assert (opened[0]["device"], opened[0]["channels"], opened[0]["dtype"]) == (3, 1, "float32")
    heard.close()  # type: ignore[attr-defined]
    assert opened[-1] == {}  # it is closed
    with pytest.raises(OptionError, match=r"Cannot open the microphone 'none': No input.*python -m sounddevice"):
        next(streams.microphone("none"))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[microphone\]"):
        next(streams.microphone())


def test_a_header_that_no_recording_has_is_refused_before_memory_is_taken() -> None:
    wav = bytearray(encoded("wav"))
    wav[22:28] = struct.pack("<HI", 1000, 2_000_000_000)
    with pytest.raises(DecodeError, match="1000 channels at 2000000000 Hz"):
        list(piped(bytes(wav)))
    with pytest.raises(OptionError, match="Got 65 channels"):
        next(streams.incoming(BytesIO(b"1"), Raw("s16le", RATE, 65)))
