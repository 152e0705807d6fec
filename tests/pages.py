"""What tests of the page share: a server in a process of its own, a browser, tabs that watch what they are told."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

RATE = 16_000
Visit = Callable[..., Any]
BROKEN = "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective + ' ' + e.blockedURI))"


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """A server in a process of its own, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voxtrait", "serve", "--port", str(port), "--quiet", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert server.poll() is None, server.stderr.read().decode() if server.stderr else ""
            try:
                urllib.request.urlopen(f"{address}/healthz").close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.communicate()


def launch(driver: Any, heard: Path) -> Any:
    """Chromium with a microphone that plays a WAV file, again and again."""
    from playwright.sync_api import Error

    own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # as in a container, where its sandbox keeps it from starting
    microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    file = f"--use-file-for-fake-audio-capture={heard}"
    try:
        options = [*(["--no-sandbox"] if root else []), *microphone, file]
        return driver.chromium.launch(executable_path=own, args=options)
    except Error as error:
        pytest.skip(f"no Chromium to look with: {str(error).splitlines()[0]}")


@contextmanager
def visits(browser: Any, address: str) -> Iterator[Visit]:
    """Opens tabs on the page; afterwards, none may have asked another origin, erred, or broken a policy."""
    wrong: list[str] = []
    contexts = []

    def note(said: Any, allow: str) -> None:
        if said.type == "error" and not (allow and allow in said.text):
            wrong.append(said.text)

    def visit(path: str = "/", *, allow: str = "", before: Callable[[Any], None] | None = None, **options: Any) -> Any:
        context = browser.new_context(**{"permissions": ["microphone"], "locale": "en-GB", **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: note(said, allow))
        own = (address, "blob:", "data:", address.replace("http", "ws"))
        tab.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
        tab.add_init_script(BROKEN)
        if before:
            before(tab)
        tab.goto(address + path)
        if path == "/":
            tab.wait_for_selector("body[data-ready=yes]")
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert wrong == [], wrong


def record(tab: Any, seconds: int = 3) -> None:
    """Record so long, by the mouse, until the result is there."""
    tab.click("#record")
    tab.locator("#clock", has_text=f"0:0{seconds}").wait_for()
    tab.wait_for_selector("#so-far-p:not(:empty)")
    tab.click("#record")
    tab.wait_for_selector("#stage[data-state=idle]")
    tab.wait_for_selector("#single .card")


def saved(tab: Any, selector: str, folder: Path) -> Path:
    """The file that a button downloads."""
    with tab.expect_download() as found:
        tab.click(selector)
    target = folder / found.value.suggested_filename
    found.value.save_as(target)
    return target
