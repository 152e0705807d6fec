"""What ``predict`` takes as inputs: names that are not UTF-8, manifests and lists, and what it says of a folder."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

import models
from voxtrait import storage
from voxtrait.batch import parts_of
from voxtrait.cli import root
from voxtrait.cli.inputs import find_inputs
from voxtrait.errors import NothingToDoError

ODD = os.fsdecode(b"caf\xe9.wav")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips, one in a folder below, and two other files; it is the working directory too."""
    here = tmp_path / "voices"
    (here / "inner").mkdir(parents=True)
    soundfile.write(here / "a.wav", models.voice(1), 16_000)
    soundfile.write(here / "inner" / "b b.wav", models.voice(1), 16_000)
    (here / "notes.md").write_text("no audio")
    (here / ".hidden").write_text("not counted")
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def odd(folder: Path) -> Path:
    """A folder with a third clip, whose name is not UTF-8."""
    try:
        (folder / ODD).write_bytes((folder / "a.wav").read_bytes())
    except OSError:
        pytest.skip("this disk has only names that are UTF-8")
    return folder


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lines_of(result: Result) -> dict[str, str]:
    return {row["path"]: row["status"] for row in map(json.loads, result.stdout.splitlines())}


def test_a_name_that_is_not_utf8_costs_no_other_file(bundle: str, odd: Path) -> None:
    for format_ in ("text", "json", "jsonl", "csv"):
        result = run(".", "--model", bundle, "--format", format_)
        assert result.exit_code in (0, 1)
        result.stdout.encode("utf-8")
        for name in ("a.wav", "b b.wav", "caf\\\\xe9.wav" if "json" in format_ else "caf\\xe9.wav"):
            assert name in result.stdout
    found = lines_of(run(".", "--model", bundle, "--format", "jsonl", "--jobs", "2", "--timeout", "60"))
    assert (found["a.wav"], found["inner/b b.wav"]) == ("ok", "ok")
    assert set(found) == {"a.wav", "inner/b b.wav", "caf\\xe9.wav"}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_table_holds_a_name_that_is_not_utf8_and_finds_the_file_again(bundle: str, odd: Path, suffix: str) -> None:
    out = odd.parent / f"out{suffix}"
    assert run(".", "--model", bundle, "--out", out, "--quiet").exit_code in (0, 1)
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[suffix](out)
    assert sorted(read["path"]) == ["a.wav", "caf\\xe9.wav", "inner/b b.wav"]
    assert run(".", "--model", bundle, "--out", out, "--quiet").exit_code in (0, 1)  # the same again
    if suffix != ".jsonl":
        items = find_inputs([str(out)]).items
        assert sorted(map(str, items)) == sorted(str(odd / name) for name in ("a.wav", ODD, "inner/b b.wav"))


def test_a_list_names_it_by_its_bytes_or_by_its_text(odd: Path) -> None:
    (odd / "list").write_bytes(b"caf\xe9.wav\r\ncaf\\xe9.wav\r\n")
    assert find_inputs([], files_from="list").items == [ODD, ODD]
    assert find_inputs(["caf\\xe9.wav"]).items == [ODD]


