"""A cut anywhere in a file is seen from its bytes, and no whole file is called truncated."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from factories import tone
from test_integrity import check_rows, examples, found
from voxtrait.integrity import FATAL, truncation

LONG = tone(2.0, 300.0, 48_000) + np.random.default_rng(0).normal(0, 0.01, 96_000).astype(np.float32)


def encoded(tmp_path: Path, name: str, **kind: str) -> bytes:
    soundfile.write(tmp_path / name, LONG, 48_000, **kind)
    return (tmp_path / name).read_bytes()


KINDS = [("a.mp3", {}), ("a.wav", {}), ("a.wav", {"format": "RF64"}), ("a.ogg", {}), ("a.ogg", {"subtype": "OPUS"})]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_cut_anywhere_is_seen(tmp_path: Path, name: str, kind: dict[str, str]) -> None:
    data = encoded(tmp_path, name, **kind)
    assert truncation(data) is None
    for left in np.linspace(200, len(data) - 1, 23, dtype=int):
        assert truncation(data[:left]) is not None, f"{left} of {len(data)} bytes"


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac")])
def test_what_ffmpegs_libraries_write(tmp_path: Path, name: str, codec: str) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        for at in range(0, 96_000, 1024):
            frame = av.AudioFrame.from_ndarray(LONG[None, at : at + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = (tmp_path / name).read_bytes()
    assert truncation(data) is None
    assert truncation(data[:-1]) is not None and truncation(data[: len(data) // 2]) is not None


def frames(count: int) -> bytes:
    """Make silent mp3 frames: MPEG-1 layer III, 64 kbit/s, 48 kHz, mono, so 144 × 64000 / 48000 = 192 bytes each."""
    return (b"\xff\xfb\x54\xc0" + bytes(188)) * count


def test_mp3_frames_are_counted() -> None:
    assert truncation(frames(5)) is None
    assert truncation(frames(5)[:-1]) == "the last frame has 191 of 192 bytes"
    assert truncation(frames(5) + frames(1)[:2]) == "the last frame has 2 bytes"
    info = b"\xff\xfb\x54\xc0" + bytes(17) + b"Info" + (1).to_bytes(4, "big")
    declared = [(info + count.to_bytes(4, "big")).ljust(192, b"\0") + frames(5) for count in (5, 6, 7)]
    assert [truncation(data) for data in declared] == [None, None, "the file has 6 of 7 frames"]
    vbri = (b"\xff\xfb\x54\xc0" + bytes(32) + b"VBRI" + bytes(10) + (9).to_bytes(4, "big")).ljust(192, b"\0")
    assert truncation(vbri + frames(5)) == "the file has 6 of 9 frames"


def test_tags_and_garbage_around_an_mp3_are_tolerated() -> None:
    tag = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257)
    for data in (
        tag + frames(5),
        tag + tag + frames(5),
        frames(5) + b"TAG" + bytes(125),
        frames(5) + b"APETAGEX" + bytes(100),
        frames(5) + b"\0" * 1000,
        frames(5) + b"\xff\xfb garbage that looks like a frame and is none",
        bytes(300) + frames(5),
        frames(3) + b"damage in the middle" + frames(3),
    ):
        assert truncation(data) is None
    assert truncation(tag[:100]) == "the file ends within its ID3 tag"
    assert truncation(frames(3) + b"damage in the middle" + frames(3)[:-1]) == "the last frame has 191 of 192 bytes"


def test_what_is_unknown_is_not_called_truncated() -> None:
    for data in (b"", b"x", b"plain text\n" * 50, bytes(1000), b"\xff" * 1000, b"\x1aE\xdf\xa3" + bytes(100)):
        assert truncation(data) is None


def test_a_wav_from_a_pipe_and_chunks_before_the_sound() -> None:
    head = b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\x03\0\0\0abc\0" + b"data"
    assert truncation(head + b"\xff\xff\xff\xff" + bytes(10)) is None
    assert truncation(head + b"\x0a\0\0\0" + bytes(10)) is None
    assert truncation(head + b"\x0b\0\0\0" + bytes(10)) == "the data chunk has 10 of 11 bytes"
    assert truncation(head[:-4]) == "the file ends before the data chunk"


def test_a_truncated_flac_is_called_truncated(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    data = encoded(tmp_path, "a.flac")
    rows = [{"path": f"clips/{at}.flac"} for at in range(3)]
    for at, left in enumerate((len(data), len(data) * 2 // 3, 300)):
        (tmp_path / "clips" / f"{at}.flac").write_bytes(data[:left])
    report = check_rows(tmp_path, rows, tables_only=False)
    assert found(report) == {"files truncated": (FATAL, 2)}
    assert "of 96000 samples" in examples(report, "files truncated")[0]


def test_every_real_mp3_is_seen_cut(speech: Path) -> None:
    for clip in sorted(speech.glob("cv-corpus-*/*/clips/*.mp3"))[::100]:
        data = clip.read_bytes()
        assert truncation(data) is None
        assert truncation(data[: len(data) // 2 + 1]) or truncation(data[: len(data) // 2 + 2])
