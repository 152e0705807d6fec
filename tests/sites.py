"""Shared by tests of the static site: it is written to a folder, and a host serves it."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

import nodes
from voxtrait.cli import root


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a log; what it is asked for is kept."""

    asked: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: Any) -> None:
        self.asked.append(self.path)


def written(out: Path, model: str = "voxtrait-fast") -> Path:
    """Write the site of a bundle with the command line."""
    runtime = nodes.PACKAGES / "onnxruntime-web"
    if not runtime.is_dir():
        pytest.skip("onnxruntime-web is not installed: run `make node`")
    done = CliRunner().invoke(root, ["site", str(out), "--model", model, "--runtime", str(runtime), "-q"])
    assert done.exit_code == 0, done.output
    return out


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a static host of a folder."""
    serve = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
