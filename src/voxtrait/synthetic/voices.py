"""Made-up voices: what gender and age do to a voice on average, and how far people of one group differ.

Averages are read off published tables and joined by straight lines. Where sources give a direction but no figure that
fits this synthesiser (jitter, shimmer, tremor, breath, speech rate), the slope is ours and the direction theirs.

* Fundamental frequency of men: after H. Hollien & T. Shipp, J. Speech Hear. Res. 15 (1972); of women: after E.
  Stoicheff, J. Speech Hear. Res. 24 (1981), and of girls: after H. Hollien & E. Paul, Language and Speech 12 (1969).
  That it falls in women and rises in old men is also in M. Nishio & S. Niimi, Folia Phoniatr. Logop. 60 (2008), E.
  Stathopoulos et al., J. Speech Lang. Hear. Res. 54 (2011), and J. Eichhorn et al., J. Speech Lang. Hear. Res. 61
  (2018). Values of boys and children under fifteen are round numbers between the sources.
* Length of the vocal tract: growth after W. T. Fitch & J. Giedd, J. Acoust. Soc. Am. 106 (1999): the same in girls
  and boys before puberty, apart after it. The centimetres are acoustic, not anatomical: chosen so that the formants
  fall near the averages of G. Peterson & H. Barney, J. Acoust. Soc. Am. 24 (1952), for men, women and children.
* Open quotient and breath by gender: after D. & L. Klatt, J. Acoust. Soc. Am. 87 (1990).
* Unsteadier pitch and loudness, tremor, breath and slower speech with age: after S. Linville, Vocal Aging (2001), and
  R. Baken & R. Orlikoff, Clinical Measurement of Speech and Voice (2000).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from voxtrait.errors import OptionError
from voxtrait.labels import GENDERS, age_group_of

_Knots: TypeAlias = tuple[tuple[float, float], ...]  # (age in years, value)

_F0_HZ: Final[dict[str, _Knots]] = {  # Hz; decades are at their middles
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
COHORT_AGES: Final = tuple((max(16.0, 10.0 * at), 10.0 * at + 10.0) for at in range(1, 8))
"""Years that the groups of a cohort cover: teens from 16, when boys' voices have mostly changed, to the seventies."""


@dataclass(frozen=True)
class Voice:
    """One made-up person, their room and their microphone.

    Attributes:
        name: of the voice, unique in a cohort.
        gender: ``female`` or ``male``.
        age_years: in years.
        f0_hz: median fundamental frequency in Hz.
        tract_cm: acoustic length of the vocal tract in cm.
        open_quotient: part of a glottal cycle that the glottis is open, 0 to 1.
        tilt_db: how much the glottal source loses at 3 kHz beyond a modal voice's, in dB.
        breath_db: aspiration noise relative to the voiced source, in dB.
        jitter: standard deviation of the length of a cycle, relative.
        shimmer_db: standard deviation of the amplitude of a cycle, in dB.
        tremor_semitones: depth of the slow tremor of pitch, in semitones.
        tremor_hz: its rate in Hz.
        melody_semitones: how far intonation moves the pitch, in semitones.
        syllables_per_s: speech rate between pauses.
        low_hz: lower limit of the microphone's response, in Hz.
        high_hz: its upper limit, in Hz.
        presence_db: its boost or dip around 3 kHz, in dB.
        reverberation_s: time in which the room's echo falls by 60 dB, in s.
        snr_db: speech over room noise, in dB.
        level_dbfs: root mean square of a clip, in dB of full scale.
    """

    name: str
    gender: str
    age_years: float
    f0_hz: float
    tract_cm: float
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
        """The decade, as :mod:`voxtrait.labels` names it."""
        return age_group_of(self.age_years)


def typical_f0_hz(gender: str, age_years: float) -> float:
    """Give the average fundamental frequency of reading aloud in Hz; sources in the module's docstring.

    Raises:
        OptionError: if ``gender`` is neither ``female`` nor ``male``.

    Examples:
        >>> typical_f0_hz("male", 35), typical_f0_hz("female", 35)
        (112.0, 213.0)
    """
    return _between(_F0_HZ, gender, age_years)


def typical_tract_cm(gender: str, age_years: float) -> float:
    """Give the average acoustic length of the vocal tract in cm; sources in the module's docstring.

    Raises:
        OptionError: if ``gender`` is neither ``female`` nor ``male``.

    Examples:
        >>> typical_tract_cm("female", 8) == typical_tract_cm("male", 8)
        True
    """
    return _between(_TRACT_CM, gender, age_years)


def draw_voice(gender: str, age_years: float, seed: int, name: str | None = None) -> Voice:
    """Draw one person of a gender and an age, with a microphone and a room that depend on neither.

    Args:
        gender: ``female`` or ``male``.
        age_years: 4 and over, in years.
        seed: 0 or more; the same seed draws the same voice.
        name: what to call it; made from the arguments if not given.

    Raises:
        OptionError: if gender, age or seed is out of range.

    Examples:
        >>> draw_voice("female", 30, seed=1).f0_hz > draw_voice("male", 30, seed=1).f0_hz
        True
    """
    if not 4 <= age_years < 110:
        raise OptionError(f"got an age of {age_years} years, expected 4 to 109: younger voices are not made up here")
    if seed < 0:
        raise OptionError(f"got the seed {seed}, expected 0 or more")
    rng = np.random.default_rng(seed)
    old = float(np.clip((age_years - 25.0) / 50.0, 0.0, 1.3))  # 0 to 25 years, 1 at 75
    woman = gender == "female"
    return Voice(
        name=name if name is not None else f"synthetic {gender} {age_years:.1f} {seed}",
        gender=gender,
        age_years=float(age_years),
        f0_hz=typical_f0_hz(gender, age_years) * float(np.exp(rng.normal(0.0, 0.11))),
        tract_cm=typical_tract_cm(gender, age_years) + float(rng.normal(0.0, 0.45)),
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
    """Draw a cohort, balanced over gender and the decades from the teens to the seventies.

    Args:
        n_speakers: 1 or more; a multiple of 14 gives every gender in every decade the same number of speakers.
        seed: 0 or more; the same seed draws the same cohort, and a larger one begins with the smaller.

    Raises:
        OptionError: if a number is out of range.

    Examples:
        >>> [(voice.gender, voice.age_group) for voice in cohort(3, seed=1)]
        [('female', 'teens'), ('male', 'teens'), ('female', 'twenties')]
    """
    if n_speakers < 1:
        raise OptionError(f"got {n_speakers} speakers, expected 1 or more")
    if seed < 0:
        raise OptionError(f"got the seed {seed}, expected 0 or more")
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
        raise OptionError(f"got the gender {gender!r}, expected one of {', '.join(GENDERS)}")
    ages, values = zip(*knots[gender], strict=True)
    return float(np.interp(age_years, ages, values))
