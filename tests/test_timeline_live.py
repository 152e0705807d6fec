"""Turns while a recording goes on: soon, and never changed later."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import voxtrait
from voxtrait import audio
from voxtrait.cli import root
from voxtrait.recognize import Recognizer
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines import LiveDiarizer, Segment
from voxtrait.timelines.live import AHEAD_FRAMES, STEP_FRAMES, LiveTracks

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """A made-up woman and a made-up man in turns of four seconds, one of them of nine: 37 s."""
    people = {"female": draw_voice("female", 70.0, seed=2), "male": draw_voice("male", 25.0, seed=4)}
    signal = np.random.default_rng(0).normal(0, 1e-4, 37 * RATE).astype(np.float32)
    turns = ((1, 5, "female"), (6, 10, "male"), (11, 20, "female"), (21, 25, "male"), (32, 36, "male"))
    for start, end, gender in turns:
        spoken = speak(people[gender], float(end - start), seed=start)[: (end - start) * RATE]
        signal[start * RATE : start * RATE + len(spoken)] += spoken
    return signal


def settled(model: Recognizer, signal: np.ndarray, size: int) -> list[tuple[float, Segment]]:
    """The turns with the moment at which each was settled, in seconds of sound."""
    live = LiveDiarizer(model)
    found = []
    for at in range(0, len(signal), size):
        found += [(live.duration_s, turn) for turn in live.feed(signal[at : at + size])]
    return found + [(live.duration_s, turn) for turn in live.close()]


def test_windows_settle_every_sample_once_a_second_or_two_later() -> None:
    signal = np.random.default_rng(0).normal(0, 0.01, 300_123).astype(np.float32)
    tracks, reached, parts = LiveTracks(), 0, []
    for at in range(0, len(signal), 7_777):
        reached += len(signal[at : at + 7_777])
        for part in tracks.feed(signal[at : at + 7_777]):
            assert reached - 270 * part.start <= 270 * (STEP_FRAMES + AHEAD_FRAMES + 1) + 7_777
            parts.append(part)
    parts += tracks.close()
    assert np.array_equal(np.concatenate([part.samples for part in parts]), signal)
    assert all(len(part.activity) == len(part.speech) for part in parts)


def test_a_turn_comes_within_ten_seconds_however_the_sound_is_cut(model: Recognizer, talk: np.ndarray) -> None:
    found = settled(model, talk, 8_000)
    assert all(at - turn.start_s <= 10.0 for at, turn in found)
    assert {turn.speaker for _, turn in found} == {"S1", "S2"}
    for start, end, speaker in ((1, 5, "S1"), (6, 10, "S2"), (11, 20, "S1"), (32, 36, "S2")):
        ours = [turn for _, turn in found if turn.start_s < end - 0.5 and turn.end_s > start + 0.5]
        assert {turn.speaker for turn in ours} == {speaker}
        assert sum(turn.duration_s for turn in ours) > 0.8 * (end - start)
    assert [turn for _, turn in settled(model, talk, 5_000)] == [turn for _, turn in found]


def test_what_is_settled_does_not_change_later(model: Recognizer, talk: np.ndarray) -> None:
    whole = settled(model, talk, 8_000)
    part = settled(model, talk[: 24 * RATE], 8_000)
    before = [turn for at, turn in part if at < 24.0]
    assert len(before) >= 4
    assert [turn for _, turn in whole][: len(before)] == before


def test_the_whole_timeline_has_the_settled_turns(model: Recognizer, talk: np.ndarray) -> None:
    live = LiveDiarizer(model)
    pieces = [*live.feed(talk), *live.close()]
    whole = live.timeline("talk.wav")
    assert (whole.status, whole.path, whole.duration_s) == ("ok", "talk.wav", 37.0)
    assert [one.speaker for one in whole.speakers] == ["S1", "S2"]
    assert whole.speakers[1].gender == "male"
    for piece in pieces:
        assert any(
            turn.speaker == piece.speaker and turn.start_s <= piece.start_s and turn.end_s >= piece.end_s
            for turn in whole.turns
        )


def test_the_command_prints_turns_and_at_the_end_the_timeline(talk: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    audio.write_wav(file, talk, RATE)
    lines = CliRunner().invoke(root, ["listen", "--timeline", str(file)]).stdout.splitlines()
    assert lines[0].startswith("0:01.") and "  S1  " in lines[0]
    assert "2 speakers" in next(line for line in lines if line.startswith(str(file)))
    piped = CliRunner().invoke(root, ["listen", "--timeline", "--format", "jsonl", "-"], input=file.read_bytes())
    *turns, whole = map(json.loads, piped.stdout.splitlines())
    assert {"start_s", "end_s", "speaker", "gender", "age_years"} <= set(turns[0])
    assert [one["speaker"] for one in whole["speakers"]] == ["S1", "S2"]
    assert whole["segments"][0]["start_s"] == turns[0]["start_s"]


def test_silence_and_damage_end_as_without_turns(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    audio.write_wav(quiet, np.zeros(2 * RATE, np.float32), RATE)
    done = CliRunner().invoke(root, ["listen", "--timeline", str(quiet), "--format", "jsonl"])
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "no_speech")
    absent = CliRunner().invoke(root, ["listen", "--timeline", str(tmp_path / "absent.wav")])
    assert absent.exit_code == 1 and "error: no such file" in absent.stdout
    row = CliRunner().invoke(root, ["listen", "--timeline", "--format", "jsonl", str(tmp_path / "absent.wav")])
    assert json.loads(row.stdout)["status"] == "error"
    both = CliRunner().invoke(root, ["listen", "--timeline", "--every", "2", str(quiet)])
    assert (both.exit_code, "Got --timeline and --every" in both.stderr) == (2, True)
    faster = tmp_path / "faster.wav"
    audio.write_wav(faster, np.zeros(2 * 44_100, np.float32), 44_100)
    done = CliRunner().invoke(root, ["listen", "--timeline", str(faster), "--format", "jsonl"])
    assert json.loads(done.stdout)["duration_s"] == 2.0
