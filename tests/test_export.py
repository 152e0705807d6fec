"""``corpus export``: nothing is overwritten, what is absent is named, and other tools accept it."""

import errno
import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

import formats
from voxtrait import manifest
from voxtrait.audio.writing import write_wav
from voxtrait.cli import root
from voxtrait.corpora import export, import_corpora
from voxtrait.errors import MissingExtraError, NothingToDoError, OptionError


def known(table: pl.DataFrame, *lost: str) -> pl.DataFrame:
    """The columns that say anything, in one order."""
    names = sorted(name for name in table.columns if name not in lost and table[name].count())
    return table.select(names).sort("clip_id")


def wav(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, np.full(int(8000 * seconds), 0.1, np.float32), 8000)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> pl.DataFrame:
    """Five clips of three speakers, two of them with the same file name, and one whose file is not there."""
    rows = [
        {"clip_id": "c/r/en/a/1", "path": "a/1.wav", "speaker_id": "s1", "gender": "female", "age_group": "fifties",
         "split": "train", "locale": "en", "sentence": "One,\ntwo", "duration_s": 0.5, "note": "x"},
        {"clip_id": "c/r/en/b/1", "path": "b/1.wav", "speaker_id": "s1", "gender": "female", "split": "train",
         "locale": "en", "duration_s": 0.5},
        {"clip_id": "c/r/en/2", "path": "2.wav", "speaker_id": "s2", "gender": "male", "age_years": 31.5,
         "age_group": "thirties", "split": "test", "locale": "en", "sentence": "three", "duration_s": 0.5},
        {"clip_id": "c/r/en/3", "path": "3.wav", "gender": "non-binary", "locale": "en", "duration_s": 0.5},
        {"clip_id": "c/r/en/gone", "path": "gone.wav", "speaker_id": "s3", "age_group": "teens", "gender": "male",
         "split": "test", "locale": "en", "duration_s": 0.5},
    ]  # fmt: skip
    for row in rows[:4]:
        wav(tmp_path / "clips" / str(row["path"]))
    table = manifest.conform(
        pl.DataFrame(rows, infer_schema_length=None).with_columns(corpus=pl.lit("c"), release=pl.lit("r"))
    )
    return manifest.with_absolute_paths(table, tmp_path / "clips")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".part"
    }


@pytest.mark.parametrize(
    ("to", "audio"),
    [
        (to, audio)
        for to in ("audiofolder", "kaldi", "lhotse", "audformat", "csv")
        for audio in ("copy", "link", "reference")
        if (to, audio) != ("audiofolder", "reference")  # is refused: see below
    ],
)
def test_audio_comes_along_and_what_is_absent_is_named(
    tmp_path: Path, clips: pl.DataFrame, to: str, audio: str
) -> None:
    out = tmp_path / "out"
    done = export(clips, out, to=to, audio=audio)
    assert done.failures.rows() == [("c/r/en/gone", f"{tmp_path}/clips/gone.wav", "no such file")]
    stays = audio == "reference" and to != "lhotse"  # whose manifests want every file's sampling rate
    assert (done.clips, done.written, done.failed) == (5, 5 if stays else 4, 1)
    back = import_corpora([out]).table
    wanted = clips if stays else clips.filter(pl.col("clip_id") != "c/r/en/gone")
    assert_frame_equal(known(back, "path"), known(wanted, "path"))
    if audio == "reference":
        assert back["path"].to_list() == wanted.sort("clip_id")["path"].to_list()
    else:
        assert all(path.startswith(f"{out}/") for path in back["path"])
        assert {Path(path).is_symlink() for path in back["path"]} == {audio == "link"}
        assert all(Path(path).read_bytes() == (tmp_path / "clips" / "2.wav").read_bytes() for path in back["path"])
    before = contents(out)
    again = export(clips, out, to=to, audio=audio)
    assert again.written == done.written
    assert {name: data for name, data in contents(out).items() if not name.endswith("gz")} == {
        name: data for name, data in before.items() if not name.endswith("gz")
    }


