"""Source-filter synthesis of speech: glottal source and noise, a vocal tract with moving resonances, a microphone.

The chain is that of D. Klatt, J. Acoust. Soc. Am. 67 (1980), with the glottal pulse of D. & L. Klatt, J. Acoust. Soc.
Am. 87 (1990). Vowels have the men's formants of G. Peterson & H. Barney, J. Acoust. Soc. Am. 24 (1952), scaled by the
length of the tract. There are no words: the sounds are random, in syllables, phrases and pauses.

Everything is computed at 16 kHz. The tract is applied in the frequency domain, to frames of 10 ms with an overlap of
half a frame. This is smooth for a moving tract, and much faster than a filter in the time domain.
"""

import zlib
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.errors import OptionError
from voxtrait.synthetic.filters import bell, filtered, high_pass, low_pass
from voxtrait.synthetic.voices import Voice

Array = npt.NDArray[np.float64]

RATE: Final = 16_000  # Hz
HOP: Final = 80  # samples between two states of the tract: 5 ms
FFT: Final = 6 * HOP  # samples: a frame of 10 ms and 20 ms of decay
REFERENCE_CM: Final = 17.5  # length of the tract of the formants below: a quarter wave at 500 Hz

# F1, F2, F3 in Hz of ten vowels, averages of 33 men (Peterson & Barney 1952): i ɪ ɛ æ ɑ ɔ ʊ u ʌ ɝ
VOWELS: Final = (
    *((270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440)),
    *((570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690)),
)
BANDWIDTHS_HZ: Final = (100.0, 150.0, 220.0)  # bandwidths of F2 to F4; that of F1 is the voice's


class Sound(NamedTuple):
    """A speech sound: targets of the tract. Levels are amplitudes relative to a stressed vowel (1)."""

    seconds: float
    f1: float  # Hz, for a tract of REFERENCE_CM
    f2: float
    f3: float
    voicing: float
    aspiration: float = 0.0  # noise at the glottis
    frication: float = 0.0  # noise at the teeth or lips
    centre_hz: float = 4000.0  # frequency of the loudest frication
    width_hz: float = 1500.0


FRICATIVES: Final = (  # s ʃ f z v
    Sound(0.11, 320, 1700, 2600, 0.0, 0.0, 0.22, 6000, 1100),
    Sound(0.11, 320, 1800, 2500, 0.0, 0.0, 0.26, 3300, 1000),
    Sound(0.09, 340, 1100, 2300, 0.0, 0.0, 0.05, 5500, 3500),
    Sound(0.08, 260, 1700, 2600, 0.35, 0.0, 0.12, 6000, 1100),
    Sound(0.07, 250, 1100, 2300, 0.4, 0.0, 0.03, 5500, 3500),
)
STOPS: Final = (  # p t k: a closure, a burst, breath
    (
        Sound(0.06, 250, 900, 2200, 0.0),
        Sound(0.01, 300, 1000, 2200, 0.0, 0.2, 0.12, 1200, 900),
        Sound(0.03, 400, 1100, 2300, 0.0, 0.3),
    ),
    (
        Sound(0.05, 250, 1700, 2600, 0.0),
        Sound(0.012, 300, 1700, 2600, 0.0, 0.2, 0.2, 4500, 1200),
        Sound(0.035, 400, 1700, 2600, 0.0, 0.3),
    ),
    (
        Sound(0.06, 250, 1900, 2300, 0.0),
        Sound(0.018, 300, 1900, 2300, 0.0, 0.2, 0.2, 2200, 700),
        Sound(0.045, 400, 1800, 2300, 0.0, 0.3),
    ),
)
SONORANTS: Final = (  # m n l r w
    Sound(0.07, 250, 1100, 2200, 0.35),
    Sound(0.065, 250, 1600, 2500, 0.35),
    Sound(0.06, 350, 1100, 2600, 0.6),
    Sound(0.06, 340, 1150, 1600, 0.6),
    Sound(0.06, 300, 700, 2200, 0.55),
)
PAUSE: Final = Sound(0.3, 500, 1500, 2500, 0.0)


