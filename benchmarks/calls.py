"""Composes two-channel calls with cross-talk from clips, and measures ``voxtrait timeline --channels`` on them.

python benchmarks/calls.py [SPEECH] [--count 6] [--minutes 1.5] [--speakers dev] [--seed 9]

SPEECH is a folder of corpora (default: VOXTRAIT_SPEECH, or ../shared/corpora). Two people speak in turns, each in one
channel; one turn in three begins before the previous one ends. Sound that leaks into the other channel is delayed and
reflected. The reference is the voice activity of each clip before mixing, by Silero VAD. Prints a Markdown table.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
from clips import SPEECH
from composing import RATE, Person, chosen, people_of

import voxtrait
from voxtrait.timelines import Timeline

Turns = list[tuple[float, float]]


class Setting(NamedTuple):
    leak_db: float | None
    gain_db: float  # gain of the second channel
    delay_s: float
    noise_db: float  # dBFS


SETTINGS = (
    Setting(None, 0, 0.02, -60),
    Setting(-30, 0, 0.2, -45),
    Setting(-25, 12, 0.02, -50),
    Setting(-20, 0, 0.15, -60),
    Setting(-15, 0, 0.02, -60),
    Setting(-12, -12, 0.02, -55),
    Setting(-8, 0, 0.02, -60),
)


def call(
    seed: tuple[int, int], people: list[Person], setting: Setting, minutes: float
) -> tuple[np.ndarray, list[Turns]]:
    """Return a composed call ``(2, samples)``, and the turns of each channel."""
    rng = np.random.default_rng(seed)
    voices = chosen(people, 2, rng)
    length = round(minutes * 60 * RATE)
    alone = np.zeros((2, length), np.float32)
    turns: list[Turns] = [[], []]
    end, channel = RATE // 2, 0
    while True:
        signal, spans = voices[channel].turn(float(np.clip(3 * np.exp(rng.normal(0, 0.7)), 0.7, 15)))
        overlap = rng.random() < 0.3
        start = end - int(rng.uniform(0.2, 1) * RATE) if overlap else end + int(rng.uniform(0.1, 1) * RATE)
        start = max(start, 0)
        if turns[channel]:
            start = max(start, round(turns[channel][-1][1] * RATE) + RATE // 10)
        if start + len(signal) > length:
            break
        alone[channel, start : start + len(signal)] += signal
        turns[channel] += [((start + a) / RATE, (start + b) / RATE) for a, b in spans]
        end, channel = max(end, start + len(signal)), 1 - channel
    mixed = alone.copy()
    if setting.leak_db is not None:
        for one in (0, 1):
            response = np.zeros(round(setting.delay_s * RATE) + 800, np.float32)
            response[-800:] = 0.3 * rng.standard_normal(800) * np.exp(-np.arange(800) / 200)
            response[-800] = 1
            response *= 10 ** (setting.leak_db / 20) / np.sqrt(np.square(response).sum())
            mixed[1 - one] += scipy.signal.oaconvolve(alone[one], response)[:length]
    mixed += rng.standard_normal(mixed.shape).astype(np.float32) * 10 ** (setting.noise_db / 20)
    mixed[1] *= 10 ** (setting.gain_db / 20)
    return mixed / max(1.0, float(np.abs(mixed).max())), turns


def errors(found: Timeline, turns: list[Turns], seconds: float) -> tuple[float, float, float]:
    """Return the seconds of missed speech, of false alarms, and of the reference."""
    grid = np.zeros((2, 2, round(100 * seconds) + 1), bool)
    channels = {one.speaker: one.channel or 1 for one in found.speakers}
    spans = [(1, channels[str(turn.speaker)] - 1, turn.start_s, turn.end_s) for turn in found.turns]
    spans += [(0, channel, start, end) for channel, ours in enumerate(turns) for start, end in ours]
    for which, channel, start, end in spans:
        grid[which, channel, round(100 * start) : round(100 * end)] = True
    missed, false = grid[0] & ~grid[1], grid[1] & ~grid[0]
    return missed.sum() / 100, false.sum() / 100, grid[0].sum() / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", nargs="?", type=Path, default=SPEECH, metavar="SPEECH", help="folder of corpora")
    parser.add_argument("--count", type=int, default=6, help="Calls for each setting.")
    parser.add_argument("--minutes", type=float, default=1.5, help="length of a call, in minutes")
    parser.add_argument("--speakers", choices=["dev", "held-out"], default="dev", help="set of speakers")
    parser.add_argument("--seed", type=int, default=9, help="random seed")
    given = parser.parse_args()
    people, model = people_of(given.speech, given.speakers), voxtrait.load()
    print("| leak | gain of the second channel | delay | noise | missed | false alarm | two speakers found |")
    print("|---|---|---|---|---|---|---|")
    for setting in SETTINGS:
        rows, right = [], 0
        for number in range(given.count):
            signal, turns = call((given.seed, number), people, setting, given.minutes)
            found = voxtrait.timeline(signal, RATE, model=model, channels=True)
            rows.append(errors(found, turns, signal.shape[1] / RATE))
            right += len(found.speakers) == 2
        missed, false, total = np.sum(rows, axis=0)
        leak = "none" if setting.leak_db is None else f"{setting.leak_db:g} dB"
        print(
            f"| {leak} | {setting.gain_db:+g} dB | {setting.delay_s:g} s | {setting.noise_db:g} dB "
            f"| {missed / total:.1%} | {false / total:.1%} | {right} of {given.count} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
