"""Limits beside the estimates on the page, and the accuracy by group: only what the bundle's evaluation has."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import voxtrait
from pages import Visit, expect
from test_page_looks import PAGE
from voxtrait.evaluate import figures, limits, slices
from voxtrait.labels import AGE_GROUPS

pytest_plugins = ["page_fixtures"]

SENTENCE = """async ([group, errors]) => {
  const { expectedError } = await import("/static/limits.js");
  return expectedError({ age_group: group }, errors);
}"""
AGE_LIMITS = """async ([prediction, labelled, estimated]) => {
  const { ageLimits } = await import("/static/limits.js");
  return ageLimits(prediction, labelled, estimated);
}"""
EVERYWHERE = {group: {"mae": 9.0, "bias": -6.0} for group in AGE_GROUPS}


def serve_scores(change: Callable[[dict[str, Any]], None]) -> Callable[[Any], None]:
    """Let the page read other scores of the active bundle."""

    def answer(route: Any) -> None:
        models = route.fetch().json()
        change(models[0])
        route.fulfill(json=models)

    return lambda tab: tab.route("**/v1/models", answer)


def error_of(tab: Any, voice: Path) -> list[str]:
    tab.set_input_files("#files", voice)
    tab.wait_for_selector("#single .card.ok")  # put into the page as a whole: nothing comes later
    return tab.locator(".part.age .expected-error").all_inner_texts()


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en-GB", "In evaluation, estimates in the {en} were 9 years off on average, mostly too young."),
        (
            "ru-RU",
            "При проверке модели оценка {ru} отличалась от настоящего возраста в среднем на 9 лет, "
            "в основном в меньшую сторону.",
        ),
    ],
)
def test_the_error_of_the_estimated_decade_is_beside_the_estimate(
    visit: Visit, voices: Path, locale: str, text: str
) -> None:
    group = voxtrait.load().predict(voices / "a.wav").age_group
    russian = {"teens": "10–19 лет", "twenties": "20–29 лет", "thirties": "30–39 лет", "forties": "40–49 лет"}
    true, other = {"mae": 8.6, "bias": -6.1}, {"mae": 30.0, "bias": 30.0}
    scores = {"age": {"by_group": {group: other}, "by_estimate": {group: true, "nineties": other}}}
    tab = visit(locale=locale, before=serve_scores(lambda model: model.update(scores=scores)))
    assert error_of(tab, voices / "a.wav") == [text.format(en=group, ru=russian.get(str(group)))]


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update(scores={}),
        lambda model: model["scores"]["age"].pop("by_estimate", None),
        lambda model: model["scores"]["age"].update(by_estimate={"nineties": {"mae": 9.0, "bias": 1.0}}),
        lambda model: model.update(title="another 1.0", scores={"age": {"by_estimate": EVERYWHERE}}),
    ],
    ids=["no scores", "an older bundle", "too few speakers of this decade", "another bundle answered"],
)
def test_without_the_error_of_this_decade_nothing_is_shown(
    visit: Visit, voices: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    tab = visit(before=serve_scores(change))
    assert error_of(tab, voices / "a.wav") == []
    expect(tab.locator(".part.age")).to_contain_text("interval")


@pytest.mark.parametrize(
    ("group", "mae", "bias", "said"),
    [
        ("fifties", 9.4, -4.7, "estimates in the fifties were 9 years off on average, mostly too young."),
        ("fifties", 9.4, -4.6, "estimates in the fifties were 9 years off on average."),
        ("teens", 11.5, 8.3, "estimates in the teens were 12 years off on average, mostly too old."),
        ("under_ten", 1.2, 0.0, "estimates under ten were 1 year off on average."),
        ("nineties", 0.0, 0.0, "estimates in the nineties were 0 years off on average."),
    ],
)
def test_the_sentence(visit: Visit, group: str, mae: float, bias: float, said: str) -> None:
    tab = visit()
    assert tab.evaluate(SENTENCE, [group, {group: {"mae": mae, "bias": bias}}]) == f"In evaluation, {said}"


@pytest.mark.parametrize("row", [None, {}, {"mae": None, "bias": None}, {"mae": "9", "bias": -6.0}, {"mae": 9.0}])
def test_no_sentence_without_numbers(visit: Visit, row: Any) -> None:
    assert visit().evaluate(SENTENCE, ["fifties", {"fifties": row}]) is None


@pytest.mark.parametrize(("mae", "years"), [(1.0, "1 год"), (3.0, "3 года"), (9.0, "9 лет"), (21.0, "21 год")])
def test_russian_counts_years(visit: Visit, mae: float, years: str) -> None:
    tab = visit(locale="ru-RU")
    errors = {"under_ten": {"mae": mae, "bias": mae}}
    assert tab.evaluate(SENTENCE, ["under_ten", errors]) == (
        "При проверке модели оценка до 10 лет отличалась от настоящего возраста в среднем на "
        f"{years}, в основном в большую сторону."
    )


def biases(**years: float) -> dict[str, Any]:
    return {group: {"bias": bias, "n_clips": 20, "n_speakers": 12} for group, bias in years.items()}


OLD = biases(teens=6.0, twenties=1.0, forties=-6.0, fifties=-12.0)
FORTIES = "Voices aged 40 to 49 are usually underestimated, by about 6 years."
YOUNG = "Voices over 40 are usually underestimated, by about 9 years."


@pytest.mark.parametrize(
    ("low", "high", "labelled", "estimated", "said"),
    [
        (33.0, 60.0, OLD, {}, [YOUNG]),  # 45 - 6 is inside the interval
        (42.0, 50.0, OLD, {}, [YOUNG]),  # 55 - 12 is
        (15.0, 30.0, OLD, {}, ["Voices aged 10 to 19 are usually overestimated, by about 6 years."]),  # 15 + 6 is
        (15.0, 60.0, OLD, {}, ["Voices aged 10 to 19 are usually overestimated, by about 6 years.", YOUNG]),
        (15.0, 60.0, OLD, {"thirties": {"mae": 8.0, "bias": -5.0}}, [YOUNG]),  # mostly too young, not too old
        (22.0, 38.0, OLD, {}, []),
        (50.0, 70.0, OLD, {}, []),
        (33.0, 60.0, biases(forties=-6.0, fifties=0.0), {}, [FORTIES]),
        (33.0, 60.0, {"forties": {"bias": -9.0, "n_clips": 90, "n_speakers": 9}}, {}, []),  # too few for a sentence
        (33.0, 60.0, {"forties": {"mae": 9.0}}, {}, []),
        (33.0, 60.0, {}, {}, []),
        (33.0, 60.0, None, None, []),
        (None, None, OLD, {}, []),
    ],
)  # fmt: skip
def test_groups_that_are_usually_estimated_too_young_or_too_old(
    visit: Visit, low: float | None, high: float | None, labelled: Any, estimated: Any, said: list[str]
) -> None:
    prediction = {"age_low": low, "age_high": high, "age_group": "thirties"}
    assert visit().evaluate(AGE_LIMITS, [prediction, labelled, estimated]) == said


GENDER_LIMITS = """async ([prediction, groups]) => {
  const { genderLimits } = await import("/static/limits.js");
  return genderLimits(prediction, groups);
}"""
GENDERS = {
    "female_adults": {"n_clips": 145, "n_speakers": 45, "recall": 0.972},
    "male_adults": {"n_clips": 279, "n_speakers": 120, "recall": 0.978},
    "under_13": {"n_clips": 36, "n_speakers": 12, "wrong_sure": 0.25},
}


ADULTS = "Recall in evaluation: 97.2\u00a0% for female adults, 97.8\u00a0% for male adults."
CHILDREN = "For children under 13, gender was confidently wrong in 25.0\u00a0% of the clips."


@pytest.mark.parametrize(
    ("low", "high", "groups", "said"),
    [
        (24.0, 47.0, GENDERS, [ADULTS]),
        (None, None, GENDERS, [ADULTS]),  # the bundle does not estimate age
        (10.0, 20.0, GENDERS, [ADULTS, CHILDREN]),
        (8.0, 19.9, GENDERS, [CHILDREN]),
        (13.0, 19.0, GENDERS, []),
        (8.0, 19.0, {"under_13": GENDERS["under_13"] | {"n_speakers": 9}}, []),  # too few for a sentence
        (24.0, 47.0, {"female_adults": GENDERS["female_adults"]}, []),
        (8.0, 47.0, {}, []),
        (8.0, 47.0, None, []),
    ],
)
def test_how_often_gender_is_right(
    visit: Visit, low: float | None, high: float | None, groups: Any, said: list[str]
) -> None:
    assert visit().evaluate(GENDER_LIMITS, [{"age_low": low, "age_high": high}, groups]) == said


def test_limits_and_accuracy_by_group_stand_beside_the_estimates(visit: Visit, voices: Path) -> None:
    age = {"n_clips": 1045, "n_speakers": 22, "mae": 10.455, "bias": -7.098, "coverage80": 0.711}
    every = {group: age for group in AGE_GROUPS}
    scores = {
        "n_clips": 1557, "n_speakers": 1, "leakage": "none",
        "gender": {"by_group": GENDERS},
        "age": {"by_group": {**every, "forties": age | {"bias": 3.0}}, "by_estimate": {}},
    }  # fmt: skip
    tab = visit(before=serve_scores(lambda model: model.update(scores=scores)))
    assert error_of(tab, voices / "a.wav") == []
    voice = voxtrait.load().predict(voices / "a.wav")
    gender = [ADULTS] if (voice.age_high or 0) >= 20 else []
    gender += [CHILDREN] if (voice.age_low or 0) < 13 else []
    assert gender
    expect(tab.locator(".part.gender .limit")).to_have_text(gender)
    expect(tab.locator(".part.age .limits")).to_contain_text("are usually underestimated, by about 7 years.")
    expect(tab.locator(".accuracy table")).to_have_count(2)
    expect(tab.locator(".accuracy table").first).to_be_hidden()
    tab.click(".accuracy summary")
    head = "test set: 1,557 clips, 1 speaker. Leakage between training and test: none."
    expect(tab.locator(".accuracy p").first).to_contain_text(head)
    rows = tab.locator(".accuracy table").first.locator("tbody tr")
    expect(rows.nth(0).locator("th, td")).to_have_text(["female adults", "145", "45", "97.2 %", "–"])
    expect(rows.nth(2).locator("th, td")).to_have_text(["children under 13", "36", "12", "–", "25.0 %"])
    rows = tab.locator(".accuracy table").nth(1).locator("tbody tr")
    expect(rows).to_have_count(len(AGE_GROUPS))
    expect(rows.nth(3).locator("th, td")).to_have_text(["thirties", "1,045", "22", "10.5", "−7.1", "71.1 %"])
    expect(rows.nth(4).locator("td").nth(3)).to_have_text("+3.0")


def test_a_bundle_without_figures_by_group_has_no_limits_and_no_tables(visit: Visit, voices: Path) -> None:
    tab = visit(before=serve_scores(lambda model: model.update(scores={})))
    assert error_of(tab, voices / "a.wav") == []
    expect(tab.locator(".limit")).to_have_count(0)
    expect(tab.locator(".accuracy")).to_have_count(0)


def test_the_page_names_groups_by_the_rules_of_the_report() -> None:
    text = (PAGE / "limits.js").read_text("utf-8")
    rules = {name: float(value) for name, value in re.findall(r"^const ([A-Z_]+) = ([\d.]+);", text, re.MULTILINE)}
    assert (rules["BIASED"], rules["FEW"]) == (limits.BIASED, figures.FEW)
    assert rules["ADULTS"] == 10 * AGE_GROUPS.index(slices.ADULT_GROUPS[0])
    assert f"under {rules['CHILDREN']:g}" == slices.CHILDREN[0]
