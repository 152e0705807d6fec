"""Measures how often ``voices`` of a prediction is correct, on single-speaker clips and composed dialogues.

python benchmarks/voices.py [SPEECH] [--clips 500] [--dialogues 200] [--speakers held-out] [--seed 0]

SPEECH is a folder of corpora (default: VOXTRAIT_SPEECH, or ../shared/corpora). Recordings are single clips, and long
recordings of all clips of a speaker. Dialogues have two speakers and 10 to 60 s, in each condition in turn. Prints a
Markdown table, and the share of time for counting voices.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from clips import SPEECH
from composing import CONDITIONS, RATE, Person, compose, people_of

import voxtrait
from voxtrait import audio
from voxtrait.recognize import several


def clips(people: list[Person], count: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(count):
        rng = np.random.default_rng((seed, 1, number))
        person = people[int(rng.integers(len(people)))]
        yield "one clip", audio.load(str(rng.choice(person.clips)), RATE)[0]


def long_clips(people: list[Person], count: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(count):
        rng = np.random.default_rng((seed, 2, number))
        person = people[int(rng.integers(len(people)))]
        yield "all clips of a speaker", np.concatenate([audio.load(clip, RATE)[0] for clip in person.clips[:12]])


def dialogues(people: list[Person], count: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    number = made = 0
    while made < count:
        rng = np.random.default_rng((seed, 3, number))
        seconds = float(np.exp(rng.uniform(np.log(10), np.log(60))))
        condition = CONDITIONS[number % len(CONDITIONS)]
        one = compose((seed, 4, number), people, condition, minutes=seconds / 60, speakers=(2, 2))
        number += 1
        spoken = Counter[str]()
        for start, end, who in one.turns:
            spoken[who] += end - start  # type: ignore[assignment]
        if len(spoken) == 2 and min(spoken.values()) >= 2:
            made += 1
            yield f"dialogue, {condition}", one.signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", nargs="?", type=Path, default=SPEECH, metavar="SPEECH", help="folder of corpora")
    parser.add_argument("--clips", type=int, default=500, help="number of clips")
    parser.add_argument("--dialogues", type=int, default=200, help="number of dialogues")
    parser.add_argument("--speakers", choices=["dev", "held-out"], default="held-out", help="set of speakers")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    given = parser.parse_args()
    people, model = people_of(given.speech, given.speakers), voxtrait.load()
    found: dict[str, Counter[str | None]] = {}
    spent = {"all": 0.0, "counting": 0.0}
    feed = several.VoiceCount.feed

    def timed(self: several.VoiceCount, spoken: np.ndarray, summaries: np.ndarray) -> None:
        start = time.perf_counter()
        feed(self, spoken, summaries)
        spent["counting"] += time.perf_counter() - start

    several.VoiceCount.feed = timed  # type: ignore[method-assign]
    for make, count in ((clips, given.clips), (long_clips, given.clips // 5), (dialogues, given.dialogues)):
        spent = dict.fromkeys(spent, 0.0)
        for kind, signal in make(people, count, given.seed):
            start = time.perf_counter()
            prediction = model.predict(signal, RATE)
            spent["all"] += time.perf_counter() - start
            if prediction.status == "ok":
                found.setdefault(kind, Counter())[prediction.voices] += 1
        print(f"{make.__name__}: counting takes {spent['counting'] / spent['all']:.1%} of the time")
    print("| recordings | number | one | several | not examined |\n|---|---|---|---|---|")
    for kind, counts in found.items():
        total = counts.total()
        shares = " | ".join(f"{counts[value] / total:.1%}" for value in ("one", "several", None))
        print(f"| {kind} | {total} | {shares} |")
    both = sum((counts for kind, counts in found.items() if kind.startswith("dialogue")), Counter[str | None]())
    print(f"| all dialogues | {both.total()} | | {both['several'] / both.total():.1%} | |")


if __name__ == "__main__":
    main()
