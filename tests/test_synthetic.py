"""Made-up voices have the pitch and the size that was asked for, and a release of them has Common Voice's layout."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webrtcvad

import factories
from voxtrait import audio
from voxtrait.errors import OptionError
from voxtrait.synthetic import (
    Voice,
    client_id,
    cohort,
    draw_voice,
    speak,
    typical_f0_hz,
    typical_tract_cm,
    write_common_voice,
)


def studio(gender: str, age_years: float, **changes: float) -> Voice:
    """A voice without room, noise or microphone, so that the voice itself can be measured."""
    clean = {"low_hz": 20.0, "high_hz": 7900.0, "presence_db": 0.0, "reverberation_s": 0.01, "snr_db": 90.0}
    return dataclasses.replace(draw_voice(gender, age_years, seed=5), **(clean | changes))


def measured_f0_hz(signal: np.ndarray) -> float:
    """Median over 40 ms frames of the lag of the highest peak of the autocorrelation, 60 to 400 Hz."""
    found = []
    for start in range(0, len(signal) - 640, 320):
        frame = signal[start : start + 640] * np.hanning(640)
        if np.mean(np.square(frame)) < 0.2 * np.mean(np.square(signal)):
            continue
        spectrum = np.abs(np.fft.rfft(frame, 2048)) ** 2
        correlation = np.fft.irfft(spectrum) / np.fft.irfft(np.abs(np.fft.rfft(np.hanning(640), 2048)) ** 2).clip(1e-3)
        found.append(16000 / (40 + np.argmax(correlation[40:267])))
    return float(np.median(found))


def spectrum_db(signal: np.ndarray) -> np.ndarray:
    """Long-term spectrum in dB over log frequency, 500 to 4000 Hz in 300 steps."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, 512)[::256] * np.hanning(512)
    power = np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0)
    return np.interp(np.geomspace(500, 4000, 300), np.fft.rfftfreq(512, 1 / 16000), 10 * np.log10(power))


def voiced_share(signal: np.ndarray, mode: int) -> float:
    vad = webrtcvad.Vad(mode)
    samples = audio.to_pcm16(signal)
    return float(
        np.mean([vad.is_speech(samples[at : at + 480].tobytes(), 16000) for at in range(0, len(samples) - 479, 480)])
    )


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    voice = cohort(2, seed=3)[1]
    first = speak(voice, 1.0, seed=8)
    assert np.array_equal(first, speak(cohort(2, seed=3)[1], 1.0, seed=8))
    assert not np.array_equal(first, speak(voice, 1.0, seed=9))
    assert not np.array_equal(first, speak(dataclasses.replace(voice, name="another"), 1.0, seed=8))


@pytest.mark.parametrize(
    ("seconds", "rate", "samples"), [(0.1, 16000, 1600), (2.34, 16000, 37440), (1.0, 48000, 48000)]
)
def test_length_type_and_range(seconds: float, rate: int, samples: int) -> None:
    signal = speak(draw_voice("male", 50, seed=2), seconds, seed=1, sampling_rate=rate)
    assert signal.shape == (samples,)
    assert signal.dtype == np.float32
    assert 0.01 < np.abs(signal).max() <= 1.0


def test_the_level_is_the_one_asked_for() -> None:
    voice = studio("female", 30, level_dbfs=-26.0)
    levels = [10 * np.log10(np.mean(np.square(speak(voice, 2.0, seed)))) for seed in range(8)]
    assert np.mean(levels) == pytest.approx(-26.0, abs=1.0)  # a clip's own level varies by 1 dB


@pytest.mark.parametrize(("gender", "f0_hz"), [("male", 90.0), ("male", 125.0), ("female", 205.0), ("female", 250.0)])
def test_pitch_is_the_one_asked_for(gender: str, f0_hz: float) -> None:
    voice = studio(gender, 30, f0_hz=f0_hz)
    assert measured_f0_hz(np.concatenate([speak(voice, 5.0, seed) for seed in range(3)])) == pytest.approx(
        f0_hz, rel=0.06
    )


def test_a_shorter_tract_moves_the_formants_up_by_as_much() -> None:
    spectra = []
    for tract_cm in (17.5, 14.0):  # a quarter more
        voice = studio("male", 30, tract_cm=tract_cm, f0_hz=110.0, breath_db=-60.0)
        spectra.append(np.mean([spectrum_db(speak(voice, 5.0, seed)) for seed in range(6)], axis=0))
    per_step = np.log(8.0) / 299
    shifts = np.arange(0, 80)
    slopes = [np.gradient(np.convolve(spectrum, np.hanning(25) / 12, "same")) for spectrum in spectra]
    fits = [np.corrcoef(slopes[0][20 : 280 - shift], slopes[1][20 + shift : 280])[0, 1] for shift in shifts]
    assert np.exp(shifts[np.argmax(fits)] * per_step) == pytest.approx(1.25, rel=0.05)


