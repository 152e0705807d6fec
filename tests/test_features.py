"""The mel code against numbers done by hand, against librosa, and the promises about pictures."""

import dataclasses
import math
import tracemalloc
import warnings
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import tone
from voxtrait import features
from voxtrait.audio import to_pcm16
from voxtrait.errors import BundleError, DecodeError, OptionError, SignalError
from voxtrait.features import FrontEnd, picture

ENCODER = features.kaldi_front_end(100)  # tests/test_features_kaldi.py holds it against Kaldi
PLAIN = FrontEnd(n_fft=400, window_length=400, n_mels=40, norm="area", compression="none", scaled=False, fit="windows")


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, round(seconds * 16_000)).astype(np.float32)


# --- spectra


@pytest.mark.parametrize("seconds", [1.0, 1.2345, 0.05])
def test_narrow_windows_and_triangles_of_one_area_are_librosas(seconds: float) -> None:
    librosa = pytest.importorskip("librosa")
    signal = noise(seconds)
    expected = librosa.feature.melspectrogram(
        y=signal, sr=16_000, n_fft=400, hop_length=160, n_mels=40, pad_mode="constant"
    )
    ours = features.log_mel(signal, front_end=PLAIN)
    assert ours.shape == expected.shape == (40, 1 + len(signal) // 160)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6 * expected.max())


def test_htk_scale_and_wide_windows_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    front_end = FrontEnd(n_mels=64, scale="htk", f_min=60.0, f_max=7600.0, compression="none", scaled=False)
    signal = noise(1.0)
    # librosa puts a short window in the middle of n_fft samples, which changes the phase and not the power
    expected = librosa.feature.melspectrogram(
        y=signal, sr=16_000, n_fft=2048, win_length=1024, hop_length=160, n_mels=64, fmin=60.0, fmax=7600.0,
        htk=True, norm=None, pad_mode="constant",
    )  # fmt: skip
    np.testing.assert_allclose(features.log_mel(signal, front_end=front_end), expected, rtol=1e-4)


@pytest.mark.parametrize(("amplitude", "decibels"), [(1.0, 0.0), (0.1, -20.0), (0.01, -40.0)])
def test_a_full_scale_sine_has_zero_decibels_in_its_bin(amplitude: float, decibels: float) -> None:
    # 1000 Hz is bin 128 of 2048 at 16 kHz. A Hann window of half that length leaves 0.7205 of the power in the bins
    # beside it, and the band with its middle at 1002.0 Hz, 991.5 to 1012.9, weighs the bins 127 to 129 with 0.0614,
    # 0.8054 and 0.4680: 0.0614 × 0.7205 + 0.8054 + 0.4680 × 0.7205 = 1.1869, which is 0.744 dB
    spectrum = features.log_mel(tone(1.0, 1000.0, level=amplitude), front_end=FrontEnd())
    assert spectrum[:, 20:80].max() == pytest.approx(decibels + 0.744, abs=0.001)
    assert np.ptp(spectrum[:, 20:80].max(axis=0)) < 0.001


def test_power_grows_with_the_square() -> None:
    front_end = FrontEnd(compression="none")
    one, ten = (features.log_mel(noise(0.5) * gain, front_end=front_end) for gain in (1, 10))
    np.testing.assert_allclose(ten, 100 * one, rtol=1e-4)


def test_the_peak_is_in_the_band_of_the_tone() -> None:
    # Slaney's scale is 66.67 Hz a mel below 1 kHz, 45.245 mels in all up to 8 kHz
    top = 15 + 27 * np.log(8) / np.log(6.4)
    for hz in (200.0, 500.0, 900.0):
        band = int(np.argmax(features.log_mel(tone(1.0, hz))[:, 50]))
        assert (band + 1) * top / 289 == pytest.approx(hz / (200 / 3), abs=top / 289)


def test_silence_is_the_floor_everywhere() -> None:
    np.testing.assert_allclose(features.log_mel(np.zeros(1600)), -100.0, rtol=1e-6)
    assert np.all(features.log_mel(np.zeros(1600), front_end=FrontEnd(compression="log")) == np.float32(np.log(1e-10)))


def test_level_is_brought_to_the_rule() -> None:
    front_end = FrontEnd(level_db=-30.0, compression="none")
    quiet, loud = (features.log_mel(noise(1.0, level), front_end=front_end) for level in (0.001, 0.3))
    np.testing.assert_allclose(quiet, loud, rtol=1e-3)
    assert np.all(np.isfinite(features.log_mel(np.zeros(1600), front_end=front_end)))


def test_frames_are_centred_on_their_sample() -> None:
    signal = np.zeros(16_000, np.float32)
    signal[8000] = 1.0
    power = features.log_mel(signal, front_end=FrontEnd(compression="none")).sum(axis=0)
    assert int(np.argmax(power)) == 50
    np.testing.assert_allclose(power[46:50], power[54:50:-1], rtol=1e-4)
    assert power[:46].max() == 0 and power[55:].max() == 0  # 1024 samples are 6.4 hops


def test_rates_and_channels_are_taken_care_of() -> None:
    stereo = np.stack([tone(1.0, 500.0, 48_000)] * 2)
    drawn = features.log_mel(stereo, 48_000)
    plain = features.log_mel(tone(1.0, 500.0))
    assert drawn.shape == plain.shape
    loud = plain[:, 10:90] > -60
    assert np.abs(drawn[:, 10:90] - plain[:, 10:90])[loud].max() < 0.1


def test_a_long_signal_takes_little_more_memory_than_its_spectrum() -> None:
    signal = np.zeros(300 * 16_000, np.float32)
    tracemalloc.start()
    power = features.mel_power(signal, FrontEnd())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert power.shape == (288, 30_001) and peak < power.nbytes + 3 * signal.nbytes


# --- pictures


def test_a_column_is_ten_milliseconds_and_the_middle_is_cut_out() -> None:
    signal = np.zeros(10 * 16_000, np.float32)
    signal[80_000] = 1.0  # the very middle
    drawn = picture(signal)
    assert drawn.shape == (288, 432) and drawn.dtype == np.uint8
    lit = np.nonzero(drawn.max(axis=0))[0]
    assert (lit[0] + lit[-1]) / 2 == pytest.approx(215.5, abs=0.51)
    assert len(lit) in (6, 7)  # the window is 6.4 columns wide
    later = signal[1600:]  # 0.1 s off the start moves the middle by 0.05 s, which is 5 columns
    assert np.nonzero(picture(later).max(axis=0))[0][0] == lit[0] - 5


def test_a_longer_clip_shows_its_middle_and_nothing_of_its_length() -> None:
    middle = noise(4.4)
    long = np.concatenate([noise(3.0, 1.0, 1), middle, noise(3.0, 1.0, 2)])
    np.testing.assert_array_equal(picture(long)[:, 8:-8], picture(middle)[:, 8:-8])


@pytest.mark.parametrize("seconds", [0.1, 1.0, 3.0])
def test_a_short_clip_stands_in_the_middle_of_black(seconds: float) -> None:
    drawn = picture(noise(seconds))
    lit = np.nonzero(drawn.max(axis=0))[0]
    assert len(lit) == pytest.approx(seconds * 100 + 1, abs=1)
    assert abs(lit[0] - (431 - lit[-1])) <= 1
    assert not drawn[:, : lit[0]].any() and not drawn[:, lit[-1] + 1 :].any()


def test_stretch_fills_the_width_whatever_the_length() -> None:
    for seconds in (0.3, 2.0, 20.0):
        assert picture(noise(seconds), fit="stretch").max(axis=0).min() > 0


def test_no_border_no_axes() -> None:
    drawn = picture(noise(6.0, 0.3))
    for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert len(np.unique(edge)) > 10  # sound, not a line
        assert edge.max() < 255


def test_louder_is_brighter_by_the_same_step_everywhere() -> None:
    quiet, loud = (picture(noise(5.0, level)).astype(int) for level in (0.01, 0.1))
    step = 20 / 90 * 255  # dB of 90 dB between black and white
    inside = (quiet > 0) & (loud < 255)
    assert inside.mean() > 0.9
    assert np.abs((loud - quiet)[inside] - step).max() <= 1


def test_black_and_white_are_fixed_levels() -> None:
    assert picture(np.zeros(16_000)).max() == 0
    assert picture(tone(5.0, 1000.0, level=1.0)).max() == 255
    # -55 dB is half way between -100 and -10; the band adds 0.744 dB, as above
    half = picture(tone(5.0, 1000.0, level=10 ** (-55 / 20)))
    assert half.max() == pytest.approx(255 * 45.744 / 90, abs=0.51)


def test_low_frequencies_are_at_the_bottom() -> None:
    rows = [int(np.argmax(picture(tone(5.0, hz))[:, 216])) for hz in (100.0, 1000.0, 4000.0, 7500.0)]
    assert rows == sorted(rows, reverse=True) and rows[0] > 270 and rows[-1] < 20


def test_sizes() -> None:
    assert picture(noise(1.0), size=(100, 40)).shape == (40, 100)
    tall = features.picture_front_end((64, 1000))
    assert tall.n_fft >= 7 * 1000
    lit = picture(noise(2.0), front_end=tall)
    assert lit.shape == (1000, 64) and lit.max(axis=1).min() > 0  # no band is empty
    for size in ((7, 100), (100, 5000), (0, 0)):
        with pytest.raises(OptionError, match="8 to 4096 pixels"):
            picture(noise(0.1), size=size)


def test_what_is_no_signal_is_refused() -> None:
    with pytest.raises(SignalError, match="NaN"):
        picture(np.array([0.0, np.nan]))
    with pytest.raises(SignalError, match=r"Expected a non-empty \(samples,\)"):
        picture(np.zeros(0))


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 100_000), fit=st.sampled_from(features.PICTURE_FITS), gain=st.floats(0, 100))
def test_any_signal_gives_a_picture(length: int, fit: features.Fit, gain: float) -> None:
    signal = np.random.default_rng(length).uniform(-gain, gain, length)
    drawn = picture(signal, size=(48, 32), fit=fit)
    assert drawn.shape == (32, 48) and drawn.dtype == np.uint8


