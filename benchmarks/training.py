"""Measures distributed training: curves and time with one process and several, and memory with more clips.

    python benchmarks/training.py curves     # one process and two: curves and seconds
    python benchmarks/training.py memory     # shards: peak memory at N clips and at ten times N

Images show synthetic voices, and the network is that of the recipe. ``memory`` trains a smaller network on five hundred
images that are repeated under other names, because only their number matters.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from voxtrait import corpora, features, manifest
from voxtrait.derived import shards
from voxtrait.derived.settings import finished
from voxtrait.manifest import splitting
from voxtrait.synthetic import cohort, write_common_voice

SMALL = ("channels=[4,8]", "shrink=6", "max_epochs=1", "threads=1")


def trained(data: Path, out: Path, processes: int, settings: list[str]) -> tuple[float, float]:
    """Train, and return the seconds and the peak of unshared memory of all processes together, in MB."""
    command = [sys.executable, "-m", "voxtrait"]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["train", "diary-gender", "--data", str(data), "--out", str(out), "--jobs", "1", "--quiet"]
    command += [word for one in settings for word in ("--set", one)]
    start, peak = time.perf_counter(), 0.0
    child = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while child.poll() is None:
        # until the report, which is made after training, from files, and needs memory of its own
        if not (out / "bundle").exists():
            peak = max(peak, _memory(child))
        time.sleep(0.5)  # measuring memory takes time
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, peak


def _memory(process: psutil.Process) -> float:
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_full_info().uss
    except psutil.Error:
        return 0.0
    return total / 1e6


def curves(home: Path, clips: int, processes: int) -> None:
    write_common_voice(home, cohort(60, 1), max(1, clips // 60), 1, "cv-corpus-0.1-synthetic", "en", seconds=(2.0, 4.0))
    table = splitting.split(corpora.import_corpora([home]).table, (70, 15, 15), seed=1)
    manifest.write(table, home / "all.parquet")
    shards.pack(home / "all.parquet", home / "shards")
    found = {}
    for count in (1, processes):
        seconds, _ = trained(home / "shards", home / f"run{count}", count, ["max_epochs=4", "threads=1"])
        found[count] = pl.read_csv(home / f"run{count}" / "curves.csv")
        print(f"processes with one thread: {count}; {seconds:.0f} s including start and report")
    for name in found[1].columns[1:]:
        one, several = (found[count][name].to_numpy() for count in (1, processes))
        relative = np.abs(several - one) / np.maximum(np.abs(one), 1e-9)
        print(f"{name:22} {one.round(4).tolist()}   largest relative difference {relative.max():.1e}")


def memory(home: Path, clips: int) -> None:
    chance = np.random.default_rng(0)
    noise = chance.normal(90, 25, (64, 288, 432)).clip(0, 255).astype(np.uint8) // 32 * 32
    pictures = [features.encode_png(noise[at % 64]) for at in range(500)]
    print(f"an image has {np.mean([len(one) for one in pictures]) / 1e3:.0f} kB, a shard 500 images")
    peaks = []
    for times in (1, 10):
        folder = home / f"shards{times}"
        _write(folder, pictures, clips * times)
        settings = [*SMALL, "buffer=500", "workers=1"]
        seconds, peak = trained(folder, home / f"run{times}", 1, settings)
        peaks.append(peak)
        print(f"{clips * times} clips: peak memory {peak:.0f} MB, {seconds:.0f} s")
    print(f"memory with ten times the clips: {peaks[1] / peaks[0]:.3f} times as much")


def _write(folder: Path, pictures: list[bytes], clips: int) -> None:
    (folder / "pictures").mkdir(parents=True)
    shard = pl.DataFrame({"picture": pictures, "seconds": 0.0, "message": pl.Series([None] * 500, dtype=pl.String)})
    rest = 500  # one shard of validation, one of test
    splits = ["train"] * clips + ["validation"] * rest + ["test"] * rest
    for number in range(-(-len(splits) // 500)):
        shard.write_parquet(folder / "pictures" / f"part-{number:06d}-x.parquet")
    at = np.arange(len(splits))
    names = [f"cv/1/en/{number}" for number in at]
    genders = np.where(at % 2, "female", "male")
    table = {"shard": at // 500, "row": at % 500, "name": [f"{one[8:]}.png" for one in names], "clip_id": names}
    people = [f"{split}{number // 4}" for split, number in zip(splits, at // 2 * 2 + at % 2 * 4, strict=True)]
    table |= {"speaker_id": people, "gender": genders, "age_group": "thirties", "age_years": 35.0, "split": splits}
    pl.DataFrame(table).write_parquet(folder / shards.TABLE)
    finished(folder, shards.SETTINGS, {"front_end": features.picture_front_end().to_dict(), "seed": 1})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["curves", "memory"], help="measurement")
    parser.add_argument("--clips", type=int, default=600, help="number of clips")
    parser.add_argument("--processes", type=int, default=2, help="number of processes of the second run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "curves":
            curves(Path(folder), given.clips, given.processes)
        else:
            memory(Path(folder), given.clips)
