"""Mistakes of a newcomer, from the README's first line on: one line each that leads on, and the exit status."""

import shlex
import sys
from pathlib import Path

import click
import pytest
import soundfile

import models
from voxtrait.cli import console, main, root

EXPECTED_AUDIO = "Expected audio, a folder, a manifest (.parquet, .csv, .tsv) or a list with one path or URL per line."
BUNDLES = "Expected a folder with bundle.json, or a shipped name (voxtrait-base, voxtrait-diary, voxtrait-fast)"

# command line → what its one line on standard error begins with, and what it holds; exit status 2, no output
REFUSED = {
    "voxtrait predct clip.wav": ("No file and no command 'predct'.", "Did you mean 'voxtrait predict'?"),
    "voxtrait corpus chek all.csv": ("No such command 'chek'.", "Did you mean 'check'? See voxtrait corpus --help."),
    "voxtrait predict": ("No file given.", "Name files or folders, or - for standard input: voxtrait clip.mp3"),
    "voxtrait nothing": ("No audio files in nothing: ", ".mp3, .wav"),
    "voxtrait notes.txt": ("notes.txt is a text file and names no file that exists.", EXPECTED_AUDIO),
    "voxtrait gone.csv": ("There is no file gone.csv.", "To write predictions to it, use --out gone.csv."),
    "voxtrait absent.csv": ("No file of absent.csv exists. The first of 2 is x.wav.", "relative to the folder of the"),
    "voxtrait table.csv": ("table.csv: No column 'path' (columns: file, age)", "Expected a manifest"),
    "voxtrait clip.wav --out voices.xlsx": ("Got the output file voices.xlsx. ", "ending in .parquet, .csv or .jsonl."),
    "voxtrait clip.wav --out nothing": ("Invalid value for '--out' / '-o': File 'nothing' is a directory.", "--help"),
    "voxtrait clip.wav --out absent.csv": ("absent.csv exists and contains no predictions.", "Pass --overwrite to"),
    "voxtrait clip.wav --model voxtrait-bse": ("No bundle at voxtrait-bse. ", BUNDLES),
    "voxtrait clip.wav --json": ("No such option '--json'.", "Use --format json."),
    "voxtrait clip.wav --format xml": ("Invalid value for '--format' / '-f': 'xml'", "'text', 'json', 'jsonl', 'csv'"),
    "voxtrait clip.wav --quite": ("No such option '--quite'.", "'--quiet'?) See voxtrait predict --help."),
    "voxtrait clip.wav --jobs many": ("Invalid value for '--jobs' / '-j': 'many'", "See voxtrait predict --help."),
    "voxtrait clip.wav models": ("Got the command 'models' after other", "Put it first: voxtrait models ..."),
    "voxtrait --tables-only corpus check all.csv": ("Got the command 'corpus' after", "Put it first: voxtrait corpus"),
    "voxtrait clip.wav --engine local --address x": (
        "Got the address x without a cluster engine.",
        "Add --engine ray or --engine dask.",
    ),
    "voxtrait convert clip.wav": ("Missing argument 'OUT_DIR'.", "Usage: voxtrait convert [OPTIONS] SRC OUT_DIR"),
    "voxtrait corpus import nothing": ("Missing argument 'OUT'.", "Usage: voxtrait corpus import [OPTIONS] SRC... OUT"),
    "voxtrait train base --data x --out y --set a b": (
        "Got unexpected extra argument (b).",
        "See voxtrait train --help",
    ),
    "voxtrait train base": ("Missing option '--data'.", "Usage: voxtrait train [OPTIONS] RECIPE"),
    "voxtrait train bse --data nothing --out run": ("Unknown recipe 'bse'. ", "base, diary-age, diary-gender, fast"),
    "voxtrait evaluate clip.wav absent.csv --out report": ("No bundle at clip.wav. ", BUNDLES),
    "voxtrait models voxtrait-bas": ("No bundle at voxtrait-bas. ", BUNDLES),
    "voxtrait ''": ("Got an empty file name.", "A variable of the shell may be empty."),
    "voxtrait --files-from clip.wav": (
        "clip.wav is an audio file (WAV), not a list.",
        "Give it as FILE: voxtrait clip",
    ),
    "voxtrait listen": ("No input.", "Expected FILE, - for standard input, or --microphone."),
    "voxtrait timeline nothing": ("No audio files in nothing: ", ".mp3, .wav"),
}

