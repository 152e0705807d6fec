"""Every release of Common Voice, scripted and spontaneous, in the layout that it came in, unpacked and packed."""

import gzip
import io
import random as random_
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import TABLES, write_table
from voxtrait import manifest
from voxtrait.cli import root
from voxtrait.corpora import archives, delimited, detect, import_corpora
from voxtrait.errors import CorpusError
from voxtrait.manifest import funnel

EIGHT = ["client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent"]
TEN, ELEVEN, THIRTEEN = TABLES[10], TABLES[11], TABLES[13]
TEN_ACCENTS = [f"{name}s" if name == "accent" else name for name in TEN]
TWICE = [*ELEVEN[:8], "accents", *ELEVEN[8:]]
SHUFFLED = ["path", "client_id", "gender", "sentence", "age", "locale", "up_votes", "down_votes", "accent", "segment"]


class Release(NamedTuple):
    """How one release lies on disk."""

    name: str  # its folder
    columns: list[str]
    locale: str | None = "cy"  # folder of the locale, if it has one
    durations: str | None = None
    bare: bool = False  # paths without .mp3
    genders: tuple[str, str] = ("male", "female")
    official: bool = True


NEW = ("male_masculine", "female_feminine")
RELEASES = [
    Release("cv-corpus-1_cy", EIGHT, None, bare=True),
    Release("cv-corpus-2_cy", EIGHT, None),
    Release("cv-corpus-3_cy", EIGHT, None),
    Release("cv-corpus-4-2019-12-10_cy", EIGHT, None),
    Release("cv-corpus-5-2020-06-22", SHUFFLED),
    Release("cv-corpus-5.1-2020-06-22", TEN),
    Release("cv-corpus-5-singleword", TEN),
    Release("cv-corpus-6.1-2020-12-11", TEN),
    Release("cv-corpus-7.0-2021-07-21", TEN),
    Release("cv-corpus-8.0-2022-01-19", TEN_ACCENTS),
    Release("cv-corpus-9.0-2022-04-27", TEN_ACCENTS),
    Release("cv-corpus-10.0-2022-07-04", TEN_ACCENTS),
    Release("cv-corpus-10.0-delta-2022-07-04", TEN_ACCENTS, official=False),
    Release("cv-corpus-11.0-2022-09-21", TEN_ACCENTS),
    Release("cv-corpus-12.0-2022-12-07", TEN_ACCENTS),
    Release("cv-corpus-13.0-2023-03-09", ELEVEN),
    Release("cv-corpus-14.0-2023-06-23", ELEVEN, durations="times.txt"),
    Release("cv-corpus-15.0-2023-09-08", TWICE, durations="times.txt"),
    Release("cv-corpus-16.1-2023-12-06", ELEVEN, durations="clip_durations.tsv"),
    *(
        Release(f"cv-corpus-{number}.0-2024-03-15", THIRTEEN, durations="clip_durations.tsv", genders=NEW)
        for number in range(17, 28)
    ),
    Release("cv-corpus-31.0-2027-09-15", [*THIRTEEN, "mood"], durations="clip_durations.tsv", genders=NEW),
]


def write_release(folder: Path, release: Release) -> Path:
    """Four clips of three speakers, one of them neither a man nor a woman and of no known age."""
    home = folder / release.name / (release.locale or "")
    man, woman = release.genders
    people = [("a", "fourties", man), ("a", "fourties", man), ("b", "teens", woman), ("c", "", "other")]
    rows = []
    for n, (who, age, gender) in enumerate(people):
        path = f"common_voice_cy_{n}" + ("" if release.bare else ".mp3")
        values = {"client_id": who * 64, "path": path, "sentence": f'Mae "{n}', "age": age, "gender": gender}
        rows.append(values | {"accent": "wales", "accents": "Wales", "locale": "cy", "mood": "glad", "variant": "cy-x"})
    write_table(home / "validated.tsv", rows, release.columns)
    write_table(home / "other.tsv", [], release.columns)
    if release.official:
        for name, some in (("train", rows[:2]), ("dev", rows[2:3]), ("test", rows[3:])):
            write_table(home / f"{name}.tsv", some, release.columns)
    for n in range(4):
        clip = home / "clips" / f"common_voice_cy_{n}.mp3"
        clip.parent.mkdir(exist_ok=True)
        clip.write_bytes(b"\xff\xfb" * (n + 1))
    lines = "".join(f"common_voice_cy_{n}.mp3\t{1000 * n + 500}\n" for n in range(4))
    if release.durations:
        header = "clip\tduration[ms]\n" if release.durations.endswith(".tsv") else ""
        (home / release.durations).write_text(header + lines)
    return folder / release.name


