"""Finds copies among many recordings: candidates by common keys, then a comparison sign by sign."""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from voxtrait.fingerprint.signs import HOP, RATE, STEP, Fingerprint, Words

Ints: TypeAlias = npt.NDArray[np.int64]

NEIGHBOURS: Final = 16  # maximum comparisons per recording and key, so that very common keys cost little
MOST_ERRORS: Final = 0.2  # share of signs that may differ between copies; docs/how-to/leakage.md has the margins
SURE_S: Final = 1.5  # seconds of shared sound; with less, MOST_ERRORS is reduced in proportion
LEAST_S: Final = 0.5  # minimum sound that two copies share, in seconds
LEAST_SHARE: Final = 0.5  # minimum share of the sound of the shorter copy
WORD_S: Final = STEP * HOP / RATE  # seconds per word
_ROUND: Final = 1 << 21  # words compared at a time
_ONES: Final = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


class Pair(NamedTuple):
    """Two copies of one recording."""

    first: int
    second: int  # greater than first
    later_s: float  # delay of the second copy's start within the recording, in seconds
    errors: float  # share of signs that differ, 0 to MOST_ERRORS
    shared_s: float  # sound in both, in seconds


class Prints:
    """The fingerprints of many recordings, in three arrays; a clip of 5 s needs about 430 bytes.

    Examples:
        >>> prints = Prints()
        >>> prints.add(Fingerprint(np.array([3, 5], np.uint16), np.array([7], np.uint32), np.array([30], np.uint16)))
        >>> prints.add(Fingerprint(np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint16)))
        >>> len(prints), near_duplicates(prints)
        (2, [])
    """

    def __init__(self) -> None:
        self._words, self._keys, self._at = bytearray(), bytearray(), bytearray()
        self._n_words: list[int] = []
        self._n_keys: list[int] = []

    def __len__(self) -> int:
        return len(self._n_words)

    def add(self, taken: Fingerprint) -> None:
        """Add the fingerprint of the next recording."""
        self._words += taken.words.tobytes()
        self._keys += taken.keys.tobytes()
        self._at += taken.at.tobytes()
        self._n_words.append(taken.words.size)
        self._n_keys.append(taken.keys.size)

    @property
    def words(self) -> Words:
        """The words of all recordings, uint16 ``(words,)``."""
        return np.frombuffer(self._words, np.uint16)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """The index of each recording's first word, then the number of words, int64 ``(n + 1,)``."""
        return np.concatenate([[0], np.cumsum(self._n_words, dtype=np.int64)])

    @property
    def keys(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], Words]:
        """All keys, uint32 ``(keys,)``, the indices of their recordings, and their frames."""
        owners = np.repeat(np.arange(len(self), dtype=np.uint32), self._n_keys)
        return np.frombuffer(self._keys, np.uint32), owners, np.frombuffer(self._at, np.uint16)


def near_duplicates(
    prints: Prints, *, among: npt.NDArray[np.bool_] | None = None, most_errors: float = MOST_ERRORS
) -> list[Pair]:
    """Find pairs of copies.

    For a recording with very many copies, not every pair is returned, but all copies are connected by pairs.

    Args:
        prints: fingerprints, in any order.
        among: mask of the recordings to compare, bool ``(n,)``; ``None`` compares all.
        most_errors: maximum share of signs that differ, 0 to 0.3.

    Returns:
        The pairs, sorted by ``first`` and ``second``.

    Examples:
        >>> from voxtrait.fingerprint.signs import fingerprint
        >>> from voxtrait.synthetic import cohort, speak
        >>> one, other = (speak(voice, 5.0, 1, 16_000) for voice in cohort(2, seed=1))
        >>> prints = Prints()
        >>> for signal in (one, other, 0.1 * one[8_000:]):
        ...     prints.add(fingerprint(signal, 16_000))
        >>> [(pair.first, pair.second, round(pair.later_s, 1)) for pair in near_duplicates(prints)]
        [(0, 2, 0.5)]
    """
    best: dict[tuple[int, int], Pair] = {}
    words, starts = prints.words, prints.starts
    active = np.array([np.count_nonzero(words[a:b]) for a, b in itertools.pairwise(starts)], np.int64)
    keys, owners, at = prints.keys
    if among is not None:
        wanted = among[owners]
        keys, owners, at = keys[wanted], owners[wanted], at[wanted]
    for first, second, shift in _meetings(keys, owners, at):
        for pair in _compared(words, starts, active, first, second, shift, most_errors):
            kept = best.get(pair[:2])
            if kept is None or pair.errors < kept.errors:
                best[pair[:2]] = pair
    return [best[names] for names in sorted(best)]


def _meetings(
    keys: npt.NDArray[np.uint32], owners: npt.NDArray[np.uint32], at: Words
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Align recordings with a common key: first, second, and the delay of the second, in words."""
    order = np.argsort(keys, kind="stable")  # stable: within a key by recording
    keys, owners, at = keys[order], owners[order], at[order]
    for apart in range(1, NEIGHBOURS + 1):
        met = np.flatnonzero((keys[:-apart] == keys[apart:]) & (owners[:-apart] != owners[apart:]))
        if not met.size:
            continue
        first, second = owners[met].astype(np.int64), owners[met + apart].astype(np.int64)
        shift = (at[met].astype(np.int64) - at[met + apart]) // STEP
        several = np.unique(np.stack([first, second, shift]), axis=1) if met.size < _ROUND else (first, second, shift)
        yield several[0], several[1], several[2]


def _compared(
    words: Words, starts: Ints, active: Ints, first: Ints, second: Ints, shift: Ints, most_errors: float
) -> Iterator[Pair]:
    """Compare overlaps word by word, some millions of words at a time."""
    begin = np.maximum(shift, 0)  # in words of the first
    length = np.minimum(starts[first + 1] - starts[first], starts[second + 1] - starts[second] + shift) - begin
    length = np.maximum(length, 0)  # fingerprints from a cache may be invalid
    one, other = starts[first] + begin, starts[second] + begin - shift
    ends = np.cumsum(length)
    low = 0
    while low < len(first):
        high = max(low + 1, int(np.searchsorted(ends, (ends[low - 1] if low else 0) + _ROUND, side="right")))
        part = slice(low, high)
        errors, shared = _differences(words, one[part], other[part], length[part])
        least = np.maximum(LEAST_S / WORD_S, LEAST_SHARE * np.minimum(active[first[part]], active[second[part]]))
        allowed = most_errors * 16 * shared * np.minimum(1, shared * (WORD_S / SURE_S))
        for row in np.flatnonzero((errors <= allowed) & (shared >= least)):
            yield Pair(
                int(first[low + row]),
                int(second[low + row]),
                float(shift[low + row]) * WORD_S,
                round(float(errors[row] / (16 * shared[row])), 4),
                round(float(shared[row]) * WORD_S, 2),
            )
        low = high


def _differences(words: Words, one: Ints, other: Ints, length: Ints) -> tuple[Ints, Ints]:
    """Count the different signs and the compared words in overlaps that begin at ``one`` and ``other``."""
    begins = np.cumsum(length) - length
    step = np.arange(length.sum()) - np.repeat(begins, length)
    left, right = words[np.repeat(one, length) + step], words[np.repeat(other, length) + step]
    both = (left > 0) & (right > 0)
    errors, shared = (
        np.concatenate([[0], np.cumsum(values, dtype=np.int64)]) for values in (_ONES[left ^ right] * both, both)
    )
    ends = begins + length
    return errors[ends] - errors[begins], shared[ends] - shared[begins]
