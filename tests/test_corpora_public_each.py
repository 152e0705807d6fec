"""Each public corpus on a small tree made from its documentation: labels, splits, and what its releases do wrong."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from public_corpora import (
    SPKRINFO,
    audiomnist,
    crema_d,
    librispeech,
    put,
    read,
    rows,
    speech_accent_archive,
    values,
    vctk,
    voxceleb,
)
from public_corpora import timit as make_timit
from voxtrait.corpora import detect, import_corpora
from voxtrait.corpora.layouts.audiomnist import GENDER_TEST_GROUPS, gender_split
from voxtrait.corpora.layouts.timit import age_on
from voxtrait.errors import CorpusError
from voxtrait.labels import SPLITS


def test_librispeech(tmp_path: Path) -> None:
    root = librispeech(tmp_path)
    (root / "dev-clean" / "84" / "121123" / "84-121123-0000.flac").unlink()
    put(root / "dev-clean" / "84" / "121123" / "84-121123-0007.flac")
    result = import_corpora([root])
    assert values(result, "speaker_id", "gender", "split", "release", "sentence", "book_id") == {
        "19-198-0000": ("librispeech-19", "female", "train", "train-clean-100", "CHAPTER ONE", "121"),
        "19-198-0001": ("librispeech-19", "female", "train", "train-clean-100", "CHAPTER ONE", "121"),
        "60-121082-0000": ("librispeech-60", "male", "train", "train-clean-100", "CHAPTER ONE", None),
        "61-70968-0000": ("librispeech-61", "male", "test", "test-other", "CHAPTER ONE", None),
        "84-121123-0000": ("librispeech-84", "female", "validation", "dev-clean", "CHAPTER ONE", None),
        "84-121123-0007": ("librispeech-84", "female", "validation", "dev-clean", None, None),
        "999-1-0000": ("librispeech-999", None, "test", "test-other", "CHAPTER ONE", None),
    }
    assert result.total.present == 6  # one of the transcripts' clips is absent, and stays
    assert result.notes == [f"{root} has clips of 1 speaker not listed in SPEAKERS.TXT (999)"]
    assert rows(result)["19-198-0000"]["clip_id"] == "librispeech/train-clean-100/en/19-198-0000"
    assert rows(result)["19-198-0000"]["path"] == str(root / "train-clean-100/19/198/19-198-0000.flac")


def test_one_subset_of_librispeech_is_the_same_as_in_the_whole(tmp_path: Path) -> None:
    root = librispeech(tmp_path)
    whole = read(root).table
    alone = read(root / "dev-clean").table
    assert alone.drop("book_id", strict=False).equals(
        whole.filter(pl.col("release") == "dev-clean").drop("book_id", strict=False)
    )
    assert read(root, tables=["dev-clean"]).table["release"].unique().to_list() == ["dev-clean"]


def test_librispeech_without_and_with_broken_speakers(tmp_path: Path) -> None:
    root = librispeech(tmp_path)
    table = root / "SPEAKERS.TXT"
    table.write_bytes(b"nothing | here\n")
    with pytest.raises(CorpusError, match=r"has no line such as '19 \| F \| train-clean-100"):
        read(root)
    table.write_bytes(b"19 | F | train-clean-100 | 25 | \xff\xfe\nx | y | z | w\n")
    result = read(root)
    assert rows(result)["19-198-0000"]["gender"] == "female"
    assert "has 1 unreadable line in SPEAKERS.TXT" in result.notes[0]
    table.unlink()
    result = read(root)
    assert result.table["gender"].null_count() == 6
    assert "has no SPEAKERS.TXT, so no genders" in result.notes[0]


def test_libritts_is_not_librispeech(tmp_path: Path) -> None:
    root = tmp_path / "LibriTTS"
    put(root / "speakers.tsv", "READER\tGENDER\tSUBSET\tNAME\n")
    put(root / "SPEAKERS.TXT", "19 | F\n")  # SPEAKERS.txt, where letters have their case
    put(root / "train-clean-100" / "19" / "198" / "19_198_000000_000000.wav")
    put(root / "train-clean-100" / "19" / "198" / "19_198.trans.tsv")
    with pytest.raises(CorpusError, match="No corpus in"):
        detect.find(root)


def test_speech_accent_archive(tmp_path: Path) -> None:
    result = import_corpora([speech_accent_archive(tmp_path)])
    assert values(result, "speaker_id", "gender", "age_years", "accent", "country") == {
        "afrikaans1": ("speech-accent-archive-1", "female", 27.0, "afrikaans", "south africa"),
        "afrikaans2": ("speech-accent-archive-2", "female", 40.0, "afrikaans", "south africa"),  # famale
        "arabic1": ("speech-accent-archive-10", "male", None, "arabic", "egypt"),  # an age of 0
        "balanta": ("speech-accent-archive-788", "male", 24.0, "balanta", "senegal"),
        "zulu9": (None, None, None, None, None),
    }
    assert result.total.dropped == {"unreadable row": 1}
    assert result.total.present == 4  # balanta's recording is missing in the archive
    assert set(result.table["sentence"]) == {"Please call Stella. Ask her to bring these things"}
    assert result.table.columns[13:] == ["age_onset", "birthplace", "country", "file_missing?"]
    notes = " ".join(result.notes)
    assert "1 age of 0, read as unknown" in notes
    assert "has 1 recording not listed in speakers_all.csv" in notes


def test_speech_accent_archive_unpacked_once_less_and_with_a_wrong_header(tmp_path: Path) -> None:
    root = speech_accent_archive(tmp_path)
    shutil.move(root / "recordings" / "recordings", root / "flat")
    (root / "recordings").rmdir()
    (root / "flat").rename(root / "recordings")
    assert import_corpora([root]).total.present == 4
    put(root / "speakers_all.csv", "age,sex\n24,male\n")
    with pytest.raises(CorpusError, match=r"has the columns 'age, sex'\. Expected 'age', 'filename'"):
        read(root)


def test_audiomnist(tmp_path: Path) -> None:
    result = read(audiomnist(tmp_path))
    folds = [f"gender_fold_{fold}" for fold in range(4)]
    assert values(result, "speaker_id", "gender", "age_years", "sentence", *folds) == {
        f"{digit}_{speaker}_{n}": (f"audiomnist-{speaker}", gender, age, word, *split)
        for speaker, gender, age, split in (
            ("01", "male", 30.0, (None, None, None, None)),
            ("12", "female", 26.0, ("train", "train", "test", "validation")),
            ("17", None, None, (None, None, None, None)),
            ("45", "male", None, ("train", "train", "test", "validation")),
            ("58", "female", 29.0, ("test", "validation", "train", "train")),
        )
        for digit, n, word in ((0, 49, "zero"), (7, 0, "seven"))
    }
    assert rows(result)["7_45_0"]["age"] == "1234"
    assert rows(result)["7_45_0"]["native speaker"] == "no"
    assert result.table["split"].null_count() == 10
    assert result.notes == [
        f"{tmp_path}/AudioMNIST/data has clips of 1 speaker not listed in audioMNIST_meta.txt (17)",
        "2 clips have an age that is neither a decade nor a number of years: '1234'",
    ]


def test_audiomnist_folds_are_the_authors() -> None:
    # audiomnist/train/splits.py of soerenab/AudioMNIST, the gender task's first and last fold
    published = {
        0: ({36, 47, 56, 26, 12, 57, 2, 44, 50, 25, 37, 45}, {43, 28, 52, 48, 53, 41}, {58, 59, 60, 7, 23, 38}),
        1: ({26, 12, 57, 43, 28, 52, 25, 37, 45, 48, 53, 41}, {58, 59, 60, 7, 23, 38}, {36, 47, 56, 2, 44, 50}),
        2: ({43, 28, 52, 58, 59, 60, 48, 53, 41, 7, 23, 38}, {36, 47, 56, 2, 44, 50}, {26, 12, 57, 25, 37, 45}),
        3: ({58, 59, 60, 36, 47, 56, 7, 23, 38, 2, 44, 50}, {26, 12, 57, 25, 37, 45}, {43, 28, 52, 48, 53, 41}),
    }
    for fold, groups in published.items():
        split = gender_split(fold)
        assert tuple({one for one in split if split[one] == name} for name in SPLITS) == groups
    assert len({speaker for group in GENDER_TEST_GROUPS for speaker in group}) == 24
    with pytest.raises(CorpusError, match=r"Got the fold 4 of AudioMNIST's gender task\. Expected 0 to 3"):
        gender_split(4)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"01": 3}', "\0", "[" * 100_000])
def test_audiomnist_with_a_broken_table_gives_one_clear_error(text: str, tmp_path: Path) -> None:
    root = audiomnist(tmp_path)
    put(root / "data" / "audioMNIST_meta.txt", text)
    with pytest.raises(CorpusError, match=r"audioMNIST_meta\.txt .*[Ee]xpected"):
        read(root)


def test_crema_d(tmp_path: Path) -> None:
    result = import_corpora([crema_d(tmp_path)])
    assert values(result, "speaker_id", "gender", "age_years", "emotion", "emotion_level", "sentence") == {
        "1001_DFA_FEA_HI": ("crema-d-1001", "male", 51.0, "fear", "high", "Don't forget a jacket"),  # in MP3 alone
        "1001_IEO_HAP_LO": ("crema-d-1001", "male", 51.0, "happy", "low", "It's eleven o'clock"),  # in the list alone
        "1001_IEO_NEU_XX": ("crema-d-1001", "male", 51.0, "neutral", None, "It's eleven o'clock"),
        "1076_MTI_SAD_XX": ("crema-d-1076", "female", 25.0, "sad", None, "Maybe tomorrow it will be cold"),
        "1099_TIE_ANG_XX": ("crema-d-1099", None, None, "anger", None, "That is exactly what happened"),
    }
    assert result.total.present == 4
    assert result.total.dropped == {"same clip in AudioMP3": 1}
    assert rows(result)["1001_IEO_NEU_XX"]["path"].endswith("AudioWAV/1001_IEO_NEU_XX.wav")
    assert rows(result)["1001_IEO_NEU_XX"]["Ethnicity"] == "Not Hispanic"


def test_crema_d_without_its_table_and_by_its_audio_folder(tmp_path: Path) -> None:
    root = crema_d(tmp_path)
    assert read(root / "AudioWAV").table.equals(read(root).table)
    (root / "VideoDemographics.csv").unlink()
    result = read(root)
    assert result.table["gender"].null_count() == 5
    assert result.table["speaker_id"].null_count() == 0
    assert "has no VideoDemographics.csv" in result.notes[0]
    put(root / "VideoDemographics.csv", "Actor,Sex\n1001,Male\n")
    with pytest.raises(CorpusError, match=r"has the columns 'Actor, Sex'\. Expected 'ActorID', 'Age', 'Sex'"):
        read(root)


def test_voxceleb(tmp_path: Path) -> None:
    result = import_corpora([voxceleb(tmp_path)])
    assert values(result, "release", "speaker_id", "gender", "age_years", "split") == {
        "id10001/1zcIwhmdeo4/00001": ("vox1", "voxceleb-id10001", "male", 35.0, "train"),
        "id10270/5r0dWxy17C8/00001": ("vox1", "voxceleb-id10270", "female", 67.0, "test"),
        "id00012/21Uxsk56VDQ/00001": ("vox2", "voxceleb-id00012", "male", 70.0, "train"),
        "id00012/21Uxsk56VDQ/00002": ("vox2", "voxceleb-id00012", "male", None, "train"),
        "id00017/01dfn2spqyE/00001": ("vox2", "voxceleb-id00017", "female", None, "test"),
    }
    columns = ("nationality", "birth_year", "enrichment_age_split", "enrichment_gender_split", "agevoxceleb_split")
    assert values(result, *columns) == {
        "id10001/1zcIwhmdeo4/00001": ("Ireland", "1978", "train", "train", None),
        "id10270/5r0dWxy17C8/00001": ("USA", "1946", "test", None, None),
        "id00012/21Uxsk56VDQ/00001": (None, None, None, "train", "test"),
        "id00012/21Uxsk56VDQ/00002": (None, None, None, "train", None),
        "id00017/01dfn2spqyE/00001": (None, None, None, "test", None),
    }
    assert result.total.dropped == {"not in id…/video/": 1}
    assert result.notes == [
        f"{tmp_path}/voxceleb has 1 speaker with another gender in final_dataframe_extended.csv (id00012). The "
        "column 'enrichment_gender' has it"
    ]


def test_a_part_of_voxceleb_finds_the_tables_above_it_and_does_without(tmp_path: Path) -> None:
    root = voxceleb(tmp_path)
    part = read(root / "vox2").table
    assert part.drop("path").equals(
        read(root).table.filter(pl.col("release") == "vox2").select(part.columns).drop("path")
    )
    for table in [*root.glob("*.csv"), *root.glob("*.txt"), *root.glob("utt2age*")]:
        table.unlink()
    bare = read(root)
    assert len(bare.sources) == 4  # each folder of speakers by itself
    assert set(bare.table["clip_id"]) == {f"voxceleb/{n}/-/{stem}" for n, stem in zip(
        ("vox1", "vox1", "vox2", "vox2", "vox2"),
        ("id10001/1zcIwhmdeo4/00001", "id10270/5r0dWxy17C8/00001", "id00012/21Uxsk56VDQ/00001",
         "id00012/21Uxsk56VDQ/00002", "id00017/01dfn2spqyE/00001"), strict=True)}  # fmt: skip
    assert bare.table["gender"].null_count() == 5
    assert "has no vox1_meta.csv or vox2_meta.csv" in bare.notes[0]


def test_folders_that_only_look_like_voxceleb_are_left_to_other_layouts(tmp_path: Path) -> None:
    put(tmp_path / "id00001" / "monday" / "a.wav")
    put(tmp_path / "metadata.csv", "file_name,gender\nid00001/monday/a.wav,f\n")
    assert [source.layout for source in detect.find(tmp_path)] == ["AudioFolder"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vox1_meta.csv", "ID,Sex\nid10001,m\n", "has the header 'ID,Sex'. Expected 'VoxCeleb1 ID'"),
        ("final_dataframe_extended.csv", "a,b\n1,2\n", "Expected 'VoxCeleb_ID', 'video_id', 'speaker_age'"),
        ("vox2_meta.csv", "", "is empty. Expected a small table"),
        ("utt2age.test", "\0\0", "is not UTF-8 text"),
    ],
)
def test_voxceleb_with_a_broken_table(name: str, text: str, message: str, tmp_path: Path) -> None:
    root = voxceleb(tmp_path)
    put(root / name, text)
    with pytest.raises(CorpusError, match=message):
        read(root)


def test_timit(tmp_path: Path) -> None:
    result = import_corpora([make_timit(tmp_path)])
    suit = "She had your dark suit in greasy wash water all year."
    assert values(result, "speaker_id", "gender", "age_years", "split", "dialect_region", "sentence", "race") == {
        "FCJF0/SA1": ("timit-FCJF0", "female", 26.0, "train", "1", suit, "WHT"),
        "FCJF0/SX37": (
            "timit-FCJF0",
            "female",
            26.0,
            "train",
            "1",
            "Critical equipment needs proper maintenance.",
            "WHT",
        ),
        "FCJF0/SI648": ("timit-FCJF0", "female", 26.0, "train", "1", "A sailboat may have a bone in her teeth.", "WHT"),
        "MDAB0/SA1": ("timit-MDAB0", "male", 35.0, "test", "1", suit, "WHT"),
        "MXYZ0/SA1": ("timit-MXYZ0", "male", None, "test", "1", suit, None),
    }
    assert result.total.present == 4  # SI648 has a transcript and no audio


def test_timit_in_lower_case_with_each_recording_twice_and_no_documents(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for place in ("train/dr1/fcjf0", "test/dr8/mdab0"):
        put(root / place / "sa1.wav")
        put(root / place / "sa1.wav.wav")
    put(root / "train" / "readme.wav")
    bare = read(tmp_path)
    assert values(bare, "speaker_id", "gender", "age_years", "split") == {
        "FCJF0/SA1": ("timit-FCJF0", "female", None, "train"),
        "MDAB0/SA1": ("timit-MDAB0", "male", None, "test"),
    }
    assert bare.total.dropped == {
        "same recording in another file": 2,
        "not in TRAIN/DR…/speaker/ or TEST/DR…/speaker/": 1,
    }
    assert bare.table["path"].str.ends_with("sa1.wav.wav").all()
    assert "has no SPKRINFO.TXT, so no ages" in bare.notes[0]
    put(tmp_path / "SPKRINFO.TXT", SPKRINFO)  # above data/, as a mirror has it
    assert values(read(tmp_path), "age_years") == {"FCJF0/SA1": (26.0,), "MDAB0/SA1": (35.0,)}
    put(tmp_path / "SPKRINFO.TXT", "; nothing\nbut this\n")
    with pytest.raises(CorpusError, match="has no line such as 'CJF0  F  1  TRN"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("recorded", "born", "age"),
    [
        ("02/05/86", "02/05/59", 27),  # on the birthday
        ("02/04/86", "02/05/59", 26),  # and on the day before
        ("02/05/86", "??/05/59", 26),
        ("02/05/86", "04/??/59", 26),
        ("??", "04/11/59", None),
        ("02/05/86", "13/41/59", None),
        ("02/05/86", "02/06/86", None),  # not born yet
    ],
)
def test_ages_of_timit(recorded: str, born: str, age: int | None) -> None:
    assert age_on(recorded, born) == age


def test_vctk(tmp_path: Path) -> None:
    root = vctk(tmp_path)
    result = import_corpora([root])
    words = "Please call Stella."
    assert values(result, "speaker_id", "gender", "age_years", "accent", "region", "comment", "sentence") == {
        "p225_001_mic1": ("vctk-p225", "female", 23.0, "English", "Southern England", None, words),
        "p225_002_mic2": ("vctk-p225", "female", 23.0, "English", "Southern England", None, words),  # no mic1
        "p280_001_mic1": ("vctk-p280", "female", 25.0, "Unknown", "France", "(mic2 files unavailable)", words),
        "p315_001_mic1": (
            "vctk-p315", "male", 18.0, "American", "New England", "(Text and mic2 files unavailable)", None
        ),
        "p362_003_mic1": ("vctk-p362", "female", 29.0, "American", None, None, words),  # a text without audio
    }  # fmt: skip
    assert result.total.dropped == {"same utterance from the other microphone": 1}
    assert result.total.present == 4
    other = rows(result)["p225_001_mic1"]["other_microphone"]
    assert other == "wav48_silence_trimmed/p225/p225_001_mic2.flac"
    assert set(rows(read(root, tables=["mic2"]))) == {"p225_001_mic2", "p225_002_mic2"}
    both = read(root, tables=["mic1", "mic2"])
    assert set(rows(both)) == {*rows(result), "p225_001_mic2"}
    assert both.total.dropped == {}


def test_vctk_0_80_without_p_in_its_table(tmp_path: Path) -> None:
    root = tmp_path / "VCTK-Corpus"
    put(root / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern  England\n")
    put(root / "wav48" / "p225" / "p225_001.wav")
    put(root / "wav48" / "p280" / "p280_001.wav")
    put(root / "txt" / "p225" / "p225_001.txt", "Please call Stella.")
    result = read(root)
    assert values(result, "release", "gender", "age_years", "sentence") == {
        "p225_001": ("0.80", "female", 23.0, "Please call Stella."),
        "p280_001": ("0.80", None, None, None),
    }
    assert "has clips of 1 speaker not listed in speaker-info.txt (p280)" in result.notes[0]
    put(root / "speaker-info.txt", "who,what\n")
    with pytest.raises(CorpusError, match="has no line such as 'p225  23  F"):
        read(root)
