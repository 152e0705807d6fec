"""Writes the page as a static site: the bundle runs in the browser, and nothing leaves the device."""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from voxtrait.audio.writing import atomic_path
from voxtrait.bundle import Bundle
from voxtrait.errors import OptionError, OutputError, require
from voxtrait.recognize import portable

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "page"  # the page of the server …
OFFLINE: Final = HERE / "offline"  # … and the modules that replace its connection to the server
RUNTIME: Final = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
RUNTIME_PACKAGE: Final = "onnxruntime-web@1.22.0"  # smaller than later versions, and starts sooner
ROOT_FILES: Final = ("sw.js", "manifest.webmanifest")
EXAMPLES: Final = "examples/"  # clips that a visitor may ask for; they are no part of the first visit
START: Final = '<script type="module" async src="static/start.js"></script>'  # the worker, before all else
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""As that of the server, but WebAssembly may be compiled. No source is outside the site."""
LICENCE: Final = "runtime/ contains ONNX Runtime (MIT, Microsoft), from the npm package {package}.\n"


def write(bundle: Bundle, out: Path, runtime: Path | None = None) -> list[Path]:
    """Write the site of a bundle to a new folder.

    Args:
        bundle: a bundle with a speaker encoder.
        out: the folder. It may exist if it is empty.
        runtime: folder of the npm package onnxruntime-web; ``None`` to get it with npm.

    Returns:
        Paths of the files.

    Raises:
        MissingExtraError: if a package of the extra ``site`` is not installed.
        BundleError: if the bundle has no encoder.
        OptionError: if the folder is not empty, or is not onnxruntime-web, or if npm is missing or fails.
        OutputError: if a file cannot be written.
    """
    require("a site", "site", "onnx", "jinja2")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} exists and is not an empty folder. Choose a new folder for the site.")
    with _runtime(runtime) as found:
        contents = {f"runtime/{name}": (found / name).read_bytes() for name in RUNTIME}
        portable.export(bundle.folder, out / "model")
        contents |= _pages(bundle) | _package() | _graph()
        contents["runtime/LICENCE.txt"] = LICENCE.format(package=RUNTIME_PACKAGE).encode()
        for name, content in contents.items():
            _write(out / name, content)
    files = sorted(file for file in out.rglob("*") if file.is_file())
    offline = {file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    # the service worker comes last: it lists all other files, and its version changes with any of them
    version = hashlib.sha256(json.dumps(offline).encode()).hexdigest()[:16]
    first = ["./", *(name for name in offline if not name.startswith(EXAMPLES))]
    worker = (OFFLINE / "sw.js").read_text("utf-8").replace("{{VERSION}}", version)
    _write(out / "sw.js", worker.replace("{{FILES}}", json.dumps(first)).encode())
    return [*files, out / "sw.js"]


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{file.parent} cannot be made: {error.strerror}") from None
    with atomic_path(file) as part:
        part.write_bytes(content)


def _pages(bundle: Bundle) -> dict[str, bytes]:
    """Return the page, its files, the example clips and the model card."""
    from voxtrait.web.card import card
    from voxtrait.web.examples import NAMES, example

    contents = {f"static/{file.name}": file.read_bytes() for file in PAGE.iterdir() if file.name != "index.html"}
    for file in OFFLINE.iterdir():
        if file.name not in ROOT_FILES:
            contents[f"static/{file.name}"] = file.read_bytes()
    contents["manifest.webmanifest"] = (OFFLINE / "manifest.webmanifest").read_bytes()
    contents |= {f"{EXAMPLES}{name}.wav": example(name) for name in NAMES}
    index = (PAGE / "index.html").read_text("utf-8")
    index = index.replace("<body ", '<body data-local="yes" ', 1)
    index = index.replace("</title>", f'</title>\n{START}\n<link rel="manifest" href="manifest.webmanifest">', 1)
    return contents | {"index.html": _local(index), "model-card.html": _local(card(bundle))}


def _local(page: str) -> bytes:
    """Make the addresses of a page relative, so that it works in any folder of a host, and add the policy."""
    page = page.replace('="/static/', '="static/').replace('="/model-card', '="model-card.html')
    page = page.replace('href="/"', 'href="./"')
    policy = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    page = page.replace('<meta charset="utf-8">', policy, 1)
    left = re.findall(r'(?:href|src)="/[^"]*"', page)
    if left or POLICY not in page:
        raise OutputError(f"The page has the addresses {left}. Expected relative ones, and a policy.")
    return page.encode()


def _package() -> dict[str, bytes]:
    folder = Path(portable.__file__).parent / "voxtrait-web"
    return {f"voxtrait-web/{file.name}": file.read_bytes() for file in folder.glob("*.js")}


def _graph() -> dict[str, bytes]:
    """Return the graph of the live spectrogram."""
    from voxtrait.recognize.portable.windows import columns_graph
    from voxtrait.web.live import FRONT_END

    return {"model/columns.onnx": columns_graph(FRONT_END)}


@contextmanager
def _runtime(package: Path | None) -> Iterator[Path]:
    """Yield the folder with the files of ONNX Runtime; without a package, get it with npm."""
    if package is not None:
        if not all((package / "dist" / name).is_file() for name in RUNTIME):
            raise OptionError(f"{package} lacks dist/{RUNTIME[0]}. Expected the folder of {RUNTIME_PACKAGE} from npm.")
        yield package / "dist"
        return
    npm = shutil.which("npm")
    if npm is None:
        raise OptionError(
            f"npm is not installed. Install Node, or unpack {RUNTIME_PACKAGE} and name its folder with --runtime."
        )
    with tempfile.TemporaryDirectory() as name:
        command = [npm, "pack", "--silent", RUNTIME_PACKAGE]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False)
        archives = list(Path(name).glob("*.tgz"))
        if done.returncode or not archives:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise OptionError(f"npm cannot get {RUNTIME_PACKAGE}: {reason}. Name its folder with --runtime.")
        shutil.unpack_archive(archives[0], name, filter="data")
        yield Path(name) / "package" / "dist"
