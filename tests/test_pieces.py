"""All of a file's sound is heard: headers that state a wrong length, files laid end to end, tags, and damage."""

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxtrait
from formats import KINDS, RATE, WAV, media, patched, sndfile, with_chunk, with_sizes
from voxtrait import audio
from voxtrait.audio import kinds, pieces
from voxtrait.audio.opening import AudioFile
from voxtrait.audio.streams import incoming
from voxtrait.errors import DecodeError, NotAudioError

SECONDS = 1.5
TIMES = np.arange(round(SECONDS * RATE)) / RATE
SWEEP = (0.4 * np.sin(2 * np.pi * (300 * TIMES + 233 * TIMES**2))).astype(np.float32)
Content = Callable[[], bytes]


def heard_s(content: bytes) -> float:
    return len(audio.load(BytesIO(content))[0]) / RATE


def without_size(kind: str, mark: bytes, at: int, size: int) -> Content:
    """A file whose header states that there is no sound."""

    def make() -> bytes:
        content = bytearray(KINDS[kind](SWEEP))
        place = content.index(mark) + at
        content[place : place + size] = bytes(size)
        return bytes(content)

    return make


def rf64() -> bytes:
    content = bytearray(KINDS["wav-rf64.wav"](SWEEP))
    for place, size in ((content.index(b"ds64") + 8, 24), (content.index(b"data") + 4, 4)):
        content[place : place + size] = bytes(size)
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: patched(WAV, with_sizes(None, 1000))(SWEEP), id="wav, stale size"),
        pytest.param(lambda: patched(WAV, with_sizes(36, 0))(SWEEP), id="wav, size of the header alone"),
        pytest.param(
            lambda: patched(patched(WAV, with_chunk(b"bext", bytes(602))), with_sizes(0, 0))(SWEEP), id="bext"
        ),
        pytest.param(
            lambda: patched(sndfile("WAV", "PCM_16", "BIG"), with_sizes(0, 0))(SWEEP), id="wav, big-endian, no size"
        ),
        pytest.param(rf64, id="rf64, no sizes"),
        pytest.param(without_size("au.au", b".snd", 8, 4), id="au, size 0"),
        pytest.param(without_size("aiff.aiff", b"COMM", 10, 4), id="aiff, no frames"),
        pytest.param(without_size("caf.caf", b"data", 4, 8), id="caf, size 0"),
        pytest.param(without_size("w64.w64", b"data", 16, 8), id="w64, size 0"),
    ],
)
def test_headers_without_a_length(make: Content) -> None:
    assert heard_s(make()) == pytest.approx(SECONDS)
    assert audio.stated_s(BytesIO(make())) == pytest.approx(SECONDS)


@pytest.mark.parametrize("kind", ["wav-pcm16.wav", "mp3.mp3", "mp3-no-xing.mp3", "mp3-id3.mp3", "ogg-vorbis.ogg",
                                  "ogg-opus.opus", "ogg-flac.oga", "flac.flac", "amr.amr", "aac.aac", "m4a.m4a",
                                  "au.au", "aiff.aiff",
                                  "mpegts.ts", "webm.webm"])  # fmt: skip
def test_files_laid_end_to_end(kind: str) -> None:
    content = KINDS[kind](SWEEP)
    assert heard_s(content * 3) == pytest.approx(3 * heard_s(content), abs=0.15)


@pytest.mark.parametrize("kind", ["wav-pcm16.wav", "aiff.aiff", "caf.caf", "au.au", "flac.flac", "ogg-vorbis.ogg"])
def test_a_tag_before_a_file_costs_nothing_of_its_end(kind: str) -> None:
    """libsndfile skips such a tag, and then reads as many bytes less: with a cover in it, seconds."""
    content = KINDS[kind](SWEEP)
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 64, 0]) + bytes(8192)
    assert heard_s(tag + content) == pytest.approx(heard_s(content))
    if kind != "caf.caf":  # it does not tell where it ends
        assert heard_s((tag + content) * 2) == pytest.approx(2 * heard_s(content), abs=0.01)
    assert audio.stated_s(BytesIO(tag + content)) == pytest.approx(heard_s(content))


