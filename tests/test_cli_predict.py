"""``voxtrait FILE...``: formats, streams, statuses, and where its answers go."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

import models
from voxtrait import bundle as bundles
from voxtrait.cli import root
from voxtrait.recognize import CSV_FIELDS, FIELDS, Recognizer


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "voices" / "inner").mkdir(parents=True)
    soundfile.write(tmp_path / "voices" / "a.wav", models.voice(2), 16_000)
    soundfile.write(tmp_path / "voices" / "inner" / "b.flac", models.voice(1.5, 44_100, 2), 44_100)
    (tmp_path / "voices" / "notes.txt").write_text("no audio")
    return tmp_path / "voices"


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(root, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_one_line_a_file(bundle: str, folder: Path) -> None:
    result = run(folder / "a.wav", "--model", bundle)
    assert (result.exit_code, result.stderr) == (0, "")
    line = r"unsure \(p_female 0\.\d\d\)  \d\d years \(\d\d–\d\d\), [a-z]+  1\.\d s speech\n"
    assert re.fullmatch(re.escape(str(folder / "a.wav")) + "  " + line, result.stdout)


def test_predict_may_be_said_and_options_may_stand_anywhere(bundle: str, folder: Path) -> None:
    plain = run(folder / "a.wav", "--model", bundle)
    assert run("predict", "--model", bundle, folder / "a.wav").stdout == plain.stdout
    assert run("--model", bundle, folder / "a.wav").stdout == plain.stdout


def test_json_is_an_object_for_one_file_and_a_list_otherwise(bundle: str, folder: Path) -> None:
    one = json.loads(run(folder / "a.wav", "--model", bundle, "--format", "json").stdout)
    assert tuple(one) == FIELDS
    assert one == Recognizer(bundles.load(bundle)).predict(folder / "a.wav").to_dict()
    two = json.loads(run(folder, "--model", bundle, "--format", "json").stdout)
    assert [row["path"] for row in two] == [str(folder / "a.wav"), str(folder / "inner" / "b.flac")]
    assert two[0] == one
    alone = json.loads(run(folder / "inner", "--model", bundle, "--format", "json").stdout)
    assert alone == two[1:]


def test_json_lines_and_csv_say_the_same(bundle: str, folder: Path) -> None:
    paths = [folder, folder / "gone.wav"]
    lines = run(*paths, "--model", bundle, "--format", "jsonl")
    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    table = run(*paths, "--model", bundle, "--format", "csv")
    assert (lines.exit_code, table.exit_code) == (1, 1)
    read = list(csv.DictReader(io.StringIO(table.stdout)))
    assert tuple(read[0]) == CSV_FIELDS
    assert read == [{k: "" if row[k] is None else str(row[k]) for k in CSV_FIELDS} for row in rows]


def test_standard_input(bundle: str, folder: Path) -> None:
    data = (folder / "a.wav").read_bytes()
    answer = json.loads(run("-", "--model", bundle, "--format", "json", stdin=data).stdout)
    from_file = json.loads(run(folder / "a.wav", "--model", bundle, "--format", "json").stdout)
    assert answer == from_file | {"path": "-"}
    empty = run("-", "--model", bundle, stdin=b"")
    assert (empty.exit_code, empty.stdout[:10]) == (1, "-  error: ")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_out_writes_what_would_have_been_printed(bundle: str, folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "new" / f"out{suffix}"
    paths = [folder, folder / "gone.wav"]
    result = run(*paths, "--model", bundle, "--out", out)
    assert (result.exit_code, result.stdout) == (1, "")
    *_, said, failed = result.stderr.splitlines()
    assert re.fullmatch(
        rf"{re.escape(str(out))}: 1 error, 2 ok; 3 in this run, [0-9.]+ files/s, \d+ × real time; "
        r"1 file with another ending skipped \(1 \.txt\)",
        said,
    )
    assert failed == f"failed: no such file: {folder / 'gone.wav'}"
    assert run(*paths, "--model", bundle, "--out", out, "--quiet").stderr == ""
    assert [file.name for file in out.parent.iterdir()] == [out.name]  # no shards are left
    printed = run(*paths, "--model", bundle, "--format", "csv" if suffix == ".csv" else "jsonl").stdout
    rows = [json.loads(line) for line in printed.splitlines()] if suffix != ".csv" else []
    match suffix:
        case ".csv":
            assert out.read_text("utf-8") == printed
        case ".jsonl":
            assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == rows
        case _:
            assert pl.read_parquet(out).to_dicts() == rows


def test_a_killed_out_goes_on(bundle: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrait.batch.shards.SHARD", 1)
    asked: list[str] = []
    plain = Recognizer.predict

    def predict(self: Recognizer, path: str) -> object:
        asked.append(Path(path).name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return plain(self, path)

    monkeypatch.setattr(Recognizer, "predict", predict)
    out = tmp_path / "out.csv"
    killed = CliRunner().invoke(root, [str(folder), "--model", bundle, "--out", str(out), "--quiet"])
    assert killed.exit_code == 1
    assert not out.exists()
    assert run(folder, "--model", bundle, "--out", out, "--quiet").exit_code == 0
    assert asked == ["a.wav", "b.flac", "b.flac"]
    assert pl.read_csv(out).height == 2


def test_wrong_usage(bundle: str, folder: Path, tmp_path: Path) -> None:
    for arguments, words in [
        (["predict"], "No file given"),
        ([tmp_path / "voices" / "a.wav", "--model", "nowhere"], "No bundle at nowhere. Expected"),
        ([folder, "--model", bundle, "--out", tmp_path / "a.xlsx"], "Expected one ending in .parquet, .csv or .jsonl."),
        ([folder, "--model", bundle, "--address", "10.0.0.1:6379"], "engine. Add --engine ray or --engine dask."),
        ([folder, "--model", bundle, "--timeout", "-1"], "-1.0 is not in the range"),
        ([folder, "--model", bundle, "--jobs", "0"], "0 is not in the range"),
        ([folder, "--format", "xml"], "'xml' is not one of"),
    ]:
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


@pytest.mark.parametrize(
    ("word", "command"), [("evalute", "evaluate"), ("corpsu", "corpus"), ("image", "images"), ("modles", "models")]
)
def test_a_mistyped_command(word: str, command: str) -> None:
    result = run(word, "--data", "x")
    assert result.exit_code == 2
    assert result.stderr == f"voxtrait: No file and no command '{word}'. Did you mean 'voxtrait {command}'?\n"


def test_a_file_called_nearly_like_a_command_is_a_file(
    bundle: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "a.wav").rename("trian")
    assert run("trian", "--model", bundle).stdout.startswith("trian  unsure")
    assert run("recording7", "--model", bundle).stdout == "recording7  error: no such file: recording7\n"


def test_models(bundle: str, tmp_path: Path) -> None:
    text = run("models", bundle)
    assert text.exit_code == 0
    heading, row = text.stdout.splitlines()[:2]
    assert heading.split() == ["name", "version", "gender", "UAR", "…", "adults", "age", "MAE", "MB"]
    assert row.split()[0] == "tiny"
    assert "  tasks: gender, age\n  tested on: unknown clips; leakage: unknown\n" in text.stdout
    (described,) = json.loads(run("models", bundle, "--format", "json").stdout)
    assert (described["name"], described["licence"]) == ("tiny", "Apache-2.0")
    assert described["tasks"]["gender"] == ["female", "male"]
    assert described["pretrained"] == []
    broken = run("models", tmp_path)
    assert (broken.exit_code, broken.stdout) == (2, "")


def test_models_name_what_they_started_from(tmp_path: Path) -> None:
    folder = models.make_encoder_bundle(tmp_path / "b").folder
    text = run("models", str(folder)).stdout
    assert "pretrained weights: nothing (CC0-1.0)" in text
    (described,) = json.loads(run("models", str(folder), "--format", "json").stdout)
    assert described["pretrained"] == [{"name": "nothing", "source": "made up", "licence": "CC0-1.0"}]
    assert described["tasks"]["age"][:2] == ["0", "1"]
    assert described["size_mb"] == round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 2)


def test_a_bundle_of_windows_answers(folder: Path, tmp_path: Path) -> None:
    other = str(models.make_encoder_bundle(tmp_path / "b").folder)
    row = json.loads(run(folder / "a.wav", "--model", other, "--format", "json").stdout)
    assert (row["status"], row["model"]) == ("ok", "small 1.0")
    assert tuple(row) == FIELDS
    out = tmp_path / "out.csv"
    assert run(folder, "--model", other, "--out", out, "--quiet").exit_code == 0
    assert pl.read_csv(out)["p_female"][0] == row["p_female"]


def test_a_reader_that_stops_early_is_no_failure(bundle: str, folder: Path) -> None:
    command = [sys.executable, "-m", "voxtrait", *[str(folder)] * 9, "--model", bundle, "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["status"] == "ok"
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
