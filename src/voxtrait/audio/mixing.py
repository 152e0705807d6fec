"""Averages channels, without losing the voice to an inverted channel or to one of noise."""

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal

INVERTED: Final = -0.5  # correlation with the others below which a channel was inverted, by a cable or a mixer
FRAMES: Final = 400  # in which levels are measured
LEAST_FRAMES: Final = 40  # before a channel is left out
FRAME: Final = 480  # samples: some 10 to 60 ms
STEADY_DB: Final = 4.0  # range of levels, tenth to ninetieth percentile, of hiss or hum
LIVELY_DB: Final = 12.0  # … at least, of speech
QUIETEST: Final = 1e-10  # mean square that counts as silence, -100 dBFS


class Mixer:
    """Averages the channels of a recording while it is read.

    If a channel is the inverse of the others, its sign is changed: the average would be silence. If another channel has
    a voice, a channel of only steady noise is left out.

    Examples:
        >>> voice = np.sin(np.arange(48_000) / 5).astype(np.float32)
        >>> float(np.abs(Mixer().mix(np.stack([voice, -voice])) - voice).max())
        0.0
        >>> Mixer().mix(np.array([[1.0, 2.0], [3.0, 6.0]], np.float32))
        array([2., 4.], dtype=float32)
    """

    def __init__(self) -> None:
        self._products: npt.NDArray[np.float64] | None = None  # (channels, channels), summed over what was heard
        self._levels: list[npt.NDArray[np.float64]] = []  # (channels,) in dB, of the frames that began

    def mix(self, signal: Signal) -> Signal:
        """Average the next samples: ``(channels, samples)`` → ``(samples,)``; a mono signal is returned as it is."""
        if signal.ndim == 1:
            return signal
        if signal.shape[0] == 1 or not signal.shape[1]:
            return np.asarray(signal[0])
        with np.errstate(over="ignore", invalid="ignore"):  # of samples over 1e18, which no recording has
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
        """Return 1 for each channel, -1 for an inverted one and 0 for one that is left out."""
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
        weights *= weights[0]  # whichever channel is the loudest by now, the first one's sign stays
        if len(self._levels) >= LEAST_FRAMES:
            low, high = np.percentile(self._levels, [10, 90], axis=0)
            noisy = (high - low < STEADY_DB) & (powers > 0)
            if noisy.any() and (high - low)[~noisy].max(initial=0) >= LIVELY_DB:
                weights[noisy] = 0
        return weights


def to_mono(signal: Signal) -> Signal:
    """Average the channels of a whole signal: ``(channels, samples)`` → ``(samples,)``."""
    return Mixer().mix(signal)
