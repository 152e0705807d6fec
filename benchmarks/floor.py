"""Measures the time of a prediction relative to its lower bound: decoding and resampling the same clips.

python benchmarks/floor.py [--clips 1500] [--rounds 3] [--model BUNDLE ...]

Several bundles are measured in the same run, with the same number of processes. Start-up is excluded: times are from
the first to the last result. Methods are interleaved in every round, and the best round counts. Every process uses one
thread.
"""

import argparse
import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import bench
import clips as chosen
import threadpoolctl

from voxtrait import audio, batch, recognize


@dataclass(frozen=True)
class Decode:
    """Job for the lower bound: file → number of samples at 16 kHz."""

    def __call__(self, path: str) -> int:
        return len(audio.load(path)[0])


@dataclass(frozen=True)
class Predict:
    """Job: file → status of its prediction."""

    model: recognize.Recognizer

    def __call__(self, path: str) -> str:
        return self.model.predict(path).status


def between(job: Decode | Predict, paths: list[str], jobs: int) -> float:
    """Return the milliseconds per item, from the first to the last result."""
    with contextlib.closing(batch.run(job, paths, jobs=jobs, on_crash=lambda path, why: None)) as results:
        next(results)
        start = time.perf_counter()
        count = sum(1 for _ in results)
        return 1000 * (time.perf_counter() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500, help="number of clips")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds")
    parser.add_argument(
        "--model", nargs="+", action="extend", metavar="BUNDLE", help="folder or name; default: the default bundle"
    )
    given = parser.parse_args()
    models = [recognize.load(one) for one in given.model or [None]]
    with tempfile.TemporaryDirectory(prefix="voxtrait-floor-") as folder, threadpoolctl.threadpool_limits(1):
        files, what = chosen.choose(Path(folder) / "clips", given.clips)
        paths = [str(file) for file in files]
        seconds = sum(audio.load(path)[0].size for path in paths) / audio.SAMPLING_RATE
        print("\n".join(bench.machine(what, bench.FULL._replace(clips=len(paths), rounds=given.rounds))), flush=True)
        jobs: list[Decode | Predict] = [Decode(), *map(Predict, models)]
        best = {(number, count): float("inf") for number in range(len(jobs)) for count in (1, 2)}
        for _ in range(given.rounds):
            for number, count in best:
                best[number, count] = min(best[number, count], between(jobs[number], paths, count))
        print("\n| bundle | processes | decode + resample | prediction | ratio | × real time |")
        print("|---|---|---|---|---|---|")
        for number, model in enumerate(models, 1):
            for count in (1, 2):
                bare, ours = best[0, count], best[number, count]
                speed = 1000 * seconds / len(paths) / ours
                times = f"{bare:.2f} ms per clip | {ours:.2f} ms per clip | {ours / bare:.2f} | {speed:.0f}"
                print(f"| {model.bundle.title} | {count} | {times} |")


if __name__ == "__main__":
    main()
