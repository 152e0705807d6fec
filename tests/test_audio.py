"""Decoding, resampling and writing, on signals whose numbers are known, and on files that are none."""

import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factories import tone
from voxtrait import audio
from voxtrait.audio import opening, writing
from voxtrait.errors import AudioMissingError, DecodeError, NothingToDoError, OptionError, SignalError


def loudest_hz(signal: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return float(np.argmax(spectrum) * rate / len(signal))


def write_media(file: Path, codec: str, rate: int = 48_000) -> None:
    """Write two seconds of a 440 Hz tone with PyAV: kinds of file that libsndfile does not know."""
    import av

    samples = np.stack([tone(2.0, 440.0, rate)] * 2)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=rate)
        while (part := fifo.read(stream.codec_context.frame_size or 960, partial=True)) is not None:
            for out in resampler.resample(part):
                container.mux(stream.encode(out))
        container.mux(stream.encode(None))


# --- numbers


def test_pcm16_clips_and_never_wraps() -> None:
    signal = np.array([0, 0.5, 1, 1.5, 100, -1, -1.5, 1 / 32768, 0.49 / 32768], np.float32)
    assert audio.to_pcm16(signal).tolist() == [0, 16384, 32767, 32767, 32767, -32768, -32768, 1, 0]


def test_a_written_wav_is_plain_16_bit_pcm(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", np.array([[0, 0.5, 2.0], [0, -0.5, -2.0]], np.float32), 8000)
    with wave.open(str(tmp_path / "a.wav")) as file:  # Python's own reader as the second opinion
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (2, 2, 8000, 3)
        values = np.frombuffer(file.readframes(3), "<i2").reshape(-1, 2)
    assert values.tolist() == [[0, 0], [16384, -16384], [32767, -32768]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_integers_are_scaled_by_their_type() -> None:
    for array, expected in (
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1.0, 0.5]),
    ):
        checked = audio.check_signal(array)
        assert checked.tolist() == expected and checked.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(0), "shape \\(0,\\)"),
        (np.zeros((1, 2, 3)), "shape \\(1, 2, 3\\)"),
        (np.zeros((16000, 9)), "Transpose it"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "infinity"),
        (np.array([1j]), "complex"),
        (np.array(["a"]), "Expected floats"),
        (np.array([True]), "bool"),
        (3.0, "shape \\(\\)"),
    ],
)
def test_arrays_that_are_no_signal_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        audio.check_signal(array)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(0.5)
    soundfile.write(tmp_path / "a.wav", np.stack([left, left / 2], 1), 16_000, subtype="FLOAT")
    signal, rate = audio.load(tmp_path / "a.wav")
    assert rate == 16_000 and signal.shape == (8000,)
    np.testing.assert_allclose(signal, left * 0.75, atol=1e-7)
    both, _ = audio.load(tmp_path / "a.wav", mono=False)
    assert both.shape == (2, 8000)
    np.testing.assert_array_equal(both[0], left)


def test_eight_channels_at_96_khz(tmp_path: Path) -> None:
    loud = np.stack([tone(1.0, 1000.0, 96_000)] * 8, 1)
    soundfile.write(tmp_path / "a.wav", loud, 96_000)
    signal, rate = audio.load(tmp_path / "a.wav")
    assert (signal.shape, rate) == ((16_000,), 16_000)
    assert loudest_hz(signal, rate) == 1000.0
    assert np.sqrt(np.mean(signal[1000:-1000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), abs=1e-3)


def test_many_channels_at_a_high_rate_are_not_gathered_for_a_minute() -> None:
    taken = []

    def parts() -> Iterator[tuple[np.ndarray, int]]:
        for at in range(20):
            taken.append(at)
            yield np.zeros((8, 655_350), np.float32), 655_350

    next(audio.at_rate(parts()))
    assert len(taken) <= 4


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000])
def test_resampling_keeps_length_pitch_and_level(rate: int) -> None:
    out = audio.resample(tone(1.0, 1000.0, rate), rate, 16_000)
    assert len(out) == pytest.approx(16_000, abs=1) and out.dtype == np.float32
    assert loudest_hz(out, 16_000) == pytest.approx(1000.0, abs=1.1)
    assert np.abs(out[2000:-2000]).max() == pytest.approx(0.5, abs=2e-3)


def test_what_is_above_half_the_new_rate_is_gone() -> None:
    out = audio.resample(tone(1.0, 10_000.0, 48_000), 48_000, 16_000)
    assert np.abs(out[2000:-2000]).max() < 1e-4


def test_the_same_rate_returns_the_signal_itself() -> None:
    signal = tone(0.1)
    assert audio.resample(signal, 16_000, 16_000) is signal
    with pytest.raises(OptionError, match="positive"):
        audio.resample(signal, 16_000, 0)


# --- blocks


@pytest.mark.parametrize("seconds", [2.0, 1.999, 2.3])  # of which the first ends exactly with a block
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_end_to_end_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, channels: int
) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (round(seconds * 48_000), channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 48_000, subtype="FLOAT")
    whole, _ = audio.load(tmp_path / "a.wav", mono=False)
    own, _ = audio.load(tmp_path / "a.wav", None, mono=False)
    monkeypatch.setattr(opening, "BLOCK_S", 0.25)
    parts = [part for part, rate in audio.blocks(tmp_path / "a.wav", mono=False) if rate == 16_000]
    assert len(parts) > 4
    joined = np.concatenate(parts, axis=-1)
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, atol=2e-6)
    same = np.concatenate([part for part, _ in audio.blocks(tmp_path / "a.wav", None, mono=False)], axis=-1)
    np.testing.assert_array_equal(same, own)


