"""One number for one thing: the figures of the shipped bundles are the same, in the same format, wherever they are."""

import html
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import models
from test_evaluate import write_manifest
from voxtrait import bundle as bundles
from voxtrait.cli import root
from voxtrait.cli.models import FIGURES
from voxtrait.evaluate import evaluate, wording
from voxtrait.evaluate.report import OF_ADULTS
from voxtrait.training.run import headline
from voxtrait.training.study.scores import measure
from voxtrait.web.card import card

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("voxtrait-base", "voxtrait-fast", "voxtrait-diary")
IN_README = NAMES[:2]
SHARE = r"\d\.\d{3} \(\d\.\d{3}–\d\.\d{3}\)"  # 0.977 (0.955–0.992)
YEARS = r"\d+\.\d years \(\d+\.\d–\d+\.\d\)"  # 7.6 years (6.2–9.2)
FIGURE = re.compile(rf"{SHARE}|{YEARS}")
OWNED = re.compile(rf"`(voxtrait-[a-z]+)`|({SHARE}|{YEARS})")


def scores(name: str) -> dict[str, Any]:
    return dict(bundles.load(name).scores)


def shown(name: str) -> dict[tuple[str, str], str]:
    """Every figure in the scores of a bundle, as text."""
    found = scores(name)
    return {
        (task, figure): wording.interval(found[task][figure], figure)
        for task, figures in wording.NAMES.items()
        for figure in figures
        if found[task].get(figure) is not None
    }


def text_of(page: str) -> str:
    """A page as one line, for sentences that go on over the end of a line."""
    return " ".join((ROOT / page).read_text("utf-8").split())


def test_set(name: str) -> str:
    found = scores(name)
    return f"{found['n_clips']:,} clips of {found['n_speakers']:,} speakers"


test_set.__test__ = False  # type: ignore[attr-defined]  # no test


def owned(text: str) -> list[tuple[str, str]]:
    """Each figure of a text with the bundle that was named last before it."""
    found, name = [], ""
    for match in OWNED.finditer(text):
        name = match[1] or name
        if match[2]:
            found.append((name, match[2]))
    return found


def test_every_bundle_was_tested_on_the_same_clips() -> None:
    assert {test_set(name) for name in NAMES} == {"557 clips of 203 speakers"}
    assert {(scores(name)["split"], scores(name)["leakage"]) for name in NAMES} == {("test", "none")}


def test_figures_of_a_bundle_have_one_format() -> None:
    for name in NAMES:
        figures = shown(name)
        assert {("gender", "uar"), ("gender", "uar_adults"), ("age", "mae")} <= set(figures)
        assert [key for key in figures if "uar" in key[1] and not re.fullmatch(SHARE, figures[key])] == []
        assert [key for key in figures if key[1].startswith("mae") and not re.fullmatch(YEARS, figures[key])] == []


def test_the_readme_has_the_figures_of_the_bundles_and_names_the_test_set() -> None:
    text = text_of("README.md")
    figures = owned(text)
    assert [(name, figure) for name, figure in figures if figure not in shown(name).values()] == []
    for name in IN_README:
        for key in (("gender", "uar_adults"), ("age", "mae")):
            assert (name, shown(name)[key]) in figures
    assert test_set(NAMES[0]) in text


def test_the_readme_has_the_limits_of_the_default_bundle() -> None:
    text, found = text_of("README.md"), scores(bundles.DEFAULT)
    (unsure,) = re.findall(r"(\d+\.\d %) of adults' clips", text)
    assert unsure == wording.number(found["gender"]["unsure_adults"]["value"], "unsure_adults")
    ((guess, error),) = re.findall(r"[Aa]lways estimating (\d+) years gives (\d+\.\d years)", text)
    assert float(guess) == found["age"]["constant"]
    assert error == wording.number(found["age"]["mae_constant"]["value"], "mae_constant")
    (fifties,) = re.findall(r"fifties by (\d+) years", text)
    assert int(fifties) == round(-found["age"]["by_group"]["fifties"]["bias"])