def packed(folder: Path, archive: Path, flat: bool = False) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "." if flat else folder.name)
    return archive


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_every_release_is_read_unpacked_and_packed(tmp_path: Path, release: Release) -> None:
    home = write_release(tmp_path, release)
    result = import_corpora([home])
    (funnel_,) = result.sources
    assert (funnel_.layout, funnel_.corpus, funnel_.locale) == ("Common Voice", "common-voice", "cy")
    table = result.table
    name = release.name.removesuffix("_cy")
    assert table["clip_id"].to_list() == [f"common-voice/{name}/cy/common_voice_cy_{n}" for n in range(4)]
    assert table["gender"].to_list() == ["male", "male", "female", "other"]
    assert table["age_group"].to_list() == ["forties", "forties", "teens", None]
    assert table["speaker_id"].to_list() == [who * 64 for who in "aabc"]
    assert table["split"].to_list() == (["train", "train", "validation", "test"] if release.official else [None] * 4)
    assert table["sentence"][3] == 'Mae "3'
    assert table["accent"].to_list() == ["wales" if "accent" in release.columns else "Wales"] * 4
    assert table["duration_s"].to_list() == ([0.5, 1.5, 2.5, 3.5] if release.durations else [None] * 4)
    assert (funnel_.rows, funnel_.kept, funnel_.present, funnel_.both) == (4, 4, 4, 3)
    assert ("mood" in table.columns) == ("mood" in release.columns)
    warned = {
        "5-2020": "5.1 corrects both",
        "5-singleword": "5.1 corrects both",
        "12.0": "all English accents are empty",
    }
    wanted = [text for number, text in warned.items() if release.name.startswith(f"cv-corpus-{number}")]
    assert len(result.notes) == len(wanted) and all(text in result.notes[0] for text in wanted)

    flat = release.locale is None
    archive = packed(home, tmp_path / f"{release.name}{'' if flat else '-cy'}.tar.gz", flat)
    out_of_it = import_corpora([archive])
    assert out_of_it.table.equals(table.with_columns(pl.col("path")))  # beside the archive lies what is in it
    assert out_of_it.sources[0].present == 4
    unpack = f"tar -xf {archive} -C {tmp_path}"
    if flat:
        unpack = f"mkdir {tmp_path / release.name} && {unpack}/{release.name}"
    packed_note = f" is packed in {archive.name}. The paths of its clips are valid after: {unpack}"
    assert any(note.endswith(packed_note) for note in out_of_it.notes)


def test_release_6_0_is_refused_with_the_reason(tmp_path: Path) -> None:
    home = write_release(tmp_path, Release("cv-corpus-6.0-2020-12-11", TEN))
    with pytest.raises(CorpusError, match=r"is Common Voice 6\.0, which has lost the label 'male'.*Import 6\.1"):
        import_corpora([home], tables_only=True)
    with pytest.raises(CorpusError, match=r"6\.0"):
        import_corpora([packed(home, tmp_path / "x.tar.gz")])


def test_what_cannot_be_read_is_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    good = write_release(tmp_path, RELEASES[20])
    bad = write_release(tmp_path, RELEASES[21])
    refused = write_release(tmp_path, Release("cv-corpus-6.0-2020-12-11", TEN))
    (bad / "cy" / "validated.tsv").write_text("client\tfile\nx\ty\n")
    for name, text in {"dev.tsv": "client\tfile\nx\ty\n", "clip_durations.tsv": "", "test.tsv": "\xff\xfe"}.items():
        (good / "cy" / name).write_text(text, encoding="latin-1")
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.height == 4
    assert result.table["split"].to_list() == ["train", "train", None, None]
    wanted = [
        r"6\.0-2020-12-11.* is Common Voice 6\.0, which has lost the label 'male'",
        r"validated\.tsv has the columns 'client, file'\. Expected Common Voice's",
        r"dev\.tsv has the columns 'client, file'\. Expected Common Voice's",
        r"test\.tsv is not UTF-8 text",
        r"clip_durations\.tsv is empty\. Expected a table",
    ]
    assert len(result.failures) == len(wanted)
    assert all(re.search(pattern, failure) for pattern, failure in zip(wanted, result.failures, strict=True))
    done = CliRunner().invoke(
        root, ["corpus", "import", str(tmp_path), str(tmp_path / "all.csv"), "--tables-only", "-q"]
    )
    assert (done.exit_code, done.stderr.count("voxtrait: ")) == (1, 5)
    assert manifest.read(tmp_path / "all.csv").height == 4
    assert refused.is_dir()


