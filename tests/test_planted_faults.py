"""A release with 33 faults of 17 kinds: every one is named by the import or the check, and none is invented."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

from factories import LOCALE, TABLES, break_clip, read_table, tiny_release, tone, write_table
from voxtrait import audio, integrity, manifest
from voxtrait.cli import root

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
AGES = ("twenties", "thirties", "fifties", "twenties")
Row = dict[str, str]


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["corpus", *map(str, args), "-j", "1", "-q", "--format", "json"])


class Release:
    """A clean release of 24 speakers with two clips each: eight a split, every gender in each of three decades."""

    def __init__(self, folder: Path) -> None:
        self.home = tiny_release(folder, 24, 2, seconds=(3.0, 5.0)) / LOCALE
        self.rows = read_table(self.home / "validated.tsv").to_dicts()
        self.lengths = dict(read_table(self.home / "clip_durations.tsv").iter_rows())
        self.tables = [list(SPLITS)[at // 2 % 3] for at in range(len(self.rows))]
        self.unreadable = b""
        for at, row in enumerate(self.rows):
            person = at // 2
            row["gender"] = ("female_feminine", "male_masculine")[person // 3 % 2]
            row["age"], row["sentence"] = AGES[person // 6], f"Sentence number {at}."

    def clip(self, at: int) -> Path:
        return self.home / "clips" / self.rows[at]["path"]

    def seconds(self, at: int) -> float:
        return float(self.lengths[self.rows[at]["path"]]) / 1000

    def add(self, source: int, speaker: int, write: Callable[[Path], object]) -> None:
        """Add a clip that is made from another one, with its length, to a speaker and so to a split."""
        name = f"added_{len(self.rows)}.mp3"
        write(self.home / "clips" / name)
        self.rows.append({**self.rows[speaker], "path": name, "sentence": f"Sentence number {len(self.rows)}."})
        self.tables.append(self.tables[speaker])
        self.lengths[name] = self.lengths[self.rows[source]["path"]]

    def write(self) -> Path:
        """Write the tables anew, and give the release's folder."""
        for table in SPLITS:
            chosen = [row for row, of in zip(self.rows, self.tables, strict=True) if of == table]
            write_table(self.home / f"{table}.tsv", chosen, TABLES[13])
        whole = write_table(self.home / "validated.tsv", self.rows, TABLES[13])
        whole.write_bytes(whole.read_bytes() + self.unreadable)
        lines = [f"{name}\t{length}\n" for name, length in self.lengths.items()]
        (self.home / "clip_durations.tsv").write_text("clip\tduration[ms]\n" + "".join(lines))
        return self.home.parent


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def named(release: Release, tmp_path: Path) -> tuple[dict[str, int], dict[str, tuple[str, int, str]]]:
    """What the import drops, and what the check finds: severity, count, and examples in one text."""
    imported = run("import", release.write(), tmp_path / "all.parquet")
    assert imported.exit_code == 0, imported.stderr
    return json.loads(imported.stdout)["total"]["dropped"], problems_of(tmp_path)


def problems_of(tmp_path: Path, *options: str) -> dict[str, tuple[str, int, str]]:
    checked = run("check", tmp_path / "all.parquet", *options)
    report = json.loads(checked.stdout)
    assert checked.exit_code == int(report["fatal"])
    return {row["problem"]: (row["severity"], row["count"], str(row["examples"])) for row in report["problems"]}


def test_a_clean_release_has_no_fault(release: Release, tmp_path: Path) -> None:
    assert named(release, tmp_path) == ({}, {})


def reencode(source: Path, rate: int, late_s: float = 0.0) -> Callable[[Path], object]:
    signal, _ = audio.load(source, rate)
    return lambda target: soundfile.write(target, 0.5 * signal[round(late_s * rate) :], rate)


