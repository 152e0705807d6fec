"""What two sides share is counted and named: people, clips, contents, recordings, sentences; and the cache keeps it."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import tone
from voxtrait import audio, integrity, manifest
from voxtrait.cli import root
from voxtrait.errors import ManifestError, NothingToDoError
from voxtrait.integrity import examination, surveying
from voxtrait.integrity.leaks import Shared
from voxtrait.synthetic import cohort, speak

RATE = 16_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of 4 s, and a re-encoded, trimmed copy of the first."""
    folder = tmp_path_factory.mktemp("recorded")
    for at, voice in enumerate(cohort(6, seed=2)):
        soundfile.write(folder / f"{at}.mp3", speak(voice, 4.0, at, RATE), RATE)
    signal, _ = audio.load(folder / "0.mp3", 8_000)
    audio.write_wav(folder / "copy.wav", signal[2_000:], 8_000)
    return folder


@pytest.fixture
def clips(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "clips"))


def write(tmp_path: Path, rows: list[dict[str, Any]], name: str = "all.csv") -> Path:
    table = [{"clip_id": Path(row["path"]).stem, "speaker_id": f"s{at}", **row} for at, row in enumerate(rows)]
    manifest.write(pl.DataFrame(table, infer_schema_length=None), tmp_path / name)
    return tmp_path / name


def rows_of(*names: str, splits: tuple[str, ...] = ("train", "test")) -> list[dict[str, Any]]:
    return [{"path": f"clips/{name}", "split": splits[at % len(splits)]} for at, name in enumerate(names)]


def counts(found: integrity.Leakage) -> dict[str, int | None]:
    return {one.what: one.count for one in found.shared}


def of(found: integrity.Leakage, what: str) -> Shared:
    return next(one for one in found.shared if one.what == what)


CLEAN = {"speakers": 0, "clips": 0, "file contents": 0, "near-duplicates": 0, "sentences": 0}


def test_a_clean_split_leaks_nothing(clips: Path, tmp_path: Path) -> None:
    rows = [{**row, "sentence": f"say {at}"} for at, row in enumerate(rows_of(*(f"{at}.mp3" for at in range(6))))]
    found = integrity.leakage(write(tmp_path, rows))
    assert counts(found) == CLEAN
    assert (found.verdict, found.leaks, found.sides, found.not_looked_at) == (
        "none",
        False,
        {"train": 3, "test": 3},
        (),
    )


def test_each_kind_is_counted_and_named(clips: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "1.mp3", clips / "same.mp3")
    rows = rows_of("0.mp3", "copy.wav", "1.mp3", "same.mp3", "2.mp3", "3.mp3")
    rows[4] |= {"speaker_id": "both", "sentence": "hello"}
    rows[5] |= {"speaker_id": "both", "sentence": "hello"}
    rows.append({"path": "clips/4.mp3", "clip_id": "more", "speaker_id": "both", "sentence": "hello", "split": "train"})
    found = integrity.leakage(write(tmp_path, rows))
    assert counts(found) == {**CLEAN, "speakers": 1, "file contents": 1, "near-duplicates": 1, "sentences": 1}
    assert found.verdict == "shared: 1 speaker, 1 file content, 1 near-duplicate recording"
    assert found.leaks
    assert of(found, "speakers") == Shared("speakers", 1, 3, 1, ("both (test, train)",))
    assert of(found, "file contents") == Shared("file contents", 1, 2, 2, ("1 = same (test, train)",))
    assert of(found, "near-duplicates") == Shared("near-duplicates", 1, 2, 2, ("0 = copy (test, train)",))
    assert of(found, "sentences").examples == ("hello (test, train)",)
    assert found.not_looked_at == ("sentences of 4 clips (missing in the manifest)",)
    assert json.loads(json.dumps(found.to_dict()))["shared"][1] == {
        "shared": "clips", "count": 0, "clips": 0, "speakers": 0, "examples": []
    }  # fmt: skip


