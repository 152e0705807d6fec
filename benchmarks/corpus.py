"""``make bench-corpus``: time and memory of corpus import, check, split and stats on large tables.

The tables are synthetic, with the proportions of Common Voice 25.0 English.

    python benchmarks/corpus.py                      # 1.9 million rows, 100,000 speakers
    python benchmarks/corpus.py --growth             # 10 thousand to 10 million rows
    python benchmarks/corpus.py --export             # also export to other formats
    python benchmarks/corpus.py --archive            # a packed release: MB of .tar.gz per second

Every step runs as a separate command. Memory is the peak of its resident memory.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from voxtrait.corpora import archives

# without the setting that Polars makes in this process, which a command started from a shell does not have
OWN = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
ROWS, SPEAKERS = 1_900_000, 100_000  # 1,881,067 validated clips in English 25.0; 99,724 client ids
# shares of clips in the statistics of English 25.0
AGES = {
    "twenties": 0.249,
    "thirties": 0.139,
    "fourties": 0.093,
    "teens": 0.059,
    "fifties": 0.052,
    "sixties": 0.044,
    "seventies": 0.0068,
    "eighties": 0.0009,
    "nineties": 0.0001,
}
GENDERS = {
    "male_masculine": 0.433,
    "female_feminine": 0.178,
    "non-binary": 0.0006,
    "do_not_wish_to_say": 0.0003,
    "transgender": 0.0002,
    "intersex": 0.0001,
}
TRAIN, DEV, TEST = 1_147_812 / 1_881_067, 16_403 / 1_881_067, 16_403 / 1_881_067
STEPS = {
    "import": ["corpus", "import", "{release}", "{folder}/all.parquet", "--tables-only"],
    "check": ["corpus", "check", "{folder}/all.parquet", "--tables-only"],
    "split": ["corpus", "split", "{folder}/all.parquet", "{folder}/split.parquet"],
    "stats": ["corpus", "stats", "{folder}/split.parquet"],
}
EXPORTS = {
    name: ["corpus", "export", "{folder}/split.parquet", f"{{folder}}/{name}", "--to", name, "--tables-only"]
    for name in ("csv", "lhotse", "kaldi")
}


def write_release(folder: Path, rows: int, speakers: int, seed: int = 0) -> Path:
    """Write ``cv-corpus-25.0-2026-03-09/en`` with synthetic rows.

    Clips per speaker, the shares of known age and gender, and the official split are as in the real release.
    """
    rng = np.random.default_rng(seed)
    locale = folder / "cv-corpus-25.0-2026-03-09" / "en"
    (locale / "clips").mkdir(parents=True)
    # half of the speakers have fewer than five clips and a few have thousands: a log-normal distribution
    share = rng.lognormal(0.0, 2.0, speakers)
    counts = 1 + rng.multinomial(rows - speakers, share / share.sum())
    speaker = np.repeat(np.arange(speakers), counts)
    names = pl.Series("client_id", [f"{one:032x}" * 4 for one in rng.permutation(speakers).tolist()])
    age = _labels(rng, AGES, speakers)
    gender = _labels(rng, GENDERS, speakers)
    number = pl.Series(rng.permutation(rows) + 17_000_000)
    words = np.array(["the", "quiet", "river", "crosses", "an", "old", "market", "while", "nobody", "asks", "why"])
    sentence = pl.DataFrame({str(k): words[rng.integers(len(words), size=rows)] for k in range(9)}).select(
        pl.concat_str(pl.all(), separator=" ")
    )[:, 0]
    digits = pl.Series(rng.integers(2**60, size=rows))
    table = pl.DataFrame(
        {
            "client_id": names.gather(speaker),
            "path": "common_voice_en_" + number.cast(pl.String) + ".mp3",
            "sentence_id": digits.cast(pl.String).str.zfill(64),
            "sentence": sentence,
            "sentence_domain": pl.Series([""]).new_from_index(0, rows),
            "up_votes": pl.Series(rng.integers(2, 5, size=rows)).cast(pl.String),
            "down_votes": pl.Series(rng.integers(0, 2, size=rows)).cast(pl.String),
            "age": age.gather(speaker),
            "gender": gender.gather(speaker),
            "accents": pl.Series(["United States English"]).new_from_index(0, rows),
            "variant": pl.Series([""]).new_from_index(0, rows),
            "locale": pl.Series(["en"]).new_from_index(0, rows),
            "segment": pl.Series([""]).new_from_index(0, rows),
        }
    )
    # the speakers with the fewest clips go to test, then dev, the rest to train
    position = np.argsort(np.repeat(counts, counts), kind="stable")
    cuts = np.cumsum([int(rows * TEST), int(rows * DEV), int(rows * TRAIN)])
    _write(table.sample(fraction=1.0, shuffle=True, seed=seed), locale / "validated.tsv")
    for name, part in zip(("test", "dev", "train"), np.split(position, cuts), strict=False):
        _write(table[np.sort(part)], locale / f"{name}.tsv")
    lengths = pl.DataFrame({"clip": table["path"], "duration[ms]": rng.integers(1500, 10_000, size=rows)})
    lengths.write_csv(locale / "clip_durations.tsv", separator="\t", quote_style="never")
    return locale.parent


def _labels(rng: np.random.Generator, shares: dict[str, float], speakers: int) -> pl.Series:
    values = [*shares, ""]
    chances = [*shares.values(), 1 - sum(shares.values())]
    return pl.Series(values).gather(rng.choice(len(values), size=speakers, p=chances))


def _write(table: pl.DataFrame, path: Path) -> None:
    table.write_csv(path, separator="\t", quote_style="never")


def measure(folder: Path, rows: int, speakers: int, steps: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Run every step, and return ``{step: {"seconds", "cpu", "mb"}}``."""
    release = write_release(folder, rows, speakers)
    found = {}
    for name, words in steps.items():
        command = [word.format(release=release, folder=folder) for word in words]
        code = (
            "import sys, resource; from voxtrait.cli import main\n"
            "try: main()\nexcept SystemExit as end: status = end.code or 0\nelse: status = 0\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\n"
            # not used.ru_maxrss, which begins with the peak of the process that started this one
            "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]\n"
            "print('peak', peak, used.ru_utime + used.ru_stime, status, file=sys.stderr)"
        )
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--quiet"], capture_output=True, text=True, check=True, env=OWN
        )
        seconds = time.perf_counter() - start
        peak, cpu, status = done.stderr.rsplit("peak ", 1)[1].split()
        if int(status) > 1:
            raise SystemExit(f"{name} failed with exit status {status}: {done.stderr}")
        found[name] = {"seconds": seconds, "cpu": float(cpu), "mb": int(peak) / 1024}
    return found


