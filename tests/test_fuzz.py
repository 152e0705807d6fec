"""A few mutated inputs for every reader; ``benchmarks/fuzz.py`` runs any number."""

from collections.abc import Iterator

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'voxtrait[media]'")

from fuzzing import targets
from fuzzing.faulty import FAULTY
from fuzzing.mutation import MOST, mutation
from fuzzing.running import ANSWERED, CRASH, HANG, MEMORY, MESSAGE, REFUSED, UNDECLARED, Runner, fuzz, judge

COUNT = 15  # mutations of each reader
SEEDS = 5  # seeds that each reads as they are


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    running = Runner()
    yield running
    running.close()


@pytest.mark.parametrize("name", [one.name for one in targets().values() if not one.slow])
def test_a_mutated_input_is_read_or_refused(name: str, runner: Runner) -> None:
    tally = fuzz(targets()[name], runner, COUNT, seed=18, most_seeds=SEEDS)
    assert tally.finds == {}
    assert tally.counts[ANSWERED] > 0
    assert tally.inputs == tally.counts[ANSWERED] + tally.counts[REFUSED]


def test_the_same_seed_gives_the_same_inputs() -> None:
    target = targets()["file-wav"]
    first = [mutation(target, 1, number) for number in range(50)]
    assert first == [mutation(target, 1, number) for number in range(50)]
    assert len(set(first)) > 40
    assert max(map(len, first)) <= MOST
    assert first != [mutation(target, 2, number) for number in range(50)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"u", UNDECLARED), (b"e", MESSAGE), (b"r", REFUSED), (b"x", ANSWERED)],
)
def test_an_exception_is_refused_only_if_it_is_declared_and_clear(data: bytes, kind: str) -> None:
    assert judge(FAULTY, data).kind == kind


def test_a_crash_a_hang_and_a_bomb_are_finds_and_end_only_their_process() -> None:
    faulty = Runner(extra=FAULTY)
    kinds = [faulty.read(FAULTY, data).kind for data in (b"x", b"c", b"x", b"h", b"x", b"m", b"u", b"x")]
    faulty.close()
    assert kinds == [ANSWERED, CRASH, ANSWERED, HANG, ANSWERED, MEMORY, UNDECLARED, ANSWERED]
