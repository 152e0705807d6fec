"""Compares ``voices`` of the JavaScript package with Python: python benchmarks/browser_voices.py [SPEECH] [--each 40]

SPEECH is a folder of corpora (default: VOXTRAIT_SPEECH, or ../shared/corpora). Recordings at 16 kHz of held-out
speakers: clips of one speaker, joined; clips of two, one after the other; and composed dialogues of 10 to 60 s. The
last column is Python alone, with features that differ by 0.000001, as in benchmarks/browser.py. Needs `make node`.
"""

import argparse
import operator
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from browser import Nudged, in_node
from clips import SPEECH
from composing import RATE, Person, people_of
from voices import dialogues

from voxtrait import audio, recognize
from voxtrait.recognize import portable

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import nodes

BUNDLE = "voxtrait-base"
PART_S = 10.0  # seconds of each half of a joined recording


def joined(people: list[Person], speakers: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield recordings with clips of one or two speakers: up to 10 s of the first, then up to 10 s of the second."""
    people = [one for one in people if len(one.clips) >= 4]
    for number in range(count):
        rng = np.random.default_rng((seed, speakers, number))
        chosen = [people[at] for at in rng.choice(len(people), speakers, replace=False)]
        orders = [rng.permutation(len(one.clips)) for one in chosen]
        parts = []
        for half in (0, 1):
            person, order = chosen[half % speakers], orders[half % speakers]
            signals = [audio.load(person.clips[at], RATE)[0] for at in order[half::2][:4]]  # no clip is in both halves
            parts.append(np.concatenate(signals)[: round(PART_S * RATE)])
        yield np.concatenate(parts)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("speech", nargs="?", type=Path, default=SPEECH, metavar="SPEECH", help="folder of corpora")
    parser.add_argument("--each", type=int, default=40, help="number of recordings of each kind")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    given = parser.parse_args()
    people, model = people_of(given.speech, "held-out"), recognize.load(BUNDLE)
    nudged = Nudged(model.bundle)
    kinds = {
        "one speaker, clips joined": joined(people, 1, given.each, given.seed),
        "two speakers, one after the other": joined(people, 2, given.each, given.seed),
        "dialogues of 10 to 60 s": (signal for _, signal in dialogues(people, given.each, given.seed)),
    }
    print("| recordings | number | several: Python, JavaScript | same | Python, features moved: same |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = nodes.folder(Path(name) / "node")
        (folder / "predict.mjs").write_bytes((nodes.ROOT / "examples" / "javascript" / "predict.mjs").read_bytes())
        portable.export(BUNDLE, folder / "model")
        for kind, signals in kinds.items():
            files = []
            for number, signal in enumerate(signals):
                files.append(folder / f"{number:04d}.wav")
                soundfile.write(files[-1], signal, RATE, subtype="FLOAT")
            found = [one["voices"] for one in in_node(folder, files)]
            expected, moved = ([one.predict(file).voices for file in files] for one in (model, nudged))
            same, also = (sum(map(operator.eq, one, expected)) for one in (found, moved))
            counts = f"{expected.count('several')}, {found.count('several')}"
            print(f"| {kind} | {len(files)} | {counts} | {same} | {also} |", flush=True)


if __name__ == "__main__":
    main()
