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
from voxtrait.integrity import FATAL, REPORTED, Report, truncation

LONG = tone(2.0, 300.0, 48_000) + np.random.default_rng(0).normal(0, 0.01, 96_000).astype(np.float32)


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


# --- truncation


def encoded(tmp_path: Path, name: str, **kind: str) -> bytes:
    soundfile.write(tmp_path / name, LONG, 48_000, **kind)
    return (tmp_path / name).read_bytes()


KINDS = [("a.mp3", {}), ("a.wav", {}), ("a.wav", {"format": "RF64"}), ("a.ogg", {}), ("a.ogg", {"subtype": "OPUS"})]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_cut_anywhere_is_seen(tmp_path: Path, name: str, kind: dict[str, str]) -> None:
    data = encoded(tmp_path, name, **kind)
    assert truncation(data) is None
    for left in np.linspace(200, len(data) - 1, 23, dtype=int):
        assert truncation(data[:left]) is not None, f"{left} of {len(data)} bytes"


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac")])
def test_what_ffmpegs_libraries_write(tmp_path: Path, name: str, codec: str) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        for at in range(0, 96_000, 1024):
            frame = av.AudioFrame.from_ndarray(LONG[None, at : at + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = (tmp_path / name).read_bytes()
    assert truncation(data) is None
    assert truncation(data[:-1]) is not None and truncation(data[: len(data) // 2]) is not None


def frames(count: int) -> bytes:
    """Make silent mp3 frames: MPEG-1 layer III, 64 kbit/s, 48 kHz, mono, so 144 × 64000 / 48000 = 192 bytes each."""
    return (b"\xff\xfb\x54\xc0" + bytes(188)) * count


def test_mp3_frames_are_counted() -> None:
    assert truncation(frames(5)) is None
    assert truncation(frames(5)[:-1]) == "the last frame has 191 of 192 bytes"
    assert truncation(frames(5) + frames(1)[:2]) == "the last frame has 2 bytes"
    info = b"\xff\xfb\x54\xc0" + bytes(17) + b"Info" + (1).to_bytes(4, "big")
    declared = [(info + count.to_bytes(4, "big")).ljust(192, b"\0") + frames(5) for count in (5, 6, 7)]
    assert [truncation(data) for data in declared] == [None, None, "the file has 6 of 7 frames"]
    vbri = (b"\xff\xfb\x54\xc0" + bytes(32) + b"VBRI" + bytes(10) + (9).to_bytes(4, "big")).ljust(192, b"\0")
    assert truncation(vbri + frames(5)) == "the file has 6 of 9 frames"


def test_tags_and_garbage_around_an_mp3_are_tolerated() -> None:
    tag = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257)
    for data in (
        tag + frames(5),
        tag + tag + frames(5),
        frames(5) + b"TAG" + bytes(125),
        frames(5) + b"APETAGEX" + bytes(100),
        frames(5) + b"\0" * 1000,
        frames(5) + b"\xff\xfb garbage that looks like a frame and is none",
        bytes(300) + frames(5),
        frames(3) + b"damage in the middle" + frames(3),
    ):
        assert truncation(data) is None
    assert truncation(tag[:100]) == "the file ends within its ID3 tag"
    assert truncation(frames(3) + b"damage in the middle" + frames(3)[:-1]) == "the last frame has 191 of 192 bytes"


def test_what_is_unknown_is_not_called_truncated() -> None:
    for data in (b"", b"x", b"plain text\n" * 50, bytes(1000), b"\xff" * 1000, b"\x1aE\xdf\xa3" + bytes(100)):
        assert truncation(data) is None


def test_a_wav_from_a_pipe_and_chunks_before_the_sound() -> None:
    head = b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\x03\0\0\0abc\0" + b"data"
    assert truncation(head + b"\xff\xff\xff\xff" + bytes(10)) is None
    assert truncation(head + b"\x0a\0\0\0" + bytes(10)) is None
    assert truncation(head + b"\x0b\0\0\0" + bytes(10)) == "the data chunk has 10 of 11 bytes"
    assert truncation(head[:-4]) == "the file ends before the data chunk"


def test_a_truncated_flac_is_called_truncated(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    data = encoded(tmp_path, "a.flac")
    rows = [{"path": f"clips/{at}.flac"} for at in range(3)]
    for at, left in enumerate((len(data), len(data) * 2 // 3, 300)):
        (tmp_path / "clips" / f"{at}.flac").write_bytes(data[:left])
    report = check_rows(tmp_path, rows, tables_only=False)
    assert found(report) == {"files truncated": (FATAL, 2)}
    assert "of 96000 samples" in examples(report, "files truncated")[0]


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


def test_every_real_mp3_is_seen_cut(speech: Path) -> None:
    for clip in sorted(speech.glob("cv-corpus-*/*/clips/*.mp3"))[::100]:
        data = clip.read_bytes()
        assert truncation(data) is None
        assert truncation(data[: len(data) // 2 + 1]) or truncation(data[: len(data) // 2 + 2])
