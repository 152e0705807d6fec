"""Files of a table that are on disk under another spelling, linked folders, and folders that cannot be read."""

import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import integrity, manifest, storage
from voxtrait.audio.writing import write_wav
from voxtrait.cli import root
from voxtrait.corpora import detect, import_corpora
from voxtrait.corpora.finding import other_spelling, way_of

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def wav(path: Path, hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    write_wav(content, tone(0.2, hz), 16_000)
    path.write_bytes(content.getvalue())
    return path


def metadata(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{file},{('female', 'male')[at % 2]}\n" for at, file in enumerate(files)]
    (folder / "metadata.csv").write_text("file_name,gender\n" + "".join(lines), encoding="utf-8")
    return folder


def run(*args: object) -> Result:
    return CliRunner().invoke(root, [*map(str, args)])


@pytest.mark.parametrize(
    ("named", "there", "way"),
    [
        (f"{NFC}.wav", f"{NFD}.wav", "Unicode form"),
        (f"{NFD}.wav", f"{NFC}.wav", "Unicode form"),
        (f"{NFC}/a.wav", f"{NFD}/a.wav", "Unicode form"),
        ("clips\\a.wav", "clips/a.wav", "slash"),
        ("A.WAV", "a.wav", "case"),
        ("Clips/a.wav", "clips/a.wav", "case"),
        ("CLIPS\\A.wav", "clips/a.wav", "case"),
        ("a.mp3", "a.wav", "ending"),
        ("A.mp3", "a.wav", "ending"),
        ("a", "a.wav", "ending"),
        ("a.b", "a.b.wav", "ending"),
    ],
)
def test_a_file_under_another_spelling_is_found_and_said(named: str, there: str, way: str, tmp_path: Path) -> None:
    folder = metadata(tmp_path / "mine", "exact.wav", named)
    wav(folder / "exact.wav")
    wav(folder / there, 300.0)
    result = import_corpora([folder])
    assert set(result.table["path"]) == {f"{folder}/exact.wav", f"{folder}/{there}"}
    assert (result.total.present, result.table["duration_s"].to_list()) == (2, [0.2, 0.2])
    assert [note for note in result.notes if "on disk" in note] == [
        f"{folder} has 1 file with another {way} on disk than in the table, such as {folder}/{there} for "
        f"{folder}/{named}. The file on disk is used"
    ]
    manifest.write(result.table, tmp_path / "all.csv")
    assert not integrity.check(tmp_path / "all.csv").fatal
    assert way_of(f"/x/{named}", f"/x/{there}") == way


def test_what_may_be_two_files_is_not_guessed(tmp_path: Path) -> None:
    folder = metadata(tmp_path / "mine", "a.mp3", "B.wav", "b.wav", "c.mp3", "c.ogg", "d.mp3", "e.mp3")
    for name in ("a.wav", "a.flac", "b.wav", "c.wav", "D.mp3", "d.MP3", "e.txt"):
        wav(folder / name)
    result = import_corpora([folder])
    assert set(result.table["path"]) == {
        f"{folder}/{name}" for name in ("a.mp3", "B.wav", "b.wav", "c.mp3", "c.ogg", "d.mp3", "e.mp3")
    }
    assert result.total.present == 1
    assert not any("on disk" in note for note in result.notes)


def test_check_names_the_other_spelling_of_an_absent_file(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    (tmp_path / "all.csv").write_text("path\na.mp3\nb.mp3\n")
    report = {problem.problem: problem for problem in integrity.check(tmp_path / "all.csv").problems}
    assert report["files absent"].examples == [f"{tmp_path}/a.mp3 (found {tmp_path}/a.wav)", f"{tmp_path}/b.mp3"]
    assert other_spelling("/no/such/place/a.wav") is None


def test_a_table_that_finds_none_of_its_files_says_where_it_looked_and_what_is_there(tmp_path: Path) -> None:
    folder = metadata(tmp_path / "mine", "clips/a.wav", "clips/b.wav")
    wav(folder / "audio" / "a.wav")
    assert [note for note in import_corpora([folder]).notes if "none exists" in note] == [
        f"{folder} names 2 files, but none exists. Expected {folder}/clips/a.wav, but {folder} has no clips/"
        f" (it contains audio/, metadata.csv). The file may be {folder}/audio/a.wav"
    ]
    (folder / "clips").mkdir()
    assert f"{folder}/clips has no a.wav (it contains no files)" in " ".join(import_corpora([folder]).notes)
    assert not any("none exists" in note for note in import_corpora([folder], tables_only=True).notes)
    result = run("corpus", "import", folder, tmp_path / "all.csv")
    assert result.exit_code == 0  # absent files stay for check to name
    assert "but none exists" in result.stderr


@pytest.mark.parametrize("link", ["male", "train/male"])
def test_linked_class_folders_are_followed_once(link: str, tmp_path: Path) -> None:
    wav(tmp_path / "store" / "1.wav")
    (tmp_path / "store" / "again").symlink_to(tmp_path / "store")  # a loop
    (tmp_path / "store" / "itself").symlink_to("itself")
    tree = tmp_path / "cls"
    wav(tree / Path(link).parent / "female" / "2.wav")
    (tree / link).symlink_to(tmp_path / "store")
    (tree / "itself").symlink_to("itself")
    result = import_corpora([tree])
    assert sorted(result.table["gender"]) == ["female", "male"]
    assert result.total.dropped == {}
    assert result.total.present == 2


def test_a_link_beside_its_folder_takes_nothing_away_from_it_and_is_said(tmp_path: Path) -> None:
    wav(tmp_path / "female" / "1.wav")
    wav(tmp_path / "male" / "2.wav")
    for link, target in (("0", "female"), ("boys", "male"), ("male/circle", "..")):
        (tmp_path / link).symlink_to(target)
    result = import_corpora([tmp_path])
    assert sorted(result.table["gender"]) == ["female", "male"]
    assert result.notes == [
        f"{tmp_path} has no speaker ids",
        f"{tmp_path} has several paths to the same folders. Each folder is read once; skipped: 0, boys",
    ]


def test_files_with_other_endings_in_class_folders_are_counted(tmp_path: Path) -> None:
    wav(tmp_path / "female" / "1.wav")
    for name in ("1.txt", "2.txt", "x.xyz", "readme", ".hidden"):
        (tmp_path / "female" / name).touch()
    assert import_corpora([tmp_path]).notes[1:] == [
        f"{tmp_path} has 4 files with other endings: skipped (2 .txt, 1 without ending, 1 .xyz)"
    ]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nobody may read, not even root."""
    folder = tmp_path / "data" / "closed"
    folder.mkdir(parents=True)
    listed = os.scandir

    def scandir(path: Any = ".") -> Any:
        if os.fspath(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return folder


@pytest.mark.parametrize("layout", ["class folders", "AudioFolder", "beside a corpus"])
def test_a_folder_that_cannot_be_read_is_said(layout: str, closed: Path, tmp_path: Path) -> None:
    data = closed.parent
    match layout:
        case "class folders":
            wav(data / "female" / "1.wav")
        case "AudioFolder":
            wav(metadata(data, "1.wav") / "1.wav")
        case _:
            wav(metadata(data / "one", "1.wav") / "1.wav")
    result = import_corpora([data])
    assert result.table.height == 1
    assert result.failures == [
        f"{closed} cannot be read (Permission denied). Its files are skipped. Change its permissions"
    ]
    command = run("corpus", "import", data, tmp_path / "all.csv")
    assert command.exit_code == 1
    assert f"{closed} cannot be read (Permission denied)" in command.stderr


def test_a_link_to_itself_hides_nothing_else(tmp_path: Path) -> None:
    folder = metadata(tmp_path / "mine", "a.wav")
    wav(folder / "a.wav")
    (folder / "0").symlink_to("0")
    assert import_corpora([tmp_path]).total.present == 1
    assert len(detect.find(tmp_path)) == 1


@pytest.mark.parametrize("layout", ["class folders", "AudioFolder", "folder"])
def test_names_that_are_not_utf_8_have_rows_and_are_opened(layout: str, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    match layout:
        case "class folders":
            data = tmp_path / "tree"
            wav(data / "female" / f"{odd}.wav")
            wav(data / "male" / odd / "2.wav", 300.0)
            names = ["female/caf\\xe9.wav", "male/caf\\xe9/2.wav"]
        case "AudioFolder":
            data = metadata(tmp_path / "mine", "caf\\xe9.wav", "b.wav")
            wav(data / f"{odd}.wav")
            wav(data / "b.wav", 300.0)
            names = ["b.wav", "caf\\xe9.wav"]
        case _:
            data = metadata(tmp_path / odd, "a.wav", "b.wav")
            wav(data / "a.wav")
            wav(data / "b.wav", 300.0)
            names = ["a.wav", "b.wav"]
    result = import_corpora([data])
    assert sorted(result.table["path"]) == sorted(f"{storage.text_of(data)}/{name}" for name in names)
    assert result.total.dropped == {}
    assert (result.total.present, result.table["duration_s"].to_list()) == (2, [0.2, 0.2])
    out = data / "all.csv"
    command = run("corpus", "import", data, out)
    assert command.exit_code == 0, command.stderr
    assert sorted(manifest.read(out)["path"]) == names  # relative to the manifest
    pytest.importorskip("voxtrait.audio.opening", reason="files of such names are decoded from there on")
    checked = run("corpus", "check", out, "--format", "json")
    assert checked.exit_code == 0, checked.output
    assert '"problems": []' in checked.stdout


def test_check_names_odd_files_beside_the_table(tmp_path: Path) -> None:
    data = metadata(tmp_path / "mine", "a.wav")
    wav(data / "a.wav")
    wav(data / os.fsdecode(b"\xff.wav"), 300.0)
    manifest.write(import_corpora([data]).table, data / "all.parquet")
    report = {one.problem: one.examples for one in integrity.check(data / "all.parquet").problems}
    assert report == {"audio files that are not in the manifest": [f"{data}/\\xff.wav"]}


def test_decoders_and_numpy_say_nothing_on_standard_error(tmp_path: Path) -> None:
    good = BytesIO()
    soundfile.write(good, tone(1.0), 16_000, format="MP3")
    mp3 = good.getvalue()
    noise = np.random.default_rng(1).integers(0, 256, 4_000, np.uint8).tobytes()
    pieces = {
        "late": mp3[701:],
        "junk": noise + mp3,
        "hole": mp3[:900] + noise + mp3[900:],
        "tag": b"ID3\x03\x00\x00\x00\x00\x00\x20COMM\x00\x00\x00\x05\x00\x00\x03engXXXXXXXXXXXXXXX" + mp3,
        "ape": mp3 + b"APETAGEX\xd0\x07\0\0" + b"\xff" * 24,
        "text": b"hello" * 100,
    }
    for name, content in pieces.items():
        (tmp_path / "tree" / "female").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / "female" / f"{name}.mp3").write_bytes(content)
    wav(tmp_path / "tree" / "male" / "a.wav")
    for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 1e300)):
        soundfile.write(tmp_path / "tree" / "male" / f"{name}.wav", np.full(9_000, value), 16_000, subtype="DOUBLE")
    for command in ("import tree all.parquet", "check all.parquet", "stats all.parquet", "leakage all.parquet tree"):
        line = [sys.executable, "-m", "voxtrait", "corpus", *command.split(), "-q"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout
        assert done.stderr == "", command


@pytest.mark.parametrize("format_", ["csv", "kaldi", "class-folders", "audiofolder"])
@pytest.mark.parametrize("how", ["copy", "link"])
def test_files_whose_names_are_not_utf_8_are_exported(format_: str, how: str, tmp_path: Path) -> None:
    data = tmp_path / "tree"
    wav(data / "female" / os.fsdecode(b"caf\xe9.wav"))
    wav(data / "male" / "2.wav")
    manifest.write(import_corpora([data]).table, tmp_path / "all.parquet")
    arguments = ("corpus", "export", tmp_path / "all.parquet", tmp_path / "out", "--to", format_, "--audio", how)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    if format_ != "kaldi":
        assert len([*(tmp_path / "out").rglob("*.wav")]) == 2
