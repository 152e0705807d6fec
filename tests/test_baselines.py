"""The baselines: pitch of tones and of voices whose pitch is known, thresholds and medians worked out by hand."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from voxtrait import audio
from voxtrait.errors import OptionError, SignalError
from voxtrait.features.pitch import HOP, WINDOW
from voxtrait.synthetic import draw_voice, speak
from voxtrait.training.study.baselines import LEAST_VOICED, constant_years, fit_threshold, median_pitch

RATE = audio.SAMPLING_RATE


def tone(hz: float, seconds: float = 1.0, harmonics: int = 8) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return 0.1 * sum((np.sin(2 * np.pi * hz * k * t) / k for k in range(1, harmonics + 1)), np.zeros_like(t))


@pytest.mark.parametrize("hz", [61.0, 87.3, 120.0, 163.5, 221.7, 333.3, 395.0])
@pytest.mark.parametrize("harmonics", [1, 8])
def test_pitch_of_tones(hz: float, harmonics: int) -> None:
    assert median_pitch(tone(hz, harmonics=harmonics)) == pytest.approx(hz, rel=5e-4)


def test_pitch_does_not_depend_on_level_offset_or_a_missing_fundamental() -> None:
    plain = tone(140.0)
    for changed in (0.001 * plain, plain + 0.3, plain - 0.1 * np.sin(2 * np.pi * 140.0 * np.arange(RATE) / RATE)):
        assert median_pitch(changed) == pytest.approx(140.0, rel=1e-3)


def test_pitch_through_noise_and_of_several_channels() -> None:
    rng = np.random.default_rng(0)
    noisy = tone(180.0) + rng.normal(0, 0.03, RATE)
    assert median_pitch(noisy) == pytest.approx(180.0, rel=5e-3)
    assert median_pitch(np.stack([noisy, noisy])) == median_pitch(noisy)


def test_half_of_the_frames_at_each_of_two_pitches() -> None:
    both = np.concatenate([tone(100.0, 1.0), tone(200.0, 2.0)])
    assert median_pitch(both) == pytest.approx(200.0, rel=1e-3)  # the median, not the mean of 167


def test_silence_between_does_not_count() -> None:
    for level in (1e-5, 1e-25, 0.0):  # the second is what some decoders leave: its square is no float32
        quiet = np.random.default_rng(0).normal(0, level, 3 * RATE)
        assert median_pitch(np.concatenate([tone(210.0, 0.5), quiet])) == pytest.approx(210.0, rel=1e-3)


def test_a_quiet_hum_in_the_pauses_is_not_the_voice() -> None:
    voice, hum = tone(210.0, 0.5), tone(100.0, 3.0)
    hum *= np.abs(voice).max() / np.abs(hum).max()
    assert median_pitch(np.concatenate([voice, 0.02 * hum])) == pytest.approx(210.0, rel=1e-3)
    assert median_pitch(np.concatenate([voice, 0.2 * hum])) == pytest.approx(100.0, rel=1e-3)


def test_where_there_is_no_pitch() -> None:
    rng = np.random.default_rng(0)
    for signal in (np.zeros(RATE), np.full(RATE, 0.5), rng.normal(0, 0.1, 5 * RATE), tone(120.0)[: WINDOW - 1]):
        assert median_pitch(signal) is None
    n = WINDOW + (LEAST_VOICED - 1) * HOP  # samples of just enough frames
    assert median_pitch(tone(120.0)[:n]) == pytest.approx(120.0, rel=1e-3)
    assert median_pitch(tone(120.0)[: n - 1]) is None
    with pytest.raises(SignalError):
        median_pitch([np.nan])


def test_a_long_recording_has_the_pitch_of_its_parts() -> None:
    voice = speak(draw_voice("male", 45, seed=3), 4.0, seed=3)
    assert median_pitch(np.tile(voice, 10)) == pytest.approx(median_pitch(voice), rel=0.02)


@pytest.mark.parametrize("gender", ["female", "male"])
def test_pitch_of_made_up_voices_is_the_one_they_were_made_with(gender: str) -> None:
    voices = [draw_voice(gender, age, seed=seed) for age in (22, 38, 55, 70) for seed in range(4)]
    found = [median_pitch(speak(voice, 3.0, seed=7)) for voice in voices]
    errors = [abs(math.log2(hz / voice.f0_hz)) * 12 for hz, voice in zip(found, voices, strict=True) if hz]
    assert len(errors) == len(voices)
    assert np.median(errors) < 0.6  # semitones; a phrase is drawn a little above or below its voice
    assert max(errors) < 2.5  # no octave is lost


def test_a_threshold_on_made_up_voices_tells_genders_it_has_not_seen() -> None:
    def pitches(seeds: range) -> tuple[list[float | None], list[bool]]:
        people = [(gender, seed) for seed in seeds for gender in ("female", "male")]
        heard = [median_pitch(speak(draw_voice(gender, 35, seed=seed), 2.5, seed=seed)) for gender, seed in people]
        return heard, [gender == "female" for gender, _ in people]

    threshold = fit_threshold(*pitches(range(8)))
    assert 130 < threshold < 200
    heard, female = pitches(range(100, 108))
    assert [hz is not None and hz >= threshold for hz in heard] == female


def test_the_threshold_by_hand() -> None:
    pitches, female = [100, 120, 140, 160, 180, 200], [False, False, True, False, True, True]
    # between 120 and 140: recalls 1 and 2/3; between 160 and 180: 2/3 and 1; the later of equal places
    assert fit_threshold(pitches, female) == 170
    # the low woman counts a lot: below her, men have 2 of 3 right
    assert fit_threshold(pitches, female, [1, 1, 9, 1, 1, 1]) == 130
    # the high man counts a lot: above him, women have 2 of 3 right
    assert fit_threshold(pitches, female, [1, 1, 1, 9, 1, 1]) == 170


def test_the_threshold_weighs_genders_and_not_clips() -> None:
    # above the highest man would be the most accurate place, 98 of 99 right, and a UAR of 1/2; below the woman, one man
    # in two is lost and UAR is 3/4
    pitches, female = [*[100.0] * 49, 150.0, *[160.0] * 49], [*[False] * 49, True, *[False] * 49]
    assert fit_threshold(pitches, female) == 125


def test_clips_without_a_pitch_do_not_move_the_threshold() -> None:
    assert fit_threshold([None, 100, math.nan, 200], [True, False, False, True]) == 150


def test_what_no_threshold_can_be_fitted_to() -> None:
    with pytest.raises(OptionError, match="Got pitches of only one gender"):
        fit_threshold([100, 200], [True, True])
    with pytest.raises(OptionError, match="Got pitches of only one gender"):
        fit_threshold([100, None], [False, True])
    with pytest.raises(OptionError, match=r"Got 3 female for 2 clips\. Expected one per clip\."):
        fit_threshold([100, 200], [True, False, True])
    with pytest.raises(OptionError, match="weight -1"):
        fit_threshold([100, 200], [True, False], [1, -1])


def test_the_constant_has_the_least_weighted_absolute_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        years, weights = rng.integers(5, 90, 31), rng.random(31)
        best = min(range(5, 90), key=lambda guess: float(weights @ np.abs(years - guess)))
        assert constant_years(years, weights) == best
    assert constant_years([25, 25, 35, math.nan]) == 25
    assert constant_years([20, 30]) == np.median([20, 30])
    assert constant_years([20, 30, 90], [1, 1, 0]) == 25
    with pytest.raises(OptionError, match="no age with a weight above 0"):
        constant_years([math.nan])


def test_torch_is_not_loaded() -> None:
    ask = "import sys, voxtrait.training.study.baselines; print('torch' in sys.modules, 'lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_real_voices_of_people_the_threshold_was_not_fitted_on(speech: Path) -> None:
    folders = sorted((speech / "cv-corpus-6.1-2020-12-11").iterdir())
    tables = [pl.read_csv(f / "validated.tsv", separator="\t", quote_char=None, infer_schema=False) for f in folders]
    rows = pl.concat(
        [t.with_columns(folder=pl.lit(str(f))) for f, t in zip(folders, tables, strict=True)], how="diagonal"
    )
    adult = rows.filter(pl.col("age").is_in(["twenties", "thirties", "fourties", "fifties"])).unique("client_id")
    people = pl.concat(
        [adult.filter(gender=gender).sort("client_id").head(100) for gender in ("female", "male")]
    ).select("gender", path=pl.concat_str("folder", pl.lit("/clips/"), "path"))
    heard = np.array([median_pitch(audio.load(path)[0]) or math.nan for path in people["path"]])
    female = (people["gender"] == "female").to_numpy()
    train = np.arange(len(heard)) % 2 == 0
    threshold = fit_threshold(heard[train], female[train])
    right = (heard >= threshold) == female
    uar = (right[~train & female].mean() + right[~train & ~female].mean()) / 2
    assert 140 < threshold < 190
    assert uar >= 0.9
    print(f"threshold {threshold:.1f} Hz, UAR {uar:.3f} of {(~train).sum()} people")