@pytest.mark.parametrize("audio", ["copy", "link"])
def test_class_folders_hold_gender_age_and_split(tmp_path: Path, clips: pl.DataFrame, audio: str) -> None:
    out = tmp_path / "out"
    done = export(clips, out, to="class-folders", audio=audio)
    assert (done.clips, done.written, done.failed) == (5, 3, 1)
    assert done.left_out == {"neither female nor male, and no age group": 1}
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.wav")}
    assert names == {
        "train/gender/female/c__r__en__a__1.wav",
        "train/age/female_fifties/c__r__en__a__1.wav",
        "train/gender/female/c__r__en__b__1.wav",
        "test/gender/male/c__r__en__2.wav",
        "test/age/male_thirties/c__r__en__2.wav",
    }
    back = import_corpora([out]).table
    assert back.select("clip_id", "gender", "age_group", "split").rows() == [
        ("out/-/-/c__r__en__2", "male", "thirties", "test"),
        ("out/-/-/c__r__en__a__1", "female", "fifties", "train"),
        ("out/-/-/c__r__en__b__1", "female", None, "train"),
    ]


def test_nothing_is_overwritten(tmp_path: Path, clips: pl.DataFrame) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("precious")
    with pytest.raises(
        OptionError, match=r"mine contains other files \(notes\.txt\), and exports do not overwrite files"
    ):
        export(clips, mine, to="kaldi")
    assert contents(mine) == {"notes.txt": b"precious"}
    export(clips, tmp_path / "out", to="audiofolder", audio="copy")
    before = contents(tmp_path / "out")
    with pytest.raises(OptionError, match=r"another export .*audio: copy before, link now"):
        export(clips, tmp_path / "out", to="audiofolder", audio="link")
    with pytest.raises(OptionError, match=r"another export .*manifest: "):
        export(clips.with_columns(gender=pl.lit("male")), tmp_path / "out", to="audiofolder", audio="copy")
    assert contents(tmp_path / "out") == before
    (tmp_path / "all.csv").write_text("precious")
    with pytest.raises(OptionError, match=r"all\.csv exists, and exports do not overwrite files"):
        export(clips, tmp_path / "all.csv", to="csv")
    with pytest.raises(OptionError, match=r"is a file\. Expected a folder or a new name"):
        export(clips, tmp_path / "all.csv", to="kaldi")


