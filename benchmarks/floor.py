"""How far a prediction is from its floor: bare decoding and resampling of the same clips by as many processes.

python benchmarks/floor.py [--clips 1500] [--rounds 3] [--model BUNDLE]

Start-up is left out: each way is timed from its first answer to its last. All ways take turns in every round, and the
best of the rounds counts. Every process works on one thread.
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
    """The job that is the floor: a file to its number of samples at 16 kHz."""

    def __call__(self, path: str) -> int:
        return len(audio.load(path)[0])


@dataclass(frozen=True)
class Predict:
    """The job: a file to its answer."""

    model: recognize.Recognizer

    def __call__(self, path: str) -> str:
        return self.model.predict(path).status


def between(job: Decode | Predict, paths: list[str], jobs: int) -> float:
    """Milliseconds an item, from the first answer to the last."""
    with contextlib.closing(batch.run(job, paths, jobs=jobs, on_crash=lambda path, why: None)) as results:
        next(results)
        start = time.perf_counter()
        count = sum(1 for _ in results)
        return 1000 * (time.perf_counter() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="a bundle's folder or name")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtrait-floor-") as folder, threadpoolctl.threadpool_limits(1):
        files, what = chosen.choose(Path(folder) / "clips", given.clips)
        paths = [str(file) for file in files]
        model = recognize.load(given.model)
        seconds = sum(audio.load(path)[0].size for path in paths) / audio.SAMPLING_RATE
        print("\n".join(bench.machine(what, bench.Size(len(paths), 0, given.rounds, (0, 0)))), flush=True)
        jobs = {"decode + resample": Decode(), model.bundle.title: Predict(model)}
        best = {(name, count): float("inf") for name in jobs for count in (1, 2)}
        for _ in range(given.rounds):
            for name, count in best:
                best[name, count] = min(best[name, count], between(jobs[name], paths, count))
        print("\n| processes | decode + resample | prediction | ratio | × real time |\n|---|---|---|---|---|")
        for count in (1, 2):
            bare, ours = best["decode + resample", count], best[model.bundle.title, count]
            speed = 1000 * seconds / len(paths) / ours
            print(f"| {count} | {bare:.2f} ms a clip | {ours:.2f} ms a clip | {ours / bare:.2f} | {speed:.0f} |")


if __name__ == "__main__":
    main()
