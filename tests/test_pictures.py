"""Pictures in class folders: where they stand, that each is drawn once, and that they move with a new split."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import audio, features, manifest
from voxtrait.cli import root
from voxtrait.derived import pictures
from voxtrait.errors import NothingToDoError, OptionError

ROWS: list[dict[str, Any]] = [
    {"clip_id": "cv/1/en/a", "gender": "female", "age_group": "fifties", "split": "train", "speaker_id": "s1"},
    {"clip_id": "cv/1/en/b", "gender": "male", "age_group": "twenties", "split": "validation", "speaker_id": "s2"},
    {"clip_id": "cv/1/en/c", "gender": "male", "age_group": None, "split": "test", "speaker_id": "s3"},
    {"clip_id": "cv/1/en/d", "gender": "non-binary", "age_group": "teens", "split": "train", "speaker_id": "s4"},
    {"clip_id": "cv/1/en/e", "gender": None, "age_group": "teens", "split": "train", "speaker_id": "s5"},
    {"clip_id": "cv/1/en/f", "gender": "female", "age_group": "under_ten", "split": None, "speaker_id": None},
]
TREE = [
    "manifest.csv",
    "pictures.json",
    "test/gender/male/cv__1__en__c.png",
    "train/age/female_fifties/cv__1__en__a.png",
    "train/gender/female/cv__1__en__a.png",
    "unsplit/age/female_under_ten/cv__1__en__f.png",
    "unsplit/gender/female/cv__1__en__f.png",
    "validation/age/male_twenties/cv__1__en__b.png",
    "validation/gender/male/cv__1__en__b.png",
]


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["images", *map(str, args)])


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def write_table(file: Path, changes: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write the table of :data:`ROWS`, with changes by the last letter of the clip."""
    rows = [{"path": f"clips/{row['clip_id'][-1]}.mp3", **row} for row in ROWS]
    rows = [{**row, **(changes or {}).get(row["clip_id"][-1], {})} for row in rows]
    manifest.write(pl.DataFrame(rows, infer_schema_length=None), file)
    return file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A manifest of six clips."""
    (tmp_path / "clips").mkdir()
    for at, row in enumerate(ROWS):
        soundfile.write(tmp_path / "clips" / f"{row['clip_id'][-1]}.mp3", tone(1.0 + at, 200.0 * (at + 1)), 16_000)
    return write_table(tmp_path / "all.parquet")


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a picture that is encoded."""
    calls: list[int] = []
    encode: Callable[[features.Picture], bytes] = features.encode_png
    monkeypatch.setattr(features, "encode_png", lambda drawn: (calls.append(1), encode(drawn))[1])
    return calls