def test_shared_sentences_alone_are_no_leak(tmp_path: Path) -> None:
    rows = [{**row, "sentence": "hello"} for row in rows_of("0.mp3", "1.mp3")]
    found = integrity.leakage(write(tmp_path, rows), tables_only=True)
    assert (counts(found)["sentences"], found.leaks, found.verdict) == (1, False, "none in the tables")


def test_rows_without_a_split_stand_on_no_side(clips: Path, tmp_path: Path) -> None:
    rows = rows_of("0.mp3", "1.mp3")
    rows.append({"path": "clips/copy.wav", "speaker_id": "s1", "split": None})
    found = integrity.leakage(write(tmp_path, rows))
    assert (found.verdict, found.sides) == ("none", {"train": 1, "test": 1})


def test_copies_within_a_side_are_no_leak_but_a_copy_of_a_copy_is(clips: Path, tmp_path: Path) -> None:
    rows = rows_of("0.mp3", "copy.wav", "1.mp3", splits=("train", "train", "test"))
    assert integrity.leakage(write(tmp_path, rows)).verdict == "none"
    shutil.copy(clips / "copy.wav", clips / "again.wav")  # the same bytes as the one, the same sound as the other
    rows.append({"path": "clips/again.wav", "split": "test"})
    found = integrity.leakage(write(tmp_path, rows))
    assert found.verdict == "shared: 1 file content, 1 near-duplicate recording"
    assert of(found, "near-duplicates") == Shared("near-duplicates", 1, 3, 3, ("0 = again = copy (test, train)",))


def test_without_speaker_ids_it_is_unknown(clips: Path, tmp_path: Path) -> None:
    rows = [{**row, "speaker_id": None} for row in rows_of("0.mp3", "1.mp3")]
    found = integrity.leakage(write(tmp_path, rows))
    assert (found.verdict, found.leaks) == ("unknown: no speaker ids", False)
    assert "speakers of 2 clips without a speaker id" in found.not_looked_at
    rows[0]["speaker_id"] = "somebody"
    assert integrity.leakage(write(tmp_path, rows)).verdict == "unknown: 1 of 2 clips has no speaker id"
    rows = [{**row, "speaker_id": None} for row in rows_of("0.mp3", "copy.wav")]
    found = integrity.leakage(write(tmp_path, rows))
    assert (found.verdict, found.leaks) == ("shared: 1 near-duplicate recording", True)
    assert of(found, "near-duplicates").speakers is None


def test_two_manifests(clips: Path, tmp_path: Path) -> None:
    one = write(tmp_path, rows_of("0.mp3", "1.mp3", "2.mp3"), "one.csv")
    other = write(
        tmp_path,
        [{"path": "clips/copy.wav", "speaker_id": "x"}, {"path": "clips/2.mp3", "speaker_id": "y", "clip_id": "two"}],
        "other.tsv",
    )
    found = integrity.leakage(one, other)
    assert found.sides == {"one.csv": 3, "other.tsv": 2}
    assert counts(found) == {**CLEAN, "clips": 1, "file contents": 1, "near-duplicates": 1}
    assert of(found, "file contents").examples == ("2 = two (one.csv, other.tsv)",)
    assert of(found, "near-duplicates").examples == ("0 = copy (one.csv, other.tsv)",)
    tables = integrity.leakage(one, other, tables_only=True)
    assert counts(tables) == {**CLEAN, "clips": 1, "file contents": None, "near-duplicates": None}
    assert (tables.verdict, tables.leaks) == ("shared: 1 clip", True)
    itself = integrity.leakage(one, one)
    assert [one.count for one in itself.shared] == [3, 3, 3, 0, 0]


def test_files_of_one_name_are_told_apart_by_their_folders(clips: Path, tmp_path: Path) -> None:
    one = write(tmp_path, rows_of("0.mp3"), "all.csv")
    (tmp_path / "b").mkdir()
    other = write(tmp_path / "b", [{"path": "../clips/1.mp3", "speaker_id": "x"}], "all.csv")
    assert list(integrity.leakage(one, other, tables_only=True).sides) == [str(one), str(other)]


