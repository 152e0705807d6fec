"""Draws synthetic voices: average effects of gender and age on a voice, and differences within a group.

Averages are from published tables, with linear interpolation. If the sources give only the direction of an effect
(jitter, shimmer, tremor, breath, speech rate), its size is our estimate.

* Fundamental frequency of men: after H. Hollien & T. Shipp, J. Speech Hear. Res. 15 (1972); of women: after E.
  Stoicheff, J. Speech Hear. Res. 24 (1981), and of girls: after H. Hollien & E. Paul, Language and Speech 12 (1969).
  That it falls in women and rises in old men is also in M. Nishio & S. Niimi, Folia Phoniatr. Logop. 60 (2008), E.
  Stathopoulos et al., J. Speech Lang. Hear. Res. 54 (2011), and J. Eichhorn et al., J. Speech Lang. Hear. Res. 61
  (2018). Values of boys and children under fifteen are round numbers between the sources.
* Length of the vocal tract: growth after W. T. Fitch & J. Giedd, J. Acoust. Soc. Am. 106 (1999): the same in girls
  and boys before puberty, different after it. The centimetres are acoustic, not anatomical: with them, the formants are
  near the averages of G. Peterson & H. Barney, J. Acoust. Soc. Am. 24 (1952), for men, women and children.
* Open quotient and breath by gender: after D. & L. Klatt, J. Acoust. Soc. Am. 87 (1990).
* Bandwidth of the first formant: wider in women, whose vocal folds close less completely, after H. Hanson, J. Acoust.
  Soc. Am. 101 (1997), and H. Hanson & E. Chuang, J. Acoust. Soc. Am. 106 (1999). Its sizes are our choice.
* Unsteadier pitch and loudness, tremor, breath and slower speech with age: after S. Linville, Vocal Aging (2001), and
  R. Baken & R. Orlikoff, Clinical Measurement of Speech and Voice (2000).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from voxtrait.errors import OptionError
from voxtrait.labels import GENDERS, age_group_of

_Knots: TypeAlias = tuple[tuple[float, float], ...]  # (age in years, value)

_F0_HZ: Final[dict[str, _Knots]] = {  # Hz; the value of a decade is at its middle
    "female": (
        *((6, 265), (10, 245), (14, 220), (17, 208), (25, 224)),
        *((35, 213), (45, 221), (55, 199), (65, 200), (75, 202)),
    ),
    "male": (
        *((6, 265), (10, 245), (13, 225), (15, 150), (18, 126), (25, 120)),
        *((35, 112), (45, 107), (55, 118), (65, 112), (75, 132), (85, 146)),
    ),
}
_TRACT_CM: Final[dict[str, _Knots]] = {
    "female": ((5, 11.6), (8, 12.7), (12, 14.0), (16, 14.8), (20, 14.9)),
    "male": ((5, 11.6), (8, 12.7), (12, 14.1), (15, 16.0), (18, 17.0), (20, 17.3)),
}
_FIRST_BANDWIDTH_HZ: Final[dict[str, _Knots]] = {"female": ((12, 70), (18, 210)), "male": ((12, 70), (18, 70))}
COHORT_AGES: Final = tuple((max(16.0, 10.0 * at), 10.0 * at + 10.0) for at in range(1, 8))
"""Age ranges of the groups in a cohort: teens from 16, when most boys' voices have changed, to the seventies."""


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker with a room and a microphone.

    Attributes:
        name: name of the voice, unique in a cohort.
        gender: ``female`` or ``male``.
        age_years: age in years.
        f0_hz: median fundamental frequency in Hz.
        tract_cm: acoustic length of the vocal tract in cm.
        first_bandwidth_hz: bandwidth of the first formant in a tract of 17.5 cm, in Hz.
        open_quotient: share of a glottal cycle in which the glottis is open, 0 to 1.
        tilt_db: attenuation of the glottal source at 3 kHz relative to a modal voice, in dB.
        breath_db: aspiration noise relative to the voiced source, in dB.
        jitter: relative standard deviation of the cycle length.
        shimmer_db: standard deviation of the cycle amplitude, in dB.
        tremor_semitones: depth of the slow pitch tremor, in semitones.
        tremor_hz: rate of the pitch tremor, in Hz.
        melody_semitones: range of the intonation, in semitones.
        syllables_per_s: speech rate between pauses, in syllables per second.
        low_hz: lower limit of the microphone's response, in Hz.
        high_hz: upper limit of the microphone's response, in Hz.
        presence_db: boost or dip of the microphone's response around 3 kHz, in dB.
        reverberation_s: reverberation time of the room (60 dB), in s.
        snr_db: level of speech relative to the room noise, in dB.
        level_dbfs: root mean square of a clip, in dBFS.
    """

    name: str
    gender: str
    age_years: float
    f0_hz: float
    tract_cm: float
    first_bandwidth_hz: float
    open_quotient: float
    tilt_db: float
    breath_db: float
    jitter: float
    shimmer_db: float
    tremor_semitones: float
    tremor_hz: float
    melody_semitones: float
    syllables_per_s: float
    low_hz: float
    high_hz: float
    presence_db: float
    reverberation_s: float
    snr_db: float
    level_dbfs: float

    @property
    def age_group(self) -> str:
        """Age group, as in :mod:`voxtrait.labels`."""
        return age_group_of(self.age_years)


def typical_f0_hz(gender: str, age_years: float) -> float:
    """Return the average fundamental frequency of reading aloud in Hz; the module's docstring names the sources.

    Raises:
        OptionError: if ``gender`` is neither ``female`` nor ``male``.

    Examples:
        >>> typical_f0_hz("male", 35), typical_f0_hz("female", 35)
        (112.0, 213.0)
    """
    return _between(_F0_HZ, gender, age_years)


def typical_tract_cm(gender: str, age_years: float) -> float:
    """Return the average acoustic length of the vocal tract in cm; the module's docstring names the sources.

    Raises:
        OptionError: if ``gender`` is neither ``female`` nor ``male``.

    Examples:
        >>> typical_tract_cm("female", 8) == typical_tract_cm("male", 8)
        True
    """
    return _between(_TRACT_CM, gender, age_years)


def draw_voice(gender: str, age_years: float, seed: int, name: str | None = None) -> Voice:
    """Draw a voice of a gender and an age; microphone and room are independent of both.

    Args:
        gender: ``female`` or ``male``.
        age_years: age in years, 4 to 109.
        seed: random seed, 0 or more; the same seed gives the same voice.
        name: name of the voice; ``None`` makes one from the other arguments.

    Raises:
        OptionError: if gender, age or seed is out of range.

    Examples:
        >>> draw_voice("female", 30, seed=1).f0_hz > draw_voice("male", 30, seed=1).f0_hz
        True
    """
    if not 4 <= age_years < 110:
        raise OptionError(f"Got an age of {age_years} years. Expected 4 to 109.")
    if seed < 0:
        raise OptionError(f"Got the seed {seed}. Expected 0 or more.")
    rng = np.random.default_rng(seed)
    old = float(np.clip((age_years - 25.0) / 50.0, 0.0, 1.3))  # 0 up to 25 years, 1 at 75
    woman = gender == "female"
    return Voice(
        name=name if name is not None else f"synthetic {gender} {age_years:.1f} {seed}",
        gender=gender,
        age_years=float(age_years),
        f0_hz=typical_f0_hz(gender, age_years) * float(np.exp(rng.normal(0.0, 0.11))),
        tract_cm=typical_tract_cm(gender, age_years) + float(rng.normal(0.0, 0.45)),
        first_bandwidth_hz=_between(_FIRST_BANDWIDTH_HZ, gender, age_years),
        open_quotient=(0.66 if woman else 0.56) + float(rng.uniform(-0.08, 0.08)),
        tilt_db=(6.0 if woman else 3.0) + 4.0 * old + float(rng.uniform(-2.5, 4.0)),
        breath_db=(-24.0 if woman else -28.0) + 9.0 * old + float(rng.normal(0.0, 2.5)),
        jitter=(0.004 + 0.012 * old) * float(np.exp(rng.normal(0.0, 0.2))),
        shimmer_db=(0.25 + 0.6 * old) * float(np.exp(rng.normal(0.0, 0.2))),
        tremor_semitones=(0.05 + 0.55 * old**2) * float(np.exp(rng.normal(0.0, 0.3))),
        tremor_hz=float(rng.uniform(4.0, 6.5)),
        melody_semitones=float(rng.uniform(1.8, 3.6)),
        syllables_per_s=(5.6 - 1.7 * old) * float(np.exp(rng.normal(0.0, 0.08))),
        low_hz=float(rng.uniform(30.0, 130.0)),
        high_hz=float(rng.uniform(4500.0, 7500.0)),
        presence_db=float(rng.uniform(-4.0, 7.0)),
        reverberation_s=float(rng.uniform(0.08, 0.4)),
        snr_db=float(rng.uniform(22.0, 45.0)),
        level_dbfs=float(rng.uniform(-30.0, -18.0)),
    )


def cohort(n_speakers: int, seed: int) -> list[Voice]:
    """Draw a cohort of voices, balanced over gender and the age groups from the teens to the seventies.

    Args:
        n_speakers: number of voices, 1 or more; a multiple of 14 gives equal numbers in every gender and age group.
        seed: random seed, 0 or more. The same seed gives the same cohort; a larger cohort begins with a smaller one.

    Raises:
        OptionError: if a number is out of range.

    Examples:
        >>> [(voice.gender, voice.age_group) for voice in cohort(3, seed=1)]
        [('female', 'teens'), ('male', 'teens'), ('female', 'twenties')]
    """
    if n_speakers < 1:
        raise OptionError(f"Got {n_speakers} speakers. Expected 1 or more.")
    if seed < 0:
        raise OptionError(f"Got the seed {seed}. Expected 0 or more.")
    voices = []
    for number in range(n_speakers):
        rng = np.random.default_rng([seed, number])
        low, high = COHORT_AGES[number // len(GENDERS) % len(COHORT_AGES)]
        age_years = round(float(rng.uniform(low, high - 0.1)), 1)
        name = f"synthetic {seed}/{number}"
        voices.append(draw_voice(GENDERS[number % len(GENDERS)], age_years, int(rng.integers(2**32)), name))
    return voices


def _between(knots: dict[str, _Knots], gender: str, age_years: float) -> float:
    if gender not in knots:
        raise OptionError(f"Unknown gender {gender!r}. Expected one of {', '.join(GENDERS)}.")
    ages, values = zip(*knots[gender], strict=True)
    return float(np.interp(age_years, ages, values))
