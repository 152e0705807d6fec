"""Figures by group and what is said of them, on tables of answers made up for it."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile

import models
from test_evaluate import unwrapped, value
from voxtrait import synthetic
from voxtrait.bundle import Bundle
from voxtrait.evaluate import clips, evaluate, figures, languages, limits, page, report, slices
from voxtrait.labels import AGE_GROUPS


def answers(folder: Path, rows: list[dict[str, Any]]) -> tuple[pl.DataFrame, Bundle]:
    """Clips as they are when they have been answered, each of a speaker of its own unless said otherwise, and a bundle
    that might have answered them."""
    plain = {"gender": "female", "age_years": 30.0, "age_group": None, "locale": "en", "p": 0.9, "answer": "female"}
    plain |= {"years": 30.0, "status": "ok", "snr_db": 25.0, "duration_s": 5.0}
    table = pl.DataFrame(
        [plain | {"speaker_id": f"s{at:03}"} | row for at, row in enumerate(rows)], infer_schema_length=None
    )
    manifest = table.select(
        pl.format("c/{}", pl.int_range(pl.len())).alias("clip_id"),
        pl.lit("a.wav").alias("path"),
        *[pl.col(name).cast(pl.String) for name in ("speaker_id", "gender", "age_group", "locale")],
        pl.col("age_years").cast(pl.Float64),
        pl.lit("c").alias("corpus"),
        pl.lit("1").alias("release"),
    )
    truth = clips.with_truth(manifest, ("gender", "age"))
    ok = pl.col("status") == "ok"
    answered = table.select(
        "status",
        pl.lit(None, pl.String).alias("message"),
        pl.col("duration_s").cast(pl.Float64),
        pl.when(ok).then(pl.col("answer")).alias("gender"),
        pl.when(ok).then(pl.col("p")).alias("p_female"),
        pl.when(ok).then(pl.col("years")).alias("age_years"),
        pl.when(ok).then(pl.col("years") - 5).alias("age_low"),
        pl.when(ok).then(pl.col("years") + 5).alias("age_high"),
        pl.when(ok)
        .then((pl.col("years") // 10).cast(pl.Int64).replace_strict(dict(enumerate(AGE_GROUPS))))
        .alias("age_group"),
        pl.lit(None, pl.String).alias("joint_class"),
        pl.col("snr_db").cast(pl.Float64),
    )
    return pl.concat([truth, answered], how="horizontal"), models.make_encoder_bundle(folder)


MALE = {"gender": "male", "p": 0.1, "answer": "male"}
WRONG = {"p": 0.1, "answer": "male"}  # for a woman
LOST = {"gender": "male", "p": 0.9, "answer": "female"}  # for a man


def built(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    table, bundle = answers(folder, rows)
    return report.build(table, bundle, split="all", leakage=clips.Leakage("none", ()), n_unlabelled=0)


def sizes(rows: dict[str, Any]) -> dict[str, int]:
    return {name: row["n_clips"] for name, row in rows.items()}


def test_slices_by_noise_and_duration(tmp_path: Path) -> None:
    levels = [-3.0, 9.99, 10.0, 19.99, 20.0, 30.0, 44.0, None]
    rows = [{"snr_db": level, "duration_s": 1.0 + at} for at, level in enumerate(levels)]
    rows[1] |= WRONG
    found = built(tmp_path, [*rows, {"snr_db": None, "duration_s": 0.5, "status": "too_short"}])["slices"]
    assert sizes(found["snr"]) == {
        "under 10 dB": 2,
        "10 to 20 dB": 2,
        "20 to 30 dB": 1,
        "30 dB and over": 2,
        "unknown": 1,
    }
    assert found["snr"]["under 10 dB"]["gender"]["accuracy"] == {"value": 0.5, "low": 0.0, "high": 1.0}
    assert found["snr"]["unknown"]["unanswered"]["too_short"]["value"] == 0.5
    assert sizes(found["duration"]) == {"under 2 s": 1, "2 to 4 s": 2, "4 to 6 s": 2, "6 to 10 s": 3}
    assert found["duration"]["under 2 s"]["unanswered"]["n_clips"] == 2


def test_a_slice_without_any_answer_is_there_and_says_so(tmp_path: Path) -> None:
    found = built(tmp_path, [{}, {"locale": "cy", "status": "no_speech"}])
    celtic = found["slices"]["locale_group"]["Celtic"]
    assert (celtic["n_clips"], celtic["unanswered"]["no_speech"]["value"], celtic["gender"]["accuracy"]) == (0, 1, None)
    assert "Clips without a prediction: 1 without speech" in found["limits"][-1]


def test_children_are_a_slice_of_their_own_and_a_teen_of_unknown_years_is_none_of_them(tmp_path: Path) -> None:
    boy = {"age_years": 9.0} | LOST
    rows: list[dict[str, Any]] = [boy, boy | {"p": 0.52, "answer": "unsure"}, {"age_years": 12.9}]
    rows += [{"age_years": 13.0}, {"age_years": 17.0}, {"age_years": 18.0}, {"age_years": 40.0}]
    rows += [{"age_years": None, "age_group": group} for group in ("under_ten", "teens", "twenties", None)]
    found = built(tmp_path, rows)
    assert sizes(found["slices"]["children"]) == {"under 13": 4, "13 to 17": 2, "teens, years unknown": 1, "adults": 3}
    under = found["slices"]["children"]["under 13"]["gender"]
    assert (under["accuracy"]["value"], under["wrong_sure"]["value"], under["unsure"]["value"]) == (0.5, 0.25, 0.25)
    first = found["children"][0]
    assert first.startswith("Under 13 (4 speakers, too few for reliable figures): gender accuracy 50.0 % (")
    assert "confidently wrong 25.0 % (" in first
    assert len(found["children"]) == 3  # adults are none
    assert all(sentence in unwrapped(page.card(found)) for sentence in found["children"])
    assert "The evaluated clips include no children and no teens." in page.card(built(tmp_path, [{}, MALE]))


def test_women_and_men_of_an_age_are_held_against_each_other(tmp_path: Path) -> None:
    thirties = [*[{}] * 30, *[MALE] * 15, *[LOST] * 5]  # recalls 1 and 3/4
    older = [{"age_years": 62.0} | one for one in ({}, WRONG, MALE)]  # 1/2 and 1, of three people
    young = [{"age_years": 15.0} | one for one in (WRONG, WRONG, MALE)]  # no adults
    found = built(tmp_path, [*thirties, *older, *young])
    fairness = found["fairness"]
    assert list(fairness["groups"]) == ["thirties", "sixties"]
    row = fairness["groups"]["thirties"]
    assert [row[sex]["n_speakers"] for sex in ("female", "male")] == [30, 20]
    assert (row["female"]["value"], row["male"]["value"], value(row["difference"])) == (1, 0.75, 0.25)
    assert row["difference"]["low"] > 0
    assert (fairness["largest"]["group"], fairness["largest"]["value"]) == ("sixties", -0.5)
    assert (fairness["largest_of_many"]["group"], fairness["largest_of_many"]["value"]) == ("thirties", 0.25)
    assert fairness["adults"]["female"]["value"] == pytest.approx(31 / 32, abs=1e-6)
    assert fairness["adults"]["male"]["value"] == pytest.approx(16 / 21, abs=1e-6)
    (sentence,) = [text for text in found["limits"] if text.startswith("Among adults")]
    lower = "most in the thirties: the recall of male voices is lower by 25.0 points"
    assert f"{lower} (among age groups with at least 20 speakers of each gender)." in sentence
    assert "chance" not in sentence
    assert "| thirties | 30 | 100.0 % (100.0–100.0) | 20 | 75.0 % (" in page.card(found)
    alone = slices.fairness(answers(tmp_path, [{}])[0])
    assert (alone["groups"]["thirties"]["male"]["value"], alone["groups"]["thirties"]["difference"]) == (None, None)
    assert alone["largest"] is None


def test_limits_name_the_worst_group_and_say_where_that_may_be_chance(tmp_path: Path) -> None:
    good = [{"locale": "de", "age_years": 32.0}] * 40 + [MALE | {"locale": "de", "age_years": 32.0}] * 40
    bad = [WRONG | {"locale": "ja", "age_years": 71.0}] * 11 + [{"locale": "ja", "age_years": 71.0}]
    few = [WRONG | {"locale": "kab", "age_years": 55.0}] * 9
    found = limits.sentences(built(tmp_path, good + bad + few))
    assert found[0].startswith("The mean absolute error (MAE) of the age is 8.7 years (")
    assert found[0].endswith(
        "Always predicting 32 years has an MAE of 6.7 years. In years, the model is not better than that guess."
    )
    assert found[2].startswith(
        "By language family, gender accuracy is lowest for Japonic: 8.3 % (0.0–25.0), 12 speakers; the age error is"
    )
    assert "Age groups estimated too young or too old on average: seventies 41.0 years too young." in found
    assert "The 80 % interval contains fewer than 80 % of the true ages for: seventies, 0.0 % (0.0–0.0)." in found
    assert "Unreliable figures, from fewer than 10 speakers: female fifties." in found
    assert any(text.startswith("Not tested: female under ten, female teens,") for text in found)
    close = (
        [{"locale": "de"}] * 15 + [WRONG | {"locale": "de"}] + [{"locale": "ja"}] * 14 + [WRONG | {"locale": "ja"}] * 2
    )
    (sentence,) = [text for text in limits.sentences(built(tmp_path, close)) if text.startswith("By language")]
    assert "Japonic: 87.5 % (68.8–100.0), 16 speakers (may be chance; overall 90.6 %)" in sentence


def test_a_bundle_that_answers_in_years(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"years": 22.0, "age_years": 25.0},
        {"years": 99.0, "age_years": 8.0},
        {"age_years": 95.0},
    ]
    found = built(tmp_path, rows)
    assert value(found["age"]["group_uar"]) == pytest.approx(1 / 3, abs=1e-6)  # of all that occur: 20s, under ten, 90s
    assert {found["age"][name] for name in ("joint_uar", "joint_accuracy", "joint_majority", "joint_chance")} == {None}
    assert (found["confusion"]["joint"], found["recall"]["joint"]) == (None, {})
    assert found["pretrained"] == [{"name": "nothing", "source": "made up", "licence": "CC0-1.0"}]
    card = page.card(found)
    assert "age: single years from 0 to 99." in card
    assert "| nothing | made up | CC0-1.0 |" in card
    assert "without published weights" not in card
    assert "nothing, made up, licence CC0-1.0" in page.html(found, answers(tmp_path, rows)[0])


def test_the_noise_of_a_clip_comes_from_the_recogniser(tmp_path: Path) -> None:
    rows = [{"id": f"{sex}{at}", "sex": sex, "at": at} for sex in ("female", "male") for at in range(2)]
    for row in rows:
        voice = synthetic.speak(synthetic.draw_voice(row["sex"], 30, seed=row["at"]), 4.0, seed=1)
        quiet = np.random.default_rng(0).normal(0, 0.001, 16_000)  # a second to tell the noise by
        soundfile.write(tmp_path / f"{row['id']}.wav", np.concatenate([voice, quiet]), 16_000)
    table = pl.DataFrame(
        {
            "clip_id": [row["id"] for row in rows],
            "path": [f"{row['id']}.wav" for row in rows],
            "speaker_id": [row["id"] for row in rows],
            "gender": [row["sex"] for row in rows],
        }
    )
    table.write_csv(tmp_path / "m.csv")
    found = evaluate(models.make_encoder_bundle(tmp_path / "b").folder, tmp_path / "m.csv", tmp_path / "out")
    told = pl.read_csv(tmp_path / "out/predictions.csv")["snr_db"]
    assert told.null_count() == 0
    assert sum(sizes(found["slices"]["snr"]).values()) == 4
    assert "unknown" not in found["slices"]["snr"]


def test_languages() -> None:
    common_voice = (
        "ab ar as br ca cnh cs cv cy de dv el en eo es et eu fa fi fr fy-NL ga-IE hi hsb hu ia id it ja ka kab ky lg "
        "lt lv mn mt nl or pa-IN pl pt rm-sursilv rm-vallader ro ru rw sah sl sv-SE ta th tr tt vi vot zh-CN zh-HK "
        "zh-TW"
    )
    assert [one for one in common_voice.split() if languages.family_of(one) == languages.OTHER] == []
    families = {
        "as": "Indo-Iranian",
        "cnh": "Sino-Tibetan",
        "hsb": "Slavic",
        "MT": "Semitic",
        "sah": "Turkic",
        "vot": "Uralic",
    }
    assert {code: languages.family_of(code) for code in families} == families
    assert (languages.family_of("xx"), languages.family_of("english")) == (languages.OTHER, languages.OTHER)
    codes = [code for group in languages._FAMILIES.values() for code in group.split()]
    assert len(codes) == len(set(codes))


def test_the_largest_locale_groups_come_first_and_no_locale_is_none(tmp_path: Path) -> None:
    rows = [{"locale": one} for one in ("fr", "en", "fr", "de", "ca", "tlh", None)]
    assert sizes(built(tmp_path, rows)["slices"]["locale_group"]) == {"Romance": 3, "Germanic": 2, "other": 1}


def test_figures_without_a_clip_are_none(tmp_path: Path) -> None:
    table, bundle = answers(tmp_path, [{"status": "no_speech"}])
    none = figures.age_clips(table)
    assert set(figures.intervals(none, figures.age_figures(none, bundle), figures.AGE_FIGURES).values()) == {None}