def test_what_could_not_be_heard_is_said(clips: Path, tmp_path: Path) -> None:
    (clips / "0.mp3").unlink()
    (clips / "1.mp3").write_text("no audio")
    (clips / "2.mp3").write_bytes(b"")
    rows = [{**row, "sentence": f"{at}"} for at, row in enumerate(rows_of("0.mp3", "1.mp3", "2.mp3", "3.mp3"))]
    soundfile.write(clips / "long.wav", tone(61.0), RATE)
    rows.append({"path": "clips/long.wav", "split": "test", "sentence": "long"})
    found = integrity.leakage(write(tmp_path, rows))
    assert found.verdict == "none"
    assert found.not_looked_at == (
        "1 file absent",
        "1 file empty",
        "1 file undecodable",
        "near-duplicates after the first 60 s of 1 recording",
    )


def test_without_two_sides_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"has no split\. Split it first"):
        integrity.leakage(write(tmp_path, [{"path": "a.mp3"}]))
    with pytest.raises(NothingToDoError, match="has only one split"):
        integrity.leakage(write(tmp_path, [{"path": "a.mp3", "split": "test"}]))
    with pytest.raises(ManifestError, match="No such manifest"):
        integrity.leakage(tmp_path / "all.csv", tmp_path / "nowhere.csv")
    manifest.write(pl.DataFrame({"path": []}, schema={"path": pl.String}), tmp_path / "empty.csv")
    with pytest.raises(NothingToDoError, match=r"empty\.csv has no rows"):
        integrity.leakage(tmp_path / "all.csv", tmp_path / "empty.csv")


