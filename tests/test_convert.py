"""mp3 → wav: what is written, what is kept, what fails, and what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import audio, derived, manifest
from voxtrait.audio import opening
from voxtrait.cli import root
from voxtrait.derived import convert
from voxtrait.errors import NothingToDoError, OptionError
from voxtrait.manifest import naming


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["convert", *map(str, args)])


def write(file: Path, seconds: float = 0.5, rate: int = 48_000, channels: int = 1, level: float = 0.5) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.stack([tone(seconds, 440.0, rate, level)] * channels, 1), rate)
    return file


def read(file: Path) -> tuple[int, int, int, np.ndarray]:
    with wave.open(str(file)) as opened:
        assert opened.getsampwidth() == 2
        frames = opened.readframes(opened.getnframes())
        return opened.getframerate(), opened.getnchannels(), opened.getnframes(), np.frombuffer(frames, "<i2")


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two folders of clips."""
    write(tmp_path / "in" / "en" / "a.mp3")
    write(tmp_path / "in" / "en" / "b.mp3", 1.0)
    write(tmp_path / "in" / "с пробелом" / "в.flac", channels=2)
    return tmp_path / "in"


def test_a_folder_becomes_16_bit_mono_at_16_khz_in_the_same_folders(clips: Path, tmp_path: Path) -> None:
    result = run(clips, tmp_path / "out", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert tree(tmp_path / "out") == ["convert.json", "en/a.wav", "en/b.wav", "с пробелом/в.wav"]
    rate, channels, frames, samples = read(tmp_path / "out" / "en" / "b.wav")
    assert (rate, channels) == (16_000, 1) and frames == pytest.approx(16_000, abs=400)
    assert samples[4000:12_000].max() == pytest.approx(0.5 * 32768, rel=0.02)
    figures = json.loads(result.stdout)
    assert (figures["done"], figures["kept"], figures["failed"], figures["failures"]) == (3, 0, 0, [])
    assert figures["audio_s"] == pytest.approx(2.0, abs=0.05) and figures["speed"] > 0
    assert "convert: 100%" in result.stderr


def test_rate_and_channels(clips: Path, tmp_path: Path) -> None:
    assert run(clips, tmp_path / "out", "--rate", 8000, "--channels", "keep", "-q").stderr == ""
    assert read(tmp_path / "out" / "с пробелом" / "в.wav")[:3] == (8000, 2, 4000)
    assert read(tmp_path / "out" / "en" / "a.wav")[1] == 1


def test_what_is_too_loud_is_clipped_and_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", tone(0.2, 100.0, level=2.0), 16_000, subtype="FLOAT")
    convert.convert(tmp_path / "loud.wav", tmp_path / "out")
    samples = read(tmp_path / "out" / "loud.wav")[3].astype(int)
    assert (samples.max(), samples.min()) == (32767, -32768)
    assert np.abs(np.diff(samples)).max() < 3000  # a wrap would jump by 65,535


def test_a_second_run_does_only_what_is_missing(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert.convert(clips, out)
    before = (out / "en" / "a.wav").stat().st_mtime_ns
    (out / "en" / "b.wav").unlink()
    whole = out / "с пробелом" / "в.wav"
    content = whole.read_bytes()
    whole.write_bytes(content[:1000])  # as a power cut may leave it
    (out / "en" / ".b.wav.4194305.part").write_bytes(b"half")  # as kill -9 may leave it
    summary = convert.convert(clips, out)
    assert (summary.done, summary.kept, summary.failed) == (2, 1, 0)
    assert (out / "en" / "a.wav").stat().st_mtime_ns == before
    assert whole.read_bytes() == content
    assert tree(out) == ["convert.json", "en/a.wav", "en/b.wav", "с пробелом/в.wav"]


def test_other_settings_in_the_same_folder_are_refused(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert.convert(clips, out)
    result = run(clips, out, "--rate", 8000, "--channels", "keep")
    assert result.exit_code == 2 and result.stdout == ""
    assert "channels: 1 before, keep now; rate: 16000 before, 8000 now" in result.stderr
    assert "--overwrite" in result.stderr
    assert read(out / "en" / "a.wav")[0] == 16_000
    assert run(clips / "en", out).exit_code == 2  # another source would meet the first one's names
    assert run(clips, out, "--rate", 8000, "--overwrite", "-q").exit_code == 0
    assert read(out / "en" / "a.wav")[0] == 8000


def test_a_stopped_overwrite_is_taken_up_again(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert.convert(clips, out)
    settings = {"rate": 8000, "channels": "1", "source": str(clips.resolve())}
    assert derived.claim(out, "convert.json", settings, overwrite=True)  # and then the power fails
    summary = convert.convert(clips, out, rate=8000)
    assert (summary.done, summary.kept) == (3, 0)
    assert read(out / "en" / "a.wav")[0] == 8000
    assert convert.convert(clips, out, rate=8000).kept == 3


def test_every_failure_has_its_row(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (clips / "en" / "text.mp3").write_text("not speech\n" * 100)
    (clips / "en" / "empty.mp3").touch()
    soundfile.write(clips / "nan.wav", np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")
    result = run(clips, out, "--format", "csv")
    assert result.exit_code == 1
    assert "3 files failed" in result.stderr
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [Path(row["path"]).name for row in rows] == ["empty.mp3", "text.mp3", "nan.wav"]
    for row, reason in zip(rows, ("is empty (0 bytes)", "it is a text file", "NaN"), strict=True):
        assert reason in row["reason"]
    assert (out / "failures.csv").read_text() == result.stdout
    assert tree(out) == ["convert.json", "en/a.wav", "en/b.wav", "failures.csv", "с пробелом/в.wav"]
    text = run(clips, out).stdout
    assert "it is a text file" in text and "3 skipped (already done)" in text
    for name in ("en/text.mp3", "en/empty.mp3", "nan.wav"):
        (clips / name).unlink()
    assert run(clips, out).exit_code == 0
    assert not (out / "failures.csv").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_that_would_meet_keep_their_ending(tmp_path: Path, jobs: int) -> None:
    few = [f"{i}.wav" for i in range(9)]
    sources = ["a.mp3", "a.ogg", "A.flac", "b.mp3", "d.mp3", "d.ogg", "d.mp3.ogg", *few]
    for at, name in enumerate(sources):
        write(tmp_path / "in" / name, 0.2 + at / 10)
    summary = convert.convert(tmp_path / "in", tmp_path / "out", jobs=jobs)
    assert (summary.done, summary.failed) == (16, 0)
    names = ["a.mp3.wav", "a.ogg.wav", "A.flac.wav", "b.wav", "d.mp3.wav", "d.ogg.wav", "d.mp3.ogg.wav", *few]
    assert tree(tmp_path / "out") == sorted([*names, "convert.json"])
    lengths = [read(tmp_path / "out" / name)[2] for name in ("a.mp3.wav", "a.ogg.wav", "A.flac.wav")]
    assert lengths == pytest.approx([3200, 4800, 6400], abs=400)


def test_a_manifest_keeps_the_folders_below_what_its_clips_share(clips: Path, tmp_path: Path) -> None:
    paths = ["in/en/a.mp3", "in/x/../с пробелом/в.flac", str(clips / "en" / "b.mp3"), "in/absent.mp3"]
    manifest.write(pl.DataFrame({"path": paths}), tmp_path / "all.csv")
    summary = convert.convert(tmp_path / "all.csv", tmp_path / "out")
    assert (summary.done, summary.failed) == (3, 1)
    assert tree(tmp_path / "out") == [
        "convert.json", "failures.csv", "in/en/a.wav", "in/en/b.wav", "in/с пробелом/в.wav"
    ]  # fmt: skip
    (tmp_path / "tables").mkdir()  # clips that lie elsewhere: the deepest folder that holds them all
    manifest.write(pl.DataFrame({"path": [f"../{path}" for path in paths[:2]]}), tmp_path / "tables" / "two.tsv")
    convert.convert(tmp_path / "tables" / "two.tsv", tmp_path / "second")
    assert tree(tmp_path / "second") == ["convert.json", "en/a.wav", "с пробелом/в.wav"]


def test_nothing_is_ever_written_over_a_source(clips: Path, tmp_path: Path) -> None:
    write(clips / "c.wav")
    before = (clips / "c.wav").read_bytes()
    manifest.write(pl.DataFrame({"path": ["in/c.wav"]}), tmp_path / "all.csv")
    with pytest.raises(OptionError, match="would be overwritten by its own conversion"):
        convert.convert(tmp_path / "all.csv", tmp_path)
    with pytest.raises(OptionError, match=r"is both source and output\. Expected two folders"):
        convert.convert(clips, clips)
    assert (clips / "c.wav").read_bytes() == before
    inside = convert.convert(clips, clips / "wav")
    again = convert.convert(clips, clips / "wav")  # what it wrote is no source
    assert (inside.done, again.kept, again.done) == (4, 4, 0)


def test_a_wav_of_somebody_else_is_left_alone(clips: Path, tmp_path: Path) -> None:
    strange = write(tmp_path / "out" / "en" / "a.wav", rate=44_100)
    before = strange.read_bytes()
    summary = convert.convert(clips, tmp_path / "out")
    assert (summary.done, summary.failed) == (2, 1)
    assert strange.read_bytes() == before
    assert "exists, with 44100 Hz" in next(summary.failures())["reason"]


@pytest.mark.parametrize("source", ["nowhere", "empty", "notes.txt"])
def test_nothing_to_do(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    result = run(tmp_path / source, tmp_path / "out")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("voxtrait: ") and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(NothingToDoError):
        convert.convert(tmp_path / source, tmp_path / "out")


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": 10**6}, {"channels": "2"}, {"jobs": 0}])
def test_options_out_of_range(clips: Path, tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        convert.convert(clips, tmp_path / "out", **options)  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"file is a file\. Expected a folder or a new name"):
        convert.convert(clips, tmp_path / "file")


def test_a_long_file_is_written_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "long.mp3", 6.0, 44_100)
    one, _ = audio.load(tmp_path / "long.mp3")
    monkeypatch.setattr(opening, "BLOCK_S", 1.0)
    convert.convert(tmp_path / "long.mp3", tmp_path / "out")
    assert np.abs(read(tmp_path / "out" / "long.wav")[3] - audio.to_pcm16(one)).max() <= 1


def test_kill_and_run_again_ends_with_the_same_files(tmp_path: Path) -> None:
    for at in range(40):
        write(tmp_path / "in" / f"{at}.mp3", 3.0)
    convert.convert(tmp_path / "in", tmp_path / "whole")
    command = [sys.executable, "-m", "voxtrait", "convert", tmp_path / "in", tmp_path / "out", "--jobs", "1", "-q"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 30
        while len(list((tmp_path / "out").glob("*.wav"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("[!.]*.wav")}
    assert 3 <= len(made) < 40
    for name, content in made.items():  # a final name is never half a file
        assert content == (tmp_path / "whole" / name).read_bytes()
    summary = convert.convert(tmp_path / "in", tmp_path / "out")
    assert (summary.kept, summary.done) == (len(made), 40 - len(made))
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    for name in tree(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_names_of_clips_are_unique_and_fit_for_a_disk() -> None:
    ids = ["cv/6.1/ab/a", "cv/6.1/ab__a", "cv/6.1/ab/__a", "cv_/x", "cv/_x", "../../etc", ".hidden", "a b?", "a b*"]
    ids += ["é/ü", "x" * 400, "x" * 401]
    names = (naming.file_names(pl.Series(ids)) + ".png").to_list()
    assert names[0] == "cv__6.1__ab__a.png" and names[9] == "é__ü.png"
    assert len(set(names)) == len(ids)
    for name in names:
        assert "/" not in name and name[0] != "." and len(name.encode()) <= 200
    alone = (naming.file_names(pl.Series(ids[7:8])) + ".png").to_list()
    assert alone == [names[7]]  # the same whatever else is in the table


def test_rows_are_made_only_when_asked_for() -> None:
    rows = derived.Rows(pl.DataFrame({"a": range(1_000_000), "b": ["x"] * 1_000_000}))
    assert len(rows) == 1_000_000 and rows[5] == (5, "x") and rows[3:5] == [(3, "x"), (4, "x")]
    assert next(iter(rows)) == (0, "x")
    with pytest.raises(IndexError):
        rows[1_000_000]


def test_real_mp3_files(speech: Path, tmp_path: Path) -> None:
    folder = speech / "cv-corpus-20.0-delta-2024-12-06"
    summary = convert.convert(folder, tmp_path / "out", jobs=min(2, os.cpu_count() or 1))
    assert (summary.done, summary.failed) == (99, 0)
    assert len(list((tmp_path / "out" / "en" / "clips").glob("*.wav"))) == 99