# --- windows


@pytest.mark.parametrize(("frames", "count", "size"), [(1, 1, 1), (432, 1, 432), (433, 2, 216), (1300, 4, 325)])
def test_centred_frames_are_cut_into_windows_too(frames: int, count: int, size: int) -> None:
    signal = noise((frames - 1) / 100)
    power = features.mel_power(signal, PLAIN).T
    assert len(power) == frames
    cut = features.windows(signal, PLAIN)
    assert cut.shape == (count, size, 40) and cut.dtype == np.float32
    np.testing.assert_array_equal(cut, power[: count * size].astype(np.float32).reshape(cut.shape))


def test_windows_are_compressed_and_brought_to_one_level() -> None:
    log = features.windows(noise(2.0), dataclasses.replace(PLAIN, compression="log"))
    np.testing.assert_allclose(log, np.log(features.windows(noise(2.0), PLAIN)), rtol=1e-6)
    levelled = dataclasses.replace(PLAIN, level_db=-30.0)
    quiet, loud = (features.windows(noise(2.0, level), levelled) for level in (0.001, 0.3))
    np.testing.assert_allclose(quiet, loud, rtol=1e-3)


def test_pictures_and_windows_are_not_taken_for_each_other() -> None:
    with pytest.raises(OptionError, match=r"fit 'windows'\. Expected one of middle, stretch"):
        picture(noise(1.0), front_end=ENCODER)
    with pytest.raises(OptionError, match=r"fit 'windows'\. Expected one of middle, stretch"):
        features.picture_front_end(fit="windows")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"fit 'middle'\. Expected 'windows'"):
        features.windows(noise(1.0), FrontEnd())


