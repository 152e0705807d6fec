"""Layouts, spellings and the funnel of ``corpus import``, on small trees made here and on the real corpora."""

import csv
import random
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factories import TABLES
from voxtrait import manifest
from voxtrait.audio.writing import write_wav
from voxtrait.corpora import detect, import_corpora
from voxtrait.corpora.importing import REPEATED, REPEATED_RELEASE
from voxtrait.errors import CorpusError

OLD = ["client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent"]
TEN, THIRTEEN = TABLES[10], TABLES[13]
RELEASE = "cv-corpus-6.1-2020-12-11"


def tsv(path: Path, columns: list[str], *rows: dict[str, str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(columns), *("\t".join(row.get(name, "") for name in columns) for row in rows)]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def clip(n: int, **values: str) -> dict[str, str]:
    return {"client_id": f"s{n}", "path": f"common_voice_en_{n}.mp3", "locale": "en"} | values


def wav(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, np.zeros(int(8000 * seconds), np.float32), 8000)
    return path


def by_stem(table: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["clip_id"].split("/", 3)[3]: row for row in table.to_dicts()}


def test_reads_thirteen_columns_by_name_with_bare_quotes_and_every_spelling(tmp_path: Path) -> None:
    spoken = 'He said "stop'
    tsv(
        tmp_path / "cv-corpus-17.0-delta-2024-03-15" / "fr" / "validated.tsv",
        THIRTEEN,
        {"client_id": "a", "path": "common_voice_fr_1.mp3", "sentence": spoken, "age": "fourties",
         "gender": "male_masculine", "accents": "Français de France", "locale": "fr", "sentence_domain": "news"},
        {"client_id": "b", "path": "common_voice_fr_2.mp3", "gender": "female_feminine", "locale": "fr"},
        {"client_id": "c", "path": "common_voice_fr_3.mp3", "gender": "non-binary", "age": "teens", "locale": "fr"},
        {"client_id": "d", "path": "common_voice_fr_4.mp3", "gender": "do_not_wish_to_say", "locale": "fr"},
        {"client_id": "e", "path": "common_voice_fr_5.mp3", "locale": "fr"},
    )  # fmt: skip
    result = import_corpora([tmp_path], tables_only=True)
    table = result.table
    assert table["clip_id"][0] == "common-voice/cv-corpus-17.0-delta-2024-03-15/fr/common_voice_fr_1"
    assert table["gender"].to_list() == ["male", "female", "non-binary", "do_not_wish_to_say", None]
    assert table["age_group"].to_list() == ["forties", None, "teens", None, None]
    assert table["age_years"].null_count() == 5
    assert table["sentence"].to_list() == [spoken, None, None, None, None]
    assert table["accent"][0] == "Français de France"
    assert table["sentence_domain"][0] == "news"
    assert list(manifest.SCHEMA) == table.columns[:13]
    total = result.total
    assert (total.rows, total.kept, total.present) == (5, 5, None)
    assert (total.gender, total.other_gender, total.age, total.both) == (2, 2, 2, 1)


def test_reads_the_first_releases_without_locale_column_and_endings(tmp_path: Path) -> None:
    tsv(tmp_path / "cv-corpus-1_de" / "validated.tsv", OLD, {"client_id": "a", "path": "0f1e", "accent": "austria"})
    tsv(tmp_path / "it" / "validated.tsv", OLD, {"client_id": "a", "path": "0f1e"})
    table = import_corpora([tmp_path], tables_only=True).table
    assert table["clip_id"].to_list() == ["common-voice/-/it/0f1e", "common-voice/cv-corpus-1/de/0f1e"]
    assert table["path"].to_list() == [f"{tmp_path}/it/clips/0f1e.mp3", f"{tmp_path}/cv-corpus-1_de/clips/0f1e.mp3"]
    assert table["accent"].to_list() == [None, "austria"]


def test_official_tables_fill_split_and_tables_chooses(tmp_path: Path) -> None:
    folder = tmp_path / RELEASE / "en"
    tsv(folder / "validated.tsv", TEN, *(clip(n) for n in range(4)))
    tsv(folder / "other.tsv", TEN, clip(8))
    tsv(folder / "invalidated.tsv", TEN, clip(9))
    tsv(folder / "train.tsv", TEN, clip(0), clip(3))
    tsv(folder / "dev.tsv", TEN, clip(1))
    tsv(folder / "test.tsv", TEN, clip(2), clip(3), clip(7))
    tsv(folder / "reported.tsv", ["sentence", "reason"])
    result = import_corpora([folder], tables_only=True)
    assert result.table["split"].to_list() == ["train", "validation", "test", "test"]
    assert result.notes == [
        f"{folder} has 1 clip in more than one of train, dev and test. The last of these is used",
        f"{folder} has 1 clip in the official split but not in validated.tsv",
    ]
    chosen = import_corpora([folder], tables=["other.tsv", "invalidated"], tables_only=True)
    assert [row["clip_id"][-1] for row in chosen.table.to_dicts()] == ["8", "9"]
    assert chosen.sources[0].tables == ["other", "invalidated"]
    with pytest.raises(CorpusError, match=r"none of the tables nonsense\. It has dev\.tsv, invalidated\.tsv"):
        import_corpora([folder], tables=["nonsense"])


def test_unreadable_and_nameless_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tsv(tmp_path / RELEASE / "en" / "validated.tsv", TEN, clip(1), clip(2, path=" "), clip(3), end="\r\n")
    with path.open("ab") as file:
        file.write(b"cut\tcommon_voice_en_4.mp3\n\n")
        file.write("\t".join(clip(5).get(name, "") for name in [*TEN, "more"]).encode() + b"\n")
        file.write(
            "\t".join(clip(6, sentence="?").get(name, "") for name in TEN).encode().replace(b"?", b"\xff") + b"\n"
        )
        file.write("\t".join(clip(7).get(name, "") for name in TEN).encode())
    result = import_corpora([tmp_path], tables_only=True)
    assert list(by_stem(result.table)) == ["common_voice_en_1", "common_voice_en_3", "common_voice_en_7"]
    assert result.total.rows == 7
    assert result.total.dropped == {"unreadable row": 3, "no file name": 1}


def test_the_first_source_wins_across_releases_and_every_row_is_counted(tmp_path: Path) -> None:
    old, new = tmp_path / RELEASE / "en", tmp_path / "cv-corpus-17.0-2024-03-15" / "en"
    tsv(old / "validated.tsv", TEN, clip(1, gender="male"), clip(1, gender="female"), clip(2))
    tsv(new / "validated.tsv", THIRTEEN, clip(2), clip(3), {"client_id": "s1", "path": "free_name.mp3", "locale": "en"})
    tsv(old / "other.tsv", TEN)
    result = import_corpora([new, old, old], tables_only=True)
    assert [(one.rows, one.kept, one.dropped) for one in result.sources] == [
        (3, 3, {}),
        (3, 1, {REPEATED: 1, REPEATED_RELEASE: 1}),
        (3, 0, {REPEATED: 2, REPEATED_RELEASE: 1}),
    ]
    assert by_stem(result.table)["common_voice_en_2"]["release"] == "cv-corpus-17.0-2024-03-15"
    backwards = import_corpora([tmp_path], tables_only=True)  # 6.1 comes before 17.0
    assert by_stem(backwards.table)["common_voice_en_2"]["release"] == RELEASE
    assert set(backwards.table["speaker_id"]) == {"s1", "s2", "s3"}


def test_the_order_of_rows_and_the_place_of_the_folder_do_not_matter(tmp_path: Path) -> None:
    rows = [clip(n % 40, age=random.Random(n).choice(["", "teens", "fourties"])) for n in range(60)]
    tables = []
    for place in ("here", "there/below"):
        folder = tmp_path / place / RELEASE / "en"
        random.Random(place).shuffle(rows)
        tsv(folder / "validated.tsv", TEN, *rows)
        tables.append(
            import_corpora([folder.parent if place == "here" else folder], tables_only=True).table.drop("path")
        )
    assert tables[0].equals(tables[1])
    assert tables[0].height == 40


def test_presence_and_lengths(tmp_path: Path) -> None:
    folder = tmp_path / RELEASE / "en"
    rows = [clip(1, path="common_voice_en_1.wav"), clip(2), clip(3), clip(4)]
    tsv(folder / "validated.tsv", TEN, *rows)
    (folder / "times.txt").write_text("common_voice_en_2.mp3\t4250\n")
    wav(folder / "clips" / "common_voice_en_1.wav", 0.75)
    (folder / "clips" / "common_voice_en_2.mp3").write_bytes(b"")
    (folder / "clips" / "common_voice_en_3.mp3").write_bytes(b"no audio")
    result = import_corpora([folder])
    assert result.table["duration_s"].to_list() == [0.75, 4.25, None, None]
    assert (result.total.present, result.total.kept) == (3, 4)
    (folder / "times.txt").rename(folder / "clip_durations.tsv")
    (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\ncommon_voice_en_1.wav\t1000\n")
    assert import_corpora([folder], tables_only=True).table["duration_s"].to_list() == [1.0, None, None, None]


@pytest.mark.parametrize("doubled", [False, True])
def test_kaggle_has_no_speakers_and_names_clips_by_their_table(tmp_path: Path, doubled: bool) -> None:
    root = tmp_path / "cv"
    root.mkdir()
    header = "filename,text,up_votes,down_votes,age,gender,accent,duration\n"
    for name, rows in {
        "cv-valid-train": ["sample-000000.mp3,hello there,2,0,fourties,male,us,", "sample-000001.mp3,one,1,0,,,,"],
        "cv-valid-dev": ["sample-000000.mp3,hello there,2,0,teens,female,,"],
        "cv-valid-test": ['sample-000000.mp3,"a, b",2,0,,other,,', 'broken,"x'],
        "cv-other-train": ["sample-000000.mp3,hm,0,0,,,,"],
    }.items():
        (root / f"{name}.csv").write_text(header + "".join(f"{name}/{row}\n" for row in rows))
        (root / name / (name if doubled else "")).mkdir(parents=True)
    (root / "cv-valid-dev" / ("cv-valid-dev" if doubled else "") / "sample-000000.mp3").write_bytes(b"x")
    result = import_corpora([root])
    table = by_stem(result.table)
    assert set(table) == {"cv-valid-dev/sample-000000", "cv-valid-test/sample-000000", "cv-valid-train/sample-000000",
                          "cv-valid-train/sample-000001"}  # fmt: skip
    assert result.table["clip_id"][0] == "common-voice/cv_corpus_v1/en/cv-valid-dev/sample-000000"
    assert result.table["speaker_id"].null_count() == 4
    assert [table[key]["split"] for key in sorted(table)] == ["validation", "test", "train", "train"]
    assert table["cv-valid-train/sample-000000"]["age_group"] == "forties"
    assert table["cv-valid-test/sample-000000"]["sentence"] == "a, b"
    assert result.total.dropped == {"unreadable row": 1}
    assert result.total.present == 1
    assert import_corpora([root], tables=["other"], tables_only=True).table["split"].to_list() == [None]


def test_audio_folder_reads_decades_and_years(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    wav(root / "audio" / "one.wav")
    (root / "metadata.csv").write_text(
        "file_name,speaker_id,gender,age,mood\naudio/one.wav,x,F,34,glad\naudio/two.wav,x,Agender,fourties,\n"
        'b/two.wav,y,,104.5,"so, so"\naudio/four.wav,z,m,grown up,\n'
    )
    result = import_corpora([root])
    table = by_stem(result.table)
    assert list(table) == ["audio/two.wav", "b/two.wav", "four", "one"]
    assert result.table["clip_id"][3] == "mine/-/-/one"
    assert [(row["gender"], row["age_group"], row["age_years"]) for row in table.values()] == [
        ("Agender", "forties", None),
        (None, "nineties", 104.5),
        ("male", None, None),
        ("female", "thirties", 34.0),
    ]
    assert table["four"]["age"] == "grown up"
    assert table["b/two.wav"]["mood"] == "so, so"
    assert table["one"]["duration_s"] == 0.5
    assert result.total.present == 1


def test_audio_folder_with_a_table_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        path = tmp_path / "mine" / split / "metadata.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"File_Name\tclip_id\n./{split}.wav\tkept\n")
    table = import_corpora([tmp_path / "mine"], tables_only=True).table
    assert table["split"].to_list() == ["test", "train", "validation"]
    assert table["path"][0] == f"{tmp_path}/mine/test/test.wav"
    assert table["source_clip_id"].to_list() == ["kept"] * 3


def test_class_folders_plain_and_with_splits(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for path in (
        "female/001.wav",
        "male/001.wav",
        "male_fourties/a/2.wav",
        "Female_Under_Ten/3.wav",
        "music/4.wav",
        "5.wav",
    ):
        wav(plain / path)
    result = import_corpora([plain])
    table = by_stem(result.table)
    assert {key: (row["gender"], row["age_group"]) for key, row in table.items()} == {
        "Female_Under_Ten/3": ("female", "under_ten"),
        "female/001": ("female", None),
        "male/001": ("male", None),
        "male_fourties/a/2": ("male", "forties"),
    }
    assert result.total.dropped == {"in no class folder": 2}
    assert result.table["speaker_id"].null_count() == 4


def test_class_folders_under_two_axes_are_one_clip_with_both_labels(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for path in (
        "train/gender/female/x.wav",
        "train/age/female_fifties/x.wav",
        "test/gender/male/y.wav",
        "test/age/male_teens/z.wav",
    ):
        wav(root / path)
    result = import_corpora([root])
    rows = {key: (row["gender"], row["age_group"], row["split"]) for key, row in by_stem(result.table).items()}
    assert rows == {
        "x": ("female", "fifties", "train"),
        "y": ("male", None, "test"),
        "z": ("male", "teens", "test"),
    }
    assert result.total.dropped == {"same clip under gender/ and age/, labels joined": 1}
    assert result.total.rows == 4


def test_no_known_layout_says_what_was_found_and_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(CorpusError) as caught:
        detect.find(tmp_path)
    assert "found pictures/, notes.txt. Expected one of" in str(caught.value)
    for layout in detect.LAYOUTS:
        assert layout.EXPECTED in str(caught.value)
    with pytest.raises(CorpusError, match=r"is not in a known layout\. Expected the folder of a corpus"):
        detect.find(tmp_path / "notes.txt")
    with pytest.raises(CorpusError, match="does not exist"):
        detect.find(tmp_path / "nowhere")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    tsv(tmp_path / RELEASE / "en" / "validated.tsv", TEN, clip(1))
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(detect.find(tmp_path)) == 1


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.lists(st.text("ab\t\n\r\"'\0,é\u2028 ", max_size=12), max_size=12).map(
            lambda parts: "".join(parts).encode()
        ),
    ),
    header=st.sampled_from([b"", b"path\n", b"client_id\tpath\tgender\n", b"\xef\xbb\xbfpath\tpath\tage\r\n"]),
)
def test_any_bytes_import_or_give_one_error(tmp_path: Path, body: bytes, header: bytes) -> None:
    path = tmp_path / "en" / "validated.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header + body)
    try:
        result = import_corpora([path.parent], tables_only=True)
    except CorpusError:
        return
    total = result.total
    assert total.rows == total.kept + sum(total.dropped.values())
    assert total.kept == result.table.height
    if header:  # another way to count: every line that is not blank is a row
        lines = body.replace(b"\r\n", b"\n")
        rows = [sum(line != b"" for line in one.split(b"\n")) for one in (lines, lines.replace(b"\r", b"\n"))]
        assert min(rows) <= total.rows <= max(rows)  # \r ends a line where that makes rows of most lines


def test_a_corpus_may_call_its_columns_as_it_likes(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    names = "path,file_name,source,_source,_key,present,clip_id,source_clip_id,stem,age,Age"
    (root / "metadata.csv").write_text(f"{names}\nv0,v1,v2,v3,v4,v5,v6,v7,v8,v9,v10\n")
    row = import_corpora([root], tables_only=True).table.row(0, named=True)
    assert row["clip_id"] == "mine/-/-/v1"
    own = "source,source__source,source__key,present,source_source_clip_id,source_clip_id,source_stem,age,Age"
    assert [row[name] for name in own.split(",")] == ["v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text('ab,\n\r"\0é ', max_size=60))
def test_any_metadata_imports_or_gives_one_error(tmp_path: Path, body: str) -> None:
    path = tmp_path / "mine" / "metadata.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"file_name,age\n" + body.encode())
    try:
        total = import_corpora([path.parent], tables_only=True).total
    except CorpusError:
        return
    assert total.rows == total.kept + sum(total.dropped.values())


def test_real_corpora_count_as_the_csv_module_counts(speech: Path) -> None:
    rows, genders, ages, splits = 0, Counter[str](), Counter[str](), Counter[str]()
    for path in speech.glob("cv-corpus-*/*/validated.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                rows += 1
                genders[row["gender"]] += 1
                ages[row["age"]] += 1
                splits[row["locale"]] += 1
    result = import_corpora([speech / path.name for path in speech.glob("cv-corpus-*")], tables_only=True)
    table = result.table
    assert (result.total.rows, result.total.kept, result.total.dropped) == (rows, rows, {})
    found = Counter(table["gender"].to_list())
    assert found["male"] == genders["male"] + genders["male_masculine"] > 0
    assert found["female"] == genders["female"] + genders["female_feminine"] > 0
    assert {key: found[key] for key in ("other", "non-binary", "transgender")} == {
        key: genders[key] for key in ("other", "non-binary", "transgender")
    }
    aged = Counter(table["age_group"].to_list())
    assert aged["forties"] == ages["fourties"] > 0
    assert aged[None] == ages[""]
    assert Counter(table["locale"].to_list()) == splits


def test_all_real_corpora_in_one_call(speech: Path) -> None:
    result = import_corpora([speech], tables_only=True)
    layouts = Counter(one.layout for one in result.sources)
    assert layouts == {"Common Voice": 66, "AudioFolder": 3}
    lines = sum(len(path.read_text().splitlines()) - 1 for path in speech.glob("*/metadata.csv"))
    voices = result.table.filter(pl.col("corpus") == "common-voice")
    assert result.total.kept == result.table.height == voices.height + lines
    assert not result.total.dropped
    assert all((speech / path).is_file() for path in result.table["path"].sample(50, seed=1))
    more = result.table.filter(pl.col("corpus") == "cv-6.1-en-more")["speaker_id"]
    assert more.str.len_chars().unique().to_list() == [128]
