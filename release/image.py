"""Builds the file tree of deploy/Dockerfile without Docker, measures it, and runs its server in it: ``make image``.

python release/image.py [--work FOLDER]

Needs Linux, root and debootstrap (apt-get install debootstrap). Debian's minimal tree stands for the base image,
without the documentation and the languages that debian:bookworm-slim leaves out. The steps RUN and COPY, the user, the
variables and the command are read from the Dockerfile. The server runs in a chroot: the tree is mounted read-only, /tmp
is a tmpfs, no capability is left, and the user is the Dockerfile's. Its answer must be the one of a prediction here.
"""

import argparse
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 300_000_000  # bytes of the image
RELEASE = "bookworm"
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
OURS = ("/etc/pip.conf", "/opt/wheels", "/opt/pypi", "/opt/pypi-more")  # pip's settings and packages on this machine
TRUST = Path("/etc/ssl/certs/ca-certificates.crt")
PORT, TOKEN = 8217, "a-token-for-this-check"
JAIL = """
set -e
mount --bind "$TREE" "$TREE"
mount -t proc proc "$TREE/proc"
mount --rbind /dev "$TREE/dev"
mount -o remount,bind,ro "$TREE"
mount -t tmpfs -o size=1g,mode=1777 tmpfs "$TREE/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$TREE/run"
printf '%s' "$TOKEN" > "$TREE/run/token"
"""
REFUSED = """
import os
for place in ("/x", "/opt/voxtrait/x", "/usr/x"):
    try:
        open(place, "w")
        print("writable:", place)
    except OSError:
        pass
print(os.getuid(), os.getgid())
"""


def stages(text: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage: ``[[("FROM", …), ("RUN", …)], …]``."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def value(stage: list[tuple[str, str]], word: str) -> str:
    """The last value of an instruction."""
    return [rest for name, rest in stage if name == word][-1]


def run(*command: str | Path, **more: object) -> None:
    subprocess.run(list(map(str, command)), check=True, **more)  # type: ignore[call-overload]


def base(tree: Path) -> None:
    """Make a minimal Debian."""
    run("debootstrap", "--variant=minbase", RELEASE, tree, stdout=subprocess.DEVNULL)


def inside(tree: Path, command: str, here: str = "/", **variables: str) -> None:
    """Run a shell command in the tree, with the network and the package index of this machine."""
    shutil.copy("/etc/resolv.conf", tree / "etc" / "resolv.conf")
    if TRUST.is_file():  # a copy: installing certificates in the tree must not change those of this machine
        (own := tree / TRUST.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TRUST, own)
    script = [f"mount -t proc proc {tree}/proc"]
    for place in filter(os.path.exists, OURS):
        made = f"mkdir -p {tree}{place}" if Path(place).is_dir() else f"touch {tree}{place}"
        script += [made, f"mount --bind {place} {tree}{place}", f"mount -o remount,bind,ro {tree}{place}"]
    script += [f"exec chroot {tree} sh -e -c {shlex.quote(f'cd {here}; {command}')}"]
    kept = {name: text for name, text in os.environ.items() if name.startswith(("PIP_", "http", "no_proxy"))}
    fixed = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    run(
        "unshare",
        "--mount",
        "sh",
        "-e",
        "-c",
        "; ".join(script),
        env=kept | fixed | variables,
        stdout=subprocess.DEVNULL,
    )


def slim(tree: Path) -> None:
    """Leave out what the slim image of Debian has not."""
    for place in LEFT_OUT:
        shutil.rmtree(tree / place, ignore_errors=True)


def size_of(tree: Path) -> int:
    """Bytes of all files, each link once."""
    files = [os.lstat(Path(here, name)) for here, _, names in os.walk(tree) for name in names]
    return sum({one.st_ino: one.st_size for one in files}.values())


def build(work: Path) -> tuple[Path, list[tuple[str, str]]]:
    """Carry out both stages and return the tree of the image, and the instructions of its stage."""
    first, second = stages((ROOT / "deploy" / "Dockerfile").read_text("utf-8"))
    maker, tree = work / "build", work / "image"
    base(maker)
    run("cp", "-a", maker, tree)  # with the devices in /dev, which must not be read
    for word, rest in first:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                goal = maker / "src" / (source if target == "./" else target)
                goal.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, goal)
        elif word == "RUN":
            (maker / "src").mkdir(exist_ok=True)
            inside(maker, rest, "/src", MEDIA="no")
    for word, rest in second:
        if word == "RUN":
            inside(tree, rest)
        elif word == "COPY":
            shutil.copytree(maker / "opt/voxtrait", tree / "opt/voxtrait", symlinks=True)
    (tree / TRUST.relative_to("/")).unlink(missing_ok=True)
    slim(tree)
    return tree, second


