"""``voxtrait corpus``: what it prints where, what it writes, and its exit statuses."""

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from click.testing import CliRunner, Result

from voxtrait import manifest
from voxtrait.cli import root

HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tlocale\tsegment\n"


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["corpus", *map(str, args)])


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "cv-corpus-6.1-2020-12-11"
    for locale, n in (("en", 12), ("de", 4)):
        (folder / locale / "clips").mkdir(parents=True)
        rows = [
            f"{locale}{at}\tcommon_voice_{locale}_{at}.mp3\tsay {at}\t2\t0\t{('fourties', '')[at % 2]}\t"
            f"{('male', 'female', 'other')[at % 3]}\t\t{locale}\t\n"
            for at in range(n)
        ]
        (folder / locale / "validated.tsv").write_text(HEADER + "".join(rows) + rows[0])
    (folder / "en" / "clips" / "common_voice_en_0.mp3").write_bytes(b"x")
    (folder / "en" / "clip_durations.tsv").write_text("clip\tduration[ms]\ncommon_voice_en_0.mp3\t3600\n")
    return folder


@pytest.fixture
def table(release: Path) -> Path:
    out = release.parent / "all.parquet"
    assert run("import", release, out, "--tables-only", "-q").exit_code == 0
    return out


def refused(result: Result, text: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_import_prints_the_funnel_and_says_the_layout(release: Path, tmp_path: Path) -> None:
    result = run("import", release, tmp_path / "out" / "all.csv")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["source", "rows", "dropped", "kept", "present", "gender", "other_gender", "age", "both"]
    assert lines[1][1:] == ["5", "1", "4", "0", "3", "1", "2", "1"]
    assert lines[3] == ["total", "18", "2", "16", "1", "11", "5", "8", "5"]
    assert result.stdout.splitlines()[-1] == "dropped 2 rows: repeated clip"
    assert "layout Common Voice: 2 folders" in result.stderr
    assert "16 clips in" in result.stderr
    table = manifest.read(tmp_path / "out" / "all.csv")
    assert table.height == 16
    assert table["path"][0] == f"{release}/de/clips/common_voice_de_0.mp3"


def test_import_as_json_adds_up_and_paths_below_the_manifest_are_relative(release: Path) -> None:
    result = run(
        "import", "--format", "json", "--tables-only", release / "de", release / "en", release.parent / "m.tsv", "-q"
    )
    assert result.stderr == ""
    funnel = json.loads(result.stdout)
    assert [one["locale"] for one in funnel["sources"]] == ["de", "en"]
    assert funnel["total"]["present"] is None
    assert funnel["total"]["dropped"] == {"repeated clip": 2}
    for one in [*funnel["sources"], funnel["total"]]:
        assert one["rows"] == one["kept"] + sum(one["dropped"].values())
    table = manifest.read(release.parent / "m.tsv")
    assert table["path"][0] == "cv-corpus-6.1-2020-12-11/de/clips/common_voice_de_0.mp3"
    assert table.filter(pl.col("duration_s").is_not_null())["duration_s"].to_list() == [3.6]


def test_import_refuses_in_one_line(release: Path, tmp_path: Path) -> None:
    refused(run("import", release), "Missing argument")
    refused(run("import", tmp_path / "nowhere", tmp_path / "a.parquet"), "nowhere does not exist. Expected the folder")
    refused(run("import", release, tmp_path / "a.txt"), "Expected one ending in .parquet, .csv or .tsv")
    refused(run("import", release, tmp_path / "a.csv", "--tables", "x"), "none of the tables x. It has validated.tsv")
    refused(run("import", release, tmp_path / "a.csv", "--jobs", "0"), "--jobs")
    (tmp_path / "xx").mkdir()
    (tmp_path / "xx" / "validated.tsv").write_text(HEADER)
    refused(run("import", tmp_path / "xx", tmp_path / "a.csv"), "the tables have no rows")
    (tmp_path / "xx" / "validated.tsv").write_bytes(b"\x89PNG\r\n\x00\xff")
    refused(run("import", tmp_path / "xx", tmp_path / "a.csv"), "is not UTF-8 text")
    assert not (tmp_path / "a.csv").exists()


def test_split_writes_moves_paths_and_prints_the_table(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "below" / "split.parquet"
    result = run("split", table, out, "--sizes", "50/25/25", "--seed", "3", "--format", "json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert rows[0]["class"] == "all"
    assert [rows[0][f"{name}_speakers"] for name in ("train", "validation", "test")] == [6, 4, 6]
    assert result.stderr.splitlines() == ["leakage: none"]
    done = manifest.read(out)
    assert done["path"][0] == f"{table.parent}/cv-corpus-6.1-2020-12-11/de/clips/common_voice_de_0.mp3"
    again = run("split", out, tmp_path / "again.parquet", "--seed", "3", "--sizes", "50/25/25")
    assert "replacing the existing split of 16 of 16 clips" in again.stderr
    assert manifest.read(tmp_path / "again.parquet")["split"].equals(done["split"])
    assert (
        manifest.read(tmp_path / "again.parquet")["path"][0]
        == "cv-corpus-6.1-2020-12-11/de/clips/common_voice_de_0.mp3"
    )


def test_split_bytes_do_not_depend_on_the_order_of_rows(table: Path, tmp_path: Path) -> None:
    manifest.write(manifest.read(table).sample(fraction=1.0, shuffle=True, seed=1), tmp_path / "shuffled.parquet")
    for name in ("all", "shuffled"):
        assert run("split", tmp_path / f"{name}.parquet", tmp_path / f"{name}-split.csv", "-q").stderr == ""
    assert (tmp_path / "all-split.csv").read_bytes() == (tmp_path / "shuffled-split.csv").read_bytes()


def test_split_refuses_in_one_line(table: Path, tmp_path: Path) -> None:
    refused(run("split", tmp_path / "none.parquet", tmp_path / "o.csv"), "No such manifest")
    refused(
        run("split", table, tmp_path / "o.csv", "--sizes", "80/20"),
        "Got the sizes '80/20'. Expected three numbers such as 80/10/10.",
    )
    refused(run("split", table, tmp_path / "o.xlsx"), "Expected one ending in .parquet, .csv or .tsv")
    manifest.write(manifest.read(table).with_columns(speaker_id=pl.lit(None, pl.String)), tmp_path / "nobody.parquet")
    refused(run("split", tmp_path / "nobody.parquet", tmp_path / "o.csv"), "16 of 16 clips have no speaker id")
    allowed = run("split", tmp_path / "nobody.parquet", tmp_path / "o.csv", "--allow-leak")
    assert allowed.exit_code == 0
    assert "leakage: unknown: no speaker ids" in allowed.stderr
    assert set(manifest.read(tmp_path / "o.csv")[manifest.SPLIT_UNIT]) == {"clip"}


def test_stats_counts_and_draws(table: Path, tmp_path: Path) -> None:
    result = run("stats", table, "--plot", tmp_path / "s.png", "--format", "csv")
    assert result.exit_code == 0
    rows = {(row["by"], row["value"]): row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert rows["all", ""] == {"by": "all", "value": "", "clips": "16", "speakers": "16", "hours": "0.001"}
    assert rows["locale", "de"]["clips"] == "4"
    assert rows["locale", "de"]["hours"] == ""
    assert rows["age_group", "forties"]["speakers"] == "8"
    assert rows["split", ""]["clips"] == "16"
    assert "duration unknown for 15 of 16 clips; the hours exclude them" in result.stderr
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    refused(run("stats", table, "--plot", tmp_path / "s.bmp"), "Expected one of .png")


def test_stats_of_a_manifest_without_speakers_or_rows(table: Path, tmp_path: Path) -> None:
    nobody = manifest.read(table).with_columns(speaker_id=pl.lit(None, pl.String))
    for name, rows in (("nobody", nobody), ("empty", nobody.clear())):
        manifest.write(rows, tmp_path / f"{name}.parquet")
        result = run("stats", tmp_path / f"{name}.parquet", "--plot", tmp_path / f"{name}.svg", "--format", "json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)[0]["speakers"] is None
        assert (tmp_path / f"{name}.svg").is_file()


@pytest.mark.parametrize("fatal", [True, False])
def test_check_ends_with_status_1_where_something_is_fatal(
    table: Path, fatal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import voxtrait

    row = {"problem": "absent", "severity": "fatal", "count": 3, "examples": ["a.mp3", "b" * 61]}
    report = SimpleNamespace(fatal=fatal, to_dict=lambda: {"fatal": fatal}, rows=lambda: [row])
    fake = SimpleNamespace(check=lambda path, **options: report)
    monkeypatch.setitem(sys.modules, "voxtrait.integrity", fake)
    monkeypatch.setattr(voxtrait, "integrity", fake, raising=False)
    result = run("check", table, "--tables-only", "--format", "csv")
    assert result.exit_code == int(fatal)
    assert result.stdout == "problem,severity,count,examples\nabsent,fatal,3,a.mp3; " + "b" * 61 + "\n"
    assert json.loads(run("check", table, "--format", "json").stdout) == {"fatal": fatal}
    assert run("check", table).stdout.splitlines()[1].endswith(f"3  a.mp3; {'b' * 20}…{'b' * 36}")


def test_every_command_has_help_with_an_example() -> None:
    for command in ("import", "check", "split", "stats"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"Example: voxtrait corpus {command} " in result.stdout
        assert "--quiet" in result.stdout
        assert "--format" in result.stdout
