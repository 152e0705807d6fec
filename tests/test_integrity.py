"""Each kind of damage, made on purpose, is found, named, and as grave as the contract says; and nothing else is."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile

from factories import tone
from voxtrait import integrity, manifest
from voxtrait.derived import convert, pictures
from voxtrait.errors import ManifestError, NothingToDoError, OptionError
from voxtrait.integrity import FATAL, REPORTED, Report


def found(report: Report) -> dict[str, tuple[str, int]]:
    return {row["problem"]: (row["severity"], row["count"]) for row in report.rows()}


def examples(report: Report, problem: str) -> list[str]:
    return next(row["examples"] for row in report.rows() if row["problem"] == problem)


def check_rows(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Report:
    rows = [{"path": f"clips/{at}.mp3", **row} for at, row in enumerate(rows)]
    manifest.write(pl.DataFrame(rows, infer_schema_length=None), tmp_path / "all.csv")
    return integrity.check(tmp_path / "all.csv", **{"tables_only": True, **options})


# --- the table alone


def person(
    speaker: str | None, gender: str | None, group: str | None, split: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"speaker_id": speaker, "gender": gender, "age_group": group, "split": split, **more}


def test_a_speaker_with_both_genders_is_fatal(tmp_path: Path) -> None:
    rows = [person("s", "female", None)] * 2 + [person("s", "male", None), person("t", "male", None)]
    rows += [
        person("u", "female", None),
        person("u", "non-binary", None),
        person(None, "male", None),
        person(None, "female", None),
    ]
    report = check_rows(tmp_path, rows)
    assert found(report) == {"speakers with both genders": (FATAL, 1)}
    assert examples(report, "speakers with both genders") == ["s (female 2, male 1)"]
    assert report.fatal


@pytest.mark.parametrize(
    ("groups", "problem", "severity"),
    [
        (("twenties", "thirties"), "speakers with neighbouring decades", REPORTED),
        (("twenties", "forties"), "speakers with decades more than one apart", FATAL),
        (("under_ten", "nineties"), "speakers with decades more than one apart", FATAL),
        (("twenties", "twenties"), None, None),
        (("twenties", None), None, None),
    ],
)
def test_decades_that_contradict(
    tmp_path: Path, groups: tuple[str, str], problem: str | None, severity: str | None
) -> None:
    report = check_rows(tmp_path, [person("s", "male", group) for group in groups])
    assert found(report) == ({problem: (severity, 1)} if problem else {})
    assert report.fatal == (severity == FATAL)
    if problem:
        assert examples(report, problem) == [f"s ({groups[0]} to {groups[1]})"]


def test_a_clean_table_has_no_problems(tmp_path: Path) -> None:
    rows = [
        person(f"{g}{s}", g, "teens", s, sentence=f"{g} {s}")
        for g in ("female", "male")
        for s in ("train", "validation", "test")
    ]
    report = check_rows(tmp_path, rows)
    assert report.rows() == [] and not report.fatal
    assert (report.clips, report.files, report.seconds) == (6, 0, 0.0)


def test_leakage_between_splits(tmp_path: Path) -> None:
    rows = [
        person("s", "male", "teens", "train", sentence="one"),
        person("s", "male", "teens", "test", sentence="two"),
        person("t", "male", "teens", "validation", sentence="two"),
        person(None, "male", "teens", "test", sentence=None),
        person("u", "male", "teens", None, sentence="one"),
    ]
    report = check_rows(tmp_path, rows)
    assert found(report) == {
        "speakers shared between splits": (FATAL, 1),
        "sentences shared between splits": (REPORTED, 1),
        "clips in a split without speaker id: shared speakers unknown": (REPORTED, 1),
    }
    assert report.rows()[0]["severity"] == FATAL
    assert examples(report, "speakers shared between splits") == ["s (test, train)"]
    assert examples(report, "sentences shared between splits") == ["two (test, validation)"]


def test_classes_that_a_split_lacks_are_reported(tmp_path: Path) -> None:
    rows = [
        person("a", "male", "teens", "train"),
        person("b", "female", "sixties", "train"),
        person("c", "male", "sixties", "test"),
    ]
    report = check_rows(tmp_path, rows)
    assert found(report) == {
        "empty splits": (REPORTED, 1),
        "genders missing from a split": (REPORTED, 1),
        "joint classes missing from a split": (REPORTED, 3),
    }
    assert examples(report, "empty splits") == ["validation"]
    assert examples(report, "genders missing from a split") == ["female (test)"]
    assert examples(report, "joint classes missing from a split") == [
        "female_sixties (test)", "male_sixties (train)", "male_teens (test)"
    ]  # fmt: skip
    assert not report.fatal


def test_a_report_is_json_and_keeps_a_few_examples(tmp_path: Path) -> None:
    rows = [person(f"s{at:02}", gender, None) for at in range(20) for gender in ("female", "male")]
    values = json.loads(json.dumps(check_rows(tmp_path, rows).to_dict()))
    assert values["fatal"] is True and values["clips"] == 40
    assert values["problems"][0]["count"] == 20
    assert [case[:3] for case in values["problems"][0]["examples"]] == ["s00", "s01", "s02", "s03", "s04"]


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such manifest"):
        integrity.check(tmp_path / "none.csv")
    with pytest.raises(NothingToDoError, match="has no rows"):
        manifest.write(pl.DataFrame({"path": []}, schema={"path": pl.String}), tmp_path / "none.csv")
        integrity.check(tmp_path / "none.csv")
    with pytest.raises(OptionError, match="No such folder"):
        check_rows(tmp_path, [person("s", None, None)], images=tmp_path / "nowhere")


# --- files


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for at in range(4):
        soundfile.write(tmp_path / "clips" / f"{at}.mp3", tone(1.0 + at / 4, 200.0 + at), 16_000)
    return tmp_path / "clips"


def test_whole_files_are_fine(clips: Path, tmp_path: Path) -> None:
    report = check_rows(tmp_path, [{}] * 4, tables_only=False)
    assert found(report) == {} and report.files == 4
    assert report.seconds == pytest.approx(5.5, abs=0.01)


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_kind_of_damage(clips: Path, tmp_path: Path, jobs: int) -> None:
    (clips / "0.mp3").unlink()
    (clips / "1.mp3").write_bytes(b"")
    whole = (clips / "2.mp3").read_bytes()
    (clips / "2.mp3").write_bytes(whole[: len(whole) * 2 // 3])
    (clips / "4.mp3").write_text("not speech\n" * 100)
    soundfile.write(clips / "5.mp3", np.zeros(16_000, np.float32), 16_000)
    (clips / "6.mp3").mkdir()
    soundfile.write(clips / "7.wav", np.full(99, np.nan, np.float32), 16_000, subtype="FLOAT")
    (clips / "7.wav").rename(clips / "7.mp3")
    for at in range(8, 12):
        soundfile.write(clips / f"{at}.mp3", tone(0.5, 100.0 * at), 16_000)
    soundfile.write(clips / "stray.ogg", tone(1.0), 16_000)
    (clips / "notes.txt").touch()
    (clips / ".hidden.mp3").touch()
    report = check_rows(tmp_path, [{}] * 12, tables_only=False, jobs=jobs)
    assert found(report) == {
        "files absent": (FATAL, 2),
        "files empty": (FATAL, 1),
        "files truncated": (FATAL, 1),
        "files undecodable": (FATAL, 2),
        "files silent": (REPORTED, 1),
        "audio files that are not in the manifest": (REPORTED, 1),
    }
    assert examples(report, "files absent") == [str(clips / "0.mp3"), str(clips / "6.mp3")]
    assert examples(report, "files truncated")[0].startswith(f"{clips / '2.mp3'} (the last frame has")
    text, nan = examples(report, "files undecodable")
    assert "it is a text file" in text and "NaN" in nan
    assert "stray.ogg" in examples(report, "audio files that are not in the manifest")[0]
    assert found(check_rows(tmp_path, [{}] * 12)) == {}  # the table alone says nothing of all this


def test_the_same_bytes_in_two_splits_are_fatal_and_else_reported(clips: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "0.mp3", clips / "1.mp3")
    shutil.copy(clips / "2.mp3", clips / "3.mp3")
    rows = [
        {"clip_id": name, "split": split}
        for name, split in zip("abcd", ("train", "test", "train", "train"), strict=True)
    ]
    report = check_rows(tmp_path, rows, tables_only=False)
    assert found(report)["file contents shared between splits"] == (FATAL, 1)
    assert examples(report, "file contents shared between splits") == ["a = b (test, train)"]
    assert found(report)["file contents repeated"] == (REPORTED, 1)
    assert examples(report, "file contents repeated") == ["c = d"]


def test_two_empty_or_absent_files_are_not_the_same_file(clips: Path, tmp_path: Path) -> None:
    (clips / "0.mp3").write_bytes(b"")
    (clips / "1.mp3").write_bytes(b"")
    (clips / "2.mp3").unlink()
    (clips / "3.mp3").unlink()
    rows = [{"split": split} for split in ("train", "test", "train", "test")]
    report = check_rows(tmp_path, rows, tables_only=False)
    assert {name for name, (severity, _) in found(report).items() if severity == FATAL} == {
        "files absent",
        "files empty",
    }


# --- derived folders


@pytest.fixture
def labelled(clips: Path, tmp_path: Path) -> Path:
    genders, splits = ("female", "male", "female", "male"), ("train", "train", "validation", "test")
    rows = [
        {
            "path": f"clips/{at}.mp3",
            "clip_id": name,
            "gender": gender,
            "age_group": "teens",
            "split": split,
            "speaker_id": name,
        }
        for at, (name, gender, split) in enumerate(zip("abcd", genders, splits, strict=True))
    ]
    manifest.write(pl.DataFrame(rows), tmp_path / "all.csv")
    return tmp_path / "all.csv"


def derived_problems(report: Report) -> dict[str, tuple[str, int]]:
    names = ("image", "picture", "WAV", "class folders", "convert.json")
    return {name: value for name, value in found(report).items() if name.startswith(names)}


def test_pictures_as_they_should_be(labelled: Path, tmp_path: Path) -> None:
    pictures.draw(labelled, tmp_path / "out")
    for jobs in (1, 2):
        report = integrity.check(labelled, images=tmp_path / "out", jobs=jobs)
        assert derived_problems(report) == {} and not report.fatal


def test_damage_among_pictures(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures.draw(labelled, out)
    shutil.rmtree(out / "validation" / "gender" / "female")  # the diary's vanished folder
    (out / "test" / "age" / "male_teens" / "d.png").unlink()
    (out / "test" / "age" / "male_teens" / "d.png").write_bytes(b"")
    shutil.copy(out / "train" / "gender" / "male" / "b.png", out / "train" / "gender" / "female" / "b.png")
    (out / "train" / "gender" / "female" / "unknown.png").write_bytes(b"x")
    (out / "train" / "gender" / "male" / "b.png").unlink()
    damaged = out / "train" / "gender" / "female" / "a.png"
    damaged.write_bytes(damaged.read_bytes()[:500])  # one file under two names, found once
    report = integrity.check(labelled, images=out)
    assert derived_problems(report) == {
        "class folders missing": (FATAL, 2),
        "images missing": (FATAL, 2),
        "images in the folder of another split or class": (FATAL, 1),
        "images without a clip in the manifest": (REPORTED, 1),
        "images empty": (FATAL, 1),
        "images undecodable": (FATAL, 1),
    }
    assert examples(report, "class folders missing") == ["train/gender/male", "validation/gender/female"]
    assert examples(report, "images missing") == ["train/gender/male/b.png", "validation/gender/female/c.png"]
    assert examples(report, "images in the folder of another split or class") == ["train/gender/female/b.png"]
    assert "images undecodable" not in found(integrity.check(labelled, images=out, tables_only=True))
    pictures.draw(labelled, out)  # mends what can be mended: a name that is whole elsewhere, and what is gone
    assert {"class folders missing", "images missing"}.isdisjoint(found(integrity.check(labelled, images=out)))


def test_a_changed_split_shows_in_the_pictures(labelled: Path, tmp_path: Path) -> None:
    pictures.draw(labelled, tmp_path / "out")
    table = manifest.read(labelled)
    manifest.write(table.with_columns(split=pl.col("split").replace("test", "validation")), labelled)
    report = integrity.check(labelled, images=tmp_path / "out", tables_only=True)
    assert derived_problems(report)["images in the folder of another split or class"] == (FATAL, 2)
    assert derived_problems(report)["images missing"] == (FATAL, 2)


def test_pictures_of_the_wrong_size(labelled: Path, tmp_path: Path) -> None:
    pictures.draw(labelled, tmp_path / "small", size=(64, 32))
    pictures.draw(labelled, tmp_path / "out")
    name = Path("test", "gender", "male", "d.png")
    (tmp_path / "small" / name).replace(tmp_path / "out" / name)
    report = integrity.check(labelled, images=tmp_path / "out")
    assert derived_problems(report) == {"images of the wrong size": (FATAL, 1)}
    assert examples(report, "images of the wrong size") == [f"{name.as_posix()} (64×32, expected 432×288)"]


def test_flat_pictures(labelled: Path, clips: Path, tmp_path: Path) -> None:
    pictures.draw(clips, tmp_path / "out", size=(64, 32))
    assert derived_problems(integrity.check(labelled, images=tmp_path / "out")) == {}
    (tmp_path / "out" / "0.png").unlink()
    (tmp_path / "out" / "x.png").write_bytes(b"")
    report = integrity.check(labelled, images=tmp_path / "out")
    assert derived_problems(report) == {
        "images missing": (FATAL, 1), "images without a clip in the manifest": (REPORTED, 1)
    }  # fmt: skip


@pytest.mark.parametrize("from_manifest", [True, False])
def test_wav_files(labelled: Path, clips: Path, tmp_path: Path, from_manifest: bool) -> None:
    out = tmp_path / "wav"
    convert.convert(labelled if from_manifest else clips, out)
    assert derived_problems(integrity.check(labelled, wav=out, tables_only=True)) == {}
    folder = out / "clips" if from_manifest else out
    (folder / "0.wav").unlink()
    (folder / "1.wav").write_bytes(b"")
    (folder / "2.wav").write_bytes((folder / "2.wav").read_bytes()[:1000])
    soundfile.write(folder / "3.wav", tone(1.0), 8000)
    soundfile.write(folder / "x.wav", tone(1.0), 16_000)
    report = integrity.check(labelled, wav=out)
    assert derived_problems(report) == {
        "WAV files missing": (FATAL, 1),
        "WAV files without a clip in the manifest": (REPORTED, 1),
        "WAV files empty": (FATAL, 1),
        "WAV files truncated": (FATAL, 1),
        "WAV files with the wrong sampling rate": (FATAL, 1),
    }
    (out / "convert.json").unlink()
    assert any(name.startswith("convert.json missing") for name in derived_problems(integrity.check(labelled, wav=out)))


# --- real speech


def test_no_false_alarms_on_real_speech(speech: Path, tmp_path: Path) -> None:
    clips = [*sorted(speech.glob("cv-corpus-*/*/clips/*.mp3"))[::15], *sorted(speech.glob("*/audio/*.ogg"))[::30]]
    assert len(clips) > 300
    lengths = [soundfile.info(clip).duration for clip in clips]
    manifest.write(pl.DataFrame({"path": map(str, clips), "duration_s": lengths}), tmp_path / "all.parquet")
    report = integrity.check(tmp_path / "all.parquet", jobs=2)
    known = {
        "files silent",
        "audio files that are not in the manifest",
    }  # the folder holds more, and a clip says nothing
    assert set(found(report)) == known, report.rows()
    assert report.files == len(clips)