def jailed(tree: Path, stage: list[tuple[str, str]], command: list[str]) -> list[str]:
    """The command line that runs a command in the tree as the Dockerfile's user, read-only."""
    user, _, group = value(stage, "USER").partition(":")
    variables = shlex.split(value(stage, "ENV"))
    chroot = f"setpriv --reuid={user} --regid={group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    script = JAIL + f'exec chroot "$TREE" {chroot} /usr/bin/env -i "$@"'
    fixed = ["env", f"TREE={tree}", f"TOKEN={TOKEN}"]
    return [*fixed, "unshare", "--mount", "sh", "-c", script, "sh", *variables, *command]


def ask(clip: bytes) -> dict[str, object]:
    """Post a clip to the server, as soon as it runs."""
    border = "voxtrait-image-check"
    head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = head.encode() + clip + f"\r\n--{border}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={border}", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/v1/predict", body, headers)
    for _ in range(120):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return dict(json.loads(response.read()))
        except urllib.error.HTTPError as error:
            sys.exit(f"The server answered {error.code}: {error.read().decode()}")
        except urllib.error.URLError:
            time.sleep(0.5)
    sys.exit("The server did not answer within a minute.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the image's file tree, measure it, and run its server.")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/voxtrait-image"), help="folder for the trees")
    work = parser.parse_args().work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tree, stage = build(work)
    size, ours = size_of(tree), size_of(tree / "opt/voxtrait")
    print(
        f"image: {size / 1e6:.0f} MB, of which voxtrait and its packages {ours / 1e6:.0f} MB; limit {MOST / 1e6:.0f} MB"
    )
    done = subprocess.run(
        jailed(tree, stage, ["/opt/voxtrait/bin/python", "-c", REFUSED]), capture_output=True, text=True
    )
    print(f"user and group: {done.stdout.strip()} {done.stderr.strip()}")
    from voxtrait.web.examples import example

    clip = example("female")
    command = [*json.loads(value(stage, "ENTRYPOINT")), *json.loads(value(stage, "CMD"))]
    command = ["127.0.0.1" if word == "0.0.0.0" else str(PORT) if word == "8000" else word for word in command]
    server = subprocess.Popen(jailed(tree, stage, command), stderr=subprocess.PIPE)
    try:
        found = ask(clip)
    finally:
        server.terminate()
        server.wait(60)
    import soundfile

    import voxtrait

    signal, rate = soundfile.read(io.BytesIO(clip), dtype="float32")
    here = voxtrait.load().predict(signal, sampling_rate=rate)
    print(f"server, read-only: {found['gender']} (p {found['p_female']}), {found['age_years']} years; here: {here}")
    left = [str(file) for file in (tree / "tmp").iterdir()]
    same = found["gender"] == here.gender and abs(float(str(found["age_years"])) - float(here.age_years or 0)) < 1
    user = value(stage, "USER").replace(":", " ")
    good = size <= MOST and same and done.stdout.strip() == user and not left and server.returncode == 0
    print(f"exit status of the server after SIGTERM: {server.returncode}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