# --- PNG and the network's input


def test_a_png_keeps_every_pixel_and_has_the_same_bytes_each_time() -> None:
    drawn = picture(noise(3.0))
    png = features.encode_png(drawn)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (png[24], png[25]) == (8, 0)  # 8 bits, grey
    assert png == features.encode_png(drawn.copy())
    np.testing.assert_array_equal(features.decode_png(png), drawn)


def test_a_coloured_png_is_read_as_grey_and_rubbish_is_refused() -> None:
    from PIL import Image

    out = BytesIO()
    Image.fromarray(np.full((4, 6, 3), 77, np.uint8)).save(out, "PNG")
    assert features.decode_png(out.getvalue()).tolist() == [[77] * 6] * 4
    whole = features.encode_png(picture(noise(3.0)))
    for data in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(DecodeError, match=r"not an image|not a readable image"):
            features.decode_png(data)


def test_network_input_is_the_mean_of_each_square() -> None:
    drawn = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)
    front_end = FrontEnd(n_mels=6, columns=9, shrink=3)
    out = features.network_input(drawn, front_end)
    assert out.shape == front_end.input_shape == (1, 2, 3) and out.dtype == np.float32
    # the first square: 0 1 2, 9 10 11, 18 19 20, whose mean is 10
    np.testing.assert_allclose(out[0] * 255, [[10, 13, 16], [37, 40, 43]], rtol=1e-6)
    with pytest.raises(OptionError, match=r"Expected \(6, 9\) uint8"):
        features.network_input(drawn.T.copy(), front_end)