def test_an_mp3_of_an_encoder_that_was_stopped() -> None:
    """Its header has zeros as the number of frames and of bytes."""
    sound = np.concatenate([np.zeros(2 * RATE, np.float32), SWEEP])
    content = media("mp3", "libmp3lame", qscale=True, global_quality=0)(sound)
    place = content.index(b"Xing") + 8
    stopped = content[:place] + bytes(8) + content[place + 8 :]
    assert heard_s(stopped) == pytest.approx(heard_s(content), abs=0.2)
    assert audio.stated_s(BytesIO(stopped)) == pytest.approx(heard_s(content), abs=0.2)
    blocks = list(incoming(BytesIO(stopped)))
    assert sum(block.shape[1] for block, _ in blocks) / blocks[0][1] == pytest.approx(heard_s(content), abs=0.2)


@pytest.mark.parametrize(
    ("mark", "kind"),
    [(b"\0\0\0\x08ftyp", kinds.MP4), (b"fLaC\0\0\0\x22", kinds.FLAC), (b"\x1aE\xdf\xa3webm", kinds.MATROSKA)],
)
def test_a_million_pieces_are_not_looked_for_before_the_first_is_decoded(mark: bytes, kind: kinds.Kind) -> None:
    assert next(pieces.pieces_of(mark * 1_000_000, kind)).end <= 2 * len(mark)
    content = mark * 1_000_000
    with pytest.raises(DecodeError):
        AudioFile(BytesIO(content), content, "x").stated_s() or heard_s(content)


def test_a_file_that_becomes_shorter_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(KINDS["mp3.mp3"](SWEEP) * 2000)
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        data = pieces.contents(file)
        os.truncate(path, 1000)
        assert (len(data), data[size - 1], data[size - 4 : size]) == (size, 0, b"")
        assert data.find(b"\xff", 2000, size) == -1


def test_what_is_looked_for_is_found_over_the_ends_of_blocks(tmp_path: Path) -> None:
    content = bytearray(2**21)
    places = [pieces.BLOCK - 2, 3 * pieces.BLOCK + 5, len(content) - 4]
    for place in places:
        content[place : place + 4] = b"mark"
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        data, found, at = pieces.contents(file), [], -1
        while (at := data.find(b"mark", at + 1, len(content))) >= 0:
            found.append(at)
        assert found == places
        assert data.find(b"mark", 0, places[0] + 3) == -1


def test_pieces_of_other_rates_and_channels_are_brought_to_the_first_ones() -> None:
    stereo = sndfile("WAV", "PCM_16")(np.stack([SWEEP, SWEEP], 1))
    slow = sndfile("WAV", "PCM_16", rate=8000)(SWEEP)
    signal, rate = audio.load(BytesIO(stereo + slow), None, mono=False)
    assert rate == RATE and signal.shape[0] == 2
    assert signal.shape[1] / RATE == pytest.approx(2 * SECONDS, abs=0.01)
    np.testing.assert_array_equal(signal[0], signal[1])
    assert np.sqrt(np.mean(signal[:, round(1.6 * RATE) :] ** 2)) == pytest.approx(0.28, abs=0.02)