def test_a_wide_first_formant_is_weaker_than_the_others() -> None:
    narrow, wide = (
        np.mean([spectrum_db(speak(studio("female", 30, first_bandwidth_hz=hz), 5.0, seed)) for seed in range(4)], 0)
        for hz in (70.0, 210.0)
    )
    lost = narrow - wide
    lost -= lost[200:].mean()  # above 2 kHz; the level of a clip is fixed
    assert lost[:80].mean() > 2  # 500 to 870 Hz
    girl, boy, woman, man = (draw_voice(*who, seed=1).first_bandwidth_hz for who in
                             (("female", 9), ("male", 9), ("female", 30), ("male", 30)))  # fmt: skip
    assert girl == boy == man == 70
    assert woman == 210


def test_jitter_and_breath_make_a_voice_less_periodic() -> None:
    def periodicity(**changes: float) -> float:
        signal = speak(
            studio("male", 30, f0_hz=100.0, melody_semitones=0.0, tremor_semitones=0.0, **changes), 4.0, seed=1
        )
        return float(np.corrcoef(signal[:-160], signal[160:])[0, 1])

    clean = periodicity(jitter=0.0, shimmer_db=0.0, breath_db=-60.0)
    assert clean > periodicity(jitter=0.02, shimmer_db=0.0, breath_db=-60.0) + 0.05
    assert clean > periodicity(jitter=0.0, shimmer_db=0.0, breath_db=-3.0) + 0.05


@pytest.mark.parametrize("mode", [2, 3])
def test_a_voice_activity_detector_hears_speech(mode: int) -> None:
    shares = [voiced_share(speak(voice, 4.0, seed=1), mode) for voice in cohort(14, seed=4)]
    assert min(shares) > 0.6
    assert max(shares) < 1.0  # there are pauses


@pytest.mark.parametrize(
    ("gender", "age", "hz"),
    [("male", 25, 120), ("male", 45, 107), ("male", 85, 146), ("female", 25, 224), ("female", 75, 202)],
)
def test_published_pitch(gender: str, age: float, hz: float) -> None:
    assert typical_f0_hz(gender, age) == hz


def test_published_sizes() -> None:
    assert typical_tract_cm("male", 30) / typical_tract_cm("female", 30) == pytest.approx(1.16, abs=0.01)
    assert typical_tract_cm("male", 7) == typical_tract_cm("female", 7) < typical_tract_cm("female", 30)


def test_a_cohort_is_balanced_and_a_larger_one_begins_with_it() -> None:
    voices = cohort(28, seed=6)
    groups = [(voice.gender, voice.age_group) for voice in voices]
    assert len(set(groups)) == 14
    assert all(groups.count(group) == 2 for group in groups)
    assert cohort(10, seed=6) == voices[:10]
    assert len({client_id(voice) for voice in [*voices, *cohort(28, seed=7)]}) == 56


def test_women_and_men_differ_and_overlap_a_little() -> None:
    voices = cohort(280, seed=1)
    women, men = ([voice.f0_hz for voice in voices if voice.gender == gender] for gender in ("female", "male"))
    best = max(np.mean([f0 > cut for f0 in women] + [f0 < cut for f0 in men]) for cut in range(120, 220))
    assert 0.95 < best < 1.0


def test_age_is_heard_but_not_in_the_microphone() -> None:
    voices = cohort(280, seed=1)
    ages = np.array([voice.age_years for voice in voices])

    def correlation(field: str) -> float:
        return float(np.corrcoef(ages, [getattr(voice, field) for voice in voices])[0, 1])

    assert correlation("jitter") > 0.7
    assert correlation("syllables_per_s") < -0.7
    assert correlation("breath_db") > 0.4
    for field in ("low_hz", "high_hz", "presence_db", "reverberation_s", "snr_db", "level_dbfs"):
        assert abs(correlation(field)) < 0.2, field


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohort(0, seed=1), r"Got 0 speakers\. Expected 1 or more\."),
        (lambda: cohort(1, seed=-1), "Got the seed -1"),
        (lambda: draw_voice("x", 30, 1), "Unknown gender 'x'. Expected one of female, male"),
        (lambda: draw_voice("male", 2, 1), "Got an age of 2 years. Expected 4 to 109"),
        (lambda: typical_f0_hz("other", 30), "Unknown gender 'other'"),
        (lambda: speak(draw_voice("male", 30, 1), 0.05, 1), r"Got 0\.05 s of speech\. Expected 0\.1 to 3600 s\."),
        (lambda: speak(draw_voice("male", 30, 1), 1.0, -1), "Got the seed -1"),
        (lambda: speak(draw_voice("male", 30, 1), 1.0, 1, 0), "Got a sampling rate of 0 Hz"),
        (lambda: write_common_voice("x", [], 1, 1), "Got voices: 0"),
        (
            lambda: write_common_voice("x", cohort(1, 1) * 2, 1, 1),
            "Got voices: 2, different names: 1. Expected one name per voice.",
        ),
        (lambda: write_common_voice("x", cohort(1, 1), 0, 1), "Got 0 for clips per voice"),
        (lambda: write_common_voice("x", cohort(1, 1), 1, 1, seconds=(2, 1)), "Got clips of 2 to 1 s"),
        (lambda: write_common_voice("x", cohort(1, 1), 1, 1, blank=2), "Got a share of 2"),
    ],
)
def test_what_is_refused(call, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=message):
        call()
    assert not list(tmp_path.iterdir())


