"""An endless sound: running estimates, the final answer of a file, every kind of pipe, and what goes wrong in one."""

import contextlib
import dataclasses
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import tracemalloc
import types
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

import models
from voxtrait import audio, intake, speech
from voxtrait.cli import root
from voxtrait.cli.listen import RAW_KINDS
from voxtrait.errors import BundleError, DecodeError, MissingExtraError, NothingToDoError, OptionError, SignalError
from voxtrait.intake import Raw
from voxtrait.recognize import FIELDS, Estimate, Listening, Prediction, Recognizer, load

RATE = 48_000
SOUND = np.concatenate([models.voice(4, RATE)[:, 0], np.zeros(RATE, np.float32), models.voice(2, RATE)[:, 0]])
TEXT = b"this is no sound at all\n" * 20_000


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(models.make_encoder_bundle(tmp_path_factory.mktemp("bundle")))


def encoded(suffix: str) -> bytes:
    """The sound as a file of a kind."""
    content = BytesIO()
    content.name = f"a.{suffix}"
    kind = {"opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {"format": suffix.upper()})
    soundfile.write(content, SOUND, RATE, **kind)
    return content.getvalue()


def with_length(wav: bytes, length: int) -> bytes:
    """A WAV whose header states that its samples take so many bytes."""
    at = wav.index(b"data") + 4
    return wav[:4] + struct.pack("<I", length) + wav[8:at] + struct.pack("<I", length) + wav[at + 4 :]


def piped(content: bytes, raw: Raw | None = None, chunk: int = 4000) -> Iterator[tuple[np.ndarray, int]]:
    """What comes out of a real pipe that the content is written to."""
    end, entrance = os.pipe()

    def write() -> None:
        with os.fdopen(entrance, "wb", buffering=0) as file:
            try:
                for at in range(0, len(content), chunk):
                    file.write(content[at : at + chunk])
            except BrokenPipeError:
                pass

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(end, "rb", buffering=0) as file:
        yield from intake.incoming(file, raw)
    thread.join()


def whole(parts: Iterator[tuple[np.ndarray, int]]) -> np.ndarray:
    return np.concatenate([audio.to_mono(part) for part, _ in parts])


def close(one: Prediction, other: Prediction, atol: float) -> None:
    """All fields agree."""
    for field in dataclasses.fields(Prediction):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, float):
            assert left == pytest.approx(right, abs=atol), field.name
        elif field.name not in ("path", "age_groups"):
            assert left == right, field.name


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(root, ["listen", *map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- the estimates


@pytest.mark.parametrize("block_s", [60.0, 2.0])  # a clip, and a recording of several blocks
def test_the_last_answer_is_that_of_a_file(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_s: float
) -> None:
    monkeypatch.setattr(audio, "BLOCK_S", block_s)
    (tmp_path / "a.wav").write_bytes(encoded("wav"))
    *running, last = recognizer.listen(piped(encoded("wav")))
    assert last.final and last.so_far == dataclasses.replace(recognizer.predict(tmp_path / "a.wav"), path=None)
    assert [one.at_s for one in running] == [1, 2, 3, 4, 5, 6]
    assert not any(one.final for one in running)
    assert running[-1].so_far.p_female == pytest.approx(last.so_far.p_female, abs=0.1)


def test_how_the_sound_is_cut_does_not_matter(recognizer: Recognizer) -> None:
    def said(size: int) -> list[Estimate]:
        blocks = ((SOUND[at : at + size], RATE) for at in range(0, len(SOUND), size))
        return list(recognizer.listen(blocks, every_s=0.5, window_s=2))

    assert said(777) == said(100_000)


def test_the_last_seconds_forget_and_all_so_far_does_not(recognizer: Recognizer) -> None:
    sound = np.concatenate([models.voice(4)[:, 0], np.zeros(6 * 16_000, np.float32)])
    estimates = list(recognizer.listen([(sound, 16_000)], window_s=3))
    assert [one.so_far.status for one in estimates[3:]] == ["ok"] * 8
    assert [one.recent.status for one in estimates[3:6]] == ["ok"] * 3
    assert [one.recent.status for one in estimates[8:]] == ["no_speech"] * 3
    assert estimates[8].recent.duration_s == 3 and estimates[8].recent.p_female is None
    assert estimates[1].so_far.speech_s > 1  # of two seconds: within one it is known


def test_speech_is_found_soon_and_mostly_as_it_will_be_found() -> None:
    sound = audio.resample(SOUND, RATE, 16_000)
    soon, sure = speech.Provisional().feed(sound).frames, speech.speech_frames(sound)
    assert len(sure) - len(soon) <= 0.64 / speech.FRAME_S
    assert (soon == sure[: len(soon)]).mean() > 0.9
    finder = speech.Provisional()
    parts = [finder.feed(sound[at : at + 999]) for at in range(0, len(sound), 999)]
    np.testing.assert_array_equal(np.concatenate([part.frames for part in parts]), soon)


def test_real_clips_in_a_row_end_as_their_file_does(speech_clips: list[tuple[Path, np.ndarray]]) -> None:
    sound = np.concatenate([clip for _, clip in speech_clips[:15]])  # over a minute
    recognizer = load()
    *running, last = recognizer.listen([(sound, 16_000)], every_s=5)
    close(last.so_far, recognizer.predict(sound, 16_000), 1e-6)
    assert running[-1].so_far.age_years == pytest.approx(last.so_far.age_years, abs=5)
    assert running[-1].so_far.speech_s == pytest.approx(last.so_far.speech_s, rel=0.1)


def test_misuse(recognizer: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="every 0 s, expected at least"):
        Listening(recognizer, every_s=0)
    with pytest.raises(OptionError, match=r"window of 0\.5 s, expected 1 to 3600"):
        Listening(recognizer, window_s=0.5)
    with pytest.raises(BundleError, match="looks at pictures of whole clips"):
        Listening(Recognizer(models.make_bundle(tmp_path)))
    with Listening(recognizer) as listening:
        assert listening.feed(np.zeros(100, np.float32), 8000) == []
        with pytest.raises(SignalError, match="at 16000 Hz after others at 8000 Hz"):
            listening.feed(np.zeros(100, np.float32), 16_000)
        with pytest.raises(SignalError, match="NaN"):
            listening.feed(np.full(100, np.nan, np.float32), 8000)
        assert listening.close().so_far.status == "too_short"
        with pytest.raises(ValueError, match="after close"):
            listening.feed(np.zeros(100, np.float32), 8000)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(recognizer: Recognizer) -> None:
    sound = audio.resample(SOUND, RATE, 16_000)

    def peak(minutes: int) -> int:
        blocks = ((sound, 16_000) for _ in range(minutes * 60 * 16_000 // len(sound)))
        tracemalloc.start()
        for _ in recognizer.listen(blocks, every_s=20):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(10) < 1.1 * peak(4)  # from two minutes of speech on it is level


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
            with pytest.raises(DecodeError, match=r"stopped being sound after \d\.\d s"):
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
    with pytest.raises(OptionError, match="raw samples of 's16', expected one of s16le"):
        next(intake.incoming(BytesIO(b"1"), Raw("s16")))


def test_a_pipe_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    np.testing.assert_array_equal(whole(piped(encoded("ogg"))), audio.load(BytesIO(encoded("ogg")), None)[0])
    with pytest.raises(MissingExtraError, match=r"is not WAV, mp3, ogg or raw samples.*pip install 'voxtrait\[media"):
        next(piped(encoded("flac")))


def test_a_stream_that_stops_being_sound() -> None:
    mp3 = encoded("mp3")
    heard = []
    with pytest.raises(DecodeError, match=r"the input stopped being sound after \d\.\d s"):
        for block, _ in piped(mp3[: len(mp3) // 2] + TEXT):
            heard.append(block.shape[1])
    assert sum(heard) / RATE == pytest.approx(3.5, abs=0.7)
    with pytest.raises(DecodeError, match=r"goes on after the end of its sound at 7\.0 s"):
        whole(piped(encoded("wav") * 2))
    assert len(whole(piped(mp3[: len(mp3) // 2]))) / RATE == pytest.approx(3.5, abs=0.7)  # cut short is no damage
    tagged = b"ID3\x03\0\0" + bytes([0, 4, 0, 0]) + bytes(4 * 16_384) + mp3 + b"TAG" + bytes(125)
    np.testing.assert_array_equal(whole(piped(tagged)), whole(piped(mp3)))


def test_no_sound_at_all() -> None:
    with pytest.raises(NothingToDoError, match="nothing came from the input"):
        next(piped(b""))
    for content in (TEXT, bytes(100_000)):
        with pytest.raises(DecodeError, match="no sound that can be read"):
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
    heard = intake.microphone("3")
    blocks = [next(heard) for _ in range(3)]
    assert [(float(block[0]), len(block), rate) for block, rate in blocks] == [(at / 4, 441, 44_100) for at in range(3)]
    assert (opened[0]["device"], opened[0]["channels"], opened[0]["dtype"]) == (3, 1, "float32")
    heard.close()  # type: ignore[attr-defined]
    assert opened[-1] == {}  # it is closed
    with pytest.raises(OptionError, match=r"the microphone 'none' cannot be opened: No input.*python -m sounddevice"):
        next(intake.microphone("none"))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'voxtrait\[microphone\]'"):
        next(intake.microphone())


# --- the command


def test_lines_of_json(recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded("wav"))
    model = ["--model", recognizer.bundle.folder]
    result = run("-", *model, "--format", "jsonl", "--every", "2", "--window", "4", stdin=encoded("wav"))
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["at_s"] for row in rows] == [2, 4, 6, 7]
    assert [row["final"] for row in rows] == [False, False, False, True]
    assert {tuple(row) for row in rows} == {(*FIELDS, "at_s", "final", "window")}
    assert {name: rows[-1][name] for name in FIELDS} == recognizer.predict(tmp_path / "a.wav").to_dict() | {"path": "-"}
    assert rows[0]["window"]["window_s"] == 4 and rows[2]["window"]["duration_s"] == 4
    from_file = run(tmp_path / "a.wav", *model, "--format", "jsonl", "--every", "2", "--window", "4")
    assert from_file.stdout == result.stdout.replace('"path": "-"', f'"path": "{tmp_path}/a.wav"')


def test_lines_of_text(recognizer: Recognizer) -> None:
    result = run("-", "--model", recognizer.bundle.folder, "--every", "6", stdin=encoded("wav"))
    running, last = result.stdout.splitlines()
    assert running.startswith("0:00:06  ") and "  |  last 30 s: " in running and "s speech" in running
    alone = CliRunner().invoke(root, ["-", "--model", str(recognizer.bundle.folder)], input=encoded("wav"))
    assert last + "\n" == alone.stdout


def test_a_terminal_is_written_over(recognizer: Recognizer, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    (tmp_path / "a.wav").write_bytes(encoded("wav"))
    command = [sys.executable, "-m", "voxtrait", "listen", "a.wav", "--model", str(recognizer.bundle.folder)]
    end, terminal = pty.openpty()
    sized = os.environ | {"COLUMNS": "60"}
    with subprocess.Popen([*command, "--every", "2"], stdout=terminal, cwd=tmp_path, env=sized) as process:
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side is closed
            while more := os.read(end, 4096):
                seen += more
    os.close(end)
    assert process.returncode == 0
    *running, last = seen.decode().rstrip("\r\n").split("\r")[1:]
    assert [line[:9] for line in running] == ["0:00:02  ", "0:00:04  ", "0:00:06  "]
    assert {len(line) for line in running} == {59} and all(line.endswith("…") for line in running)
    assert last.startswith("a.wav  ") and len(last) >= 59  # it covers what was there


def test_the_names_of_encodings_are_those_of_the_library() -> None:
    assert tuple(intake.RAW) == RAW_KINDS  # said twice, so that --help loads no audio


def test_a_named_pipe_of_raw_samples(recognizer: Recognizer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    samples = audio.to_pcm16(SOUND).tobytes()
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(samples,))
    thread.start()
    how = ["--raw", "s16le", "--rate", "48000", "--format", "jsonl", "--every", "3"]
    result = run(tmp_path / "pipe", "--model", recognizer.bundle.folder, *how)
    thread.join()
    assert json.loads(result.stdout.splitlines()[-1])["duration_s"] == 7


def test_what_was_heard_is_kept(recognizer: Recognizer) -> None:
    mp3 = encoded("mp3")
    result = run("-", "--model", recognizer.bundle.folder, stdin=mp3[: len(mp3) // 2] + TEXT)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("-  ") and "s speech" in result.stdout.splitlines()[-1]
    assert "voxtrait: standard input stopped being sound after 3." in result.stderr


def test_wrong_usage(recognizer: Recognizer, tmp_path: Path) -> None:
    model = ["--model", recognizer.bundle.folder]
    for arguments, words in [
        ([], "got neither or both of FILE and --microphone"),
        (["a.wav", "--rate", "8000"], "without --raw"),
        (["--microphone", "--raw", "s16le"], "--raw for a microphone"),
        (["-", *model], "nothing came from standard input"),
        (["-", *model, "--every", "0"], "expected at least 0.1"),
    ]:
        result = run(*arguments, stdin=b"")
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert words in result.stderr
    missing = run(tmp_path / "gone.wav", *model)
    assert (missing.exit_code, missing.stdout) == (
        1,
        f"{tmp_path}/gone.wav  error: no such file: {tmp_path}/gone.wav\n",
    )
    text = run("-", *model, stdin=TEXT)
    assert text.exit_code == 1 and text.stdout.startswith("-  error: standard input is no sound that can be read")


def started(recognizer: Recognizer, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "voxtrait", "listen", "-", "--model", str(recognizer.bundle.folder), *arguments]
    pipe = subprocess.PIPE
    # a shell ignores Ctrl-C for what it starts in the background, the tests among it, and that would be inherited
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=hears)


def test_ctrl_c_ends_it_with_the_final_answer(recognizer: Recognizer) -> None:
    with started(recognizer, "--format", "jsonl") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(encoded("wav"))
        process.stdin.flush()  # and nothing more comes, without an end
        first = json.loads(process.stdout.readline())
        assert (first["at_s"], first["final"]) == (1, False)
        while json.loads(process.stdout.readline())["at_s"] < 6:
            pass
        process.send_signal(signal.SIGINT)
        last = json.loads(process.stdout.readline())
        assert last["final"] and 6 <= last["at_s"] <= 7
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_reader_that_stops_early_is_no_failure(recognizer: Recognizer) -> None:
    with started(recognizer, "--every", "0.1") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(with_length(encoded("wav"), 0))
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