def test_repeats_and_odd_ages_are_named(tmp_path: Path) -> None:
    home = write_release(tmp_path, RELEASES[7]) / "cy"
    lines = (home / "validated.tsv").read_text().splitlines()
    odd = lines[1].replace("fourties", "fourtyish").replace("cy_0", "cy_9")
    (home / "validated.tsv").write_text("\n".join([*lines, lines[2], odd]) + "\n")
    result = import_corpora([home], tables_only=True)
    assert result.sources[0].dropped == {"repeated clip": 1}
    assert result.sources[0].examples["repeated clip"][0].endswith("common_voice_cy_1")
    assert result.notes[-1] == "1 clip has an age that is neither a decade nor a number of years: 'fourtyish'"
    assert result.table["age"].drop_nulls().to_list() == ["fourtyish"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a", "b"]), st.sampled_from(["", "teens", "fourties"])),
        max_size=12,
    ),
    random=st.randoms(use_true_random=False),
)
def test_a_shuffled_table_gives_the_same_manifest(rows: list[tuple[int, str, str]], random: random_.Random) -> None:
    tables = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder, "cv-corpus-6.1-2020-12-11", "cy")
            made = [{"client_id": who, "path": f"common_voice_cy_{n}.mp3", "age": age} for n, who, age in rows]
            write_table(home / "validated.tsv", made, TEN)
            tables.append(import_corpora([home], tables_only=True).table.drop("path"))
        rows = random.sample(rows, len(rows))
    assert tables[0].equals(tables[1])


def test_of_a_packed_release_nothing_is_unpacked_and_everything_is_counted(tmp_path: Path) -> None:
    home = write_release(tmp_path / "here", RELEASES[-2])
    (home / "cy" / "clips" / "common_voice_cy_1.mp3").unlink()
    (home / "cy" / "clips" / "common_voice_cy_2.mp3").write_bytes(b"")
    (tmp_path / "there").mkdir()
    archive = packed(home, tmp_path / "there" / "release.tar.gz")
    result = import_corpora([archive])
    assert (result.sources[0].rows, result.sources[0].present) == (4, 3)
    assert result.table["path"][0] == str(tmp_path / "there" / home.name / "cy" / "clips" / "common_voice_cy_0.mp3")
    assert any("has 1 empty recording in" in note for note in result.notes)
    assert [file.name for file in (tmp_path / "there").iterdir()] == ["release.tar.gz"]
    assert import_corpora([archive], tables_only=True).sources[0].present is None


