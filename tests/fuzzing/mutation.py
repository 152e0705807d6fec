"""Mutates inputs: the same seed and number give the same input."""

import random
from collections.abc import Callable, Sequence
from typing import Final

from fuzzing import Target

MOST: Final = 2**19  # maximum bytes of an input
SEEDS: Final[dict[str, Sequence[bytes]]] = {}
EDGES: Final = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 1023, 32_767, 32_768, 65_535, 65_536, 2**24, 2**31 - 1, 2**31,
                2**32 - 8, 2**32 - 1, 2**36, 2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
NOISE: Final = 512  # maximum random bytes that are inserted


def mutation(target: Target, seed: int, number: int, more: Sequence[bytes] = ()) -> bytes:
    """One input of a target.

    Args:
        target: whose seeds are mutated.
        seed: random seed of a run.
        number: number of the input in the run.
        more: seeds that a run with coverage has found.
    """
    chance = random.Random(f"{target.name} {seed} {number}")
    if target.name not in SEEDS:
        SEEDS[target.name] = tuple(target.seeds())
    seeds = [*SEEDS[target.name], *more]
    data = bytearray(chance.choice(seeds))
    for _ in range(min(8, 1 + int(chance.expovariate(0.8)))):
        change = chance.choice(CHANGES)
        change(chance, data, target.words, seeds)
        del data[MOST:]
    made = bytes(data)
    return target.mend(made) if target.mend is not None and chance.random() < 0.75 else made


Change = Callable[[random.Random, bytearray, tuple[bytes, ...], Sequence[bytes]], None]


def _place(chance: random.Random, data: bytearray, words: tuple[bytes, ...]) -> int:
    """A position: in the header, near a magic word, or anywhere."""
    draw = chance.random()
    if draw < 0.3:
        return chance.randrange(min(len(data), 64) + 1)
    if draw < 0.5:
        return chance.randrange(min(len(data), 1024) + 1)
    if draw < 0.75 and words:
        at = data.find(chance.choice(words), chance.randrange(len(data) + 1) if chance.random() < 0.5 else 0)
        if at >= 0:
            return min(len(data), max(0, at + chance.randrange(-16, 40)))
    return chance.randrange(len(data) + 1)


def _part(chance: random.Random, data: bytearray, words: tuple[bytes, ...]) -> tuple[int, int]:
    start = _place(chance, data, words)
    length = chance.choice([1, 2, 4, 8, 16, chance.randrange(1, 64), chance.randrange(1, max(2, len(data)))])
    return start, min(len(data), start + length)


def _flip(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        at = _place(chance, data, words)
        if at < len(data):
            data[at] ^= 1 << chance.randrange(8)


def _scatter(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    for _ in range(chance.choice([1, 2, 8, 64])):
        at = _place(chance, data, words)
        if at < len(data):
            data[at] = chance.choice([0, 255, chance.randrange(256)])


def _number(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    """Set a number of one to eight bytes to an edge, or to a little more or less than it is."""
    size, order = chance.choice([1, 2, 3, 4, 4, 8]), chance.choice(["big", "little"])
    at = _place(chance, data, words)
    if at + size > len(data):
        return
    value = chance.choice([*EDGES, len(data), len(data) - at])
    if chance.random() < 0.3:
        value = int.from_bytes(data[at : at + size], order) + chance.choice([-8, -1, 1, 8, 255])
    data[at : at + size] = (value % 256**size).to_bytes(size, order)


def _delete(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    start, end = _part(chance, data, words)
    del data[start:end]


def _repeat(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    start, end = _part(chance, data, words)
    data[start:start] = data[start:end] * min(chance.choice([1, 1, 2, 16, 1000]), 1 + MOST // max(1, end - start))


def _swap(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    start, end = _part(chance, data, words)
    part = data[start:end]
    del data[start:end]
    at = _place(chance, data, words)
    data[at:at] = part


def _insert(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    at, size = _place(chance, data, words), chance.randrange(1, NOISE)
    data[at:at] = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])


def _word(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    word = chance.choice(words or (b"\0",))
    at = _place(chance, data, words)
    data[at : at + (len(word) if chance.random() < 0.5 else 0)] = word


def _cut(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    del data[_place(chance, data, words) :]


def _splice(chance: random.Random, data: bytearray, words: tuple[bytes, ...], seeds: Sequence[bytes]) -> None:
    other = bytearray(chance.choice(seeds))
    start, end = _part(chance, other, words)
    at = _place(chance, data, words)
    match chance.randrange(3):
        case 0:
            data[at:] = other[_place(chance, other, words) :]
        case 1:
            data[at:at] = other[start:end]
        case 2:
            data[at : at + end - start] = other[start:end]


CHANGES: Final[tuple[Change, ...]] = (
    _flip,
    _flip,
    _scatter,
    _number,
    _number,
    _number,
    _delete,
    _repeat,
    _swap,
    _insert,
    _word,
    _word,
    _cut,
    _splice,
)
