"""Commands do not replace files that they have not written, and state what they replace."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import audio
from voxtrait.cli import root
from voxtrait.errors import OptionError
from voxtrait.timelines import formats
from voxtrait.timelines.formats import FORMATS
from voxtrait.timelines.records import Segment, Speaker, Timeline
from voxtrait.timelines.replacing import check_replaceable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("clips/female/a.wav", "clips/male/b.wav", "clips/femal/c.wav"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(tmp_path / place, tone(1.0), 16_000)
    return tmp_path


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(root, ["corpus", *map(str, args)])


def test_a_file_that_is_no_manifest_is_not_replaced(folder: Path) -> None:
    labels = folder / "labels.csv"
    labels.write_text("file,sex\na.wav,f\n")
    before = labels.read_bytes()
    done = run("import", folder / "clips", labels)
    assert done.exit_code == 2 and "exists and is not a manifest" in done.stderr
    assert labels.read_bytes() == before
    assert run("import", folder / "clips", folder / "all.csv").exit_code == 0
    done = run("split", folder / "all.csv", labels, "--allow-leak")
    assert done.exit_code == 2 and "exists and is not a manifest" in done.stderr
    assert labels.read_bytes() == before


def test_a_source_is_not_replaced(folder: Path) -> None:
    table = folder / "metadata.csv"
    table.write_text("file_name,gender\nclips/female/a.wav,female\n")
    done = run("import", table, table)
    assert done.exit_code == 2 and "is both source and output" in done.stderr
    assert run("import", folder, table).exit_code == 2  # a table in the source is no manifest either
    assert table.read_text().startswith("file_name,gender\n")


def test_a_manifest_is_replaced_and_that_is_said(folder: Path) -> None:
    first = run("import", folder / "clips", folder / "all.csv")
    assert first.exit_code == 0 and "an earlier manifest" not in first.stderr
    again = run("import", folder / "clips", folder / "all.csv")
    assert again.exit_code == 0 and "replaced an earlier manifest of 2 clips" in again.stderr


def test_a_misspelt_class_folder_is_named(folder: Path) -> None:
    done = run("import", folder / "clips", folder / "all.csv")
    assert "dropped 1 row: in no class folder" in done.stdout
    assert "femal/c.wav" in done.stderr


def test_a_split_is_not_lost_to_an_import(folder: Path) -> None:
    table = folder / "all.csv"
    assert run("import", folder / "clips", table).exit_code == 0
    assert run("split", table, table, "--allow-leak").exit_code == 0
    before = table.read_bytes()
    done = run("import", folder / "clips", table)
    assert done.exit_code == 2 and "has a split of 2 clips, and this import has none" in done.stderr
    assert table.read_bytes() == before
    assert run("import", folder / "clips", table, "--overwrite").exit_code == 0
    assert run("import", folder / "clips", table).exit_code == 0  # there is no split to lose


TALK = Timeline(
    "talk.wav", "ok", None, 9.0, 4.0, (Speaker("S1", 4.0, "female", 0.99, 41.2),), (Segment(1.0, 5.25, "S1"),), "m 1"
)


@pytest.mark.parametrize("format_", [*FORMATS, "parquet"])
def test_a_timeline_replaces_only_a_timeline(tmp_path: Path, format_: str) -> None:
    target = tmp_path / "file"
    formats.write_table([TALK], target) if format_ == "parquet" else target.write_text(formats.render([TALK], format_))
    assert check_replaceable(target, format_, ["talk.wav"])
    if format_ in ("json", "jsonl", "csv", "parquet"):
        with pytest.raises(
            OptionError, match=r"contains the timeline of another recording, talk\.wav\. Pass --overwrite"
        ):
            check_replaceable(target, format_, ["other.wav"])
    for other in ("Buy milk.\n", '{"milk": 2}\n', "path,gender\na.mp3,male\n", "[]x", "\xff\x00"):
        target.write_text(other, "latin-1")
        with pytest.raises(OptionError, match=f"exists and is not a timeline in the format {format_}"):
            check_replaceable(target, format_, ["talk.wav"])
    target.write_text("")
    assert not check_replaceable(target, format_, ["talk.wav"])


def test_timeline_refuses_before_any_work(folder: Path) -> None:
    notes = folder / "notes.json"
    notes.write_text('{"milk": 2}')
    done = CliRunner().invoke(root, ["timeline", str(folder / "clips/female/a.wav"), "--out", str(notes)])
    assert done.exit_code == 2 and "is not a timeline in the format json. Pass --overwrite" in done.stderr
    assert notes.read_text() == '{"milk": 2}'
