"""The report as a page: its summary, contents and folded tables, its merged bins, and what a browser makes of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from pages import expect
from test_evaluate_groups import LOST, MALE, WRONG, answers
from voxtrait.evaluate import clips, figures, page, plots, report
from voxtrait.palette import FEMALE
from voxtrait.palette import MALE as MALE_COLOUR

pytest_plugins = ["page_fixtures"]
ROWS: list[dict[str, Any]] = [
    *[{"age_years": 32.0, "years": 30.0 + at % 5, "p": 0.7 + at / 120} for at in range(24)],
    *[MALE | {"age_years": 44.0, "years": 40.0 - at % 9, "p": 0.02 + at / 80} for at in range(24)],
    *[MALE | {"age_years": 9.0, "years": 12.0, "locale": "de"}] * 3,
    *[WRONG | {"age_years": 61.0, "years": 40.0, "locale": "ja"}] * 2,
    *[LOST | {"age_years": 16.0, "years": 24.0}] * 2,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    rows, bundle = answers(folder / "b", ROWS)
    found = report.build(rows, bundle, split="test", leakage=clips.Leakage("none", ()), n_unlabelled=3)
    (folder / "report.html").write_text(page.html(found, rows), encoding="utf-8")
    return folder / "report.html"


def bins(*counts: int) -> list[dict[str, Any]]:
    """Ten bins of a report; predictions are at the middle, and half of the clips are female."""
    return [
        {"low": at / 10, "high": (at + 1) / 10, "n_clips": n, "p_female": round(at / 10 + 0.05, 2) if n else None,
         "share_female": 0.5 if n else None}
        for at, n in enumerate(counts)
    ]  # fmt: skip


def test_bins_are_merged_until_each_holds_twenty_clips() -> None:
    merged = figures.merged_bins(bins(30, 5, 0, 10, 5, 19, 1, 0, 12, 7))
    assert [(row["low"], row["high"], row["n_clips"]) for row in merged] == [(0, 0.1, 30), (0.1, 0.5, 20), (0.5, 1, 39)]
    assert [row["p_female"] for row in merged] == [
        0.05,
        0.325,
        round((19 * 0.55 + 0.65 + 12 * 0.85 + 7 * 0.95) / 39, 6),
    ]
    assert {row["share_female"] for row in merged} == {0.5}
    # the last bins join their left neighbour; with few clips there is one bin, and full bins stay as they are
    assert [row["n_clips"] for row in figures.merged_bins(bins(20, *[0] * 8, 19))] == [39]
    assert [row["n_clips"] for row in figures.merged_bins(bins(*[1] * 10))] == [10]
    assert figures.merged_bins(bins(*[20] * 10)) == bins(*[20] * 10)
    mixed = [row | {"share_female": row["n_clips"] / 100} for row in bins(5, 15)]
    assert figures.merged_bins(mixed) == [
        {"low": 0.0, "high": 0.2, "n_clips": 20, "p_female": 0.125, "share_female": 0.125}
    ]


def test_the_plot_has_the_merged_bins_with_their_numbers() -> None:
    drawn = plots.reliability(figures.merged_bins(bins(30, 5, 0, 10, 5, 19, 1, 0, 12, 7)))
    assert re.findall(r"<!-- (\d+) -->", drawn) == ["30", "20", "39"]


def test_figures_have_the_colours_of_the_page() -> None:
    row = {"value": 0.9, "low": 0.8, "high": 1.0, "n_clips": 9, "n_speakers": 9}
    drawn = plots.recalls({"female": row, "male": row})
    assert "var(--female)" in drawn and "var(--male)" in drawn and "var(--ink)" in drawn
    assert FEMALE.light not in drawn and MALE_COLOUR.light not in drawn


def test_the_summary_comes_first_and_has_the_figures_that_matter(made: Path) -> None:
    text = made.read_text("utf-8")
    summary = text[text.index('id="summary"') : text.index('aria-labelledby="contents"')]
    assert "Test set: 55 clips of 55 speakers, split <code>test</code>. Leakage: none." in summary
    shown = re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong> <span class=\"quiet\">\((.*?)\)", summary)
    assert [name for name, *_ in shown] == [
        "Gender: mean recall of women and men (UAR)",
        "Gender: confidently wrong",
        "Age: mean absolute error (MAE)",
        "Age: true ages inside the 80 % interval",
    ]
    assert all(re.fullmatch(r"[\d.]+–[\d.]+", bounds) for *_, bounds in shown)
    assert re.search(r"guessing gives 0\.5\. Adults: 0\.\d{3} \(0\.\d{3}–[01]\.\d{3}\)\.", summary)
    assert "Always predicting 32 years: " in summary
    assert "Under 13 (3 speakers, too few for reliable figures)" in summary
    assert text.index('id="summary"') < text.index('id="gender"') < text.index('id="age"') < text.index('id="limits"')


def test_contents_lead_to_every_section(made: Path) -> None:
    text = made.read_text("utf-8")
    contents = text[text.index('aria-labelledby="contents"') : text.index("</nav>")]
    links = re.findall(r'href="#(\w+)"', contents)
    assert links == ["gender", "fairness", "age", "decades", "limits", "groups", "worst", "clips", "method", "model"]
    assert all(f'id="{name}"' in text for name in links)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_axe_finds_nothing(browser: Any, made: Path, scheme: Any, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(made.as_uri())
    assert tab.evaluate("document.fonts.ready.then(() => document.fonts.check('16px Onest'))")
    folded = tab.locator("details:not([open]) > summary")
    for _ in range(folded.count()):
        folded.first.click()
    expect(tab.locator("details:not([open])")).to_have_count(0)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert axe.Axe().run(tab).response["violations"] == []
    context.close()