def test_an_mp3_in_blocks_is_the_mp3_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(3.0, sampling_rate=44_100), 44_100)
    whole, _ = audio.load(tmp_path / "a.mp3")
    assert len(whole) == 48_000
    monkeypatch.setattr(opening, "BLOCK_S", 0.5)
    np.testing.assert_allclose(audio.load(tmp_path / "a.mp3")[0], whole, atol=2e-6)


# --- kinds of file


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.wav", {}), ("a.flac", {}), ("a.mp3", {}), ("a.ogg", {}), ("a.opus", {"format": "OGG", "subtype": "OPUS"})],
)
def test_every_kind_of_libsndfile(tmp_path: Path, name: str, kind: dict[str, str]) -> None:
    soundfile.write(tmp_path / name, tone(1.0, 500.0, 48_000), 48_000, **kind)
    signal, rate = audio.load(tmp_path / name)
    assert rate == 16_000 and len(signal) == pytest.approx(16_000, abs=800)
    assert loudest_hz(signal[:16_000], rate) == pytest.approx(500, abs=1.1)
    from_bytes, _ = audio.load(BytesIO((tmp_path / name).read_bytes()))
    np.testing.assert_array_equal(from_bytes, signal)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus"), ("видео 1.mp4", "aac")])
def test_what_only_pyav_opens(tmp_path: Path, name: str, codec: str) -> None:
    pytest.importorskip("av")
    write_media(tmp_path / name, codec)
    signal, rate = audio.load(tmp_path / name)
    assert (rate, signal.ndim) == (16_000, 1) and len(signal) == pytest.approx(32_000, abs=1000)
    assert loudest_hz(signal, rate) == pytest.approx(440, abs=2)
    assert np.abs(signal).max() == pytest.approx(0.5, abs=0.1)
    stereo, own = audio.load(BytesIO((tmp_path / name).read_bytes()), None, mono=False)
    assert own == 48_000 and stereo.shape[0] == 2


# --- files that are none


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioMissingError) as caught:
        audio.load(tmp_path / "a.mp3")
    assert str(caught.value) == f"no such file: {tmp_path / 'a.mp3'}"
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is a text, not speech\n" * 40, "it is a text file"),
        (bytes(range(256)) * 20, "is not a readable audio file"),
        (b"\0\0\0\x18ftypM4A " + bytes(100), "is damaged"),
        (b"\x1aE\xdf\xa3" + bytes(100), "is damaged"),
    ],
)
def test_files_that_are_no_audio(tmp_path: Path, content: bytes, message: str) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp3").write_bytes(content)
    for source in (tmp_path / "a.mp3", BytesIO(content)):
        with pytest.raises(DecodeError, match=message):
            audio.load(source)


def test_a_folder_and_a_header_without_sound(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="is a folder"):
        audio.load(tmp_path)
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000)
    with pytest.raises(DecodeError, match="has no samples"):
        audio.load(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_truncated_files_that_cannot_be_decoded(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(3.0, sampling_rate=48_000), 48_000)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 50])
    with pytest.raises(DecodeError):
        audio.load(tmp_path / name)


def test_a_truncated_mp3_gives_what_is_there(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(3.0, sampling_rate=48_000), 48_000)
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2])
    signal, _ = audio.load(tmp_path / "a.mp3")
    assert 0.4 * 48_000 < len(signal) < 0.5 * 48_000


# --- writing


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    audio.write_wav(target, tone(0.1), 16_000)
    before = target.read_bytes()
    with pytest.raises(SignalError, match="NaN"):
        audio.write_wav_blocks(target, iter([(tone(0.1), 16_000), (np.array([np.nan], np.float32), 16_000)]))
    with pytest.raises(DecodeError, match="No samples"):
        audio.write_wav_blocks(target, iter([(np.zeros(0, np.float32), 16_000)]))
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_writing_in_blocks_writes_the_same_file(tmp_path: Path) -> None:
    signal = np.stack([tone(0.3), tone(0.3, 300.0, level=1.5)])
    audio.write_wav(tmp_path / "a.wav", signal, 16_000)
    parts = [(part, 16_000) for part in np.split(signal, [1000, 2000], axis=1)]
    assert audio.write_wav_blocks(tmp_path / "b.wav", parts) == 0.3
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_more_than_a_wav_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WAV_BYTES", 3000)
    assert audio.write_wav_blocks(tmp_path / "a.wav", [(tone(1500 / 16_000), 16_000)]) == 1500 / 16_000
    with pytest.raises(DecodeError, match=r"would exceed 4 GB, the maximum size of a WAV\. Cut the recording first\."):
        audio.write_wav_blocks(tmp_path / "b.wav", [(tone(1501 / 16_000), 16_000)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


# --- folders


def test_audio_files_are_found_below_and_sorted(tmp_path: Path) -> None:
    for name in ("b.MP3", "a.wav", "с пробелом/в.ogg", ".hidden/c.wav", ".d.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in audio.audio_files(tmp_path)]
    assert found == ["a.wav", "b.MP3", "с пробелом/в.ogg"]
    with pytest.raises(NothingToDoError, match="No audio files in"):
        audio.audio_files(tmp_path / ".hidden" / "none")