def test_a_stopped_run_is_gone_on_with(tmp_path: Path, clips: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    copies = []

    def stopped(source: str, target: Path) -> None:
        if len(copies) == 2:
            Path(target).write_bytes(b"half")
            raise KeyboardInterrupt
        copies.append(shutil.copyfile(source, target))
        shutil.copystat(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", stopped)
        with pytest.raises(KeyboardInterrupt):
            export(clips, out, to="audiofolder", audio="copy")
    assert len(list(out.rglob("*.wav"))) == 2 and not list(out.rglob("metadata.*"))
    (out / "train" / "audio" / ".x.wav.4194305.part").write_bytes(b"of a killed run")
    whole = sorted(path.stat().st_ino for path in out.rglob("*.wav"))
    assert export(clips, out, to="audiofolder", audio="copy").written == 4
    assert set(whole) <= {path.stat().st_ino for path in out.rglob("*.wav")}
    assert not list(out.rglob(".*.part"))


def test_a_foreign_file_in_the_place_of_a_clip_is_a_failure(tmp_path: Path, clips: pl.DataFrame) -> None:
    out = tmp_path / "out"
    export(clips, out, to="csv", audio="link")
    (out / "audio" / "c__r__en__2.wav").unlink()
    (out / "audio" / "c__r__en__2.wav").write_text("precious")
    done = export(clips, out, to="csv", audio="link")
    assert done.failures["reason"].to_list() == [
        "another file exists at audio/c__r__en__2.wav",
        "no such file",
    ]
    assert (out / "audio" / "c__r__en__2.wav").read_text() == "precious"
    assert pl.read_csv(out / "failures.csv")["clip_id"].to_list() == ["c/r/en/2", "c/r/en/gone"]


@pytest.mark.parametrize("audio", ["copy", "link"])
def test_only_recordings_are_copied_and_linked(tmp_path: Path, clips: pl.DataFrame, audio: str) -> None:
    """A table of somebody else may name any file, and an export is often published."""
    secret, zeros, pipe = tmp_path / "id_ed25519.mp3", tmp_path / "zeros.wav", tmp_path / "pipe.wav"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    zeros.write_bytes(bytes(100))
    os.mkfifo(pipe)
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "keys.flac").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    (tmp_path / "clips" / "voice").write_bytes(
        b"ID3\4\0\0\0\0\1\0" + bytes(128) + formats.sndfile("MP3")(np.zeros(8000, np.float32))
    )
    named = {
        f"{tmp_path}/clips/../id_ed25519.mp3": "it is a text file",
        str(secret): "it is a text file",
        str(zeros): "it is of an unknown kind, or damaged",
        str(pipe): "pipe.wav is not a regular file",
        "/dev/zero": "zero is not a regular file",
        f"{tmp_path}/empty.mp3": "is empty (0 bytes)",
        f"{tmp_path}/keys.flac": "it is an SQLite database",
        f"{tmp_path}/clips": "clips is not a regular file",
    }
    good = [f"{tmp_path}/clips/voice", f"{tmp_path}/clips/2.wav"]
    table = pl.DataFrame({"path": [*named, *good]}).with_row_index("at")
    table = manifest.conform(table.select("path", clip_id=pl.format("c/-/-/{}", "at"), split=pl.lit("train")))
    done = export(table, tmp_path / "out", to="audiofolder", audio=audio)
    assert done.written == len(good) and done.failures["path"].to_list() == list(named)
    for (path, reason), found in zip(named.items(), done.failures["reason"], strict=True):
        assert reason in found or (audio == "link" and found == "no such file" and not Path(path).is_file())
    assert len(list((tmp_path / "out" / "train" / "audio").iterdir())) == len(good)


def test_a_disk_without_links_is_said(tmp_path: Path, clips: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(OptionError, match=r"does not support links\. Use --audio copy"):
        export(clips, tmp_path / "out", to="audiofolder")


def test_links_are_relative_and_move_with_the_folder(tmp_path: Path, clips: pl.DataFrame) -> None:
    (tmp_path / "both").mkdir()
    (tmp_path / "clips").rename(tmp_path / "both" / "clips")
    moved = clips.with_columns(pl.col("path").str.replace("/clips/", "/both/clips/", literal=True))
    (tmp_path / "alias").symlink_to(tmp_path / "both")
    export(moved, tmp_path / "alias" / "out", to="audformat")
    (tmp_path / "both").rename(tmp_path / "elsewhere")
    links = list((tmp_path / "elsewhere" / "out").rglob("*.wav"))
    assert len(links) == 4 and all(link.is_file() for link in links)


def test_splits_choose_and_wrong_arguments_are_refused(tmp_path: Path, clips: pl.DataFrame) -> None:
    assert export(clips, tmp_path / "one", to="csv", splits=["train"]).clips == 2
    with pytest.raises(NothingToDoError, match="the manifest has no clip in validation"):
        export(clips, tmp_path / "none", to="csv", splits=["validation"])
    assert not (tmp_path / "none").exists()
    for wrong, what in (
        ({"to": "nothing"}, "Got the format 'nothing'. Expected one of audiofolder"),
        ({"to": "csv", "audio": "move"}, "Got 'move' for the audio"),
        ({"to": "csv", "splits": ["dev"]}, "Got the split 'dev'"),
        ({"to": "class-folders", "audio": "reference"}, "Use --audio link or --audio copy"),
        ({"to": "audiofolder", "audio": "reference"}, "can only store files in its own folder"),
        ({"to": "audformat", "tables_only": True}, "--tables-only opens no audio"),
    ):
        with pytest.raises(OptionError, match=what):
            export(clips, tmp_path / "wrong", **wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="Give a folder"):
        export(clips, tmp_path / "x.csv", to="csv", audio="copy")


def test_the_audformat_extra_is_asked_for_before_anything_is_written(
    tmp_path: Path, clips: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[audformat\]"):
        export(clips, tmp_path / "out", to="audformat")
    assert not (tmp_path / "out").exists()


def test_lhotse_has_the_rates_of_the_files(tmp_path: Path, clips: pl.DataFrame) -> None:
    export(clips, tmp_path / "out", to="lhotse")
    with gzip.open(tmp_path / "out" / "recordings_train.jsonl.gz") as lines:
        recording = json.loads(lines.readline())
    source = {"type": "file", "channels": [0], "source": f"{tmp_path}/clips/a/1.wav"}
    assert recording == {"id": "c/r/en/a/1", "sources": [source], "sampling_rate": 8000, "num_samples": 4000,
                         "duration": 0.5, "channel_ids": [0]}  # fmt: skip
    (tmp_path / "clips" / "3.wav").write_text("no audio")
    done = export(clips, tmp_path / "two", to="lhotse")
    assert done.failures["clip_id"].to_list() == ["c/r/en/gone", "c/r/en/3"]
    assert "duration and sampling rate cannot be read" in done.failures["reason"][1]


def test_kaldi_folders_obey_kaldis_rules(tmp_path: Path) -> None:
    speakers = ["a", "a-b", "a!", "a b", "B", None, "a", "é"]
    table = manifest.conform(
        pl.DataFrame(
            {
                "clip_id": [f"c/-/-/{at}" for at in range(8)],
                "corpus": ["c"] * 8,
                "path": [f"/x/{at}.wav" for at in range(8)],
                "speaker_id": speakers,
                "gender": ["female", "male", "male", "female", "male", "female", "female", "male"],
                "sentence": ["a  b", None, "<s> c", "d\u00a0e", "#0", "f\r\ng", " ", "h"],
                "duration_s": [1.0] * 8,
            }
        )
    )
    out = tmp_path / "out"
    assert export(table, out, to="kaldi", tables_only=True).written == 8
    lines = {path.name: path.read_bytes().decode().splitlines() for path in out.iterdir() if path.name[0] != "."}
    keys = {name: [line.split(" ")[0].encode() for line in text] for name, text in lines.items()}
    assert all(found == sorted(set(found)) for found in keys.values())
    by_speaker = sorted(lines["utt2spk"], key=lambda line: (line.split(" ")[1].encode(), line.encode()))
    assert by_speaker == lines["utt2spk"]
    for name in ("wav.scp", "text", "utt2dur"):
        assert keys[name] == keys["utt2spk"]
    assert keys["spk2gender"] == keys["spk2utt"] and {line[-2:] for line in lines["spk2gender"]} == {" f", " m"}
    pairs = {(utt, line.split()[0]) for line in lines["spk2utt"] for utt in line.split()[1:]}
    assert pairs == {tuple(line.split()) for line in lines["utt2spk"]}
    texts = {line.partition(" ")[2] for line in lines["text"]}
    assert texts == {"a b", "", "s c", "d e", "# 0", "f g", "h"}
    assert_frame_equal(known(import_corpora([out], tables_only=True).table), known(table))


def test_kaldi_leaves_out_paths_that_no_line_can_hold(tmp_path: Path) -> None:
    paths = ["/x/a\nb.wav", "/x/c |", "/x/d e.wav"]
    table = manifest.conform(pl.DataFrame({"clip_id": ["1", "2", "3"], "path": paths}))
    done = export(table, tmp_path / "out", to="kaldi", tables_only=True)
    assert done.left_out == {"path not valid in wav.scp (use --audio link)": 2}
    assert (tmp_path / "out" / "wav.scp").read_text() == "3 /x/d e.wav\n"


@pytest.mark.parametrize("to", ["audiofolder", "kaldi", "lhotse", "csv", "class-folders"])
def test_an_export_of_absent_files_alone_names_each(tmp_path: Path, clips: pl.DataFrame, to: str) -> None:
    gone = clips.filter(pl.col("clip_id") == "c/r/en/gone")
    done = export(gone, tmp_path / "out", to=to, audio="link")
    assert (done.written, done.failed) == (0, 1)
    assert pl.read_csv(tmp_path / "out" / "failures.csv")["reason"].to_list() == ["no such file"]


def test_command_line(tmp_path: Path, clips: pl.DataFrame) -> None:
    manifest.write(manifest.with_relative_paths(clips, tmp_path), tmp_path / "all.parquet")
    arguments = ["corpus", "export", str(tmp_path / "all.parquet")]
    done = CliRunner().invoke(root, [*arguments, str(tmp_path / "out"), "--to", "audiofolder", "--format", "json"])
    assert done.exit_code == 1, done.output
    result = json.loads(done.stdout)
    assert (result["clips"], result["written"], result["failed"], result["audio"]) == (5, 4, 1, "link")
    assert result["failures"][0]["reason"] == "no such file"
    text = CliRunner().invoke(root, [*arguments, str(tmp_path / "t"), "--to", "kaldi", "--split", "train", "-q"])
    assert (text.exit_code, text.stderr) == (0, "")
    assert text.stdout.splitlines()[0].split() == ["what", "count"]
    rows = CliRunner().invoke(root, [*arguments, str(tmp_path / "c"), "--to", "csv", "--format", "csv", "-q"])
    assert rows.stdout == f"clip_id,path,reason\nc/r/en/gone,{tmp_path}/clips/gone.wav,no such file\n"
    taken = CliRunner().invoke(root, [*arguments, str(tmp_path / "clips"), "--to", "kaldi"])
    assert taken.exit_code == 2 and "exports do not overwrite files" in taken.stderr
