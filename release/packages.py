"""Builds sdist and wheel once with each Python, in different folders, and compares them: ``make release``.

python release/packages.py [--out build/dist] [--python NAME ...]

The builds differ in Python, folder, file times, umask, time zone and locale, and follow one another. Each is made from
the last commit, in an environment of its own, and the wheel is made from the sdist. All must have the same hashes.
"""

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import contents
import pythons

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "release" / "requirements.txt"
VARIATIONS = (
    {"folder": "a", "umask": 0o022, "days": 0, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    {"folder": "b/much/longer/folder", "umask": 0o077, "days": 400, "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
    {"folder": "c with a space", "umask": 0o002, "days": 4000, "TZ": "America/St_Johns", "LC_ALL": "C.UTF-8"},
)


def released(changelog: str) -> tuple[str, datetime.date]:
    """Version and date of the newest release in the changelog."""
    heading = re.search(r"^## (\d\S*) – (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    if heading is None:
        sys.exit("CHANGELOG.md has no heading with a version and a date. Expected: ## 1.2.3 – 2026-11-29.")
    return heading[1], datetime.date.fromisoformat(heading[2])


def epoch(changelog: str) -> int:
    """SOURCE_DATE_EPOCH of the release: midnight of its date in UTC."""
    day = released(changelog)[1]
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())


def commit() -> str:
    """The last commit: asked for once, because a build takes minutes."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def export(which: str, folder: Path, umask: int, days: int) -> None:
    """Write the files of a commit into a folder, with a umask, and with times that many days ago."""
    folder.mkdir(parents=True)
    packed = folder.with_name(folder.name + ".tar")
    subprocess.run(["git", "archive", "-o", packed, which], cwd=ROOT, check=True)
    before = os.umask(umask)
    try:
        with tarfile.open(packed) as archive:
            for member in archive:
                member.mode = (0o777 if member.isdir() or member.mode & 0o100 else 0o666) & ~umask
                member.mtime = int(time.time()) - days * 86_400
                archive.extract(member, folder, filter="fully_trusted")
    finally:
        os.umask(before)
    packed.unlink()


def build(which: str, python: pythons.Python, work: Path, variation: dict[str, object]) -> dict[str, Path]:
    """Build in a fresh environment and return the files by name."""
    folder, umask = work / str(variation["folder"]), int(str(variation["umask"]))
    export(which, folder, umask, int(str(variation["days"])))
    out = work / f"{str(variation['folder'])[0]}-out"
    runs = pythons.environment(python, work / f"{str(variation['folder'])[0]}-env")
    pythons.pip(runs, "-r", TOOLS, constraints=folder / "constraints.txt")
    fixed = {
        "SOURCE_DATE_EPOCH": str(epoch((folder / "CHANGELOG.md").read_text("utf-8"))),
        # the isolated environment gets the tested versions, because the wheel names that of its builder
        "PIP_CONSTRAINT": str((folder / "constraints.txt").resolve().as_uri()),
        "TZ": str(variation["TZ"]),
        "LC_ALL": str(variation["LC_ALL"]),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    command = [runs, "-m", "build", "--outdir", out, folder]
    done = subprocess.run(command, env=kept | fixed, umask=umask, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}Building with Python {python.version} failed.")
    return {file.name: file for file in sorted(out.iterdir())}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description="Build sdist and wheel with each Python and compare them.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "dist", help="folder for the result")
    parser.add_argument("--python", action="append", default=[], metavar="NAME", help="interpreter (repeatable)")
    parser.add_argument("--version", action="store_true", help="print the version of the release and end")
    arguments = parser.parse_args()
    version = released((ROOT / "CHANGELOG.md").read_text("utf-8"))[0]
    if arguments.version:
        print(version)
        return
    builders = pythons.found(arguments.python)
    builders += builders[:1] * (2 - len(builders))  # two builds at least
    which = commit()
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    if changed:
        print("Changes that are not committed are not in the build.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="voxtrait-release-") as name:
        made = []
        for number, python in enumerate(builders):
            variation = VARIATIONS[number % len(VARIATIONS)]
            work = Path(name) / str(number)
            work.mkdir()
            files = build(which, python, work, variation)
            made.append({file: digest(path) for file, path in files.items()})
            for file, value in made[-1].items():
                size = files[file].stat().st_size
                print(f"Python {python.version:8} umask {variation['umask']:03o}  {value}  {size:>9,}  {file}")
        if any(one != made[0] for one in made):
            sys.exit("The builds differ. Expected the same hashes from every Python.")
        pair = (files[file] for file in sorted(made[0], key=lambda file: Path(file).suffix))
        wrong = contents.problems(ROOT, *pair, commit=which)
        if wrong:
            sys.exit("\n".join(wrong))
        shutil.rmtree(arguments.out, ignore_errors=True)
        arguments.out.mkdir(parents=True)
        for path in files.values():
            shutil.copy(path, arguments.out)
    sums = "".join(f"{value}  {file}\n" for file, value in sorted(made[0].items()))
    (arguments.out / "SHA256SUMS").write_text(sums, "utf-8")
    print(f"voxtrait {version}: {len(builders)} builds, one hash each for sdist and wheel: {arguments.out}")


if __name__ == "__main__":
    main()