def show(rows: int, speakers: int, found: dict[str, dict[str, float]]) -> None:
    total, busy = (sum(one[what] for one in found.values()) for what in ("seconds", "cpu"))
    cells = " ".join(f"{one['seconds']:8.1f} {one['cpu']:6.1f} {one['mb']:6.0f}" for one in found.values())
    print(
        f"{rows:>11,} {speakers:>9,} {cells} {total:8.1f} {busy:6.1f} {max(one['mb'] for one in found.values()):6.0f}",
        flush=True,
    )


def measure_archive(folder: Path, clips: int) -> None:
    """Measure reading a .tar.gz of recordings, which are incompressible, like mp3."""
    path = folder / "cv-corpus-25.0-2026-03-09-en.tar.gz"
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w:gz", compresslevel=6) as tar:
        for number in range(clips):
            member = tarfile.TarInfo(f"cv-corpus-25.0-2026-03-09/en/clips/common_voice_en_{number}.mp3")
            data = rng.bytes(30_000)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    start = time.perf_counter()
    with archives.opened(path) as archive:
        found = archive.clips.height
    seconds = time.perf_counter() - start
    size = path.stat().st_size / 1e6
    print(f"{found:,} recordings, {size:.0f} MB: {seconds:.2f} s, {size / seconds:.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="number of rows")
    parser.add_argument("--speakers", type=int, default=SPEAKERS, help="number of speakers")
    parser.add_argument("--growth", action="store_true", help="10 thousand, 100 thousand, 1 million, 10 million rows")
    parser.add_argument("--export", action="store_true", help="also export the tables")
    parser.add_argument("--archive", action="store_true", help="measure only the reading of a packed release")
    parser.add_argument("--keep", type=Path, help="folder in which to keep the tables")
    options = parser.parse_args()
    if options.archive:
        with tempfile.TemporaryDirectory() as folder:
            measure_archive(Path(folder), 20_000)
        return
    sizes = [(options.rows, options.speakers)]
    if options.growth:
        sizes = [(rows, max(1, rows * SPEAKERS // ROWS)) for rows in (10_000, 100_000, 1_000_000, 10_000_000)]
    steps = STEPS | (EXPORTS if options.export else {})
    print(f"{len(os.sched_getaffinity(0))} cores; seconds, processor seconds and peak MB of each step")
    print(f"{'rows':>11} {'speakers':>9} " + " ".join(f"{name:>8} {'cpu':>6} {'MB':>6}" for name in (*steps, "all")))
    for rows, speakers in sizes:
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            show(rows, speakers, measure(options.keep, rows, speakers, steps))
            continue
        with tempfile.TemporaryDirectory() as folder:
            show(rows, speakers, measure(Path(folder), rows, speakers, steps))


if __name__ == "__main__":
    main()