def test_class_folders(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(table, out, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert tree(out) == TREE
    figures = json.loads(result.stdout)
    counts = {name: figures[name] for name in ("done", "kept", "moved", "failed", "removed", "unlabelled", "unknown")}
    assert counts == dict(done=4, kept=0, moved=0, failed=0, removed=0, unlabelled=2, unknown=0)
    assert figures["audio_s"] == pytest.approx(1 + 2 + 3 + 6, abs=0.2)
    one = out / "train" / "gender" / "female" / "cv__1__en__a.png"
    other = out / "train" / "age" / "female_fifties" / "cv__1__en__a.png"
    assert one.samefile(other)
    assert "images: 100%" in result.stderr and "clip/s" in result.stderr


def test_a_picture_is_what_features_draws(table: Path, tmp_path: Path) -> None:
    pictures.draw(table, tmp_path / "out", size=(100, 64), fit="stretch")
    signal_, rate = audio.load(tmp_path / "clips" / "c.mp3")
    drawn = features.decode_png((tmp_path / "out" / "test" / "gender" / "male" / "cv__1__en__c.png").read_bytes())
    np.testing.assert_array_equal(drawn, features.picture(signal_, rate, size=(100, 64), fit="stretch"))
    assert pictures.front_end_of(tmp_path / "out") == features.picture_front_end((100, 64), fit="stretch")


def test_the_manifest_says_whose_the_pictures_are(table: Path, tmp_path: Path) -> None:
    pictures.draw(table, tmp_path / "out")
    whose = manifest.read(tmp_path / "out" / "manifest.csv")
    assert whose.select("clip_id", "path", "speaker_id", "gender", "age_group", "split").rows() == [
        ("cv/1/en/a", "train/gender/female/cv__1__en__a.png", "s1", "female", "fifties", "train"),
        ("cv/1/en/b", "validation/gender/male/cv__1__en__b.png", "s2", "male", "twenties", "validation"),
        ("cv/1/en/c", "test/gender/male/cv__1__en__c.png", "s3", "male", None, "test"),
        ("cv/1/en/f", "unsplit/gender/female/cv__1__en__f.png", None, "female", "under_ten", None),
    ]


def test_a_folder_is_drawn_flat(table: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clips" / "a.ogg", tone(1.0), 16_000)
    (tmp_path / "clips" / "deep er").mkdir()
    soundfile.write(tmp_path / "clips" / "deep er" / "ж.wav", tone(1.0), 16_000)
    result = run(tmp_path / "clips", tmp_path / "out", "--size", "64x32", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert tree(tmp_path / "out") == [
        "a.mp3.png", "a.ogg.png", "b.png", "c.png", "d.png", "deep er/ж.png", "e.png", "f.png", "pictures.json"
    ]  # fmt: skip
    assert features.decode_png((tmp_path / "out" / "b.png").read_bytes()).shape == (32, 64)
    assert pictures.draw(tmp_path / "clips", tmp_path / "out", size=(64, 32)).kept == 8
    with pytest.raises(OptionError, match="layout: flat before, classes now"):
        pictures.draw(table, tmp_path / "out", size=(64, 32))


def test_a_second_run_draws_only_what_is_missing(table: Path, tmp_path: Path, drawings: list[int]) -> None:
    out = tmp_path / "out"
    pictures.draw(table, out)
    before = contents(out)
    assert len(drawings) == 4  # the second name of a picture costs no drawing
    assert pictures.draw(table, out).kept == 4
    assert len(drawings) == 4
    (out / "train/gender/female/cv__1__en__a.png").unlink()  # the other name is still there
    (out / "test/gender/male/cv__1__en__c.png").write_bytes(before["test/gender/male/cv__1__en__c.png"][:-5])
    (out / "test/gender/male/.x.png.4194305.part").write_bytes(b"half")
    (out / "test/gender/male/.x.mine").write_bytes(b"somebody's")
    summary = pictures.draw(table, out)
    assert (summary.kept, summary.done, summary.unknown) == (3, 1, 1)
    assert len(drawings) == 5
    (out / "test/gender/male/.x.mine").unlink()
    assert contents(out) == before


def test_a_new_split_moves_pictures(table: Path, tmp_path: Path, drawings: list[int]) -> None:
    out = tmp_path / "out"
    pictures.draw(table, out)
    before = contents(out)
    other = {"a": {"split": "test"}, "b": {"age_group": "thirties"}, "c": {"gender": None}, "f": {"split": "train"}}
    changed = write_table(tmp_path / "changed.csv", other)
    (out / "train" / "gender" / "female" / "mine.png").write_bytes(b"somebody's")
    result = run(changed, out, "--format", "json")
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    counts = {name: figures[name] for name in ("done", "kept", "moved", "removed", "unlabelled", "unknown")}
    assert counts == dict(done=0, kept=1, moved=2, removed=6, unlabelled=3, unknown=1)
    assert len(drawings) == 4
    assert tree(out) == [
        "manifest.csv",
        "pictures.json",
        "test/age/female_fifties/cv__1__en__a.png",
        "test/gender/female/cv__1__en__a.png",
        "train/age/female_under_ten/cv__1__en__f.png",
        "train/gender/female/cv__1__en__f.png",
        "train/gender/female/mine.png",
        "validation/age/male_thirties/cv__1__en__b.png",
        "validation/gender/male/cv__1__en__b.png",
    ]
    assert not (out / "unsplit").exists() and not (out / "validation" / "age" / "male_twenties").exists()
    moved = (out / "test/gender/female/cv__1__en__a.png").read_bytes()
    assert moved == before["train/gender/female/cv__1__en__a.png"]
    (out / "train" / "gender" / "female" / "mine.png").unlink()
    pictures.draw(table, out)  # and back again, of which only the picture that had no label is drawn
    assert len(drawings) == 5
    assert contents(out) == before


def test_clips_that_left_the_table_are_reported_and_left_alone(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures.draw(table, out)
    manifest.write(manifest.read(table).head(2), tmp_path / "two.parquet")
    summary = pictures.draw(tmp_path / "two.parquet", out)
    assert (summary.kept, summary.removed, summary.unknown) == (2, 0, 3)
    assert tree(out) == TREE
    assert manifest.read(out / "manifest.csv").height == 2


def test_other_settings_are_refused(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures.draw(table, out)
    before = contents(out)
    result = run(table, out, "--size", "100x64", "--fit", "stretch")
    assert result.exit_code == 2 and result.stdout == ""
    assert "columns: 432 before, 100 now; fit: middle before, stretch now; n_mels: 288 before, 64 now" in result.stderr
    assert contents(out) == before
    # what a network makes of a picture does not change it
    shrunk = features.FrontEnd(shrink=3)
    assert pictures.draw(table, out, front_end=shrunk).kept == 4
    assert run(table, out, "--size", "100x64", "--overwrite", "-q").exit_code == 0
    drawn = (out / "train/age/female_fifties/cv__1__en__a.png").read_bytes()
    assert features.decode_png(drawn).shape == (64, 100)


@pytest.mark.parametrize("size", ["432", "432x", "x288", "-1x5", "axb", "1x1", "5000x288"])
def test_sizes_that_are_none(table: Path, tmp_path: Path, size: str) -> None:
    result = run(table, tmp_path / "out", "--size", size)
    assert result.exit_code == 2 and result.stdout == "" and not (tmp_path / "out").exists()
    assert "Expected a width and a height" in result.stderr


def test_every_failure_has_its_row_and_no_place_in_the_manifest(table: Path, tmp_path: Path) -> None:
    (tmp_path / "clips" / "a.mp3").write_text("not speech\n" * 50)
    (tmp_path / "clips" / "b.mp3").unlink()
    result = run(table, tmp_path / "out", "--format", "csv", "-q")
    assert (result.exit_code, result.stderr) == (1, "")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(Path(row["path"]).name, row["reason"].split(" ")[0]) for row in rows] == [
        ("a.mp3", str(tmp_path / "clips" / "a.mp3")),
        ("b.mp3", "no"),
    ]
    assert manifest.read(tmp_path / "out" / "manifest.csv")["clip_id"].to_list() == ["cv/1/en/c", "cv/1/en/f"]
    assert (tmp_path / "out" / "failures.csv").is_file()


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match="No such file or folder"):
        pictures.draw(tmp_path / "nowhere", tmp_path / "out")
    manifest.write(pl.DataFrame({"path": []}, schema={"path": pl.String}), tmp_path / "none.csv")
    result = run(tmp_path / "none.csv", tmp_path / "out")
    assert result.exit_code == 2 and "has no rows" in result.stderr
    with pytest.raises(OptionError, match=r"has no pictures\.json"):
        pictures.front_end_of(tmp_path)


def test_a_disk_without_hard_links_gets_copies(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    pictures.draw(table, tmp_path / "out")
    assert tree(tmp_path / "out") == TREE
    one, other = (tmp_path / "out" / name for name in TREE[3:5])
    assert one.read_bytes() == other.read_bytes() and not one.samefile(other)


def test_kill_and_run_again_ends_with_the_same_pictures(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    rows = []
    for at in range(60):
        soundfile.write(tmp_path / "clips" / f"{at}.mp3", tone(4.5, 100.0 + 20 * at), 16_000)
        gender, split = ("female", "male")[at % 2], ("train", "validation", "test")[at % 3]
        rows.append({"path": f"clips/{at}.mp3", "gender": gender, "age_group": "thirties", "split": split})
    manifest.write(pl.DataFrame(rows), tmp_path / "all.csv")
    pictures.draw(tmp_path / "all.csv", tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "voxtrait", "images", tmp_path / "all.csv", out, "--jobs", "1", "-q"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 30
        while len(list(out.glob("*/*/*/[!.]*.png"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    whole = contents(tmp_path / "whole")
    made = {name: content for name, content in contents(out).items() if Path(name).name[0] != "."}
    assert 4 < len(made) < len(whole)
    assert all(whole[name] == content for name, content in made.items())  # a final name is never half a file
    summary = pictures.draw(tmp_path / "all.csv", out)
    assert summary.kept > 0 and summary.kept + summary.done == 60
    assert contents(out) == whole


def test_two_processes_draw_what_one_draws(speech: Path, tmp_path: Path) -> None:
    clips = sorted((speech / "cv-corpus-20.0-delta-2024-12-06" / "en" / "clips").glob("*.mp3"))[:30]
    rows = [{"path": str(clip), "gender": "female", "age_group": "teens", "split": "train"} for clip in clips]
    manifest.write(pl.DataFrame(rows), tmp_path / "all.csv")
    one, two = (pictures.draw(tmp_path / "all.csv", tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2))
    assert (one.done, two.done, one.failed) == (30, 30, 0)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert {path.stat().st_nlink for path in (tmp_path / "2").rglob("*.png")} == {2}