def speak(voice: Voice, seconds: float, seed: int, sampling_rate: int = RATE) -> npt.NDArray[np.float32]:
    """Synthesise speech of a voice.

    Args:
        voice: voice of the speaker.
        seconds: duration in s, 0.1 to 3600, including short quiet edges.
        seed: random seed of the sounds, 0 or more; the same voice and seed give the same samples.
        sampling_rate: sampling rate in Hz; the signal has no frequencies above 8 kHz.

    Returns:
        ``(samples,)`` float32 in [-1, 1].

    Raises:
        OptionError: if a number is out of range, also of the voice's microphone.

    Examples:
        >>> from voxtrait.synthetic.voices import draw_voice
        >>> signal = speak(draw_voice("female", 34, seed=1), 2.5, seed=1)
        >>> signal.shape, signal.dtype
        ((40000,), dtype('float32'))
    """
    if not 0.1 <= seconds <= 3600:
        raise OptionError(f"Got {seconds} s of speech. Expected 0.1 to 3600 s.")
    if seed < 0:
        raise OptionError(f"Got the seed {seed}. Expected 0 or more.")
    if sampling_rate <= 0:
        raise OptionError(f"Got a sampling rate of {sampling_rate} Hz. Expected a positive number.")
    rng = np.random.default_rng([seed, zlib.crc32(voice.name.encode())])
    n_samples = round(seconds * RATE)
    n_frames = -(-n_samples // HOP) + 1
    sounds, pitch = _plan(voice, n_frames * HOP / RATE, rng)
    tracks = _tracks(sounds, n_frames)
    source = _source(voice, tracks, np.interp(np.arange(n_frames) * HOP / RATE, *pitch), rng)
    dry = _tract(voice, tracks, source, rng)[:n_samples]
    signal = _record(voice, dry, rng)
    if sampling_rate != RATE:
        import soxr

        signal = soxr.resample(signal, RATE, sampling_rate, quality="HQ")
    return np.clip(signal, -1.0, 1.0).astype(np.float32)


def _plan(voice: Voice, seconds: float, rng: np.random.Generator) -> tuple[list[Sound], tuple[Array, Array]]:
    """Draw the sounds and the pitch curve: points over time, in semitones relative to the median."""
    edge = min(0.25, seconds / 8)
    sounds = [PAUSE._replace(seconds=edge * rng.uniform(0.5, 1.2))]
    now = sounds[0].seconds
    times, semitones = [0.0], [0.0]
    pace = 5.0 / voice.syllables_per_s
    while now < seconds - edge:
        n_syllables = int(rng.integers(4, 10))
        for at in range(n_syllables):
            syllable = _syllable(pace * (1.35 if at == n_syllables - 1 else 1.0), rng)  # a phrase slows at its end
            sounds += syllable
            begin, now = now, now + sum(sound.seconds for sound in syllable)
            declination = 0.8 - 1.6 * at / max(1, n_syllables - 1)
            times.append((begin + now) / 2)
            semitones.append(voice.melody_semitones * (declination + 0.45 * rng.standard_normal()))
            if now >= seconds - edge:
                break
        pause = PAUSE._replace(seconds=float(rng.uniform(0.12, 0.3)) * pace)
        sounds.append(pause)
        now += pause.seconds
    tail = np.array([sound.seconds for sound in sounds]).cumsum()
    keep = int(np.searchsorted(tail, seconds - edge)) + 1
    return [*sounds[:keep], PAUSE._replace(seconds=seconds)], (np.array(times), np.array(semitones))


def _syllable(pace: float, rng: np.random.Generator) -> list[Sound]:
    """Draw one syllable: an optional consonant, a vowel or diphthong, and an optional consonant."""
    onset, coda = rng.random(2)
    sounds: list[Sound] = []
    if onset < 0.3:
        sounds += STOPS[rng.integers(len(STOPS))]
    elif onset < 0.55:
        sounds.append(FRICATIVES[rng.integers(len(FRICATIVES))])
    elif onset < 0.9:
        sounds.append(SONORANTS[rng.integers(len(SONORANTS))])
    first, second = rng.integers(len(VOWELS), size=2)
    stress = rng.uniform(0.6, 1.0)
    length = rng.uniform(0.09, 0.17)
    sounds.append(Sound(length, *VOWELS[first], voicing=stress))
    if rng.random() < 0.25:
        sounds.append(Sound(0.6 * length, *VOWELS[second], voicing=0.8 * stress))
    if coda < 0.15:
        sounds.append(FRICATIVES[rng.integers(len(FRICATIVES))])
    elif coda < 0.35:
        sounds.append(SONORANTS[rng.integers(2)])
    return [sound._replace(seconds=sound.seconds * pace) for sound in sounds]


def _tracks(sounds: list[Sound], n_frames: int) -> dict[str, Array]:
    """Return the tracks between targets: one value per frame for every field of :class:`Sound` except its length."""
    table = np.array(sounds)
    ends = table[:, 0].cumsum()
    at = np.minimum(np.searchsorted(ends, np.arange(n_frames) * HOP / RATE, side="right"), len(sounds) - 1)
    # frames to reach a target: the tongue is slow, the vocal folds are faster, a burst is sudden
    reach = {"f1": 14, "f2": 16, "f3": 16, "voicing": 5, "aspiration": 4, "frication": 3}
    tracks = {}
    for column, name in enumerate(Sound._fields[1:], 1):
        track = table[at, column]
        if name in reach:
            window = np.hanning(reach[name] + 2)
            track = _averaged(track, window / window.sum(), (len(window) - 1) // 2)
        tracks[name] = track
    return tracks


def _averaged(track: Array, window: Array, before: int) -> Array:
    """Return the weighted averages of windows that begin ``before`` frames earlier; the edges are repeated."""
    return np.convolve(np.pad(track, (before, len(window) - 1 - before), mode="edge"), window, "valid")


def _source(voice: Voice, tracks: dict[str, Array], semitones: Array, rng: np.random.Generator) -> Array:
    """Return the glottal source, ``(n_frames * HOP,)``: KLGLOTT88 pulses with jitter, shimmer, tremor and breath."""
    n_frames = len(semitones)
    n_samples = n_frames * HOP
    times = np.arange(n_frames) * HOP / RATE
    smooth = _averaged(semitones, np.full(12, 1 / 12), 6)
    tremor = voice.tremor_semitones * np.sin(2 * np.pi * (voice.tremor_hz * times + rng.random()))
    frames = np.arange(n_samples) / HOP
    f0_hz = np.interp(frames, np.arange(n_frames), voice.f0_hz * 2.0 ** ((smooth + tremor) / 12))
    cycle = np.cumsum(f0_hz / RATE).astype(np.intp)
    jitter = np.clip(1 + voice.jitter * rng.standard_normal(cycle[-1] + 1), 0.8, 1.2)
    phase = np.cumsum(f0_hz * jitter[cycle] / RATE)
    cycle = phase.astype(np.intp)
    phase -= cycle
    shimmer = 10 ** (voice.shimmer_db * rng.standard_normal(cycle[-1] + 1) / 20)
    open_ = voice.open_quotient
    flow = np.where(phase < open_, 6.75 / open_**3 * phase**2 * (open_ - phase), 0.0)  # peak 1
    # the derivative of the flow is the source including the radiation of the lips; its level must not grow with pitch
    pulses = np.diff(flow * shimmer[cycle], prepend=0.0) * RATE / (10 * f0_hz)
    if voice.tilt_db > 0:
        pole = np.exp(-2 * np.pi * 3000 / np.sqrt(10 ** (voice.tilt_db / 10) - 1) / RATE)
        pulses = filtered(pulses, ([1 - pole], [1.0, -pole]))
    voicing = np.interp(frames, np.arange(n_frames), tracks["voicing"])
    aspiration = np.interp(frames, np.arange(n_frames), tracks["aspiration"])
    noise = rng.standard_normal(n_samples) * 0.6
    breath = 10 ** (voice.breath_db / 20) * (0.3 + flow) * voicing + 0.15 * aspiration
    return np.asarray(pulses * voicing + noise * breath)


def _tract(voice: Voice, tracks: dict[str, Array], source: Array, rng: np.random.Generator) -> Array:
    """Filter the source by the moving tract, and add the noise of teeth and lips; same length."""
    n_frames = len(tracks["f1"])
    scale = REFERENCE_CM / voice.tract_cm
    bins = np.asarray(np.fft.rfftfreq(FFT, 1 / RATE), np.float64)
    response = np.broadcast_to(_upper_formants(round(scale, 6)), (n_frames, len(bins)))
    for name, width in zip(("f1", "f2", "f3"), (voice.first_bandwidth_hz, *BANDWIDTHS_HZ), strict=False):
        response = response * _resonance(bins, tracks[name][:, None] * scale, width * scale)
    centre = np.minimum(tracks["centre_hz"] * scale, 7200)[:, None]
    frication = tracks["frication"][:, None] * np.exp(-0.5 * ((bins - centre) / tracks["width_hz"][:, None]) ** 2)
    hiss = rng.standard_normal(len(source))
    spectra = _frames(source) * response + _frames(hiss) * frication
    rung = np.fft.irfft(spectra, FFT, axis=1).reshape(n_frames, FFT // HOP, HOP)
    out = np.zeros((n_frames + FFT // HOP, HOP))
    for part in range(FFT // HOP):
        out[part : part + n_frames] += rung[:, part]
    return out.ravel()[HOP : HOP + len(source)]


def _frames(signal: Array) -> npt.NDArray[np.complex128]:
    """Return the spectra of frames of two hops, whose windows add up to 1: ``(n_frames, FFT // 2 + 1)``."""
    padded = np.concatenate([np.zeros(HOP), signal]).reshape(-1, HOP)
    window = np.sin(np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP)) ** 2
    spectra: npt.NDArray[np.complex128] = np.fft.rfft(np.hstack([padded[:-1], padded[1:]]) * window, FFT, axis=1)
    return spectra


def _resonance(frequency: Array, formant: Array | float, width: float) -> npt.NDArray[np.complex128]:
    """Return the frequency response of one formant, 1 at 0 Hz."""
    squared = np.square(formant) + width**2 / 4
    return np.asarray(squared / (squared - frequency**2 + 1j * frequency * width))


@lru_cache(maxsize=64)
def _upper_formants(scale: float) -> npt.NDArray[np.complex128]:
    """Return the response of the fourth and higher formants, which hardly move: those of an even tube, up to 9 kHz."""
    bins = np.asarray(np.fft.rfftfreq(FFT, 1 / RATE), np.float64)
    response = np.ones(len(bins), np.complex128)
    for formant in np.arange(3500.0, 9000.0 / scale, 1000.0) * scale:
        response *= _resonance(bins, formant, BANDWIDTHS_HZ[2] * scale * formant / 3500)
    return response


def _record(voice: Voice, dry: Array, rng: np.random.Generator) -> Array:
    """Add room and noise of the voice, apply its microphone's response, and set the level."""
    room = np.random.default_rng(zlib.crc32(voice.name.encode()))
    decay = np.exp(-6.9 * np.arange(1, int(voice.reverberation_s * RATE)) / (voice.reverberation_s * RATE))
    echo = np.concatenate([[1.0], 0.02 * decay * room.standard_normal(len(decay))])
    wet = filtered(dry, (echo, [1.0]))
    power = float(np.mean(np.square(wet))) + 1e-12
    noise = filtered(rng.standard_normal(len(dry)), ([1.0], [1.0, -0.9]))  # rooms: mostly low frequencies
    noise *= np.sqrt(power / np.mean(np.square(noise))) * 10 ** (-(voice.snr_db + rng.normal(0.0, 1.5)) / 20)
    microphone = high_pass(voice.low_hz, RATE), low_pass(voice.high_hz, RATE), bell(3000, voice.presence_db, RATE)
    recorded = filtered(wet + noise, *microphone)
    level = voice.level_dbfs + float(rng.normal(0.0, 1.0))
    recorded *= 10 ** (level / 20) / (np.sqrt(np.mean(np.square(recorded))) + 1e-9)
    return recorded / max(1.0, float(np.abs(recorded).max()) / 0.98)