def test_an_output_whose_name_is_not_utf8_is_refused(bundle: str, odd: Path) -> None:
    result = run("a.wav", "--model", bundle, "--out", os.fsdecode(b"r\xe9sum\xe9.csv"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "r\\xe9sum\\xe9.csv is not UTF-8. Choose another name." in result.stderr


def test_timelines_hold_it_too(odd: Path) -> None:
    (odd / ODD).write_text("no audio")
    result = run("timeline", ODD, "a.wav", "--format", "jsonl", "--jobs", "1")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["path"] for row in rows] == ["caf\\xe9.wav", "a.wav"]
    assert (rows[0]["status"], result.exit_code) == ("error", 1)
    done = run("timeline", ODD, "a.wav", "--format", "json", "--out", odd / "out")
    assert done.exit_code == 1
    assert [file.name for file in (odd / "out").iterdir()] == ["a.wav.json"]


LISTS = {
    "plain": b"a.wav\ninner/b b.wav\n",
    "comments": b"# clips\n\na.wav\n   # more\ninner/b b.wav\n",
    "quotes": b"\"a.wav\"\n'inner/b b.wav'\n",
    "Windows": b"\xef\xbb\xbfa.wav\r\ninner/b b.wav\r\n",
    "PowerShell": "a.wav\r\ninner/b b.wav\r\n".encode("utf-16"),
    "an old Mac": b"a.wav\rinner/b b.wav",
    "find -print0": b"a.wav\0inner/b b.wav\0",
    "blanks around": b"  a.wav \n\tinner/b b.wav\n",
    "a playlist": b"#EXTM3U\n#EXTINF:1,A\na.wav\n#EXTINF:1,B\ninner/b b.wav\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_read_however_it_was_written(kind: str, folder: Path) -> None:
    (folder / "list").write_bytes(LISTS[kind])
    (folder / "list.txt").write_bytes(LISTS[kind])
    for found in (find_inputs([], files_from="list"), find_inputs(["list.txt"])):
        assert (found.items, found.many) == (["a.wav", "inner/b b.wav"], True)


@pytest.mark.parametrize("name", ["#1.wav", '"said".wav', "'a'", " a.wav"])
def test_a_file_that_is_called_like_that_is_that_file(name: str, folder: Path) -> None:
    (folder / name).touch()
    (folder / "list").write_text(f"{name}\n")
    assert storage.names_in(folder / "list") == [name]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
def test_a_manifest_stands_for_its_clips(bundle: str, folder: Path, suffix: str) -> None:
    table = pl.DataFrame({"path": ["a.wav", "inner/b b.wav", "gone.wav"], "split": ["train", "dev", ""]})
    file = folder / f"all{suffix}"
    if suffix == ".parquet":
        table.write_parquet(file)
    else:
        table.write_csv(file, separator="," if suffix == ".csv" else "\t")
    result = run(file, "--model", bundle, "--format", "jsonl", "--quiet")
    assert result.exit_code == 1
    paths = [str(folder / name) for name in ("a.wav", "inner/b b.wav", "gone.wav")]
    assert lines_of(result) == dict(zip(paths, ("ok", "ok", "error"), strict=True))
    assert find_inputs([], files_from=str(file)).items == paths


def test_a_table_is_found_its_files_where_common_voice_and_predictions_have_them(folder: Path) -> None:
    (folder / "inner").rename(folder / "clips")
    (folder / "validated.tsv").write_text("client_id\tpath\nx\tb b.wav\n")
    assert find_inputs(["validated.tsv"]).items == [str(folder / "clips" / "b b.wav")]
    (folder / "results").mkdir()
    (folder / "results" / "voices.csv").write_text("path,status\na.wav,ok\n")
    assert find_inputs(["results/voices.csv"]).items == [str(folder / "a.wav")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", "path\ngone.wav\nlost.wav\n", "No file of m.csv exists. The first of 2 is gone.wav."),
        ("m.csv", "file,age\na.wav,3\n", "m.csv: No column 'path' (columns: file, age)"),
        ("m.csv", "path\n", "m.csv has no rows."),
        ("m.csv", "", "m.csv: m.csv cannot be read as a manifest"),
        ("m.parquet", "path", "m.parquet: m.parquet cannot be read as a manifest"),
        ("m.txt", "Dear diary\n", "m.txt is a text file and names no file that exists. Expected audio, a folder,"),
        ("m.txt", "", "m.txt names no file"),
    ],
)
def test_a_table_or_text_without_files_says_so(name: str, content: str, words: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(NothingToDoError) as refused:
        find_inputs([name])
    assert str(refused.value).startswith(words)
    beside = run(name, "a.wav", "--model", "voxtrait-diary", "--format", "jsonl")  # it ends the run of no other
    assert beside.exit_code == 1
    assert list(lines_of(beside)) == [name, "a.wav"]
    assert beside.stderr.splitlines()[0].startswith(f"warning: {words}")


def test_totals_end_the_answers_for_several_files(bundle: str, folder: Path) -> None:
    several = run(folder, "gone.wav", "--model", bundle)
    assert several.stderr.startswith("3 files: 2 male, 1 error; 1 file with another ending skipped")
    assert several.stderr.count("\n") == 1
    assert run(folder, "--model", bundle, "--quiet").stderr == ""
    assert run("a.wav", "--model", bundle).stderr == ""
    assert run("a.wav", "a.wav", "--model", bundle, "--format", "csv").stderr == "2 files: 2 male\n"
    (folder / "inner" / "b b.wav").unlink()
    assert run(folder, "--model", bundle).stderr.startswith("1 file: 1 male; 1 file with another ending skipped")
    channels = run("a.wav", "a.wav", "--channel", "each", "--model", bundle)
    assert channels.stderr == "2 channels: 2 male\n"
    assert run("timeline", folder, "-f", "jsonl", "-j", "1").stderr.startswith("1 file with another ending skipped")


def test_an_output_with_the_longest_name_has_its_parts(tmp_path: Path) -> None:
    long = ["语" * 83 + ".csv", "语" * 82 + ".parquet"]
    names = {parts_of(str(tmp_path / name)) for name in [*long, "a.csv"]}
    assert len(names) == 3
    for name in names:
        Path(name).mkdir()
        assert Path(name).parent == tmp_path and Path(name).name.startswith(".")


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("other"), name="other").folder)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_finished_table_of_other_predictions_is_not_replaced(
    bundle: str, other: str, folder: Path, suffix: str
) -> None:
    out = folder.parent / f"out{suffix}"
    assert run("a.wav", "gone.wav", "--model", bundle, "--out", out, "-q").exit_code == 1
    before = out.read_bytes()
    for arguments, words in [
        (["a.wav", "--model", bundle], "contains predictions of 1 file that is not among the inputs: gone.wav."),
        (["a.wav", "gone.wav", "--model", other], "contains predictions of tiny 1.0. This run would use other 1.0."),
    ]:
        refused = run(*arguments, "--out", out)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert words in refused.stderr
        assert "Pass --overwrite to replace it, or use another name with --out." in refused.stderr
        assert out.read_bytes() == before
    assert run("a.wav", "gone.wav", "--model", bundle, "--out", out, "-q").exit_code == 1  # the same again
    assert out.read_bytes() == before
    assert run("a.wav", "gone.wav", "inner", "--model", bundle, "--out", out, "-q").exit_code == 1  # nothing is lost
    assert run("a.wav", "--model", other, "--out", out, "--overwrite", "-q").exit_code == 0
    assert run("a.wav", "--model", other, "--channel", "each", "--out", out, "-q").exit_code == 0
    assert run("a.wav", "--model", other, "--channel", "each", "--out", out, "-q").exit_code == 0


def test_a_file_of_something_else_is_not_replaced_either(bundle: str, folder: Path) -> None:
    for name, content in [("all.csv", "path,gender\na.wav,female\n"), ("x.parquet", "no table"), ("x.jsonl", "[1")]:
        (folder / name).write_text(content)
        refused = run("a.wav", "--model", bundle, "--out", name)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"{name} exists and contains no predictions." in refused.stderr
        assert (folder / name).read_text() == content
    (folder / "empty.csv").touch()  # as mktemp makes it: nothing is lost
    assert run("a.wav", "--model", bundle, "--out", "empty.csv", "-q").exit_code == 0


def test_a_folder_that_may_not_be_listed_costs_only_the_hint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("voxtrait.cli.inputs.os.listdir", refuse)
    assert find_inputs(["a.wav", "missing.wav"], quiet=True).items == ["a.wav", "missing.wav"]
