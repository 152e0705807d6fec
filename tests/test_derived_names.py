"""Names of derived files: of any bytes and length, or as the user names one file; and what is said at the end."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import features, manifest
from voxtrait.cli import root
from voxtrait.derived import convert, pictures
from voxtrait.errors import DiskFullError

posix = pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names there are Unicode")
ENDING = {"convert": ".wav", "images": ".png"}


def run(*args: object) -> Result:
    result = CliRunner().invoke(root, [os.fspath(one) if isinstance(one, Path) else str(one) for one in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write(file: Path, seconds: float = 0.3) -> Path:
    """Write a tone under any name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        soundfile.write(opened, tone(seconds), 16_000, format="WAV")
    return file


def odd(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def names(folder: Path) -> list[bytes]:
    return sorted(os.fsencode(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())


@posix
@pytest.mark.parametrize("command", ENDING)
@pytest.mark.parametrize("jobs", [1, 2])
def test_names_that_are_not_utf_8_keep_their_bytes(tmp_path: Path, command: str, jobs: int) -> None:
    source, out, ending = tmp_path / "in", tmp_path / "out", ENDING[command].encode()
    for name in (b"a.wav", b"caf\xe9.wav", b"d\xe9/b\xff.wav", b"d\xe9/\xc3\xa9.wav", b"e\\xe9.wav"):
        write(odd(source, name))
    odd(source, b"no\xe9.wav").write_bytes(b"text")
    for filler in range(8 * (jobs - 1)):
        write(source / f"more{filler}.wav")
    result = run(command, source, out, "-j", jobs)
    assert result.exit_code == 1
    assert (f"{source}/no\\xe9.wav" in result.stdout and "5 " in result.stdout) or jobs == 2
    made = [name for name in names(out) if name.endswith(ending) and b"more" not in name]
    wanted = [b"a", b"caf\xe9", b"d\xe9/b\xff", b"d\xe9/\xc3\xa9", b"e\\xe9"]
    assert made == sorted(name + ending for name in wanted)
    rows = list(csv.DictReader((out / "failures.csv").read_text("utf-8").splitlines()))
    assert [row["path"] for row in rows] == [f"{source}/no\\xe9.wav"]
    again = json.loads(run(command, source, out, "-j", jobs, "--format", "json", "-q").stdout)
    assert (again["done"], again["kept"], again["failed"]) == (0, 5 + 8 * (jobs - 1), 1)


@posix
@pytest.mark.parametrize("command", ENDING)
def test_sources_and_outputs_in_folders_that_are_not_utf_8(tmp_path: Path, command: str) -> None:
    home = odd(tmp_path, b"\xe4\xf6")
    clip = write(odd(home, b"in/caf\xe9.wav"))
    listed = home / "list.txt"
    listed.write_bytes(os.fsencode(clip) + b"\n")
    table = pl.DataFrame({"path": [r"\xe4\xf6/in/caf\xe9.wav"], "gender": ["female"], "split": ["train"]})
    manifest.write(table, tmp_path / "all.csv")
    for at, source in enumerate((home / "in", listed, clip, tmp_path / "all.csv")):
        result = run(command, source, home / f"out{at}", "-q")
        assert (result.exit_code, result.stderr) == (0, ""), result.stdout
        found = [name for name in names(home / f"out{at}") if name.endswith(ENDING[command].encode())]
        assert len(found) == 1
        if command == "convert" or at < 3:
            assert found[0].rpartition(b"/")[2] == b"caf\xe9" + ENDING[command].encode()
        else:  # named by its clip_id, in letters that every disk takes
            assert found[0].startswith(b"train/gender/female/") and found[0].isascii()


@posix
@pytest.mark.parametrize("command", ENDING)
def test_long_names_and_deep_folders(tmp_path: Path, command: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    good = ["中" * 81 + ".wav", "t" * 251 + ".wav", "/".join(["d" * 200] * 5) + "/deep.wav"]
    for name in good:
        write(source / name)
    write(source / ("x" * 252 + ".au"))  # one byte too many with the other ending
    result = run(command, source, out, "--format", "json", "-q")
    figures = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, figures["done"], figures["failed"]) == (1, "", 3, 1)
    reason = figures["failures"][0]["reason"]
    assert "cannot be written (File name too long): the name has 256 bytes, and most disks allow 255" in reason
    assert "Errno" not in reason
    for name in good:
        assert (out / name).with_suffix(ENDING[command]).is_file()
    assert json.loads(run(command, source, out, "--format", "json", "-q").stdout)["kept"] == 3


@pytest.mark.parametrize("command", ENDING)
def test_one_clip_becomes_the_file_that_is_named(tmp_path: Path, command: str) -> None:
    clip, target = write(tmp_path / "clip.wav"), tmp_path / "new" / f"Mine{ENDING[command].upper()}"
    result = run(command, clip, target)
    assert result.exit_code == 0 and os.listdir(tmp_path / "new") == [target.name]  # noqa: PTH208
    whole = r"1 (file converted|image drawn) in \d+\.\d s\.\n"
    assert re.fullmatch(whole, result.stdout)
    if command == "convert":
        assert soundfile.info(target).frames == 4800
    else:
        assert features.decode_png(target.read_bytes()).shape == (288, 432)
    before = target.read_bytes()
    refused = run(command, clip, target)
    assert refused.exit_code == 2 and "exists. Use another name, or pass --overwrite to overwrite it." in refused.stderr
    write(clip, 0.9)
    assert target.read_bytes() == before
    assert run(command, clip, target, "--overwrite").exit_code == 0
    assert target.read_bytes() != before
    (tmp_path / f"folder{ENDING[command]}").mkdir()  # a folder that is there stays a folder
    assert run(command, clip, tmp_path / f"folder{ENDING[command]}").exit_code == 0
    assert (tmp_path / f"folder{ENDING[command]}" / f"clip{ENDING[command]}").is_file()


@pytest.mark.parametrize("command", ENDING)
def test_a_name_of_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, command: str) -> None:
    clip, ending = write(tmp_path / "in" / "clip.wav"), ENDING[command]
    manifest.write(pl.DataFrame({"path": ["in/clip.wav"]}), tmp_path / "all.csv")
    for source, out, said in (
        (clip, "out.mp3", f"Expected a folder, or a name ending in {ending}"),
        (clip, "out.jpg", f"Expected a folder, or a name ending in {ending}"),
        (tmp_path / "in", f"out{ending}", "names one file. Expected a folder"),
        (tmp_path / "all.csv", f"out{ending}", "names one file. Expected a folder"),
        (tmp_path / "none.mp3", f"out{ending}", "No such file or folder"),
    ):
        result = run(command, source, tmp_path / out)
        assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1
        assert not (tmp_path / out).exists()
    if command == "convert":
        before = clip.read_bytes()
        result = run(command, clip, clip, "--overwrite")
        assert result.exit_code == 2 and "is both source and output. Use another name" in result.stderr
        assert clip.read_bytes() == before


@pytest.mark.parametrize("command", ENDING)
def test_one_clip_that_fails_is_one_line_and_leaves_nothing(tmp_path: Path, command: str) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n")
    result = run(command, tmp_path / "text.mp3", tmp_path / f"out{ENDING[command]}", "-q")
    assert (result.exit_code, result.stderr) == (1, "")
    assert "1 failed:\n" in result.stdout and "it is a text file" in result.stdout.splitlines()[1]
    assert os.listdir(tmp_path) == ["text.mp3"]  # noqa: PTH208
    failed = json.loads(
        run(command, tmp_path / "text.mp3", tmp_path / f"o{ENDING[command]}", "--format", "json").stdout
    )
    assert failed["failed"] == 1 and "only" not in failed and failed["failures"][0]["path"].endswith("text.mp3")


def test_the_end_is_said_in_words(tmp_path: Path) -> None:
    for at in range(3):
        write(tmp_path / "in" / f"{at}.wav")
    (tmp_path / "in" / "text.mp3").write_text("no sound\n")
    first = run("convert", tmp_path / "in", tmp_path / "out", "-q").stdout.splitlines()
    assert re.fullmatch(r"3 files converted in \d+\.\d s, 1 failed:", first[0])
    assert first[1].startswith(f"  {tmp_path}/in/text.mp3 is not a readable audio file") and len(first) == 2
    (tmp_path / "in" / "text.mp3").unlink()
    (tmp_path / "out" / "0.wav").unlink()
    second = run("convert", tmp_path / "in", tmp_path / "out", "-q").stdout
    assert re.fullmatch(r"1 file converted in \d+\.\d s, 2 skipped \(already done\)\.\n", second)
    rows = {"path": ["in/0.wav", "in/1.wav", "in/2.wav"], "gender": ["female", "male", None], "split": ["train"] * 3}
    manifest.write(pl.DataFrame(rows), tmp_path / "all.csv")
    drawn = run("images", tmp_path / "all.csv", tmp_path / "pictures", "-q").stdout
    assert re.fullmatch(r"2 images drawn in \d+\.\d s, 1 clip without a class skipped\.\n", drawn)
    packed = run("images", tmp_path / "all.csv", tmp_path / "shards", "--shards", "-q").stdout
    assert re.fullmatch(r"2 images packed into 1 shard in \d+\.\d s, 1 clip without a class skipped\.\n", packed)


@pytest.mark.parametrize("make", [convert.convert, pictures.draw])
def test_a_full_disk_ends_the_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object) -> None:
    for at in range(5):
        write(tmp_path / "in" / f"{at}.wav")
    tried = []

    def full(file: Path, *_: object) -> None:
        tried.append(file)
        raise OSError(28, "No space left on device")

    place = Path.replace

    def replace(file: Path, target: Path) -> Path:
        return full(target) or file if target.suffix in ENDING.values() else place(file, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DiskFullError, match=r"0\.(wav|png) cannot be written \(No space left on device\)"):
        make(tmp_path / "in", tmp_path / "out")  # type: ignore[operator]
    assert len(tried) == 1
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix != ".json"]


def test_nothing_but_the_result_is_said_of_a_file_that_is_far_too_loud(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.full(8000, 1e38, np.float32), 16_000, subtype="FLOAT")
    for command, ending in ENDING.items():
        done = subprocess.run(
            [sys.executable, "-m", "voxtrait", command, tmp_path / "loud.wav", tmp_path / f"o{ending}", "-q"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1) and done.stderr == ""