def test_chunks_behind_the_samples_are_no_sound() -> None:
    notes = b"LIST" + struct.pack("<I", 2000) + b"INFO" + bytes(1996)
    assert heard_s(WAV(SWEEP) + notes) == pytest.approx(SECONDS)
    empty = WAV(SWEEP)[:40] + bytes(4) + notes
    with pytest.raises(DecodeError, match="has no samples"):
        heard_s(empty)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda mp3: bytes(5000) + mp3, id="zeros before"),
        pytest.param(lambda mp3: b"RUBBISH!" * 100 + mp3, id="rubbish before"),
        pytest.param(lambda mp3: mp3 + b"TAG" + bytes(125), id="ID3v1 behind"),
        pytest.param(lambda mp3: mp3 + b"APETAGEX" + bytes(5000), id="a long tag behind"),
    ],
)
def test_what_stands_around_an_mp3(change: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]) -> None:
    mp3 = KINDS["mp3-no-xing.mp3"](SWEEP)
    assert heard_s(change(mp3)) == pytest.approx(heard_s(mp3), abs=0.01)
    assert audio.stated_s(BytesIO(change(mp3))) == pytest.approx(heard_s(mp3), abs=0.04)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("loud_s", [(0, 4), (16, 20)])
def test_an_mp3_of_changing_bitrate_without_a_count(loud_s: tuple[int, int]) -> None:
    """libsndfile guesses from the first frame: 3 s of these 20 were heard."""
    signal = np.zeros(20 * RATE, np.float32)
    start, stop = (second * RATE for second in loud_s)
    signal[start:stop] = 0.5 * np.random.default_rng(0).standard_normal(stop - start)
    options = {"options": {"write_xing": "0"}, "qscale": True, "global_quality": 0}
    content = media("mp3", "libmp3lame", **options)(signal)
    (piece,) = pieces.pieces_of(content, kinds.MP3)
    assert piece.before, "the bitrate does not change"
    assert audio.stated_s(BytesIO(content)) == pytest.approx(20, abs=0.15)
    decoded, _ = audio.load(BytesIO(content))
    assert len(decoded) / RATE == pytest.approx(20, abs=0.15)
    loud = np.flatnonzero(np.abs(decoded) > 0.2) / RATE
    assert loud.min() == pytest.approx(loud_s[0], abs=0.2) and loud.max() == pytest.approx(loud_s[1], abs=0.2)


@pytest.mark.parametrize("kind", ["mp3.mp3", "mp3-no-xing.mp3", "wav-pcm16.wav", "aac.aac", "amr.amr", "mpegts.ts"])
def test_a_file_that_is_cut_off_gives_what_is_there(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = KINDS[kind](SWEEP)
    assert heard_s(content[: len(content) * 6 // 10]) == pytest.approx(0.6 * heard_s(content), abs=0.25)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"\xff\xfe" + "No sound.".encode("utf-16-le") * 50, b"\xff\xe0" * 900])
def test_what_only_looks_like_an_mp3_is_not_searched_for_frames(
    content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotAudioError, match="is not a readable audio file"):
        heard_s(content)
    assert audio.stated_s(BytesIO(content)) is None
    assert capfd.readouterr().err == ""


def test_a_kind_is_told_by_the_content() -> None:
    for name, make in KINDS.items():
        content = make(SWEEP)
        file = AudioFile(BytesIO(content), content, name)
        assert file.kind is not None or name in ("mat4.mat", "htk.htk"), name  # which have no mark


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_in_its_head_is_answered(kind: str) -> None:
    """At every byte of the first 200, and some later: sound, or one clear error, and an end."""
    content = KINDS[kind](SWEEP[: RATE // 4])
    for size in [*range(1, 200, 3), 500, 900, 1500, 3000]:
        try:
            audio.load(BytesIO(content[:size]))
        except DecodeError as error:
            assert "the input" in str(error)
        audio.stated_s(BytesIO(content[:size]))


@pytest.mark.parametrize("error", [IndexError("list index out of range"), ValueError("bad"), ZeroDivisionError()])
def test_what_a_library_raises_about_one_file_is_an_error_of_that_file(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: soundfile.SoundFile, *_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(DecodeError, match="the input is damaged: decoding stopped with"):
        heard_s(WAV(SWEEP))
    answer = voxtrait.load().predict(BytesIO(WAV(SWEEP)))
    assert (answer.status, answer.gender) == ("error", None)
