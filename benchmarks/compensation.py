"""Estimates how rooms, noise and telephones shift speaker embeddings, and writes it for ``voxtrait.timelines``.

python benchmarks/compensation.py [SPEECH] [--speakers 400] [--write]

One turn of each of many training speakers is mixed into every condition of ``conversations.py``. Each condition has a
mean embedding. The file has the mean of these, and the two directions in which they differ most: ``(1 + 2, d)`` in 16
bits. Held-out speakers are not used.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.signal
from clips import SPEECH
from composing import CONDITIONS, Signal, Voice, background, impulse_response, people_of

import voxtrait
from voxtrait.timelines import compensation

SECONDS = (1.0, 2.0, 4.0)  # lengths of the turns
DIRECTIONS = 2  # more of them raised no figure on development conversations
OTHERS = 40  # speakers of the crowds: few, so that their clips are decoded once


def embeddings(speech: Path, count: int) -> np.ndarray:
    """Return the embeddings of one turn of each speaker in each condition, ``(speakers, conditions, d)``."""
    people = people_of(speech, "dev")
    model = voxtrait.load()
    order = np.random.default_rng(0).permutation(len(people))
    others = [people[number] for number in order[:OTHERS]]
    found = []
    for number in order[OTHERS : OTHERS + count]:
        rng = np.random.default_rng((0, int(number)))
        voice = Voice(people[number], rng)
        if not voice.clips:
            continue
        turn, spans = voice.turn(float(rng.choice(SECONDS)))
        heard = []
        for condition in CONDITIONS:
            signal: Signal = turn.copy()
            if condition == "room":
                signal = scipy.signal.oaconvolve(turn, impulse_response(rng)).astype(np.float32)
            background(signal, condition, [], others, rng)
            spoken = np.concatenate([signal[start:stop] for start, stop in spans])
            heard.append(model.embed_summary(model.summaries(model.windows(spoken)).mean(axis=0)[None]))
        if len(found) % 50 == 0:
            print(f"{len(found)} of {count} speakers", flush=True)
        found.append(np.stack(heard))
    return np.stack(found).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="?", default=SPEECH, help="folder of corpora")
    parser.add_argument("--speakers", type=int, default=400, help="number of speakers")
    parser.add_argument("--write", action="store_true", help="replace the file of the package")
    given = parser.parse_args()
    means = embeddings(given.speech, given.speakers).mean(axis=0)
    mean = means.mean(axis=0)
    lengths, shifts = np.linalg.svd(means - mean, full_matrices=False)[1:]
    for condition, one in zip(CONDITIONS, means, strict=True):
        print(
            f"{condition}: mean of length {np.linalg.norm(one):.2f}, {np.linalg.norm(one - mean):.2f} from that of all"
        )
    print("sizes of the directions:", " ".join(f"{one:.2f}" for one in lengths))
    if given.write:
        np.save(compensation.FILE, np.concatenate([mean[None], shifts[:DIRECTIONS]]).astype(np.float16))


if __name__ == "__main__":
    main()
