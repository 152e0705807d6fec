"""Baselines: gender by a threshold on median pitch, and age by a constant estimate.

Only :func:`fit_threshold` and :func:`constant_years` use the training speakers. The predictions for a test speaker are
``median_pitch(signal) >= threshold`` and the constant. The pitch of adult men and women overlaps little (on
average 107 to 146 and 199 to 224 Hz by decade: Hollien & Shipp 1972, Stoicheff 1981), so this is a strong baseline on
clean speech of adults, and a weak one on children, noise and telephones. This module needs NumPy and SciPy, not torch.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.mixing import to_mono
from voxtrait.audio.signals import check_signal
from voxtrait.errors import OptionError
from voxtrait.features.pitch import frame_pitches

Floats = npt.NDArray[np.float64]

LEAST_VOICED: Final = 10  # minimum voiced frames, 0.1 s, for a reliable median


def median_pitch(signal: npt.ArrayLike) -> float | None:
    """Return the median fundamental frequency of the voiced frames of a signal.

    Octave errors of single frames hardly change a median. :mod:`voxtrait.features.pitch` describes the method.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)`` at 16 kHz, of one voice, preferably without pauses.

    Returns:
        Median in Hz, or ``None`` if fewer than 10 frames (``LEAST_VOICED``) are voiced.

    Raises:
        SignalError: if the array is not a valid signal.

    Examples:
        >>> t = np.arange(16_000) / 16_000
        >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 9))
        >>> round(median_pitch(0.2 * tone), 1)
        120.0
        >>> median_pitch(np.zeros(16_000)) is None
        True
    """
    mono = to_mono(check_signal(signal, whole=True))
    found = frame_pitches(mono)
    found = found[~np.isnan(found)]
    return float(np.median(found)) if len(found) >= LEAST_VOICED else None


def fit_threshold(
    pitches: Sequence[float | None] | npt.ArrayLike, is_female: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Return the pitch threshold with the highest weighted UAR, from which a voice is predicted as female.

    Args:
        pitches: ``(clips,)``, Hz; clips with ``None`` or NaN are left out.
        is_female: ``(clips,)``, bool.
        weights: ``(clips,)``, weight of each clip, 0 or more; ``None`` for equal weights. With 1 / clips of its
            speaker, every speaker has the same weight.

    Returns:
        Threshold in Hz: ``pitch >= threshold`` is female. It is the middle between two pitches. If several places have
        the same UAR, it is the middle one.

    Raises:
        OptionError: if the lengths differ, a weight is negative, or one of the genders has no weight.

    Examples:
        >>> fit_threshold([110.0, 130.0, 190.0, None, 220.0], [False, False, True, True, True])
        160.0
    """
    pitch = np.asarray(pitches, dtype=np.float64)
    female = np.asarray(is_female, dtype=bool)
    weight = np.ones(len(pitch)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_lengths(len(pitch), female=len(female), weights=len(weight))
    _check_weights(weight)
    known = np.isfinite(pitch)
    points, at = np.unique(pitch[known], return_inverse=True)
    mass = {
        sex: np.bincount(at, weights=weight[known] * (female[known] == sex), minlength=len(points))
        for sex in (True, False)
    }
    if any(not one.sum() > 0 for one in mass.values()):
        raise OptionError("Got pitches of only one gender. Expected weights above 0 for female and for male voices.")
    below = {sex: one.cumsum()[:-1] / one.sum() for sex, one in mass.items()}  # share below each place between points
    if len(points) < 2:
        return float(points[0])
    uar = (1 - below[True] + below[False]) / 2
    best = np.flatnonzero(uar >= uar.max() - 1e-12)
    place = best[len(best) // 2]
    return float((points[place] + points[place + 1]) / 2)


def constant_years(years: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the constant age estimate with the lowest absolute error: the weighted median.

    Args:
        years: ``(clips,)``; clips with NaN are left out.
        weights: ``(clips,)``, weight of each clip, 0 or more; ``None`` for equal weights.

    Returns:
        Age in years; the middle between two ages if exactly half of the weight is on each side.

    Raises:
        OptionError: if the lengths differ, a weight is negative, or all of them are 0.

    Examples:
        >>> constant_years([25, 35, 45, 75]), constant_years([25, 35, 45, 75], [5, 1, 1, 1])
        (40.0, 25.0)
    """
    ages = np.asarray(years, dtype=np.float64)
    weight = np.ones(len(ages)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_lengths(len(ages), weights=len(weight))
    _check_weights(weight)
    counted = np.isfinite(ages) & (weight > 0)
    if not counted.any():
        raise OptionError("Got no age with a weight above 0. Expected at least one.")
    order = np.argsort(ages[counted], kind="stable")
    ages, total = ages[counted][order], weight[counted][order].cumsum()
    half, slack = total[-1] / 2, 1e-12 * total[-1]
    low = ages[np.searchsorted(total, half - slack)]
    high = ages[np.searchsorted(total, half + slack)]
    return float((low + high) / 2)


def _check_lengths(expected: int, **lengths: int) -> None:
    for name, length in lengths.items():
        if length != expected:
            raise OptionError(
                f"Got {length} {name} for {expected} clip{'' if expected == 1 else 's'}. Expected one per clip."
            )


def _check_weights(weights: Floats) -> None:
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise OptionError(f"Got the weight {weights.min()}. Expected finite weights of 0 or more.")
