"""An endless sound: running estimates, the final answer of a file, and the command that prints them."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import models
from piping import RATE, SOUND, TEXT, encoded, piped, with_length
from voxtrait import audio, features, speech
from voxtrait.audio import opening, streams
from voxtrait.cli import root
from voxtrait.cli.listen import RAW_KINDS
from voxtrait.errors import BundleError, OptionError, SignalError
from voxtrait.features import kaldi_front_end
from voxtrait.recognize import FIELDS, Estimate, Listening, Prediction, Recognizer, load
from voxtrait.speech import detector


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(models.make_encoder_bundle(tmp_path_factory.mktemp("bundle")))


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
    monkeypatch.setattr(opening, "BLOCK_S", block_s)
    (tmp_path / "a.wav").write_bytes(encoded("wav"))
    *running, last = recognizer.listen(piped(encoded("wav")))
    assert last.final and last.so_far == dataclasses.replace(recognizer.predict(tmp_path / "a.wav"), path=None)
    assert [one.at_s for one in running] == [1, 2, 3, 4, 5, 6]
    assert not any(one.final for one in running)
    assert running[-1].so_far.p_female == pytest.approx(last.so_far.p_female, abs=0.1)


def test_an_estimate_is_the_mean_of_windows_of_which_the_last_counts_by_its_share(recognizer: Recognizer) -> None:
    pause = np.zeros(20_000, np.float32)
    voices = [models.voice(seconds, seed=seed)[:, 0] for seed, seconds in ((1, 7), (2, 3), (3, 9))]
    sound = np.concatenate([voices[0], pause, voices[1], pause, voices[2]])
    length = 160 * 160  # samples of a window

    def summary(signal: np.ndarray, frames: int) -> np.ndarray:
        """Of the last frames of a signal, seen in its last 12 s."""
        return models.summary_of(recognizer.frames(signal[-12 * 16_000 :])[-frames:][None])

    def p_female(summaries: list[np.ndarray], weights: list[float]) -> float:
        x = float(np.average(summaries, axis=0, weights=weights) @ models.TILT) + models.OFFSET
        return 1 / (1 + float(np.exp(-4 * x)))

    finder = speech.Provisional()
    surrounded, spoken = np.zeros(0, np.float32), [0]  # the second of each second
    whole: list[tuple[int, np.ndarray]] = []  # when a window was over, and its summary
    shares = set()
    *estimates, _ = recognizer.listen([(sound, 16_000)], window_s=4)
    for estimate in estimates:
        now = round(estimate.at_s)
        heard = finder.feed(sound[(now - 1) * 16_000 : now * 16_000])
        surrounded = np.concatenate([surrounded, heard.surrounded])
        spoken.append(len(heard.speech))
        assert estimate.so_far.speech_s == sum(spoken) / 16_000
        while len(surrounded) >= (len(whole) + 1) * length:
            whole.append((now, summary(surrounded[: (len(whole) + 1) * length], 160)))
        fresh = len(surrounded) - len(whole) * length
        rest = summary(surrounded, max(round(fresh / 160), 100)) if fresh else np.zeros(160)  # of a second or more
        shares.add(fresh / length)
        if estimate.so_far.status == "ok":
            expected = p_female([*(one for _, one in whole), rest], [*[1] * len(whole), fresh / length])
            assert estimate.so_far.p_female == pytest.approx(expected, abs=1e-5)
        if estimate.recent.status == "ok":
            assert estimate.recent.speech_s == sum(spoken[-4:]) / 16_000
            recent = [one for at, one in whole if at > now - 4]
            expected = p_female([*recent, rest], [*[1] * len(recent), fresh / length])
            assert estimate.recent.p_female == pytest.approx(expected, abs=1e-5)
    assert [one.so_far.status for one in estimates] == ["too_short", *["ok"] * (len(estimates) - 1)]
    assert [one.recent.status for one in estimates] == [one.so_far.status for one in estimates]
    assert len(surrounded) > 14 * 16_000 and len(whole) > 8 and len(shares) > 10


def test_a_window_that_is_chosen_comes_from_the_speech_since_the_last_one(recognizer: Recognizer) -> None:
    """One window of 0.8 s in every 1.6 s of speech, and one in the rest."""
    front_end = kaldi_front_end(80, chosen_from=160)
    choosing = Recognizer(dataclasses.replace(recognizer.bundle, front_end=front_end))
    sound, length = models.voice(7, seed=1)[:, 0], 160 * 160
    *estimates, final = choosing.listen([(sound, 16_000)], window_s=4)
    assert final.so_far == choosing.predict(sound, 16_000)
    finder, surrounded, compared = speech.Provisional(), np.zeros(0, np.float32), 0
    for estimate in estimates:
        now = round(estimate.at_s)
        heard = finder.feed(sound[(now - 1) * 16_000 : now * 16_000])
        surrounded = np.concatenate([surrounded, heard.surrounded])
        if estimate.so_far.status != "ok":
            continue
        whole = [surrounded[at : at + length] for at in range(0, len(surrounded) - length + 1, length)]
        fresh = len(surrounded) - len(whole) * length
        parts = [*whole, surrounded[-max(fresh, 16_000) :]]
        found = [models.summary_of(features.windows(part, front_end)) for part in parts]
        x = np.average(found, axis=0, weights=[*[1] * len(whole), fresh / length]) @ models.TILT + models.OFFSET
        assert estimate.so_far.p_female == pytest.approx(1 / (1 + float(np.exp(-4 * x))), abs=1e-5)
        compared += 1
    assert compared > 4


def test_what_surrounds_speech_is_heard_but_does_not_count(recognizer: Recognizer) -> None:
    sound = np.concatenate([models.voice(3)[:, 0], np.zeros(32_000, np.float32)])
    last, final = list(recognizer.listen([(sound, 16_000)]))[-2:]
    heard = speech.find(sound)
    assert final.so_far.speech_s == len(heard.speech) / 16_000 < len(heard.surrounded) / 16_000
    assert last.so_far.speech_s == pytest.approx(final.so_far.speech_s, abs=0.1)


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


def test_what_surrounds_speech_is_found_soon_too() -> None:
    sound = audio.resample(SOUND, RATE, 16_000)
    soon, sure = speech.Provisional().feed(sound), speech.find(sound)
    cut = sound[: len(soon.frames) * 512].reshape(-1, 512)
    finder = speech.Provisional()
    parts = [finder.feed(sound[at : at + 999]) for at in range(0, len(sound), 999)]
    np.testing.assert_array_equal(np.concatenate([part.surrounded for part in parts]), soon.surrounded)
    np.testing.assert_array_equal(np.concatenate([part.speech for part in parts]), soon.speech)
    np.testing.assert_array_equal(soon.speech, cut[soon.frames].ravel())
    assert len(soon.surrounded) > len(soon.speech)
    expected = sum(detector.widened(sure.frames)[: len(soon.frames)]) * 512
    assert len(soon.surrounded) == pytest.approx(expected, abs=2 * 6 * 512)  # of two voices


def test_real_clips_in_a_row_end_as_their_file_does(speech_clips: list[tuple[Path, np.ndarray]]) -> None:
    sound = np.concatenate([clip for _, clip in speech_clips[:15]])  # over a minute
    recognizer = load()
    *running, last = recognizer.listen([(sound, 16_000)], every_s=5)
    close(last.so_far, recognizer.predict(sound, 16_000), 1e-6)
    assert running[-1].so_far.age_years == pytest.approx(last.so_far.age_years, abs=5)
    assert running[-1].so_far.speech_s == pytest.approx(last.so_far.speech_s, rel=0.1)


def test_misuse(recognizer: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"every 0 s\. Expected at least"):
        Listening(recognizer, every_s=0)
    with pytest.raises(OptionError, match=r"window of 0\.5 s\. Expected 1 to 3600 s\."):
        Listening(recognizer, window_s=0.5)
    with pytest.raises(BundleError, match="needs whole clips"):
        Listening(Recognizer(models.make_bundle(tmp_path)))
    with Listening(recognizer) as listening:
        assert listening.feed(np.zeros(100, np.float32), 8000) == []
        with pytest.raises(SignalError, match="at 16000 Hz after blocks at 8000 Hz"):
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
    assert tuple(streams.RAW) == RAW_KINDS  # said twice, so that --help loads no audio


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
    assert "voxtrait: standard input is damaged after 3." in result.stderr


def test_wrong_usage(recognizer: Recognizer, tmp_path: Path) -> None:
    model = ["--model", recognizer.bundle.folder]
    for arguments, words in [
        ([], "No input. Expected FILE"),
        (["a.wav", "--rate", "8000"], "without --raw"),
        (
            ["--microphone", "--raw", "s16le"],
            "Got --raw and --microphone. Expected --raw only for samples from a file or a pipe.",
        ),
        (["-", *model], "No data from standard input"),
        (["-", *model, "--every", "0"], "Got an estimate every 0.0 s. Expected at least 0.1 s."),
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
    assert text.exit_code == 1 and text.stdout.startswith("-  error: standard input is not a readable audio file")


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


INTERRUPTS = """
import faulthandler, signal, sys
import numpy as np
import voxtrait
from voxtrait.audio.channels import Comparison
from voxtrait.recognize.listening import _FinalPrediction

armed = False

def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

faulthandler.dump_traceback_later(90, exit=True)
signal.signal(signal.SIGALRM, interrupt)
recognizer, block, interrupts = voxtrait.load(sys.argv[1]), (np.zeros(1600, np.float32), 16_000), 0
for round_ in range(150):
    final = _FinalPrediction(recognizer, None, Comparison())
    signal.setitimer(signal.ITIMER_REAL, 2e-4, 1.1e-4)
    end = final.cancel if round_ % 3 == 0 else final.result
    for call in [lambda: final.put(block)] * 60 + [end]:
        try:
            armed = True
            call()
            armed = False
        except KeyboardInterrupt:
            interrupts += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert round_ % 3 == 0 or end().status == "no_speech"
    final.cancel()
print(interrupts)
"""


def test_ctrl_c_at_any_moment_leaves_no_thread_waiting(recognizer: Recognizer) -> None:
    """A queue of Python's own locks deadlocks here within a hundred rounds."""
    command = [sys.executable, "-c", INTERRUPTS, str(recognizer.bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100


def test_a_reader_that_stops_early_is_no_failure(recognizer: Recognizer) -> None:
    with started(recognizer, "--every", "0.1") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(with_length(encoded("wav"), 0))
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
