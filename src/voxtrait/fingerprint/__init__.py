"""Computes acoustic fingerprints, and finds copies of a recording with different bytes among a million clips.

A copy may be re-encoded, resampled, louder, limited to the 8 kHz of a telephone, slightly noisy, or start and end up to
about a second earlier or later. Another recording of the same words by the same person is not a copy.

A fingerprint contains the signs of energy differences in time and frequency, after J. Haitsma & T. Kalker, "A Highly
Robust Audio Fingerprinting System" (ISMIR 2002). For speech, it has 17 bands from 300 to 3000 Hz, log energies with a
floor, and smoothing over a third of a second, so that noise and codecs change few signs::

    signal ─ 8 kHz, spectrum every 16 ms ─► 17 log energies ─┬─ 16 signs per frame, every 32 ms ─► words, to compare
                                                             └─ 8 signs of wider bands at 4 moments ─► keys, to find

Keys are taken only where the voice is loud and its signs are clear, so that all copies have keys at the same moments
(content-defined sampling). Clips that share a key are aligned there. Two recordings are copies if at most
:data:`MOST_ERRORS` of the signs differ over their whole overlap, without silence and hum.

Measured with ``python benchmarks/near_duplicates.py --all --grow``: in copies of real clips (codecs, 8 kHz, trimmed,
noise at 20 dB), the median share of different signs is 0 to 6 %, and in 99 of 100 copies it is at most 13 %. Among
5,828 different clips, no pair is reported as copies. In 24,351 pairs of different clips compared in full, with at least
1.5 s of sound, at least 25 % of the signs differ. More figures are in docs/how-to/leakage.md.
"""

from voxtrait.fingerprint.search import MOST_ERRORS, Pair, Prints, near_duplicates
from voxtrait.fingerprint.signs import LONGEST_S, Fingerprint, fingerprint

__all__ = ["LONGEST_S", "MOST_ERRORS", "Fingerprint", "Pair", "Prints", "fingerprint", "near_duplicates"]