# --- the cache


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are really opened."""
    names: list[str] = []
    real = examination.examine

    def watched(item: tuple[str]) -> examination.State:
        names.append(Path(item[0]).name)
        return real(item)

    monkeypatch.setattr(examination, "examine", watched)
    return names


def test_a_second_run_opens_only_what_is_new_or_changed(clips: Path, tmp_path: Path, opened: list[str]) -> None:
    (clips / "5.mp3").write_bytes((clips / "5.mp3").read_bytes()[:3_000])
    rows = rows_of("0.mp3", "copy.wav", "1.mp3", "5.mp3", "gone.mp3")
    table = write(tmp_path, rows)
    kept = tmp_path / "heard"
    reports = [integrity.check(table, cache=kept).to_dict() for _ in range(2)]
    assert reports[0] == reports[1] == integrity.check(table).to_dict()
    assert opened[:5] == ["0.mp3", "copy.wav", "1.mp3", "5.mp3", "gone.mp3"]
    assert opened[5:6] == ["gone.mp3"]  # an absent file is looked for again
    opened.clear()
    soundfile.write(clips / "1.mp3", tone(1.0), RATE)
    other = write(tmp_path, [*rows[::-1], *rows_of("2.mp3")], "other.csv")  # another order, and one more
    found = integrity.leakage(other, cache=kept)
    assert sorted(opened) == ["1.mp3", "2.mp3", "gone.mp3"]
    assert found.to_dict() == integrity.leakage(other).to_dict()
    assert counts(found)["near-duplicates"] == 1


def test_a_quick_check_uses_all_of_the_cache_and_a_whole_one_only_its_own_part(clips: Path, tmp_path: Path) -> None:
    table = write(tmp_path, rows_of("0.mp3", "copy.wav", "1.mp3"))
    kept = tmp_path / "heard"
    quick, whole = (integrity.check(table, quick=quick).to_dict() for quick in (True, False))
    names = [[row["problem"] for row in report["problems"]] for report in (quick, whole)]
    assert set(names[1]) - set(names[0]) == {"near-duplicate recordings shared between splits"}
    assert integrity.check(table, cache=kept, quick=True).to_dict() == quick
    assert integrity.check(table, cache=kept).to_dict() == whole
    assert integrity.check(table, cache=kept, quick=True).to_dict() == quick
    shards = sorted(path.name.partition("-")[0] for path in kept.iterdir())
    assert shards == ["heard", "quick"]


def test_a_killed_run_goes_on(clips: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying.batch, "SHARD", 2)
    table = write(tmp_path, rows_of(*(f"{at}.mp3" for at in range(6))))
    watched = examination.examine

    def killed(item: tuple[str]) -> examination.State:
        if item[0].endswith("4.mp3"):
            raise KeyboardInterrupt
        return watched(item)

    monkeypatch.setattr(examination, "examine", killed)
    with pytest.raises(KeyboardInterrupt):
        integrity.leakage(table, cache=tmp_path / "heard")
    assert opened == ["0.mp3", "1.mp3", "2.mp3", "3.mp3"]
    monkeypatch.setattr(examination, "examine", watched)
    assert integrity.leakage(table, cache=tmp_path / "heard").verdict == "none"
    assert opened[4:] == ["4.mp3", "5.mp3"]
    assert [path.suffix for path in (tmp_path / "heard").iterdir()] == [".parquet"] * 3


def test_what_else_lies_in_the_cache_is_left_alone(clips: Path, tmp_path: Path) -> None:
    kept = tmp_path / "heard"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years of work")
    table = write(tmp_path, rows_of("0.mp3", "1.mp3"))
    integrity.leakage(table, cache=kept)
    assert (kept / "thesis.txt").read_text() == "years of work"
    assert len(list(kept.iterdir())) == 2


# --- the command


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["corpus", "leakage", *map(str, args), "-j", "1"])


def test_the_command(clips: Path, tmp_path: Path) -> None:
    table = write(tmp_path, rows_of("0.mp3", "copy.wav"))
    result = run(table, "--cache", tmp_path / "heard", "-q")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["shared", "count", "clips", "speakers", "examples"]
    assert lines[4] == ["near-duplicates", "1", "2", "2", "0", "=", "copy", "(test,", "train)"]
    assert result.stdout.splitlines()[-1] == "leakage: shared: 1 near-duplicate recording"
    as_json = run(table, "--cache", tmp_path / "heard", "--format", "json")
    assert json.loads(as_json.stdout)["verdict"] == "shared: 1 near-duplicate recording"
    assert "not checked: sentences of 2 clips (missing in the manifest)" in as_json.stderr
    tables = run(table, "--tables-only", "--format", "csv", "-q")
    assert tables.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(tables.stdout)))
    assert [(row["shared"], row["count"]) for row in rows][2:4] == [("file contents", ""), ("near-duplicates", "")]


def test_the_command_on_what_cannot_be_compared(tmp_path: Path) -> None:
    for arguments, text in (
        ([write(tmp_path, [{"path": "a.mp3"}])], "has no split. Split it first"),
        ([tmp_path / "none.csv"], "No such manifest"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert text in result.stderr


def test_the_command_takes_corpora_and_tables_of_them(clips: Path, tmp_path: Path) -> None:
    for name, rows in (("one", "0.mp3,x\n1.mp3,y\n"), ("two", "copy.wav,z\n2.mp3,x\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.csv").write_text(f"file_name,speaker\n{rows}".replace("\n", f"\n{clips}/", 2))
    by_folder = run(tmp_path / "one", tmp_path / "two", "--format", "json")
    found = json.loads(by_folder.stdout)
    assert found["sides"] == {"one": 2, "two": 2}
    assert found["verdict"] == "shared: 1 speaker, 1 near-duplicate recording"
    assert by_folder.exit_code == 1
    assert by_folder.stderr.count("is not a manifest: imported for this run only") == 2
    by_table = run(tmp_path / "one/metadata.csv", tmp_path / "two/metadata.csv", "--format", "json", "--tables-only")
    assert list(json.loads(by_table.stdout)["sides"]) == [f"{tmp_path}/{name}/metadata.csv" for name in ("one", "two")]
    write(tmp_path, rows_of("0.mp3", "2.mp3"), "all.csv")
    mixed = run(tmp_path / "all.csv", tmp_path / "two", "--tables-only")
    assert mixed.stderr.count("is not a manifest: imported for this run only") == 1
    alone = run(tmp_path / "one")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert f"{tmp_path}/one has no split. Split it first" in alone.stderr
