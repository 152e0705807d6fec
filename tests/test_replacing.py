"""Commands that write a manifest do not replace what is none, and say what they replace."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import audio
from voxtrait.cli import root


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
