import numpy as np
import pytest

from voxtrait import speech, synthetic

N = 5 * 16_000
TIME = np.arange(N) / 16_000
NOISE = np.random.default_rng(0).standard_normal(N)
NOT_SPEECH = {
    "silence": np.zeros(N),
    "loud noise": 0.1 * NOISE,
    "faint noise": 0.003 * NOISE,
    "a tone": 0.3 * np.sin(2 * np.pi * 440 * TIME),
    "a chord": 0.1 * sum(np.sin(2 * np.pi * hz * TIME) for hz in (220, 277, 330, 440)),
    "hum": 0.2 * np.sin(2 * np.pi * 50 * TIME),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
def test_what_is_no_speech(name):
    assert speech.speech_seconds(NOT_SPEECH[name].astype(np.float32)) == 0


@pytest.mark.parametrize("gain_db", [0, -20, -40])
def test_a_voice_is_found_however_loud(gain_db):
    voice = synthetic.cohort(2, seed=1)[0]
    signal = synthetic.speak(voice, 4.0, seed=1)
    found = speech.speech_seconds((signal * 10 ** (gain_db / 20)).astype(np.float32))
    assert found == pytest.approx(speech.speech_seconds(signal), abs=0.5)
    assert found > 2.0


def test_silence_around_a_voice_is_not_counted():
    signal = synthetic.speak(synthetic.cohort(2, seed=1)[0], 3.0, seed=1)
    alone = speech.speech_seconds(signal)
    assert speech.speech_seconds(np.concatenate([np.zeros(32_000, np.float32), signal])) == pytest.approx(
        alone, abs=0.3
    )


def test_a_signal_shorter_than_a_frame_has_no_frames():
    assert speech.speech_frames(np.zeros(479, np.float32)).shape == (0,)


def test_short_gaps_belong_to_the_speech_around_them():
    frames = np.zeros(40, bool)
    frames[[3, 8, 30]] = True
    assert np.flatnonzero(speech._bridge(frames)).tolist() == [3, 4, 5, 6, 7, 8, 30]


def test_real_clips_hold_speech(speech_clips):
    short = [path.name for path, signal in speech_clips if speech.speech_seconds(signal) < 0.7]
    assert len(short) <= 0.02 * len(speech_clips), short
