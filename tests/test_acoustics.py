import numpy as np
import pytest

from voxtrait.training.voices import acoustics

RATE = 16_000


@pytest.fixture
def voice() -> np.ndarray:
    """A second and a half of 200 Hz with its harmonics, which grows and fades."""
    t = np.arange(RATE * 3 // 2) / RATE
    wave = sum(np.sin(2 * np.pi * 200 * k * t) / k for k in range(1, 38)) * np.sin(2 * np.pi * t) ** 2
    return (0.1 * wave).astype(np.float32)


def share_above(signal: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(signal)) ** 2
    return float(power[np.fft.rfftfreq(len(signal), 1 / RATE) > hz].sum() / power.sum())


def pitch(signal: np.ndarray) -> float:
    middle = signal[RATE // 2 : RATE // 2 + 4096]
    found = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    return RATE / (40 + int(np.argmax(found[40:120])))


@pytest.mark.parametrize("seed", range(12))
def test_a_chain_keeps_length_kind_and_pitch(voice, seed):
    rng = np.random.default_rng(seed)
    often = acoustics.Chances(room=0.7, colour=0.7, noise=0.7, babble=0.0, telephone=0.5, codec=0.5, clip=0.3)
    changed = acoustics.disturb(voice, [], rng, often)
    assert changed.shape == voice.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert pitch(changed) == pytest.approx(200.0, rel=0.02)


def test_the_same_seed_gives_the_same_recording(voice):
    one, again, other = (
        acoustics.disturb(voice, [voice], np.random.default_rng(seed), acoustics.Chances()) for seed in (3, 3, 4)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_nothing_happens_without_chances(voice):
    never = acoustics.Chances(room=0, colour=0, noise=0, babble=0, telephone=0, codec=0, clip=0)
    assert np.array_equal(acoustics.disturb(voice, [voice], np.random.default_rng(0), never), voice)


@pytest.mark.parametrize("kind", ["none", "gsm", "ulaw"])
def test_a_telephone_cuts_off_above_4_khz(voice, kind):
    heard = acoustics.telephone(voice, kind)
    assert share_above(voice, 4000) > 1e-3
    assert share_above(heard, 4200) < 2e-4
    assert heard.shape == voice.shape


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_a_codec_changes_a_little(voice, kind):
    heard = acoustics.codec(voice, kind, 0.9)
    lag = int(np.argmax(np.correlate(heard, voice, "full"))) - len(voice) + 1
    aligned = np.roll(heard, -lag)
    assert 0.9 < float(np.corrcoef(aligned, voice)[0, 1]) < 0.999999


def test_mix_holds_the_ratio(voice):
    other = np.random.default_rng(0).standard_normal(len(voice)).astype(np.float32)
    added = acoustics.mix(voice, other, 12.0) - voice
    assert 10 * np.log10(np.mean(voice**2) / np.mean(added**2)) == pytest.approx(12.0, abs=0.01)
    assert np.array_equal(acoustics.mix(voice, np.zeros_like(voice), 12.0), voice)


def test_a_room_rings_after_the_voice_and_overload_cuts_its_peaks(voice):
    ended = np.concatenate([voice[: RATE // 2], np.zeros(RATE // 2, np.float32)])
    after = acoustics.room(ended, 0.5, 0.0, np.random.default_rng(0))[RATE // 2 :]
    assert 0 < np.abs(after[3000:]).max() < np.abs(after[:3000]).max()
    assert np.abs(acoustics.overload(voice, 6.0)).max() == pytest.approx(np.abs(voice).max() / 2, rel=0.01)


def test_babble_needs_others_with_sound():
    empty = np.zeros(0, dtype=np.float32)
    assert not acoustics.babble([empty, empty], 100, np.random.default_rng(0)).any()
    assert acoustics.babble([np.ones(7, np.float32)], 100, np.random.default_rng(0)).shape == (100,)


@pytest.mark.parametrize("kind", ["mp3", "opus"])
@pytest.mark.parametrize("thrift", [0.0, 0.99995, 1.0])
def test_a_codec_takes_all_of_its_range(voice: np.ndarray, kind: str, thrift: float) -> None:
    assert acoustics.codec(voice, kind, thrift).shape == voice.shape
