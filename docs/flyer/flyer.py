"""Write the flyer, one page of A4 in English and in Russian, as PDF: make flyer.

    python docs/flyer/flyer.py build/flyer

The figures are those of the default bundle. Chromium prints the page (Playwright).
"""

import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from playwright.sync_api import sync_playwright

from voxtrait import bundle, palette
from voxtrait.evaluate import wording

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LANGUAGES = ("en", "ru")


def figures(language: str) -> dict[str, str]:
    """The figures of the default bundle, as a language writes them."""
    found = bundle.load()
    uar, mae, constant = (
        found.scores["gender"]["uar_adults"],
        found.scores["age"]["mae"],
        found.scores["age"]["mae_constant"],
    )
    size = sum(file.stat().st_size for file in found.folder.iterdir()) / 1e6
    texts = {
        "uar": wording.number(uar["value"], "uar"),
        "uar_interval": wording.bounds(uar, "uar"),
        "mae": wording.bare(wording.number(mae["value"], "mae")),
        "mae_interval": wording.bounds(mae, "mae"),
        "constant": wording.bare(wording.number(constant["value"], "mae")),
        "size": f"{size:.1f}",
        "clips": f"{found.scores['n_clips']:,}",
        "speakers": f"{found.scores['n_speakers']:,}",
    }
    return {name: text.replace(".", ",") if language == "ru" else text for name, text in texts.items()}


def html(language: str) -> str:
    """The flyer in a language, as an HTML page that refers to files of the repository."""
    texts = tomllib.loads((HERE / "flyer.toml").read_text("utf-8"))[language]
    source = (HERE / "flyer.html").read_text("utf-8")
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return (
        jinja2.Environment(autoescape=True)
        .from_string(source)
        .render(
            language=language,
            t=_filled(texts, figures(language)),
            page=(ROOT / "src" / "voxtrait" / "web" / "page").as_uri(),
            picture=(ROOT / "docs" / "images" / "page.png").as_uri(),
            css=palette.css(),
            font=palette.FONT,
            version=pyproject["project"]["version"],
        )
    )


def _filled(texts: Mapping[str, Any], numbers: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: [[part.format(**numbers) for part in row] for row in text]
        if isinstance(text, list)
        else text.format(**numbers)
        for name, text in texts.items()
    }


def main(out: Path) -> None:
    """Write ``voxtrait-LANGUAGE.html`` and ``.pdf`` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    own = shutil.which("chromium") or shutil.which("google-chrome")  # otherwise the browser of Playwright
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=own, args=["--no-sandbox"])
        tab = browser.new_page()
        for language in LANGUAGES:
            file = out / f"voxtrait-{language}.html"
            file.write_text(html(language), "utf-8")
            tab.goto(file.resolve().as_uri(), wait_until="networkidle")
            tab.pdf(path=file.with_suffix(".pdf"), prefer_css_page_size=True, print_background=True)
            print(file.with_suffix(".pdf"))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/flyer"))