# command line → words of the file's row on standard output, words on standard error before the totals; exit status 1
ROWS = {
    "voxtrait interviews/": ("interviews/  error: ", "There is no file or folder interviews/.\n"),
    "voxtrait recording": ("recording  error: ", "There is no file or folder recording. Did you mean record?\n"),
    "voxtrait clip.wave": ("clip.wave  error: ", "There is no file or folder clip.wave. Did you mean clip.wav?\n"),
    "voxtrait *.mp3": ("*.mp3  error: ", "No file matches *.mp3.\n"),
    "voxtrait clip.wav voices.csv": (
        "voices.csv",
        "There is no file voices.csv. To write predictions to it, use --out",
    ),
    "voxtrait my voice memo.wav": ("memo.wav  error: ", "Put a path with spaces in quotes: 'my voice memo.wav'\n"),
    "voxtrait README.md": ("README.md  error: README.md is not a readable audio file", ""),
    "voxtrait face.png": ("needs audio. Pass the recording.", ""),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    soundfile.write(tmp_path / "clip.wav", models.voice(1), 16_000)
    soundfile.write(tmp_path / "my voice memo.wav", models.voice(1), 16_000)
    for name in ("nothing", "record"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("Dear diary\n")
    (tmp_path / "README.md").write_text("# Voices\n")
    (tmp_path / "face.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "absent.csv").write_text("path,gender\nx.wav,male\ny.wav,male\n")
    (tmp_path / "table.csv").write_text("file,age\nx.wav,30\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("voxtrait.batch.silence_decoders", lambda: None)  # both are this process's, not a test's
    monkeypatch.setattr(console, "prepare", lambda: None)
    return tmp_path


def run(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the console script in this process. Return exit status, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_one_line_that_leads_on(
    line: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(line, monkeypatch, capsys)
    begins, holds = REFUSED[line]
    assert (status, out) == (2, "")
    assert err.startswith(f"voxtrait: {begins}")
    assert holds in err
    assert err.count("\n") == 1
    assert not (here / "run").exists() and not (here / "report").exists()


@pytest.mark.parametrize("line", ROWS)
def test_a_file_that_cannot_be_used_has_its_row_and_a_hint(
    line: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(line, monkeypatch, capsys)
    row, hint = ROWS[line]
    assert status == 1
    assert row in out
    assert err.startswith(f"warning: {hint}") if hint else err == ""
    assert err.count("\n") <= 2


def test_no_arguments_show_the_help(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run("voxtrait", monkeypatch, capsys)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: voxtrait [OPTIONS] COMMAND [ARGS]...")
    assert "voxtrait clip.mp3  " in err


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("voxtrait clips", ""),
        ("voxtrait clips --out voices.csv", " To resume, repeat the command."),
        ("voxtrait predict clips -o voices.csv", " To resume, repeat the command."),
        ("voxtrait images all.parquet pictures", " To resume, repeat the command."),
        ("voxtrait train base --data all.parquet --out run", " To resume, repeat the command with --resume."),
        ("voxtrait corpus import cv all.parquet", ""),
    ],
)
def test_an_interrupted_command_states_how_to_resume(
    line: str, how: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise click.exceptions.Abort

    monkeypatch.setattr(root, "main", interrupted)
    assert run(line, monkeypatch, capsys) == (130, "", f"voxtrait: interrupted. No file is incomplete.{how}\n")


def test_options_may_stand_before_the_command_and_a_folder_for_the_output_is_made(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("voxtrait --format csv predict clip.wav", monkeypatch, capsys)[0] == 0
    assert run("voxtrait clip.wav --out new/folder/voices.csv --quiet", monkeypatch, capsys) == (0, "", "")
    assert (here / "new" / "folder" / "voices.csv").is_file()