@pytest.mark.parametrize("damage", ["cut", "cut at the end", "cut, not compressed", "text", "empty"])
def test_a_damaged_archive_gives_one_clear_error(tmp_path: Path, damage: str) -> None:
    archive = packed(write_release(tmp_path, RELEASES[7]), tmp_path / "x.tar.gz")
    data = archive.read_bytes()
    plain = gzip.decompress(data)
    damaged = {
        "cut": data[: len(data) // 2],
        "cut at the end": data[:-200],
        "cut, not compressed": plain[: 512 * 13],
        "text": b"hello there\n" * 100,
        "empty": b"",
    }
    archive.write_bytes(damaged[damage])
    with pytest.raises(CorpusError, match=r"is truncated or damaged .* Download it again"):
        import_corpora([archive])


def test_an_archive_of_something_else_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    archive = packed(tmp_path / "notes", tmp_path / "x.tar.gz")
    with pytest.raises(CorpusError, match=r"No corpus in .*x\.tar\.gz: found notes/\. Expected one of"):
        import_corpora([archive])


def test_an_archive_cannot_write_outside(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../evil.tsv", "/tmp/evil.tsv", "a/../../evil.tsv", "ok/validated.tsv", "__MACOSX/ok/train.tsv"):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"path\n"))
    with archives.opened(archive) as opened:
        assert sorted(p.relative_to(opened.tables).as_posix() for p in opened.tables.rglob("*.tsv")) == [
            "ok/validated.tsv"
        ]
        assert not list(opened.tables.parent.glob("*.tsv"))


def test_kaggles_zip_is_read_packed(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    header = "filename,text,up_votes,down_votes,age,gender,accent,duration\n"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("cv-valid-train.csv", header + "cv-valid-train/sample-000000.mp3,hello,1,0,fourties,male,us,\n")
        made.writestr("cv-valid-train/cv-valid-train/sample-000000.mp3", b"\xff\xfb")
    result = import_corpora([archive])
    assert any(note.endswith(f" are valid after: unzip {archive} -d {tmp_path / 'archive'}") for note in result.notes)
    assert result.table.select("clip_id", "gender", "age_group", "speaker_id").rows() == [
        ("common-voice/cv_corpus_v1/en/cv-valid-train/sample-000000", "male", "forties", None)
    ]


SPONTANEOUS = [
    *("client_id", "audio_id", "audio_file", "duration_ms", "prompt_id", "prompt", "transcription", "votes"),
    *("language", "prompt_upvotes", "prompt_reports", "is_edited", "split", "char_per_sec", "quality_tags"),
]
WITH_PEOPLE = [*SPONTANEOUS[:8], "age", "gender", "accents", "variant", *SPONTANEOUS[8:]]


@pytest.mark.parametrize("columns", [SPONTANEOUS, WITH_PEOPLE], ids=["1.0", "3.0"])
def test_spontaneous_speech(tmp_path: Path, columns: list[str]) -> None:
    home = tmp_path / "sps-corpus-3.0-2026-03-09-fy-NL"
    rows = [
        {"client_id": "a", "audio_file": f"spontaneous-speech-fy-NL-{n}.mp3", "duration_ms": "12500", "prompt": "Why?",
         "transcription": "Om't [disfluency] it moat", "age": "sixties", "gender": "female_feminine", "split": split,
         "language": "Frisian"}
        for n, split in enumerate(["train", "dev", "unassigned"])
    ]  # fmt: skip
    write_table(home / "ss-corpus-fy-NL.tsv", rows, columns)
    write_table(home / "ss-reported-audios-fy-NL.tsv", [{"client_id": "listener", "audio_file": "x.mp3"}], columns)
    (home / "audios").mkdir()
    (home / "audios" / "spontaneous-speech-fy-NL-0.mp3").write_bytes(b"x")
    assert [source.layout for source in detect.find(tmp_path)] == ["Common Voice Spontaneous Speech"]
    result = import_corpora([tmp_path])
    table = result.table
    prefix = "common-voice-spontaneous/sps-corpus-3.0-2026-03-09/fy-NL/spontaneous-speech-fy-NL"
    assert table["clip_id"].to_list() == [f"{prefix}-{n}" for n in range(3)]
    assert table["split"].to_list() == ["train", "validation", None]
    assert table["duration_s"].to_list() == [12.5] * 3
    assert table["sentence"][0] == "Om't [disfluency] it moat"
    knows = "gender" in columns
    assert table.select("gender", "age_group").row(0) == (("female", "sixties") if knows else (None, None))
    assert result.sources[0].present == 1
    archive = packed(home, tmp_path / f"{home.name}.tar.gz")
    assert import_corpora([archive]).table.equals(table)
    (home / "ss-corpus-fy-NL.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(CorpusError, match=r"has the columns 'a, b'\. Expected 'client_id', 'audio_file'"):
        import_corpora([home])


def test_the_funnel_goes_with_the_manifest(tmp_path: Path) -> None:
    home = write_release(tmp_path, RELEASES[7])
    with (home / "cy" / "validated.tsv").open("a") as file:
        file.write("a broken row\n")
    result = import_corpora([home, home], tables_only=True)
    steps = result.steps()
    assert [(step.name, step.rows, dict(step.dropped), step.kept) for step in steps] == [
        ("import", 10, {"unreadable row": 2, "repeated clip": 4}, 4)
    ]
    assert result.sources[0].examples == {"unreadable row": ["validated.tsv:6"]}
    manifest.write(result.table, tmp_path / "all.parquet", steps)
    assert manifest.history(tmp_path / "all.parquet") == steps
    manifest.write(result.table, tmp_path / "all.csv", steps)
    assert manifest.history(tmp_path / "all.csv") == []
    funnel.picture([*steps, funnel.Step("train", 4, {"too little speech": 1})], tmp_path / "funnel.png")
    assert (tmp_path / "funnel.png").read_bytes().startswith(b"\x89PNG")


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(st.text("ab \u00e9", max_size=3), min_size=1, max_size=4), max_size=30),
    chunk=st.integers(1, 40),
)
def test_lines_are_kept_or_counted_wherever_the_pieces_are_cut(rows: list[list[str]], chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CHUNK", chunk)
        path = Path(folder, "t.tsv")
        path.write_text("".join("\t".join(row) + "\n" for row in [["one", "two"], *rows]), encoding="utf-8")
        lines: list[int] = []
        table, bad = delimited.read(path, repeated=["one"], bad_lines=lines)
    wanted = [tuple(field or None for field in row) for row in rows if len(row) == 2]
    wrong = [at + 2 for at, row in enumerate(rows) if len(row) != 2 and row != [""]]
    assert table.rows() == wanted
    assert (bad, lines) == (len(wrong), wrong[:5])
