"""The front end of Kaldi's filter bank, held against the package kaldi-native-fbank, and the windows cut from it."""

import dataclasses
import json
import math

import kaldi_native_fbank
import numpy as np
import pytest

from voxtrait import features
from voxtrait.errors import BundleError, OptionError
from voxtrait.features import FrontEnd
from voxtrait.features.front_end import ADDED
from voxtrait.synthetic import draw_voice, speak

FULL = features.kaldi_front_end(300)
ALL_ADDED = tuple(name for group in ADDED for name in group)
PLAIN = dataclasses.replace(FULL, level_db=None, mean_removed=False)  # only what Kaldi does
FRAME, HOP, BANDS = 400, 160, 80
SILENCE = math.log(1.1920929e-07)  # the lowest value: the logarithm of float32's epsilon


def noise(samples: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def voice(seconds: float = 2.5) -> np.ndarray:
    return speak(draw_voice("female", 34, seed=1), seconds, seed=1)


def of_frames(frames: int) -> int:
    """The fewest samples that have so many frames."""
    return FRAME + HOP * (frames - 1)


def kaldi(signal: np.ndarray) -> np.ndarray:
    """The filter bank of kaldi-native-fbank, ``(frames, 80)``."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = BANDS
    options.mel_opts.low_freq = 20.0
    options.mel_opts.high_freq = 8000.0
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(16_000, signal.tolist())
    bank.input_finished()
    return np.array([bank.get_frame(at) for at in range(bank.num_frames_ready)]).reshape(-1, BANDS)


def ours(signal: np.ndarray, front_end: FrontEnd = PLAIN) -> np.ndarray:
    return features.log_mel(signal, front_end=front_end).T


# --- agreement with Kaldi


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 4000, 16_000, 16_159, 48_000])
@pytest.mark.parametrize("level", [0.3, 0.003])
def test_noise_of_any_length_is_kaldis(samples: int, level: float) -> None:
    signal = noise(samples, level, seed=samples)
    np.testing.assert_allclose(ours(signal), kaldi(signal), rtol=0, atol=1e-3)


@pytest.mark.parametrize("gain_db", [0, -20, -40, -80])
def test_a_synthetic_voice_at_any_level_is_kaldis(gain_db: int) -> None:
    signal = voice() * np.float32(10 ** (gain_db / 20))
    expected = kaldi(signal)
    np.testing.assert_allclose(ours(signal), expected, rtol=0, atol=1e-3)
    assert expected.min() == pytest.approx(SILENCE) and (expected.max() > SILENCE + 1) == (gain_db > -80)


def test_a_dc_offset_is_removed_as_in_kaldi() -> None:
    signal = 0.2 + noise(8000, 0.05)
    np.testing.assert_allclose(ours(signal), kaldi(signal), rtol=0, atol=1e-3)


def test_all_of_the_front_end_is_kaldi_at_one_level_without_the_mean() -> None:
    signal = voice()
    scaled = kaldi(signal * np.float32(10 ** (-25 / 20) / np.sqrt(np.mean(signal**2))))
    np.testing.assert_allclose(ours(signal, FULL), scaled - scaled.mean(axis=0), rtol=0, atol=1e-3)


def test_silence_is_the_logarithm_of_epsilon() -> None:
    assert ours(np.zeros(1600, np.float32)) == pytest.approx(np.full((8, BANDS), SILENCE))
    assert not ours(np.zeros(1600, np.float32), FULL).any()


# --- frames


@pytest.mark.parametrize(
    ("samples", "frames"), [(400, 1), (559, 1), (560, 2), (719, 2), (720, 3), (16_000, 98), (16_080, 99)]
)
def test_frames_lie_inside_the_signal(samples: int, frames: int) -> None:
    # 1 + ⌊(samples - 400) / 160⌋
    assert len(ours(noise(samples))) == len(kaldi(noise(samples))) == frames
    assert features.mel_power(noise(samples), PLAIN).shape == (BANDS, frames)


def test_frame_i_starts_at_sample_160_i() -> None:
    signal = noise(16_000)
    whole = ours(signal)
    for at in (0, 1, 50, 97):
        single = ours(signal[HOP * at : HOP * at + FRAME])
        np.testing.assert_allclose(single[0], whole[at], atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 160, 399])
def test_less_than_a_frame_is_filled_up_with_zeros(samples: int) -> None:
    # Kaldi gives no frame at all
    signal = noise(samples)
    filled = np.pad(signal, (0, FRAME - samples))
    assert len(kaldi(signal)) == 0
    found = features.windows(signal, PLAIN)
    assert found.shape == (1, 1, BANDS)
    np.testing.assert_allclose(found[0], kaldi(filled), rtol=0, atol=1e-3)


# --- level, mean, offset


def test_the_mean_over_time_of_each_band_is_zero() -> None:
    for signal in (voice(), noise(16_000), noise(of_frames(2))):
        found = ours(signal, FULL)
        assert found.std() > 0.1
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    assert not ours(noise(FRAME), FULL).any()  # one frame is its own mean


def test_the_mean_is_that_of_the_signal_and_not_of_a_window() -> None:
    signal = np.concatenate([noise(16_000, 0.3), noise(16_000, 0.003)])
    cut = features.windows(signal, features.kaldi_front_end(100))
    assert cut.shape == (2, 99, BANDS)  # of 198 frames
    np.testing.assert_allclose(cut.mean(axis=(0, 1)), 0, atol=1e-5)
    assert cut[0].mean() - cut[1].mean() == pytest.approx(
        2 * math.log(100), abs=0.2
    )  # 40 dB, but for a frame with both


@pytest.mark.parametrize("gain_db", [-60, -40, -20])
def test_level_does_not_change_anything(gain_db: int) -> None:
    for signal in (voice(), noise(16_000, 0.3)):
        quiet = signal * np.float32(10 ** (gain_db / 20))
        # the voice has next to nothing in the highest bands, where rounding errors of the transform show
        np.testing.assert_allclose(ours(quiet, FULL), ours(signal, FULL), rtol=0, atol=3e-3)
        # a power of two rounds nothing
        np.testing.assert_array_equal(ours(signal / np.float32(128), FULL), ours(signal, FULL))


@pytest.mark.parametrize("offset", [-0.5, 0.02, 0.5])
def test_a_dc_offset_does_not_change_anything(offset: float) -> None:
    signal = noise(16_000, 0.05)
    np.testing.assert_allclose(ours(signal + np.float32(offset)), ours(signal), rtol=0, atol=1e-3)
    # the level is measured with the offset: enough of it would push what is quiet below the floor
    signal = noise(16_000, 0.3)
    np.testing.assert_allclose(ours(signal + np.float32(offset), FULL), ours(signal, FULL), rtol=0, atol=1e-3)


# --- windows


@pytest.mark.parametrize(
    ("frames", "shape"),
    [
        (1, (1, 1)),
        (9, (1, 9)),
        (10, (1, 10)),
        (11, (2, 5)),
        (19, (2, 9)),
        (20, (2, 10)),
        (21, (3, 7)),
        (29, (3, 9)),
        (95, (10, 9)),
        (100, (10, 10)),
        (101, (11, 9)),
    ],
)
def test_windows_are_equal_parts_of_all_frames(frames: int, shape: tuple[int, int]) -> None:
    signal, front_end = noise(of_frames(frames)), features.kaldi_front_end(10)
    found = features.windows(signal, front_end)
    assert found.shape == (*shape, BANDS) and found.dtype == np.float32 and found.flags.c_contiguous
    count, size = shape
    assert count == math.ceil(frames / 10) and size <= 10
    assert 0 <= frames - count * size < count  # frames lost at the end
    # one after the other, without overlap and gap
    np.testing.assert_array_equal(found.reshape(-1, BANDS), ours(signal, front_end)[: count * size])


def test_every_number_of_frames_is_covered() -> None:
    front_end = dataclasses.replace(features.kaldi_front_end(7), n_mels=2)
    for frames in range(1, 60):
        count, size, _ = features.windows(noise(of_frames(frames)), front_end).shape
        assert count == math.ceil(frames / 7) and 1 <= size <= 7 and frames - count < count * size <= frames


def test_windows_of_the_front_end_that_is_used() -> None:
    assert FULL.input_shape == (300, BANDS)
    assert features.windows(noise(of_frames(300)), FULL).shape == (1, 300, BANDS)
    assert features.windows(noise(of_frames(301)), FULL).shape == (2, 150, BANDS)


# --- windows that are the loudest part


CHOOSING = features.kaldi_front_end(50, chosen_from=200)  # 0.5 s of 2 s


def bursts(seconds: float, *loud: float) -> np.ndarray:
    """Noise that is 20 dB louder for half a second from each of some moments on."""
    signal = noise(round(seconds * 16_000), 0.01)
    for start in loud:
        signal[round(start * 16_000) : round((start + 0.5) * 16_000)] *= 10
    return signal


@pytest.mark.parametrize("start", [0.0, 0.31, 0.8, 1.48])
def test_the_loudest_part_is_chosen(start: float) -> None:
    signal = bursts(2.0, start)
    found = features.windows(signal, CHOOSING)
    assert found.shape == (1, 50, BANDS) and found.dtype == np.float32
    at = min(max(round(start * 100 - 1), 0), 198 - 50)  # a frame of 25 ms has its level 12.5 ms later
    plain = dataclasses.replace(FULL, mean_removed=False)
    near = [ours(signal, plain)[frame : frame + 50] for frame in range(max(at - 1, 0), min(at + 2, 149))]
    assert any(np.allclose(found[0], one - one.mean(0), atol=1e-4) for one in near)


def test_each_part_of_the_signal_has_a_window() -> None:
    signal = bursts(5.0, 0.7, 1.9, 4.4)  # 498 frames: three parts of 166
    found = features.windows(signal, CHOOSING)
    assert found.shape == (3, 50, BANDS)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)  # each is without its own mean
    whole = ours(signal, dataclasses.replace(FULL, mean_removed=False))
    for part, window in enumerate(found):
        starts = range(166 * part, 166 * (part + 1) - 50 + 1)
        (at,) = [s for s in starts if np.allclose(window, whole[s : s + 50] - whole[s : s + 50].mean(0), atol=1e-4)]
        level = [whole[s : s + 50].mean() for s in starts]
        assert level[at - 166 * part] > max(level) - 0.1


@pytest.mark.parametrize("frames", [1, 49, 50, 51, 199, 200, 201, 601])
def test_how_many_windows_there_are_and_how_long(frames: int) -> None:
    count = math.ceil(frames / 200)
    found = features.windows(noise(of_frames(frames)), CHOOSING)
    assert found.shape == (count, min(50, frames // count), BANDS)


@pytest.mark.parametrize("gain_db", [-80, -40, 20])
def test_the_choice_does_not_depend_on_the_level(gain_db: int) -> None:
    signal = np.concatenate([bursts(1.4, 0.6), np.zeros(8000, np.float32)])  # with digital silence
    changed = signal * np.float32(10 ** (gain_db / 20))
    np.testing.assert_allclose(features.windows(changed, CHOOSING), features.windows(signal, CHOOSING), atol=3e-3)
    np.testing.assert_allclose(
        features.windows(signal + np.float32(0.3), CHOOSING), features.windows(signal, CHOOSING), atol=3e-2
    )


def test_silence_has_a_window_too() -> None:
    found = features.windows(np.zeros(32_000, np.float32), CHOOSING)
    assert found.shape == (1, 50, BANDS)
    np.testing.assert_allclose(found, 0, atol=1e-5)


def test_a_short_silence_does_not_outweigh_a_long_loud_part() -> None:
    """Its level in dB would be minus infinity: it counts as 40 dB below the mean."""
    signal = bursts(2.0, 0.5)
    signal[round(0.7 * 16_000) : round(0.74 * 16_000)] = 0
    found = features.windows(signal, CHOOSING)[0]
    assert found[15:30].min() < -5  # the pause is in the window


@pytest.mark.parametrize("changes", [{"chosen_from": 99}, {"chosen_from": -1}, {"chosen_from": 300, "fit": "middle"}])
def test_a_choice_from_fewer_frames_than_a_window_has_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="Got chosen_from"):
        dataclasses.replace(features.kaldi_front_end(100), **changes)


# --- the parameters


def test_the_front_end_is_kaldis() -> None:
    assert (FULL.sampling_rate, FULL.window_length, FULL.hop_length, FULL.n_fft) == (16_000, FRAME, HOP, 512)
    assert (FULL.n_mels, FULL.f_min, FULL.f_max, FULL.pre_emphasis) == (BANDS, 20.0, 8000.0, 0.97)
    assert (FULL.fit, FULL.columns, FULL.level_db, FULL.mean_removed) == ("windows", 300, -25.0, True)


def test_another_hop_leaves_the_frames_as_they_are() -> None:
    coarse = features.kaldi_front_end(300, hop_length=320)
    assert coarse == dataclasses.replace(FULL, hop_length=320)
    every_other = dataclasses.replace(coarse, mean_removed=False)
    signal = noise(16_000)
    fine = ours(signal, dataclasses.replace(FULL, mean_removed=False))
    np.testing.assert_allclose(ours(signal, every_other), fine[::2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("front_end", [FULL, PLAIN, FrontEnd(), features.kaldi_front_end(150, hop_length=320)])
def test_a_front_end_survives_its_dictionary(front_end: FrontEnd) -> None:
    assert FrontEnd.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end


def without(values: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize("front_end", [FrontEnd(), FrontEnd(n_mels=96, columns=144, shrink=3, level_db=-30.0)])
def test_a_front_end_without_the_added_keys_gets_their_defaults(front_end: FrontEnd) -> None:
    found = FrontEnd.from_dict(without(front_end.to_dict(), *ALL_ADDED))
    assert found == front_end
    assert FrontEnd.from_dict(without(front_end.to_dict(), *ADDED[-1])) == front_end
    assert (found.window, found.triangles, found.frames) == ("hann", "hz", "centred")
    assert (found.dc_removed, found.pre_emphasis, found.mean_removed) == (False, 0.0, False)


def test_added_are_the_keys_that_the_old_bundles_lack() -> None:
    assert len(set(ALL_ADDED)) == len(ALL_ADDED) == 7
    assert set(ALL_ADDED) < set(FrontEnd().to_dict())


def test_the_front_end_of_the_default_bundle_is_one_before_windows_were_chosen() -> None:
    values = without(features.kaldi_front_end(600).to_dict(), *ADDED[-1])
    assert FrontEnd.from_dict(values) == features.kaldi_front_end(600)
    assert FrontEnd.from_dict(values).chosen_from == 0


@pytest.mark.parametrize("missing", ADDED[0])
def test_only_some_of_the_added_keys_are_refused(missing: str) -> None:
    values = FULL.to_dict()
    with pytest.raises(BundleError, match=rf"lacks the keys \['{missing}'\] and has the unknown keys \[\]"):
        FrontEnd.from_dict(without(values, missing))
    others = [name for name in ADDED[0] if name != missing]
    with pytest.raises(BundleError, match=rf"lacks the keys \['{sorted(others)[0]}', "):
        FrontEnd.from_dict(without(values, *others))


def test_unknown_and_missing_keys_are_refused_with_and_without_the_added_ones() -> None:
    for values in (FULL.to_dict(), without(FrontEnd().to_dict(), *ALL_ADDED)):
        with pytest.raises(BundleError, match=r"unknown keys \['dither'\]"):
            FrontEnd.from_dict({**values, "dither": 0.0})
        with pytest.raises(BundleError, match=r"lacks the keys \['hop_length'\]"):
            FrontEnd.from_dict(without(values, "hop_length"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": "hamming"}, "Got window 'hamming'. Expected one of hann, povey"),
        ({"triangles": "bark"}, "Got triangles 'bark'. Expected one of hz, mel"),
        ({"frames": "outside"}, "Got frames 'outside'. Expected one of centred, inside"),
        ({"pre_emphasis": 1.0}, "Got pre_emphasis 1.0. Expected 0 or more and less than 1."),
        ({"pre_emphasis": -0.1}, "Got pre_emphasis -0.1"),
        ({"pre_emphasis": math.nan}, "Got pre_emphasis nan"),
        ({"shrink": 2}, "Got shrink 2 for windows. Expected 1: only images are shrunk."),
        ({"columns": 0}, "Got columns 0. Expected a whole number from 1 to 1000000."),
    ],
)
def test_parameters_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        dataclasses.replace(FULL, **change)  # type: ignore[arg-type]