def test_voxtrait_models_prints_them() -> None:
    text = CliRunner().invoke(root, ["models"]).stdout
    rows = {line.split()[0]: line for line in text.partition("\n\n")[0].splitlines()}
    for name in NAMES:
        expected = [shown(name)[key] for key in FIGURES]
        assert FIGURE.findall(rows[name]) == expected
        assert f"\n{bundles.load(name).title}\n" in text
    assert text.count(f"  tested on: {test_set(NAMES[0])}, split test; leakage: none\n") == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_card_has_them(name: str) -> None:
    page = f"docs/reference/model-card-{name.removeprefix('voxtrait-')}.md"
    text = (ROOT / page).read_text("utf-8")
    for (task, figure), value in shown(name).items():
        assert f"\n| {task}: {wording.NAMES[task][figure]} | {value} |\n" in text
    assert f"\nTest set: {test_set(name)}, split `test`.\nLeakage: none." in text


@pytest.mark.parametrize("name", NAMES)
def test_the_card_of_the_web_page_has_them(name: str) -> None:
    text = html.unescape(card(bundles.load(name)))
    for (task, figure), value in shown(name).items():
        assert f"<td>{task}: {wording.NAMES[task][figure]}</td><td>{value}</td>" in text
    assert f"{test_set(name)}, split test; leakage: none" in text


def test_the_evidence_has_them() -> None:
    lines = (ROOT / "docs" / "explanation" / "evidence.md").read_text("utf-8").splitlines()
    (head,) = [at for at, line in enumerate(lines) if re.findall(r"`(voxtrait-[a-z]+)`", line) == list(NAMES)]
    rows = [line.strip("| ").split(" | ") for line in lines[head + 2 : lines.index("", head)]]
    assert rows[-2:] == [
        ["test set: clips", *(f"{scores(name)['n_clips']:,}" for name in NAMES)],
        ["test set: speakers", *(f"{scores(name)['n_speakers']:,}" for name in NAMES)],
    ]
    for at, name in enumerate(NAMES, start=1):
        column = [row[at] for row in rows[:-2]]
        assert [cell for cell in column if cell not in shown(name).values()] == []
        assert {shown(name)[key] for key in FIGURES} <= set(column)


def test_a_wrong_figure_would_be_found() -> None:
    right = shown("voxtrait-fast")["gender", "uar_adults"]
    text = f"`voxtrait-base` is slower. `voxtrait-fast`: UAR {right}, error 9.5 years (7.3–11.6)."
    assert owned(text) == [("voxtrait-fast", right), ("voxtrait-fast", "9.5 years (7.3–11.6)")]
    assert [one for name, one in owned(text) if one not in shown(name).values()] == ["9.5 years (7.3–11.6)"]


def test_figures_of_adults_are_those_of_their_slice(tmp_path: Path) -> None:
    made = models.make_bundle(tmp_path / "b")
    report = evaluate(made.folder, write_manifest(tmp_path), tmp_path / "out")
    adults = report["slices"]["children"]["adults"]["gender"]
    assert {name: report["gender"][f"{name}_adults"] for name in OF_ADULTS} == {
        name: adults[name] for name in OF_ADULTS
    }
    nobody = evaluate(
        made.folder, write_manifest(tmp_path, age_years=pl.lit(8.0), age_group=pl.lit("under_ten")), tmp_path / "none"
    )
    assert {nobody["gender"][f"{name}_adults"] for name in OF_ADULTS} == {None}


def test_a_bundle_is_measured_again(tmp_path: Path) -> None:
    """Only its scores change; what the training counted stays."""
    made = models.with_scores(models.make_bundle(tmp_path / "b"), {"contradicted": 3, "gender": None, "n_clips": 1})
    before = json.loads((made.folder / "bundle.json").read_text("utf-8"))
    table = write_manifest(tmp_path)
    scores = measure(made, table, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert scores == {"contradicted": 3} | headline(report)
    assert scores["n_clips"] == report["n_clips"] == 7
    assert json.loads((made.folder / "bundle.json").read_text("utf-8")) == before | {"scores": scores}
    assert bundles.load(made.folder).scores == scores
