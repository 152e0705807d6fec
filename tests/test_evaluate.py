"""The report, on eight clips whose every figure can be worked out on paper."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import models
from voxtrait import batch
from voxtrait.cli import root
from voxtrait.errors import LeakageError, NothingToDoError, OptionError
from voxtrait.evaluate import evaluate
from voxtrait.evaluate.report import FIELDS
from voxtrait.labels import JOINT_CLASSES
from voxtrait.recognize import Prediction, Recognizer

# clip, speaker, gender, age, brightness (which decides the answer: see models.py), what is answered
CLIPS = [
    ("1", "s1", "male", 25.0, 0.2),  # male, twenties
    ("2", "s1", "male", 25.0, 0.2),  # male, twenties
    ("3", "s2", "male", 35.0, 0.8),  # female, eighties: wrong, wrong
    ("4", "s3", "female", 85.0, 0.8),  # female, eighties
    ("5", "s4", "female", 75.0, 0.7),  # female, seventies
    ("6", "s4", "female", 75.0, 0.5),  # female (unsure), fifties: right, wrong
]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path)


def write_manifest(folder: Path, **columns: Any) -> Path:
    for name, *_, m in CLIPS:
        models.grey(folder / f"clips/{name}.png", m)
    table = pl.DataFrame(
        {
            "clip_id": [f"cv/6.1/en/{name}" for name, *_ in CLIPS] + ["cv/6.1/en/lost", "cv/6.1/en/other"],
            "path": [f"clips/{name}.png" for name, *_ in CLIPS] + ["clips/lost|a.png", "clips/1.png"],
            "speaker_id": [clip[1] for clip in CLIPS] + ["s5", "s6"],
            "gender": [clip[2] for clip in CLIPS] + ["female", "non-binary"],
            "age_years": [25.0, None, 35.0, 85.0, 75.0, 75.0, None, None],
            "age_group": ["twenties", "twenties", None, "eighties", "seventies", "seventies", None, None],
            "split": ["test"] * 8,
            "locale": ["en"] * 4 + ["fr"] * 4,
            "corpus": ["cv"] * 8,
        }
    ).with_columns(**columns)
    table.write_parquet(folder / "m.parquet")
    return folder / "m.parquet"


def value(figure: dict[str, float]) -> float:
    assert figure["low"] <= figure["value"] <= figure["high"]
    return figure["value"]


def unwrapped(card: str) -> str:
    """A model card with the lines of each paragraph joined."""
    return re.sub(r"(?<!\n)\n(> |  )?(?=[^\s|#>-])", " ", card)


def test_every_figure(tmp_path: Path, manifest: Path) -> None:
    report = evaluate(models.make_bundle(tmp_path / "b", speakers=["x"]).folder, manifest, tmp_path / "out")
    counts = ("n_clips", "n_speakers", "n_unlabelled", "split", "leakage")
    assert [report[key] for key in counts] == [7, 5, 1, "test", "none"]
    assert report["statuses"] == {"ok": 6, "no_speech": 0, "too_short": 0, "error": 1}
    assert report["failures"] == [
        {"clip_id": "cv/6.1/en/lost", "path": "clips/lost|a.png", "message": "no such file: clips/lost|a.png"}
    ]
    gender, age = report["gender"], report["age"]
    assert value(gender["uar"]) == pytest.approx(5 / 6, abs=1e-6)
    assert value(gender["accuracy"]) == pytest.approx(5 / 6, abs=1e-6)
    assert value(gender["unsure"]) == pytest.approx(1 / 6, abs=1e-6)
    assert value(gender["uar_sure"]) == pytest.approx(5 / 6, abs=1e-6)
    assert value(gender["wrong_sure"]) == pytest.approx(1 / 6, abs=1e-6)
    assert value(gender["uar_by_speaker"]) == 0.75
    p2, p7, p8 = (models.p_female(round(255 * m) / 255) for m in (0.2, 0.7, 0.8))
    p5 = models.p_female(128 / 255)
    by_hand = 2 * p2 + abs(p7 + 2 * p8 - 2) + abs(p5 - 1)  # bins 0.0, 0.9 and 0.5
    assert value(gender["ece"]) == pytest.approx(by_hand / 6, abs=1e-4)
    assert value(age["mae"]) == pytest.approx(70 / 6, abs=0.1)
    assert (age["constant"], value(age["mae_constant"])) == (55, pytest.approx(150 / 6, abs=1e-6))
    assert value(age["mae_female"]) == pytest.approx(20 / 3, abs=0.2)
    assert value(age["mae_by_speaker"]) == pytest.approx((0 + 50 + 0 + 10) / 4, abs=0.1)
    assert value(age["coverage80"]) == pytest.approx(4 / 6, abs=1e-6)
    assert value(age["interval_width_constant"]) == 60  # from 25, the lowest of six ages, to 85, the highest
    assert value(age["group_uar"]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert age["joint_uar"] is None  # no joint classes in this bundle
    assert report["confusion"]["gender"] == {"labels": ["female", "male"], "counts": [[3, 0], [1, 2]]}
    assert report["recall"]["age_group"]["seventies"] | {"low": 0, "high": 0} == {
        "n_clips": 2,
        "n_speakers": 1,
        "value": 0.5,
        "low": 0,
        "high": 0,
    }
    assert [clip["path"] for clip in report["worst"]["gender"]] == ["clips/3.png"]
    assert [clip["path"] for clip in report["worst"]["age"]][:2] == ["clips/3.png", "clips/6.png"]
    assert len(report["worst"]["age"]) == 4  # one a speaker
    assert sum(row["n_clips"] for row in report["reliability"]) == 6


def test_slices(tmp_path: Path, manifest: Path) -> None:
    slices = evaluate(models.make_bundle(tmp_path / "b").folder, manifest, tmp_path / "out")["slices"]
    kinds = ["gender", "age_group", "estimated_age_group", "gender_age_group", "children", "locale_group", "locale"]
    assert list(slices) == [*kinds, "corpus", "release", "duration", "snr"]
    assert {name: row["n_clips"] for name, row in slices["locale"].items()} == {"en": 4, "fr": 2}
    assert slices["locale"]["en"]["gender"]["uar"]["value"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert slices["locale"]["fr"]["gender"]["accuracy"] == {"value": 1, "low": None, "high": None}  # one speaker
    assert slices["gender"]["male"]["gender"]["accuracy"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert slices["gender"]["male"]["gender"]["uar"] is None
    assert list(slices["age_group"]) == ["twenties", "thirties", "seventies", "eighties"]
    assert slices["gender_age_group"]["male_thirties"]["age"]["bias"]["value"] == pytest.approx(50, abs=0.1)
    assert {name: row["n_clips"] for name, row in slices["locale_group"].items()} == {"Germanic": 4, "Romance": 2}
    assert slices["release"] == slices["duration"] == slices["snr"] == {}  # pictures have neither length nor noise
    # the lost file is a French woman's: 1 of 3 French clips, 1 of 4 women's; it is in no other figure
    assert slices["locale_group"]["Romance"]["unanswered"]["error"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert slices["gender"]["female"]["unanswered"]["n_clips"] == 4
    assert value(slices["gender"]["female"]["unanswered"]["error"]) == 0.25
    # the constant guess by group is that of all clips: 55 years
    assert slices["gender"]["female"]["age"]["mae_constant"]["value"] == pytest.approx((30 + 20 + 20) / 3, abs=1e-6)


def test_joint_classes_without_a_gender_output(tmp_path: Path, manifest: Path) -> None:
    bundle = models.make_bundle(tmp_path / "b", tasks=("age",), age_labels=JOINT_CLASSES)
    report = evaluate(bundle.folder, manifest, tmp_path / "out")
    assert report["n_clips"] == 6
    assert {report["gender"][name] for name in ("uar", "accuracy", "ece", "unsure")} == {None}
    age = report["age"]
    assert value(age["joint_uar"]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert value(age["joint_accuracy"]) == pytest.approx(4 / 6, abs=1e-6)
    assert (age["joint_chance"], value(age["joint_majority"])) == (0.25, pytest.approx(2 / 6, abs=1e-6))
    counts = report["confusion"]["joint"]["counts"]
    at = JOINT_CLASSES.index
    assert counts[at("male_thirties")][at("female_eighties")] == 1
    assert sum(map(sum, counts)) == 6


def test_classes_that_the_bundle_has_not_do_not_count_in_its_recalls(tmp_path: Path, manifest: Path) -> None:
    labels = [label for label in JOINT_CLASSES if not label.endswith("thirties")]
    report = evaluate(models.make_bundle(tmp_path / "b", age_labels=labels).folder, manifest, tmp_path / "out")
    assert value(report["age"]["joint_uar"]) == value(report["age"]["group_uar"]) == pytest.approx(2.5 / 3)
    assert report["recall"]["age_group"]["thirties"]["value"] == 0


def test_gender_alone(tmp_path: Path, manifest: Path) -> None:
    report = evaluate(models.make_bundle(tmp_path / "b", tasks=("gender",)).folder, manifest, tmp_path / "out")
    assert {report["age"][name] for name in ("mae", "mae_constant", "coverage80", "group_uar")} == {None}
    assert value(report["gender"]["uar"]) == pytest.approx(5 / 6, abs=1e-6)
    assert "mean absolute error" not in (tmp_path / "out/report.html").read_text("utf-8")


def test_the_files(tmp_path: Path, manifest: Path) -> None:
    report = evaluate(models.make_bundle(tmp_path / "b", speakers=["x"]).folder, manifest, tmp_path / "out")
    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == [
        "model-card.md",
        "predictions.csv",
        "report.html",
        "report.json",
    ]
    assert json.loads((out / "report.json").read_text("utf-8")) == report
    assert set(report) == set(FIELDS)  # docs/reference/report.md lists them
    assert [line["what"] for line in report["funnel"]][:: len(report["funnel"]) - 1] == ["rows", "kept"]
    assert report["funnel"][0]["clips"] == pl.read_parquet(manifest).height
    assert (
        sum(line["clips"] for line in report["funnel"][:-1])
        == report["funnel"][-1]["clips"]
        == report["statuses"]["ok"]
    )
    page = (out / "report.html").read_text("utf-8")
    assert page.count('<svg role="img" aria-label="') == 9 and page.count("<svg") == 10  # and the mark
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert set(re.findall(r"https?://[\w./]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'href="#([^"]+)', page), *re.findall(r"url\(#([^)]+)", page)} <= set(ids)
    assert "clips/lost|a.png" in page
    lines = (out / "model-card.md").read_text("utf-8")
    assert max(len(line) for line in lines.splitlines() if not line.startswith("|")) <= 100
    card = unwrapped(lines)
    for words in ("the gender the voice presents as", "## Out of scope", "Identifying people", "made up | CC0-1.0"):
        assert words in card
    for words in (
        "Decisions about a person: access,",
        "without published weights",
        "| Germanic | 4 |",
        "is 60.0 years wide",
    ):
        assert words in card
    for sentence in report["limits"]:
        assert sentence in card
    assert "| gender: accuracy | 83.3 % (" in card
    assert not re.search(r"^\|[^\n]*\n\n\|-", card, re.MULTILINE)  # a table's head and rule stand together
    predictions = pl.read_csv(out / "predictions.csv")
    assert predictions["clip_id"].to_list() == [f"cv/6.1/en/{name}" for name in (*"123456", "lost")]
    assert predictions.row(2, named=True)["true_age_group"] == "thirties"
    assert str(tmp_path) not in page + card + json.dumps(report)


def test_the_report_is_the_same_each_time_and_after_a_kill(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = models.make_bundle(tmp_path / "b").folder
    evaluate(bundle, manifest, tmp_path / "whole")
    monkeypatch.setattr(batch.shards, "SHARD", 2)
    asked = []
    plain = Recognizer.predict

    def predict(self: Recognizer, path: str) -> Prediction:
        asked.append(path)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return plain(self, path)

    monkeypatch.setattr(Recognizer, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        evaluate(bundle, manifest, tmp_path / "killed")
    evaluate(bundle, manifest, tmp_path / "killed")
    assert len(asked) == 4 + 5
    for name in ("report.json", "report.html", "model-card.md", "predictions.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_speakers_that_the_bundle_knows_are_refused(tmp_path: Path, manifest: Path) -> None:
    bundle = models.make_bundle(tmp_path / "b", speakers=["s1", "s2", "elsewhere"]).folder
    words = r"3 of 7 clips are from 2 speakers used for the training or model selection of tiny 1\.0"
    with pytest.raises(LeakageError, match=f"leakage: {words}. Results on such speakers are inflated"):
        evaluate(bundle, manifest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = evaluate(bundle, manifest, tmp_path / "out", allow_leak=True)
    assert re.match("shared: " + words, report["leakage"])
    (banner,) = report["banners"]
    assert banner.startswith("These figures are inflated by leakage: 3 of 7 clips")
    assert banner in (tmp_path / "out/report.html").read_text("utf-8")
    assert banner in unwrapped((tmp_path / "out/model-card.md").read_text("utf-8"))


def test_speakers_in_two_splits_are_refused(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, split=pl.Series(["train", "test", *["test"] * 6]))
    bundle = models.make_bundle(tmp_path / "b", speakers=["x"]).folder
    with pytest.raises(
        LeakageError, match="1 of 6 clips is from 1 speaker also found in another split of the manifest"
    ):
        evaluate(bundle, manifest, tmp_path / "out")
    assert evaluate(bundle, manifest, tmp_path / "out", split="all")["leakage"] == "none"


def test_clips_with_the_same_bytes_in_another_split_are_in_the_verdict(tmp_path: Path) -> None:
    sentence = pl.Series(["a", "b", "c", "c", None, "d", "e", "a"])
    manifest = write_manifest(tmp_path, split=pl.Series([*["test"] * 7, "train"]), sentence=sentence)
    bundle = models.make_bundle(tmp_path / "b", speakers=["x"]).folder
    report = evaluate(bundle, manifest, tmp_path / "out")  # two clips are the same grey as the one in train
    assert report["leakage"] == "shared: 2 of 7 clips have the same bytes in another split"
    assert report["banners"] == [f"These figures are inflated by leakage: {report['leakage'][8:]}."]
    others = ["other splits of the manifest"]
    assert report["leakage_checks"] == {
        "speakers": {"compared_with": ["speakers of tiny 1.0", *others], "shared": 0, "unknown": 0},
        "contents": {"compared_with": others, "shared": 2, "unknown": 1},  # one file is lost
        "sentences": {"compared_with": others, "shared": 1, "unknown": 1},
    }
    alone = evaluate(bundle, manifest, tmp_path / "alone", split="all")
    assert alone["leakage"] == "none"
    assert alone["leakage_checks"]["contents"] == {"compared_with": [], "shared": None, "unknown": None}


def test_files_of_one_size_are_not_one_content(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, split=pl.Series([*["test"] * 7, "train"]))
    table = pl.read_parquet(manifest)
    size = (tmp_path / "clips/1.png").stat().st_size
    (tmp_path / "clips/own.png").write_bytes(bytes(size))
    table.with_columns(path=pl.Series([*table["path"][:7], "clips/own.png"])).write_parquet(manifest)
    report = evaluate(models.make_bundle(tmp_path / "b", speakers=["x"]).folder, manifest, tmp_path / "out")
    assert (report["leakage"], report["leakage_checks"]["contents"]["shared"]) == ("none", 0)


def test_without_speaker_ids_leakage_is_unknown(tmp_path: Path) -> None:
    nobody = pl.lit(None, dtype=pl.String)
    manifest = write_manifest(tmp_path, speaker_id=nobody, split_unit=pl.lit("clip"))
    report = evaluate(models.make_bundle(tmp_path / "b").folder, manifest, tmp_path / "out")
    assert (report["leakage"], report["n_speakers"]) == ("unknown: no speaker ids", None)
    assert len(report["banners"]) == 3  # no ids, none known to the bundle, split by clip
    assert "split by clip" in (tmp_path / "out/report.html").read_text("utf-8")
    assert value(report["gender"]["uar"]) == pytest.approx(5 / 6, abs=1e-6)
    some = write_manifest(tmp_path, speaker_id=pl.Series(["s1", *[None] * 7], dtype=pl.String))
    report = evaluate(models.make_bundle(tmp_path / "c", speakers=["x"]).folder, some, tmp_path / "out")
    assert report["leakage"] == "unknown: 6 of 7 clips without a speaker id"


def test_a_split_by_clip_is_marked(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, split_unit=pl.lit("clip"))
    report = evaluate(models.make_bundle(tmp_path / "b", speakers=["x"]).folder, manifest, tmp_path / "out")
    assert report["leakage"] == "unknown: the manifest was split by clip, not by speaker"


def test_which_split(tmp_path: Path) -> None:
    bundle = models.make_bundle(tmp_path / "b").folder
    without = write_manifest(tmp_path, split=pl.lit(None, dtype=pl.String))
    assert evaluate(bundle, without, tmp_path / "out")["split"] == "all"
    train = write_manifest(tmp_path, split=pl.lit("train"))
    with pytest.raises(
        NothingToDoError, match=r"no clips in split 'test'\. Splits of the manifest: train\. Select one"
    ):
        evaluate(bundle, train, tmp_path / "out")
    assert evaluate(bundle, train, tmp_path / "out", split="train")["split"] == "train"
    with pytest.raises(OptionError, match="got the split 'dev'"):
        evaluate(bundle, train, tmp_path / "out", split="dev")
    unlabelled = write_manifest(tmp_path, gender=pl.lit("other"), age_years=pl.lit(None), age_group=pl.lit(None))
    with pytest.raises(NothingToDoError, match="8 clips in split 'test', none with a label of gender or age"):
        evaluate(bundle, unlabelled, tmp_path / "out")


def test_the_report_of_another_bundle_is_not_replaced(tmp_path: Path, manifest: Path) -> None:
    bundle = models.make_bundle(tmp_path / "b").folder
    first = evaluate(bundle, manifest, tmp_path / "out")
    assert evaluate(bundle, manifest, tmp_path / "out", split="all")["split"] == "all"  # the same bundle's
    others = tmp_path / "out/report.json"
    before = json.dumps(first | {"model": "other 1.0"})
    for text, named in ((before, "other 1.0"), ("half of a {", "an unknown bundle"), ("[]", "an unknown bundle")):
        others.write_text(text)
        with pytest.raises(OptionError, match=f"contains a report of {named}. This run would use "):
            evaluate(bundle, manifest, tmp_path / "out")
        assert others.read_text() == text
    assert evaluate(bundle, manifest, tmp_path / "out", overwrite=True) == first


def test_when_every_file_fails_there_is_a_report_without_figures(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, path=pl.lit("gone.wav"))
    report = evaluate(models.make_bundle(tmp_path / "b").folder, manifest, tmp_path / "out")
    assert report["statuses"]["error"] == 7
    assert (report["gender"]["uar"], report["age"]["mae"]) == (None, None)
    assert "No clip has a prediction, so there are no figures." in (tmp_path / "out/model-card.md").read_text("utf-8")


def test_the_command(tmp_path: Path, manifest: Path) -> None:
    folder = models.make_bundle(tmp_path / "b", speakers=["s1"]).folder
    arguments = ["evaluate", str(folder), str(manifest), "--out", str(tmp_path / "out"), "--jobs", "1"]
    refused = CliRunner().invoke(root, arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--allow-leak" in refused.stderr
    done = CliRunner().invoke(root, [*arguments, "--allow-leak", "--quiet"])
    assert done.exit_code == 1  # one file is lost
    assert re.search(r"^gender\.uar +0\.833 ", done.stdout, re.MULTILINE)
    assert done.stderr.startswith("warning: These figures are inflated by leakage")
    as_json = CliRunner().invoke(root, [*arguments, "--allow-leak", "--quiet", "--format", "json"])
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "out/report.json").read_text("utf-8"))


@pytest.mark.parametrize("given", ["mine", "mine/metadata.csv", "mine/labels.jsonl"])
def test_a_corpus_or_a_table_of_one_is_taken_for_its_manifest(given: str, tmp_path: Path) -> None:
    write_manifest(tmp_path / "mine")
    (tmp_path / "mine/m.parquet").unlink()
    genders = {"male": "M", "female": "Weiblich"}
    rows = [(f"clips/{name}.png", speaker, genders[gender], age) for name, speaker, gender, age, _ in CLIPS]
    rows.append(("clips/1.png", "s6", "unknown", None))  # the first file again
    table = pl.DataFrame(rows, ["file_name", "speaker", "sex", "age"], orient="row")
    table.write_ndjson(tmp_path / "mine/labels.jsonl")
    table.write_csv(tmp_path / "mine/metadata.csv")
    folder = models.make_bundle(tmp_path / "b").folder
    arguments = ["evaluate", str(folder), str(tmp_path / given), "--out", str(tmp_path / "out"), "--jobs", "1"]
    done = CliRunner().invoke(root, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["n_clips"], report["n_speakers"], report["split"]) == (6, 4, "all")
    assert report["gender"]["n_clips"] == 6
    assert "is not a manifest: imported for this run only" in done.stderr
    assert "dropped 1 row: repeated clip" in done.stderr
    (tmp_path / "empty").mkdir()
    nothing = CliRunner().invoke(root, ["evaluate", str(folder), str(tmp_path / "empty"), "--out", str(tmp_path / "o")])
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "No corpus in" in nothing.stderr