def test_png_and_signal_give_the_same_input() -> None:
    drawn = picture(noise(3.0))
    from_png = features.network_input(features.decode_png(features.encode_png(drawn)), FrontEnd(shrink=3))
    np.testing.assert_array_equal(from_png, features.network_input(drawn, FrontEnd(shrink=3)))


# --- the parameters


def test_a_front_end_survives_its_dictionary() -> None:
    import json

    front_end = FrontEnd(n_mels=96, columns=144, shrink=3, level_db=-30.0, fit="stretch")
    assert FrontEnd.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end


def test_a_key_too_many_or_too_few_is_refused() -> None:
    values = FrontEnd().to_dict()
    with pytest.raises(BundleError, match=r"unknown keys \['speed'\]"):
        FrontEnd.from_dict({**values, "speed": 1})
    del values["hop_length"]
    with pytest.raises(BundleError, match=r"lacks the keys \['hop_length'\]"):
        FrontEnd.from_dict(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_length": 4096}, "window_length <= n_fft"),
        ({"hop_length": 0}, "Got hop_length 0. Expected a whole number from 1 to 32768."),
        ({"hop_length": 160.0}, "Got hop_length 160.0. Expected a whole number"),
        ({"hop_length": True}, "Got hop_length True. Expected a whole number"),
        ({"n_fft": 2**40}, "Got n_fft 1099511627776. Expected a whole number from 2 to 32768."),
        ({"n_mels": 10**6, "columns": 10**6}, "Got n_mels 1000000"),
        ({"columns": 4097}, "Got columns 4097 of an image. Expected at most 4096."),
        ({"floor": math.nan}, "Got floor nan. Expected a number from 1e-30 to 1.0."),
        ({"floor": 0.0}, "Got floor 0.0"),
        ({"level_db": math.inf}, "Got level_db inf. Expected a number from -200.0 to 50.0."),
        ({"floor_db": "low"}, "Got floor_db 'low'. Expected a number"),
        ({"scaled": 1}, "Got scaled 1. Expected true or false."),
        ({"fit": ["middle"]}, "Expected one of middle, stretch, windows"),
        ({"f_max": 9000.0}, "half the rate"),
        ({"f_min": 8000.0}, "f_min < f_max"),
        ({"fit": "squeeze"}, "one of middle, stretch, windows"),
        ({"fit": "windows", "shrink": 2}, "Got shrink 2 for windows. Expected 1: only images are shrunk."),
        ({"shrink": 5}, "a divisor of 432 and of 288"),
        ({"floor_db": -10.0}, "the floor below the ceiling"),
        ({"scale": "bark"}, "scale"),
        ({"norm": "none"}, "norm"),
        ({"compression": "sqrt"}, "compression"),
    ],
)
def test_parameters_that_make_no_spectrogram_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FrontEnd(**change)  # type: ignore[arg-type]


def test_columns_that_are_no_hop_apart_are_those_asked_for() -> None:
    signal = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    centres = np.array([100, 100, 100, 900, 1000, 3999])
    single = [features.mel_power(signal, features.FrontEnd(), centres[at : at + 1]) for at in range(len(centres))]
    assert np.array_equal(features.mel_power(signal, features.FrontEnd(), centres), np.concatenate(single, axis=1))
    even = features.mel_power(signal, features.FrontEnd(), np.array([100, 100]))
    assert np.array_equal(even, np.concatenate(single[:2], axis=1))


@pytest.mark.parametrize("level", [15.0, 1.5, 1e-45])
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_no_level_makes_numpy_warn(level: float, rate: int) -> None:
    wave = np.full(8000, level, np.float32) * np.sign(tone(0.5, 300.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for signal in (wave, np.stack([wave, wave])):
            for fit in ("middle", "stretch"):
                drawn = features.picture(signal, rate, fit=fit)
                assert drawn.max() == (255 if level > 1 else 0)
            assert np.isfinite(features.log_mel(signal, rate)).all()
            assert to_pcm16(signal).max() == (32_767 if level > 1 else 0)
