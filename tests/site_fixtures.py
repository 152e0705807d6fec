"""Fixtures for tests of the static site: folder, host and page. A pytest plugin, together with page_fixtures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pages import Visit, visits
from sites import hosted, written


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("site") / "public" / "voice")  # below the root of the host


@pytest.fixture(scope="session")
def host(folder: Path) -> Iterator[str]:
    with hosted(folder.parent) as address:
        yield address


@pytest.fixture
def opened(browser: Any, host: str) -> Iterator[Visit]:
    """Opens tabs of the site that are ready."""
    with visits(browser, host) as visit:

        def opens(**options: Any) -> Any:
            tab = visit("/voice/", **options)
            tab.wait_for_selector("body[data-ready=yes]")
            return tab

        yield opens
