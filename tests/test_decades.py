"""Age by decade: in the report by label and by estimate, in a bundle's scores, and where they are shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

import models
from test_evaluate import unwrapped
from test_evaluate_groups import MALE, WRONG, answers, built
from voxtrait import bundle
from voxtrait.cli import root
from voxtrait.evaluate import groups, page
from voxtrait.web import Settings, create_app
from voxtrait.web.card import card

# the interval is the estimate ± 5 years; a speaker each, but for the last clip
SIXTIES = [{"age_years": 62.0, "years": years} for years in (52.0, 54.0, 56.0, 58.0, 48.0)]
SIXTIES += [{"age_years": 62.0, "years": 66.0, "speaker_id": "s000"}]
OTHERS = [{"age_years": 55.0, "years": 53.0}, {"age_years": 55.0, "years": 57.0}, {"age_years": 25.0, "years": 55.0}]
UNCOUNTED = [{"age_years": None, "years": 55.0}, {"age_years": 62.0, "years": 55.0, "status": "no_speech"}]
ROWS: list[dict[str, Any]] = [*SIXTIES, *OTHERS, *UNCOUNTED]
# errors of the labelled sixties: -10 -8 -6 -4 -14 +4
BY_GROUP = {"sixties": {"n_clips": 6, "n_speakers": 5, "mae": 7.667, "bias": -6.333, "coverage80": 0.333}}
# errors of the estimated fifties: -10 -8 -6 -4 -2 +2 +30
BY_ESTIMATE = {"fifties": {"n_clips": 7, "n_speakers": 7, "mae": 8.857, "bias": 0.286, "coverage80": 0.429}}
SCORES = {"age": {"by_group": BY_GROUP, "by_estimate": BY_ESTIMATE}}


def test_errors_by_label_and_by_estimate_are_two_things(tmp_path: Path) -> None:
    found = built(tmp_path, ROWS)
    assert groups.by_group(found)["age"] == {"by_group": BY_GROUP, "by_estimate": BY_ESTIMATE}
    slices = found["slices"]
    assert {name: row["age"]["n_clips"] for name, row in slices["age_group"].items()} == {
        "twenties": 1, "fifties": 2, "sixties": 6
    }  # fmt: skip
    assert {name: row["age"]["n_clips"] for name, row in slices["estimated_age_group"].items()} == {
        "forties": 1, "fifties": 7, "sixties": 1
    }  # fmt: skip
    assert slices["estimated_age_group"]["fifties"]["gender"]["n_clips"] == 8  # one has a gender and no age


def test_speakers_without_an_id_are_not_known_to_be_enough(tmp_path: Path) -> None:
    found = built(tmp_path, [row | {"speaker_id": None} for row in ROWS])
    assert groups.by_group(found) == {"gender": {"by_group": {}}, "age": {"by_group": {}, "by_estimate": {}}}


def test_errors_of_gender_of_adults_and_of_children(tmp_path: Path) -> None:
    adults = [*[{}] * 4, WRONG, *[MALE] * 4]  # five women, four men
    children = [{"age_years": 8.0}] * 2 + [{"age_years": 8.0, "p": 0.4, "answer": "unsure"}]
    children += [{"age_years": 8.0} | WRONG] * 2 + [{"age_years": 8.0, "gender": None}]
    assert groups.by_group(built(tmp_path, adults + children))["gender"] == {
        "by_group": {
            "female_adults": {"n_clips": 5, "n_speakers": 5, "recall": 0.8},
            "under_13": {"n_clips": 5, "n_speakers": 5, "wrong_sure": 0.4},
        }
    }
    assert groups.by_group(built(tmp_path, children[:3])) == groups.by_group(built(tmp_path, [{"status": "error"}]))


def test_the_report_and_the_card_have_age_by_decade_once(tmp_path: Path) -> None:
    found, (clips, _) = built(tmp_path, ROWS), answers(tmp_path, ROWS)
    text = page.card(found)
    decades = text[text.index("## Age by decade") : text.index("## Known limits")]
    labelled, estimated = decades.split("| Estimated decade |")
    heads = "| clips | speakers | MAE, years | bias, years | inside the 80 % interval |"
    assert f"| Labelled decade {heads}" in labelled
    assert "\n| sixties | 6 | 5 | 7.7 (" in labelled and "| −6.3 (" in labelled and "| 33.3 % (" in labelled
    assert "\n| fifties | 7 | 7 | 8.9 (" in estimated and "| +0.3 (" in estimated and "| 42.9 % (" in estimated
    assert "\n| twenties | 1 | 1 | 30.0 | +30.0 | 0.0 % | 10.0 |\n" in labelled and "twenties" not in estimated
    by_group = unwrapped(text[text.index("## Results by group") :])
    (head,) = [line for line in by_group.splitlines() if line.startswith("| Age group |")]
    assert head == "| Age group | clips | speakers | gender accuracy | confidently wrong | unsure | no speech |"
    assert "Age by age group is in “Age by decade”." in by_group
    shown = page.html(found, clips)
    assert shown.count('<h3 id="decades">Age by decade</h3>') == shown.count("<th>Estimated decade</th>") == 1
    assert '<td class="name">sixties</td><td class="n">6</td><td class="n">5</td><td class="n">7.7<br>' in shown
    assert "MAE (circles) and bias (squares) of each labelled decade" in shown


def test_a_report_without_ages_has_no_age_by_decade(tmp_path: Path) -> None:
    rows = [{"age_years": None}, MALE | {"age_years": None}]
    found = built(tmp_path, rows)
    for text in (page.card(found), page.html(found, answers(tmp_path, rows)[0])):
        assert "Age by decade" not in text and "Labelled decade" not in text


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"age": None},
        {"age": {"by_estimate": None}},
        {"age": {"by_estimate": {"fifties": {"mae": 9.0}}}},
        {"gender": {"by_group": {"female_adults": {"recall": 0.9}, "male_adults": {"n_clips": 4}, "under_13": {}}}},
    ],
)
def test_a_bundle_without_errors_by_decade_works_everywhere(tmp_path: Path, scores: dict[str, Any]) -> None:
    made = models.with_scores(models.make_encoder_bundle(tmp_path / "b"), scores)
    assert groups.by_decade(made.scores, groups.BY_ESTIMATE) == {}
    assert "Age by decade" not in card(made)
    shown = CliRunner().invoke(root, ["models", str(made.folder), "--by-decade"])
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "small 1.0 has no age error by decade. Measure it with 'voxtrait evaluate'.\n"
    assert CliRunner().invoke(root, ["models", str(made.folder), "--by-decade", "--quiet"]).stderr == ""


def test_the_shipped_bundles_load_whether_they_have_errors_by_decade_or_not() -> None:
    for folder in bundle.shipped():
        made = bundle.load(folder)
        for key in groups.AGE_KINDS:
            assert list(groups.by_decade(made.scores, key)) == list(made.scores["age"].get(key, {}))
        assert card(made)


def test_models_by_decade(tmp_path: Path) -> None:
    made = models.with_scores(models.make_encoder_bundle(tmp_path / "b"), SCORES)
    shown = CliRunner().invoke(root, ["models", str(made.folder), "--by-decade"])
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == (
        "small 1.0, age by estimated decade, in years (negative bias: underestimated)\n"
        "estimated  clips  speakers  MAE  bias  % inside the 80 % interval\n"
        "fifties        7         7  8.9   0.3                        42.9\n"
        "\n"
        "small 1.0, age by labelled decade, in years (negative bias: underestimated)\n"
        "labelled  clips  speakers  MAE  bias  % inside the 80 % interval\n"
        "sixties       6         5  7.7  -6.3                        33.3\n"
    )
    (described,) = json.loads(CliRunner().invoke(root, ["models", str(made.folder), "--format", "json"]).stdout)
    assert described["scores"] == SCORES


def test_the_server_gives_them_and_its_card_shows_them(tmp_path: Path) -> None:
    made = models.with_scores(models.make_encoder_bundle(tmp_path / "b"), SCORES)
    client = TestClient(create_app(made.folder, Settings(workers=1)), base_url="http://127.0.0.1")
    assert client.get("/v1/models").json()[0]["scores"] == SCORES
    text = client.get("/model-card").text
    assert '<th scope="col">Estimated decade</th>' in text
    cells = "".join(f"<td>{cell}</td>" for cell in ("fifties", "7", "7", "8.9", "+0.3", "42.9 %"))
    assert f"<tr>{cells}</tr>" in text
    cells = "".join(f"<td>{cell}</td>" for cell in ("sixties", "6", "5", "7.7", "−6.3", "33.3 %"))
    assert f"<tr>{cells}</tr>" in text