def test_a_release_has_common_voice_s_layout(tmp_path: Path) -> None:
    voices = cohort(14, seed=2)
    release = write_common_voice(tmp_path / "new", voices, 2, seed=2, seconds=(0.5, 0.7), blank=0.0)
    assert release == tmp_path / "new" / "cv-corpus-0.1-synthetic"
    assert sorted(path.name for path in (release / "en").iterdir()) == ["clip_durations.tsv", "clips", "validated.tsv"]
    table = factories.read_table(release / "en" / "validated.tsv")
    assert table.columns == factories.TABLES[13]
    assert table.height == 28
    assert set(table["gender"]) == {"female_feminine", "male_masculine"}
    assert set(table["age"]) == {"teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies"}
    assert table["client_id"].str.contains("^[0-9a-f]{128}$").all()
    assert table["client_id"].unique(maintain_order=True).to_list() == [client_id(voice) for voice in voices]
    assert sorted(table["path"]) == [clip.name for clip in factories.clips_of(release)]
    assert table["path"].str.contains(r"^common_voice_en_\d+\.mp3$").all()
    text = (release / "en" / "validated.tsv").read_text(encoding="utf-8")
    assert all(line.count("\t") == 12 for line in text.splitlines())
    assert sum(sentence.count('"') == 1 for sentence in table["sentence"]) > 0  # what breaks readers that expect quotes


def test_clips_are_mp3_as_long_as_the_table_says(tmp_path: Path) -> None:
    release = factories.tiny_release(tmp_path, speakers=2, clips=1)
    durations = factories.read_table(release / "en" / "clip_durations.tsv")
    assert durations.columns == ["clip", "duration[ms]"]
    for name, milliseconds in durations.iter_rows():
        path = release / "en" / "clips" / name
        assert soundfile.info(path).format == "MP3"
        signal, rate = audio.load(path, None)
        assert rate == 32000
        assert len(signal) / rate == pytest.approx(int(milliseconds) / 1000, abs=0.08)
        assert voiced_share(audio.resample(signal, rate, 16000), 2) > 0.3


def test_some_labels_are_blank(tmp_path: Path) -> None:
    release = factories.tiny_release(tmp_path, speakers=10, clips=1, seconds=(0.2, 0.2), blank=0.5)
    table = factories.read_table(release / "en" / "validated.tsv")
    assert 0 < (table["gender"] == "").sum() < 10
    assert 0 < (table["age"] == "").sum() < 10
    all_blank = factories.tiny_release(tmp_path, speakers=10, clips=1, seconds=(0.2, 0.2), blank=1.0)
    assert set(factories.read_table(all_blank / "en" / "validated.tsv")["age"]) == {""}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_processes_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = (
        write_common_voice(tmp_path / str(jobs), cohort(6, 1), 1, seed=1, jobs=jobs, seconds=(0.3, 0.4))
        for jobs in (1, 2)
    )
    assert len(contents(one)) == 8
    assert contents(one) == contents(two)


def test_the_last_digits_of_a_processor_do_not_rename_clips(tmp_path: Path) -> None:
    voices = cohort(2, seed=1)
    nearly = [dataclasses.replace(voice, f0_hz=float(np.nextafter(voice.f0_hz, 1e9))) for voice in voices]
    other = [dataclasses.replace(voice, f0_hz=1.01 * voice.f0_hz) for voice in voices]
    names = [
        {clip.name for clip in factories.clips_of(write_common_voice(tmp_path / kind, some, 1, 1, seconds=(0.3, 0.4)))}
        for kind, some in (("drawn", voices), ("nearly", nearly), ("other", other))
    ]
    assert nearly != voices
    assert names[0] == names[1] and not names[0] & names[2]


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path) -> None:
    release = factories.tiny_release(tmp_path, speakers=3, clips=2, seconds=(0.3, 0.4))
    before = contents(release)
    clips = factories.clips_of(release)
    clips[0].unlink()
    marks = {clip: clip.stat().st_mtime_ns for clip in clips[1:]}
    factories.tiny_release(tmp_path, speakers=3, clips=2, seconds=(0.3, 0.4))
    assert contents(release) == before
    assert {clip: clip.stat().st_mtime_ns for clip in clips[1:]} == marks


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        factories.tiny_release(tmp_path, speakers=1, clips=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
