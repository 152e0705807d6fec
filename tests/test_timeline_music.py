"""Music in timelines: found between turns and alone, and not in noises, hums and signals."""

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
from voxtrait.synthetic.sounds import sound
from voxtrait.timelines import Segment
from voxtrait.timelines.music import Music
from voxtrait.timelines.tracks import Stretch, Tracks

RATE = 16_000
PITCHED = ("piano chords", "organ melody", "strings melody", "fm arpeggio", "ensemble", "plucked chords")
NOISES = ("white", "pink", "rain", "wind", "hum", "fan", "silence", "dither")
SIGNALS = ("tone", "sweep", "beeps", "knocks", "birds")


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


def share(kind: str) -> float:
    """Share of three such sounds that is marked as music."""
    found = 0.0
    for seed in range(3):
        signal = sound(kind, 20.0, np.random.default_rng(seed))
        music, silent = Music(), np.zeros((len(signal) // 270, 3), np.float32)
        music.feed(Stretch(0, silent, silent[:, 0], signal[: 270 * len(silent)]))
        found += sum(one.duration_s for one in music.segments([], 20.0))
    return found / 60


@pytest.mark.parametrize("kind", PITCHED)
def test_pieces_are_music(kind: str) -> None:
    assert share(kind) > 0.6


@pytest.mark.parametrize("kind", [*NOISES, *SIGNALS])
def test_noises_hums_and_signals_are_no_music(kind: str) -> None:
    assert share(kind) < 0.05


def test_music_between_turns_is_a_segment_without_a_speaker(model: Recognizer, tmp_path: Path) -> None:
    voice = speak(draw_voice("female", 30.0, seed=5), 5.0, seed=1)[: 5 * RATE]
    piece = sound("piano chords", 10.0, np.random.default_rng(1))
    signal = np.concatenate([voice, piece, voice, np.zeros(RATE, np.float32)]).astype(np.float32)
    found = voxtrait.timeline(signal, RATE, model=model)
    (music,) = [one for one in found.segments if one.kind == "music"]
    assert music.speaker is None
    assert abs(music.start_s - 5) < 1.5 and abs(music.end_s - 15) < 1.5
    assert all(turn.end_s <= music.start_s or turn.start_s >= music.end_s for turn in found.turns)
    assert [one.start_s for one in found.segments] == sorted(one.start_s for one in found.segments)
    assert found.speech_s is not None and found.speech_s < 11
    file = tmp_path / "show.wav"
    audio.write_wav(file, signal, RATE)
    value = json.loads(CliRunner().invoke(root, ["timeline", str(file), "--format", "json"]).stdout)
    assert [one["kind"] for one in value["segments"] if "kind" in one] == ["music"]
    assert "\nmusic  " in CliRunner().invoke(root, ["timeline", str(file)]).stdout


def test_music_alone_is_no_speech_and_still_marked(model: Recognizer) -> None:
    found = voxtrait.timeline(sound("ensemble", 12.0, np.random.default_rng(2)), RATE, model=model)
    assert (found.status, found.speech_s, found.speakers) == ("no_speech", 0.0, ())
    assert {one.kind for one in found.segments} == {"music"}
    assert found.segments[-1].end_s == 12.0


def test_turns_are_cut_out_of_music_and_short_rests_are_left_out() -> None:
    signal = sound("piano chords", 30.0, np.random.default_rng(3))
    music = Music()
    tracks = Tracks()
    for part in [*tracks.feed(signal), *tracks.close()]:
        music.feed(part._replace(speech=np.zeros_like(part.speech)))
    (whole,) = music.segments([], 30.0)
    assert (whole.start_s, whole.end_s) == (0.0, 30.0)
    turns = [Segment(0.0, 1.0, "S1"), Segment(10.0, 12.0, "S1"), Segment(14.0, 28.0, "S2"), Segment(14.5, 15.0, "S1")]
    assert [(one.start_s, one.end_s) for one in music.segments(turns, 30.0)] == [(1.0, 10.0)]