def plant(release: Release) -> None:
    """Plant 33 faults; a speaker's clips are 2 × speaker and the next, a split's speakers are 3 apart."""
    for at, fault in enumerate(("absent", "empty", "truncated", "text")):  # 8: the clips of speakers 0 to 3
        for which in (0, 1):
            clip = break_clip(release.clip(2 * at + which), fault)  # type: ignore[arg-type]
            if fault == "text":
                clip.write_text(f"This is no audio, nor is number {which}.\n")
    for at in (8, 9):  # 2 silent ones: speaker 4
        soundfile.write(release.clip(at), np.zeros(round(release.seconds(at) * 16_000), np.float32), 16_000)
    swaps = (((10, 16), (11, 17)), ((10, 17), (11, 16)))  # speakers 5 and 8, both of the test split
    # the check finds a swap by its lengths, so take the pairs whose lengths are further apart
    apart = [min(abs(release.seconds(a) - release.seconds(b)) for a, b in pairs) for pairs in swaps]
    for pair in swaps[int(np.argmax(apart))]:  # 4 files in 2 swaps
        first, second = (release.clip(at) for at in pair)
        held = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(held)
    for source, speaker in ((18, 18), (20, 26), (22, 24), (24, 28)):  # 2 repeated in their split, 2 in another one
        data = release.clip(source).read_bytes()
        release.add(source, speaker, lambda target, data=data: target.write_bytes(data))
    release.add(30, 30, reencode(release.clip(30), 8_000))  # 2 near-duplicates in their split, 2 between splits
    release.add(32, 38, reencode(release.clip(32), 16_000, 0.15))
    release.add(34, 30, reencode(release.clip(34), 22_050))
    release.add(36, 38, reencode(release.clip(36), 8_000, 0.2))
    for at in (39, 41):  # 2 leaked speakers: 19 and 20
        release.tables[at] = next(table for table in SPLITS if table != release.tables[at])
    for at in (43, 45):  # 2 with both genders: 21 and 22
        release.rows[at]["gender"] = {"female_feminine": "male_masculine"}.get(
            release.rows[at]["gender"], "female_feminine"
        )
    release.rows[13]["age"] = "fifties"  # 1 decades apart: speaker 6, thirties
    release.rows[15]["age"] = "twenties"  # 1 neighbouring: speaker 7, thirties
    release.rows[46]["sentence"] = release.rows[0]["sentence"]  # 1 shared between test and train: speaker 23
    for at in (33, 35):  # 2 unlisted
        data = release.clip(at).read_bytes()
        release.clip(at).with_name(f"unlisted_{at}.mp3").write_bytes(data + bytes(64))
    release.unreadable = b"somebody\tbad\xff\xfe.mp3" + b"\t" * 11 + b"\nsomebody\tshort.mp3\n"  # 2 rows


def test_every_planted_fault_is_named_and_no_other(release: Release, tmp_path: Path) -> None:
    plant(release)
    dropped, problems = named(release, tmp_path)
    assert dropped == {"unreadable row": 2}
    assert {name: found[:2] for name, found in problems.items()} == {
        "speakers with both genders": ("fatal", 2),
        "speakers with decades more than one apart": ("fatal", 1),
        "speakers with neighbouring decades": ("reported", 1),
        "speakers shared between splits": ("fatal", 2),
        "sentences shared between splits": ("reported", 1),
        "files absent": ("fatal", 2),
        "files empty": ("fatal", 2),
        "files truncated": ("fatal", 2),
        "files undecodable": ("fatal", 2),
        "files silent": ("reported", 2),
        "files whose duration differs from the manifest": ("reported", 4),
        "file contents with both genders": ("fatal", 2),  # among those repeated and shared
        "file contents shared between splits": ("fatal", 2),
        "file contents repeated": ("reported", 2),
        "near-duplicate recordings shared between splits": ("reported", 2),
        "near-duplicate recordings": ("reported", 2),
        "audio files that are not in the manifest": ("reported", 2),
    }
    for problem, clips in {
        "files absent": (0, 1),
        "files empty": (2, 3),
        "files truncated": (4, 5),
        "files undecodable": (6, 7),
        "files silent": (8, 9),
        "files whose duration differs from the manifest": (10, 11, 16, 17),
        "file contents shared between splits": (22, 24),
        "file contents repeated": (18, 20),
        "near-duplicate recordings shared between splits": (34, 36),
        "near-duplicate recordings": (30, 32),
    }.items():
        for at in clips:
            assert release.clip(at).stem in problems[problem][2], problem
    quick = {name: found for name, found in problems.items() if not name.startswith("near-duplicate")}
    assert len(quick) == len(problems) - 2
    assert problems_of(tmp_path, "--quick") == quick
    for problem, people in {"speakers with both genders": (21, 22), "speakers shared between splits": (19, 20)}.items():
        for person in people:
            assert release.rows[2 * person]["client_id"] in problems[problem][2], problem


@pytest.mark.parametrize(("said", "wrong"), [(2.31, False), (1.69, False), (2.4, True), (1.6, True), (None, False)])
def test_a_length_may_differ_by_the_padding_of_an_encoder(tmp_path: Path, said: float | None, wrong: bool) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2.0), 16_000)
    manifest.write(pl.DataFrame({"path": ["a.wav"], "duration_s": [said]}), tmp_path / "all.csv")
    report = integrity.check(tmp_path / "all.csv")
    examples = [f"{tmp_path / 'a.wav'} (2.0 s, manifest: {said} s)"]
    assert [row["examples"] for row in report.rows()] == ([examples] if wrong else [])
    assert not report.fatal
