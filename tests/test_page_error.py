"""The error beside an estimate of age on the page: of the estimated decade, and only where the bundle has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import voxtrait
from pages import Visit, expect
from voxtrait.labels import AGE_GROUPS

pytest_plugins = ["page_fixtures"]

SENTENCE = """async ([group, errors]) => {
  const { expectedError } = await import("/static/age-error.js");
  return expectedError({ age_group: group }, errors);
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
