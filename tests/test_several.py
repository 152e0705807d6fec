"""One voice or several: what a prediction says of a recording that holds more than one."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import voxtrait
from voxtrait import audio
from voxtrait.cli import root
from voxtrait.recognize import CSV_FIELDS, Recognizer
from voxtrait.recognize.notes import SEVERAL_NOTE
from voxtrait.synthetic import draw_voice, speak

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


@pytest.fixture(scope="module")
def one() -> np.ndarray:
    return speak(draw_voice("female", 70.0, seed=2), 16.0, seed=1)


@pytest.fixture(scope="module")
def two() -> np.ndarray:
    voices = draw_voice("female", 70.0, seed=2), draw_voice("male", 25.0, seed=4)
    return np.concatenate([speak(voices[place % 2], 5.0, seed=place) for place in range(4)])


def test_one_voice_and_several(model: Recognizer, one: np.ndarray, two: np.ndarray) -> None:
    alone, both = model.predict(one, RATE), model.predict(two, RATE)
    assert (alone.status, alone.voices, alone.message) == ("ok", "one", None)
    assert (both.status, both.voices, both.message) == ("ok", "several", SEVERAL_NOTE)
    assert "voxtrait timeline" in SEVERAL_NOTE


def test_what_is_too_short_or_no_speech_was_not_looked_at(model: Recognizer, one: np.ndarray) -> None:
    for signal in (one[: 4 * RATE], np.zeros(10 * RATE)):
        assert model.predict(signal, RATE).voices is None
    assert voxtrait.load("voxtrait-fast").predict(one, RATE).voices is None  # its windows leave most of the speech out
    assert voxtrait.load("voxtrait-diary").predict(one, RATE).voices is None


def test_a_second_voice_is_found_after_minutes_of_the_first(
    model: Recognizer, one: np.ndarray, two: np.ndarray
) -> None:
    long = np.concatenate([*(10 * [one]), two[5 * RATE : 10 * RATE], two[15 * RATE :]])
    assert model.predict(np.concatenate(10 * [one]), RATE).voices == "one"
    assert model.predict(long, RATE).voices == "several"


def test_live_sound_has_the_voices_of_its_file(model: Recognizer, two: np.ndarray) -> None:
    def blocks() -> Iterator[tuple[np.ndarray, int]]:
        for at in range(0, len(two), 7_001):
            yield two[at : at + 7_001], RATE

    *before, last = model.listen(blocks())
    assert {estimate.so_far.voices for estimate in before} == {None}
    assert last.so_far == model.predict(two, RATE)


def test_every_output_has_the_field_after_the_model(two: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "two.wav"
    audio.write_wav(file, two, RATE)
    row = json.loads(CliRunner().invoke(root, [str(file), "--format", "json"]).stdout)
    assert list(row)[-2:] == ["model", "voices"] == list(CSV_FIELDS)[-2:]
    assert (row["voices"], row["message"]) == ("several", SEVERAL_NOTE)
    assert CliRunner().invoke(root, [str(file)]).stdout.rstrip("\n").endswith(SEVERAL_NOTE)
    out = tmp_path / "all.parquet"
    assert CliRunner().invoke(root, [str(file), "--out", str(out), "-q"]).exit_code == 0
    assert pl.read_parquet(out)["voices"].to_list() == ["several"]


def test_real_clips_are_of_one_voice_and_a_row_of_people_is_not(
    model: Recognizer, speech_clips: list[tuple[Path, np.ndarray]]
) -> None:
    clips = [signal for _, signal in speech_clips if len(signal) > 4 * RATE][:24]
    assert [model.predict(clip, RATE).voices for clip in clips].count("several") == 0
    rows = [np.concatenate(clips[at : at + 3]) for at in range(0, 24, 3)]
    assert [model.predict(row, RATE).voices for row in rows].count("several") >= 7
