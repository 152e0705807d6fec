"""Shared by tests of the page: a server process, a browser, and tabs that fail on errors and foreign requests."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import running

RATE = 16_000
PATIENCE_S = 30.0  # maximum wait for a change of the page, on a busy machine
Visit = Callable[..., Any]
BROKEN = "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective + ' ' + e.blockedURI))"


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The address of a server in a separate process."""
    with running("--quiet", *options) as server:
        yield server.url


def launch(driver: Any, heard: Path, profile: Path | None = None, **look: Any) -> Any:
    """Chromium with a microphone that plays a WAV file in a loop; with a profile on disk, its only context."""
    from playwright.sync_api import Error

    own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # as in a container, where its sandbox does not start
    microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    file = f"--use-file-for-fake-audio-capture={heard}"
    try:
        options = [*(["--no-sandbox"] if root else []), *microphone, file]
        if profile is None:
            return driver.chromium.launch(executable_path=own, args=options)
        return driver.chromium.launch_persistent_context(profile, executable_path=own, args=options, **look)
    except Error as error:
        pytest.skip(f"no Chromium to look with: {str(error).splitlines()[0]}")


@contextmanager
def visits(browser: Any, address: str) -> Iterator[Visit]:
    """Opens tabs on the page; fails at the end if one made a foreign request, logged an error or broke the policy."""
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


def expect(found: Any) -> Any:
    """Playwright's ``expect``, which repeats until it is true. Imported here, because Playwright may be missing."""
    from playwright.sync_api import expect as patiently

    patiently.set_options(timeout=1000 * PATIENCE_S)
    return patiently(found)


def becomes(tab: Any, script: str, wanted: Any, given: Any = None) -> None:
    """Repeat a script in a tab until it returns the wanted value."""
    end = time.monotonic() + PATIENCE_S
    while (found := tab.evaluate(script, given)) != wanted and time.monotonic() < end:
        tab.wait_for_timeout(50)
    assert found == wanted, f"{script} found {found!r}, expected {wanted!r}"


def recorded(tab: Any, seconds: int) -> None:
    """Wait until a recording has at least this length: a single second of its clock could be missed."""
    clock = "const [minutes, rest] = document.getElementById('clock').textContent.split(':').map(Number)"
    tab.wait_for_function(f"(least) => {{ {clock}; return 60 * minutes + rest >= least; }}", arg=seconds)


def record(tab: Any, seconds: int = 3) -> None:
    """Record for some seconds with the mouse, and wait for the result."""
    tab.click("#record")
    recorded(tab, seconds)
    tab.wait_for_selector("#so-far-p:not(:empty)")
    tab.click("#record")
    tab.wait_for_selector("#stage[data-state=idle]")
    tab.wait_for_selector("#single .card")


def saved(tab: Any, selector: str, folder: Path) -> Path:
    """Save the file that a button downloads, and return its path."""
    with tab.expect_download() as found:
        tab.click(selector)
    target = folder / found.value.suggested_filename
    found.value.save_as(target)
    return target
