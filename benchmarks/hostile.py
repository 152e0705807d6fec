"""Sends thousands of hostile uploads to a server, and measures its responses, memory and temporary files.

python benchmarks/hostile.py [--count 2000] [--seed 1]

Prints responses by kind of upload, responses to requests with false headers, memory before and after, remaining
temporary files, restarted workers, and whether the response to a valid upload is unchanged. Exit status 1 if a check
fails.
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # for the uploads of the tests

from hostile import Hostile, first_line, requests, uploads
from servers import Running, running, wav
from voxtrait.web.errors import KINDS
from voxtrait.web.upload_folder import PREFIX

SENDERS = 4  # simultaneous uploads
WARM = 200  # uploads before the first measurement of memory
ROUNDS = 10  # rounds of requests with false headers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="number of uploads")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
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

    print("\n| request with false headers | responses |\n|---|---|")
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
    print(f"remaining temporary files: {len(left)}; open files: {psutil.Process(server.process.pid).num_fds()}")
    print(f"restarted workers: {', '.join(restarts) or 'none'}")
    same = server.post("/v1/predict", wav()) == good
    print(f"response to a valid upload unchanged: {'yes' if same else 'NO'}")
    faults = [line for line in server.lines if '"level": "error"' in line]
    print(f"unexpected decoder errors in the log: {len(faults)}")
    for line in [*faults[:10], *wrong[:20]]:
        print("  ", line[:300])
    return 0 if same and not wrong and not left and not faults else 1


def memory(server: Running) -> str:
    """Return the resident memory of the server and of the workers, in MB."""
    found = [psutil.Process(pid).memory_info().rss / 1e6 for pid in (server.process.pid, *sorted(server.workers()))]
    return " + ".join(f"{one:.0f}" for one in found)


if __name__ == "__main__":
    sys.exit(main())
