"""The flyer is one page in each language, and has the figures of the default bundle."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from voxtrait import bundle

FLYER = Path(__file__).resolve().parent.parent / "docs" / "flyer" / "flyer.py"


@pytest.fixture(scope="module")
def flyer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flyer", FLYER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_figures_are_those_of_the_default_bundle(flyer: ModuleType) -> None:
    scores = bundle.load().scores
    uar, mae = scores["gender"]["uar_adults"], scores["age"]["mae"]["value"]
    english, russian = flyer.html("en"), flyer.html("ru")
    assert f"<b>{uar['value']:.3f}</b>" in english and f"({uar['low']:.3f}–{uar['high']:.3f})" in english
    assert f"<b>{mae:.1f} years</b>" in english
    assert f"<b>{uar['value']:.3f}</b>".replace(".", ",") in russian
    assert f"{scores['n_clips']} clips of {scores['n_speakers']} test speakers" in english
    assert "{" not in re.sub(r"<style>.*?</style>", "", english + russian, flags=re.DOTALL)


def test_it_is_one_page(flyer: ModuleType, tmp_path: Path) -> None:
    from playwright.sync_api import Error

    try:
        flyer.main(tmp_path)
    except Error as error:
        pytest.skip(f"no Chromium to print with: {str(error).splitlines()[0]}")
    for language in flyer.LANGUAGES:
        pdf = (tmp_path / f"voxtrait-{language}.pdf").read_bytes()
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1, language
        assert pdf.count(b"/Subtype /Image") >= 1
