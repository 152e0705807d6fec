"""Mixes channels to mono; inverted channels are corrected, and channels of noise left out."""

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal

INVERTED: Final = -0.5  # a channel with a lower correlation with the others was inverted, by a cable or a mixer
FRAMES: Final = 400  # frames for measuring levels
LEAST_FRAMES: Final = 40  # minimum frames before a channel is left out
FRAME: Final = 480  # samples of a frame: about 10 to 60 ms
STEADY_DB: Final = 4.0  # maximum range of levels (10th to 90th percentile) of hiss or hum
LIVELY_DB: Final = 12.0  # minimum range of levels of speech
QUIETEST: Final = 1e-10  # mean square that counts as silence, -100 dBFS


class Mixer:
    """Averages the channels of a recording while it is read.

    The sign of an inverted channel is changed, because the average would be silence. A channel of only steady noise is
    left out if another channel has a voice.

    Examples:
        >>> voice = np.sin(np.arange(48_000) / 5).astype(np.float32)
        >>> float(np.abs(Mixer().mix(np.stack([voice, -voice])) - voice).max())
        0.0
        >>> Mixer().mix(np.array([[1.0, 2.0], [3.0, 6.0]], np.float32))
        array([2., 4.], dtype=float32)
    """

    def __init__(self) -> None:
        self._products: npt.NDArray[np.float64] | None = None  # (channels, channels), summed over all samples so far
        self._levels: list[npt.NDArray[np.float64]] = []  # (channels,) in dB, levels of the first frames

    def mix(self, signal: Signal) -> Signal:
        """Average the next samples: ``(channels, samples)`` → ``(samples,)``; a mono signal is returned as it is."""
        if signal.ndim == 1:
            return signal
        if signal.shape[0] == 1 or not signal.shape[1]:
            return np.asarray(signal[0])
        with np.errstate(over="ignore", invalid="ignore"):  # samples above 1e18, in no real recording
            self._hear(signal)
            weights = self._weights()
            if (weights == 1).all():
                return np.asarray(signal.mean(axis=0, dtype=np.float32))
            return np.asarray(weights @ signal / np.abs(weights).sum(), np.float32)

    def _hear(self, signal: Signal) -> None:
        centred = signal - signal.mean(axis=1, keepdims=True)
        products = np.asarray(centred @ centred.T, np.float64)
        self._products = products if self._products is None else self._products + products
        size = min(FRAME, signal.shape[1])
        for at in range(0, signal.shape[1] - size + 1, max(size, signal.shape[1] // FRAMES)):
            if len(self._levels) >= FRAMES or not size:
                break
            power = np.mean(centred[:, at : at + size] ** 2, axis=1, dtype=np.float64)
            self._levels.append(10 * np.log10(np.maximum(power, QUIETEST)))

    def _weights(self) -> npt.NDArray[np.float32]:
        """Return the weight of each channel: 1, or -1 if it is inverted, or 0 if it is left out."""
        products = self._products
        assert products is not None
        powers = np.diag(products)
        weights = np.ones(len(powers), np.float32)
        if not 0 < powers.max() < np.inf:
            return weights
        reference = int(powers.argmax())
        with np.errstate(divide="ignore"):
            alike = products[reference] / np.sqrt(powers * powers[reference])
        weights[np.nan_to_num(alike) < INVERTED] = -1
        weights *= weights[0]  # the first channel keeps its sign, whichever channel is the loudest
        if len(self._levels) >= LEAST_FRAMES:
            low, high = np.percentile(self._levels, [10, 90], axis=0)
            noisy = (high - low < STEADY_DB) & (powers > 0)
            if noisy.any() and (high - low)[~noisy].max(initial=0) >= LIVELY_DB:
                weights[noisy] = 0
        return weights


def to_mono(signal: Signal) -> Signal:
    """Average the channels of a whole signal.

    An inverted channel is corrected, and a channel of only steady noise is left out if another one has a voice.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, float32.

    Returns:
        ``(samples,)``, float32; a mono signal is returned unchanged.

    Examples:
        >>> to_mono(np.array([[0.5, 1.0], [0.1, 0.2]], np.float32)).round(2)
        array([0.3, 0.6], dtype=float32)
    """
    return Mixer().mix(signal)
