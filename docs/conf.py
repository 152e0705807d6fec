"""Settings of the documentation site: Sphinx reads this file. ``make docs`` builds the site into build/docs.

Sphinx was selected because it documents the Python API from docstrings, checks every internal link in its strict
mode, and builds without a network. MyST lets the pages stay Markdown, which code hosts display too. Furo is a theme
with light and dark colours that loads nothing from other servers.
"""

import os
import re
import sys
from pathlib import Path

import numpy.typing as npt
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
sys.path.insert(0, str(ROOT / "src"))

from voxtrait import palette  # noqa: E402
from voxtrait.recognize.inputs import Input  # noqa: E402

PAGE = "../src/voxtrait/web/page"  # the site has the look of the web page


def _variables(scheme: str) -> dict[str, str]:
    """The project's colours as Furo's variables, for the scheme ``light`` or ``dark``."""
    colours = {
        "brand-primary": palette.ACCENT,
        "brand-content": palette.ACCENT,
        "brand-visited": palette.ACCENT,
        "foreground-primary": palette.INK,
        "foreground-secondary": palette.QUIET,
        "foreground-muted": palette.QUIET,
        "foreground-border": palette.STRONG_LINE,
        "background-primary": palette.RAISED,
        "background-secondary": palette.PAPER,
        "background-hover": palette.SUNK,
        "background-border": palette.LINE,
    }
    return {
        "font-stack": palette.FONT,
        **{f"color-{name}": getattr(colour, scheme) for name, colour in colours.items()},
    }


_ALIASES = {"Input": Input, "ArrayLike": npt.ArrayLike}

project = "voxtrait"
author = "the voxtrait developers"
version = release = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]  # type: ignore[index]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["flyer"]
root_doc = "index"
nitpicky = True

# Names in signatures that the site has no page for: other packages, and types of ours that callers do not name.
nitpick_ignore_regex = [
    (r"py:class", r"voxtrait\.recognize\.(inputs|inference|merging)\..*"),
    (r"py:class", r"voxtrait\.(audio\.channels|timelines\.clusters)\..*"),
    (r"py:class", r"voxtrait\.derived\.folders\.Outcome|Recipe|EncoderRecipe|Outcome|FastAPI|Input|ArrayLike"),
    (r"py:.*", r"(numpy|np|polars|pl|pandas|matplotlib|collections|typing|pathlib|os|io|onnxruntime|click)(\..*)?"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports: list[str] = []
python_use_unqualified_type_names = True

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]

html_title = "voxtrait"
html_theme = "furo"
html_static_path = ["_static", f"{PAGE}/onest-latin.woff2", f"{PAGE}/onest-cyrillic.woff2"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = f"{PAGE}/favicon.svg"
html_theme_options = {f"{scheme}_css_variables": _variables(scheme) for scheme in ("light", "dark")}
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False

# Files at the top of the repository that are pages of the site. The page in this folder is a link for code hosts.
_TOP = {"CONTRIBUTING": "contributing", "CHANGELOG": "reference/changelog", "SECURITY": "explanation/security"}
_LINK = re.compile(r"(\]\(<?)(?![a-z]+:|#)([^)#>\s]+)")


def _top_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Insert the top-level files into their pages, and point links to those files at the pages."""
    here = ROOT / "docs" / f"{page}.md"
    for file, name in _TOP.items():
        if name == page:
            here, source[0] = ROOT / f"{file}.md", (ROOT / f"{file}.md").read_text("utf-8")

    def rebased(link: re.Match[str]) -> str:
        target = (here.parent / link[2]).resolve()
        if target.parent == ROOT and target.stem in _TOP:
            target = ROOT / "docs" / f"{_TOP[target.stem]}.md"
        return link[1] + os.path.relpath(target, (ROOT / "docs" / page).parent)

    source[0] = _LINK.sub(rebased, source[0])


def _short_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Write type aliases by their names, and default factories so that the signature is valid Python."""
    if signature is None:
        return None
    for alias, value in _ALIASES.items():
        for mode in ("fully-qualified-except-typing", "smart"):
            signature = signature.replace(stringify_annotation(value, mode), alias)
    return signature.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> None:
    """Connect the events of this project to Sphinx."""
    app.connect("source-read", _top_files)
    app.connect("autodoc-process-signature", _short_signature)
