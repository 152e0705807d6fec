"""Fixtures for tests of the page in Chromium: browser, tabs, and synthetic recordings. A pytest plugin."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pages import RATE, Visit, launch, serving, visits
from voxtrait import audio
from voxtrait.synthetic import cohort, speak


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    for package in ("fastapi", "uvicorn", "websockets"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'voxtrait[web]'")
    with serving() as found:
        yield found


# a driver at work leaves an event loop running in this thread, in which asyncio.run of other tests fails
@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files: four voices, silence, a voice that is too short, and a text file."""
    folder = tmp_path_factory.mktemp("voices")
    spoken = [speak(voice, 3.0, 1) for voice in cohort(4, 3)]
    silence = np.zeros(2 * RATE, np.float32)
    short = np.concatenate([silence[: RATE // 2], spoken[0][: round(0.6 * RATE)], silence[: RATE // 2]])
    made = {"a.wav": spoken[0], "b, too.wav": spoken[1], "c10.wav": spoken[2], "c9.wav": spoken[3], "short.wav": short}
    for name, signal in {**made, "silent.wav": silence}.items():
        audio.write_wav(folder / name, signal, RATE)
    (folder / "text.wav").write_text("This is no audio.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    heard = tmp_path_factory.mktemp("microphone") / "heard.wav"
    audio.write_wav(heard, speak(cohort(2, 3)[1], 8.0, 1), RATE)
    found = launch(driver, heard)
    yield found
    found.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    with visits(browser, address) as found:
        yield found
