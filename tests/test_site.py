"""The documentation site builds without a warning, its links work, and it loads nothing from other servers."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from pages import launch

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.checkout  # pages link to files of src
LOADING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """The links, anchors and loaded files of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value for name, value in attrs if value}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag in LOADING and LOADING[tag] in named:
            self.loaded.append(named[LOADING[tag]])


def build(source: Path, out: Path) -> str:
    """Build a site as ``make docs`` does, and return what Sphinx reports."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit status {done.returncode}")


def broken_links(site: Path) -> Iterator[str]:
    pages = {file: Page(file.read_text("utf-8")) for file in site.rglob("*.html")}
    for file, page in pages.items():
        for link in page.links + page.loaded:
            if re.match(r"[a-z]+:", link):
                continue
            path, anchor = urldefrag(link.split("?")[0])
            target = (file.parent / unquote(path)).resolve() if path else file
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{file.relative_to(site)}: no {link}"
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{file.relative_to(site)}: no anchor for {link}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    assert build(ROOT / "docs", out) == ""
    return out


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {file.relative_to(ROOT / "docs").with_suffix(".html") for file in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not (site / page).is_file()} == set()


def test_its_links_lead_somewhere(site: Path) -> None:
    assert list(broken_links(site)) == []


def test_it_loads_nothing_from_other_servers(site: Path) -> None:
    loaded = {
        link
        for file in site.rglob("*.html")
        for link in Page(file.read_text("utf-8")).loaded
        if re.match(r"([a-z]+:)?//", link)
    }
    assert loaded == set()
    styles = "".join(file.read_text("utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles) == []


@pytest.mark.slow
def test_every_page_is_accessible(site: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = {}
    with playwright.sync_playwright() as driver:
        browser = launch(driver, site / "no-microphone.wav")
        tab = browser.new_page()
        for file in sorted(site.rglob("*.html")):
            tab.goto(file.as_uri())
            if violations := axe.Axe().run(tab).response["violations"]:
                found[str(file.relative_to(site))] = [(one["id"], one["nodes"][0]["html"]) for one in violations]
        browser.close()
    assert found == {}


def test_a_broken_page_would_be_found(tmp_path: Path) -> None:
    source, out = tmp_path / "docs", tmp_path / "site"
    source.mkdir()
    (source / "conf.py").write_text('extensions = ["myst_parser"]\n', "utf-8")
    (source / "index.md").write_text("# One\n[two](two.md)\n", "utf-8")
    assert "cross-reference target not found: 'two.md'" in build(source, out)
    (out / "index.html").write_text('<a id="here" href="#there"></a><a href="absent.html"></a>', "utf-8")
    assert "index.html: no anchor for #there" in list(broken_links(out))
    assert "index.html: no absent.html" in list(broken_links(out))
