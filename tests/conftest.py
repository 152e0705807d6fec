"""Fixtures that every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from voxtrait import audio

# With 1, property-based tests look for new examples. Without it, they take the same examples in every run.
settings.register_profile("voxtrait", derandomize=not os.environ.get("VOXTRAIT_EXPLORE"))
settings.load_profile("voxtrait")

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of the checkout in a folder without src, as ``make test-wheel`` makes it."""
    if not (HERE.parent / "src").is_dir():
        for item in items:
            if item.get_closest_marker("checkout"):
                item.add_marker(pytest.mark.skip(reason="a test of the checkout, and this folder has no src"))


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech; tests that need it are skipped where it is not."""
    # Folder of real speech for tests and benchmarks. The default is `../shared/corpora`.
    folder = Path(os.environ.get("VOXTRAIT_SPEECH") or HERE.parent.parent / "shared" / "corpora")
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real speech at {folder}: set VOXTRAIT_SPEECH to the folder of corpora")
    return folder


@pytest.fixture(scope="session")
def speech_clips(speech: Path) -> list[tuple[Path, np.ndarray]]:
    """Sixty real clips of many languages, decoded at 16 kHz."""
    paths = sorted((speech / "cv-corpus-6.1-2020-12-11").glob("*/clips/*.mp3"))
    return [(path, audio.load(path)[0]) for path in paths[:: max(1, len(paths) // 60)]]
