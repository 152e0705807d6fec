"""Thousands of hostile uploads against a server in a process of its own: what it answers, and what it keeps.

python benchmarks/hostile.py [--count 2000] [--seed 1]

A table of answers by kind of upload, then requests whose headers lie, then memory before and after, temporary files,
workers replaced, and whether a good upload is still answered as before. Exit status 1 if anything is not as promised.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # the uploads are the tests' own

from hostile import Hostile, first_line, requests, uploads
from servers import Running, running, wav
from voxtrait.web.errors import KINDS
from voxtrait.web.upload_folder import PREFIX

SENDERS = 4  # at a time
WARM = 200  # uploads before memory is looked at for the first time
ROUNDS = 10  # of requests that lie


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running("--workers", "2", "--quiet", "--timeout", "20", environment=os.environ | {"TMPDIR": folder}) as server,
    ):
        return judge(server, Path(folder), asked.count, asked.seed)


def judge(server: Running, folder: Path, count: int, seed: int) -> int:
    good = server.post("/v1/predict", wav())
    seen: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []

    def send(numbered: tuple[int, Hostile]) -> None:
        number, upload = numbered
        status, said = server.post("/v1/show" if number % 4 == 3 else "/v1/predict", upload.content, upload.name)
        code = "answered" if status == 200 else said["error"]["code"]
        seen[upload.kind, f"{status} {code}"] += 1
        if status >= 500 or (status != 200 and KINDS[code].status != status):
            wrong.append(f"{upload.kind}: {status} {code}")

    numbered = enumerate(uploads(count, seed))
    begun = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, [next(numbered) for _ in range(min(WARM, count))]))
        before = memory(server)
        for _ in range(0, count - min(WARM, count), 100):
            list(senders.map(send, [one for _, one in zip(range(100), numbered, strict=False)]))
    seconds = time.monotonic() - begun
    kinds = sorted({kind for kind, _ in seen})
    answers = sorted({answer for _, answer in seen})
    print(f"{sum(seen.values())} uploads in {seconds:.0f} s, {SENDERS} at a time\n")
    print("| upload | " + " | ".join(answers) + " |\n|---|" + "---:|" * len(answers))
    for kind in kinds:
        print(f"| {kind} | " + " | ".join(str(seen[kind, answer] or "") for answer in answers) + " |")
    print(f"| all | {' | '.join(str(sum(n for (_, a), n in seen.items() if a == answer)) for answer in answers)} |")

    print("\n| request whose headers lie | answers |\n|---|---|")
    place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    for kind, content in requests().items():
        lines = Counter(first_line(place, content) for _ in range(ROUNDS))
        wrong += [f"{kind}: {line}" for line in lines if line != "closed" and not line.startswith("HTTP/1.1 4")]
        print(f"| {kind} | {', '.join(f'{n} × {line}' for line, n in lines.items())} |")

    after = memory(server)
    left = [file for spool in folder.glob(f"{PREFIX}*") for file in spool.iterdir() if file.name != "lock"]
    metrics = server.get("/metrics")[1]
    restarts = [line for line in metrics.splitlines() if line.startswith("voxtrait_worker_restarts{")]
    print(f"\nmemory (server + 2 workers), MB: {before} after {WARM} uploads, {after} at the end")
    print(
        f"temporary files left: {len(left)}; open files of the server: {psutil.Process(server.process.pid).num_fds()}"
    )
    print(f"workers replaced: {', '.join(restarts) or 'none'}")
    same = server.post("/v1/predict", wav()) == good
    print(f"a good upload is answered as before: {'yes' if same else 'NO'}")
    faults = [line for line in server.lines if '"level": "error"' in line]
    print(f"decoders that failed in an unforeseen way, by the log: {len(faults)}")
    for line in [*faults[:10], *wrong[:20]]:
        print("  ", line[:300])
    return 0 if same and not wrong and not left and not faults else 1


def memory(server: Running) -> str:
    """Resident memory in MB: the server's, and the workers'."""
    found = [psutil.Process(pid).memory_info().rss / 1e6 for pid in (server.process.pid, *sorted(server.workers()))]
    return " + ".join(f"{one:.0f}" for one in found)


if __name__ == "__main__":
    sys.exit(main())
