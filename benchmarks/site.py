"""Measures the static site: python benchmarks/site.py [--models NAME...] [--times] [--stages] [--slow]

Prints what the first visit transfers, compressed with gzip and with brotli (needs `make node`). With --times, also
prints times and memory in Chromium: 10 records of 5 s, 10 later visits, and half an hour of sound as 6 kinds of file.
With --stages, prints when each stage of a later visit ends. With --slow, prints the times of a phone that is four times
as slow: all processes of the browser stop for three quarters of the time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import site_slow
import site_times
import site_visits

from sites import written
from voxtrait.web.site import EXAMPLES

PACK = """
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
const sizes = process.argv.slice(1).map((file) => {
  const content = readFileSync(file);
  return [content.length, gzipSync(content, { level: 9 }).length, brotliCompressSync(content, { params }).length];
});
console.log(JSON.stringify(sizes));
"""
FORMS = ("not compressed", "gzip", "brotli")


def sizes(model: str, folder: Path) -> None:
    """Print the size of each part of the first visit in MB."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [file for file in files if not file.relative_to(folder).as_posix().startswith(EXAMPLES)]
    command = ["node", "--input-type=module", "-e", PACK, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    parts: dict[str, list[int]] = {"graphs": [0, 0, 0], "ONNX Runtime": [0, 0, 0], "page, fonts": [0, 0, 0]}
    for file, found in zip(files, json.loads(done.stdout), strict=True):
        part = {".onnx": "graphs", ".wasm": "ONNX Runtime"}.get(file.suffix, "page, fonts")
        parts[part] = [one + other for one, other in zip(parts[part], found, strict=True)]
    parts["in all"] = [sum(column) for column in zip(*parts.values(), strict=True)]
    print(f"\n| {model}, MB | {' | '.join(FORMS)} |\n|---|---|---|---|")
    for part, row in parts.items():
        print(f"| {part} | {' | '.join(f'{size / 1e6:.2f}' for size in row)} |", flush=True)


def main() -> None:
    """Print a table for each bundle."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["voxtrait-base", "voxtrait-fast"])
    parser.add_argument("--times", action="store_true", help="Measure times and memory in Chromium too.")
    parser.add_argument("--stages", action="store_true", help="Print when each stage of a later visit ends.")
    parser.add_argument("--slow", action="store_true", help="Measure times in Chromium, slowed four times.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for model in options.models:
            folder = written(Path(name) / model, model)
            sizes(model, folder)
            if options.times:
                site_times.report(model, folder, long=model == options.models[-1])
            if options.stages:
                site_visits.stages(model, folder, site_times.RECORDS)
            if options.slow:
                site_slow.report(model, folder)


if __name__ == "__main__":
    main()
