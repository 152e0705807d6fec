"""Data of the toolkits Kaldi, Lhotse and audformat that ``corpus import`` reads, on small trees made here."""

import pickle
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from test_corpora_formats import WANTED, files, got, layouts, lines, wav
from voxtrait.corpora import import_corpora
from voxtrait.errors import CorpusError, MissingExtraError


def test_kaldi_folders_of_splits_with_everything_beside(tmp_path: Path) -> None:
    wav(tmp_path / "mini" / "wav" / "a.wav")
    files(
        tmp_path / "mini" / "data" / "train_clean_5",
        wav__scp="s1-a wav/a.wav\ns1-b flac -c -d -s /x/b.flac |\ns2-c sph2pipe '/x/c d.sph' | sox - -t wav - |\n",
        utt2spk="s1-a s1\ns1-b s1\ns2-c s2\n",
        spk2gender="s1 f\ns2 m\n",
        text="s1-a HELLO  WORLD\ns1-b\n",
        utt2dur="s1-a 0.5\ns2-c 2.25\n",
        spk2age="s1 34\ns2 fourties\n",
        utt2lang="s1-a en\ns1-b en\ns2-c de\n",
        utt2noise="s2-c car\n",
    )
    files(tmp_path / "mini" / "data" / "dev", wav__scp="u1 /x/u1.wav\n", utt2spk="u1 u1\n")
    assert layouts(tmp_path) == ["Kaldi", "Kaldi"]
    assert got(tmp_path) == [
        ("mini/-/-/u1", None, None, None, "validation", None, None),
        ("mini/-/de/s2-c", "s2", "male", "forties", "train", "de", None),
        ("mini/-/en/s1-a", "s1", "female", "thirties", "train", "en", "HELLO  WORLD"),
        ("mini/-/en/s1-b", "s1", "female", "thirties", "train", "en", None),
    ]
    assert got(tmp_path, "path", "duration_s", "noise") == [
        ("/x/u1.wav", None, None),
        ("/x/c d.sph", 2.25, "car"),
        (f"{tmp_path}/mini/wav/a.wav", 0.5, None),
        ("/x/b.flac", None, None),
    ]


def test_kaldi_segments_are_parts_of_one_clip(tmp_path: Path) -> None:
    files(
        tmp_path / "talks",
        wav__scp="r1 /x/r1.wav\nr2 /x/r2.wav\nr3 /x/r3.wav\n",
        segments="u1 r1 0.0 1.0\nu2 r1 1.0 2.5\nu3 r2 0 1\n",
        spk2utt="a u1 u2\nb u3\n",
        spk2gender="a f\nb m\n",
        text="u1 one\nu2 two\nu3 three\n",
        utt2dur="u1 1.0\nu2 1.5\nu3 1\n",
        reco2dur="r1 9.5\n",
    )
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select("clip_id", "speaker_id", "gender", "sentence", "utterances", "duration_s").rows() == [
        ("talks/-/-/r1", "a", "female", None, "2", 9.5),
        ("talks/-/-/r2", "b", "male", "three", None, None),
        ("talks/-/-/r3", None, None, None, None, None),
    ]
    assert "has 1 recording with several utterances. Only labels on which they agree are kept" in result.notes[0]


def test_kaldi_rows_without_one_file_are_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "wav.scp").write_bytes(
        b"a /x/a.wav\nb sox /x/1.wav /x/2.wav -t wav - |\nc cat list |\nd /x/data.ark:1234\n"
        b"e\n\nf /x/\xff.wav\na /x/twice.wav\n"
    )
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table["path"].to_list() == ["/x/a.wav"]
    assert result.total.dropped == {
        "unreadable row": 1,
        "no file name": 1,
        "audio inside a Kaldi archive": 1,
        "command that does not name one audio file": 2,
    }
    (tmp_path / "d" / "wav.scp").write_text("\n")
    with pytest.raises(CorpusError, match=r"has no recordings\. Expected lines with a recording and its file"):
        import_corpora([tmp_path], tables_only=True)


def test_kaldi_files_with_a_name_too_long_for_a_path(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "wav.scp").write_text(f"a {'x' * 5000}.wav\nb {'y' * 300}.wav\n")
    table = import_corpora([tmp_path / "d"]).table
    assert table["path"].to_list() == [f"{tmp_path}/d/{'x' * 5000}.wav", f"{tmp_path}/d/{'y' * 300}.wav"]


@pytest.mark.parametrize(
    ("command", "channel"),
    [
        ("sph2pipe -f wav -p -c 1 /x/call.sph |", 1),
        ("sph2pipe -f wav -p -c2 /x/call.sph |", 2),
        ("sox /x/call.wav -t wav - remix 2 |", 2),
        ("sox /x/call.wav -r 16000 -t wav - remix -m 1 |", 1),
        ("sox /x/call.wav -t wav - remix 1,2 |", None),
        ("sox /x/call.wav -c 1 -t wav - |", None),
        ("/x/call.wav", None),
    ],
)
def test_kaldi_commands_that_take_one_channel_are_said(command: str, channel: int | None, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "wav.scp").write_text(f"a {command}\nb /x/b.wav\n")
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table["path"].to_list() == [f"/x/call.{'sph' if 'sph' in command else 'wav'}", "/x/b.wav"]
    if channel is None:
        assert "channel" not in result.table.columns and not any("one channel" in note for note in result.notes)
    else:
        assert result.table["channel"].to_list() == [channel, None]
        assert any("has 1 recording that is one channel of a file" in note for note in result.notes)


def recording(name: str, **more: Any) -> dict[str, Any]:
    source = {"type": "file", "channels": [0], "source": f"/x/{name}.wav"}
    return {"id": name, "sources": [source], "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0} | more


def supervision(name: str, of: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "recording_id": of, "start": 0.0, "duration": 1.0, "channel": 0} | more


def test_lhotse_recordings_and_supervisions(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    lines(
        folder / "c_recordings_train.jsonl.gz",
        recording("r1"),
        recording("r2", sources=[{"type": "command", "channels": [0], "source": "flac -dc /x/r2.flac"}]),
        recording("r3", sources=[{"type": "url", "channels": [0], "source": "https://x/r3.wav"}]),
        recording("r4", sources=[{"type": "file", "channels": [at], "source": f"/x/{at}.wav"} for at in (0, 1)]),
    )
    lines(
        folder / "c_supervisions_train.jsonl.gz",
        supervision("s1", "r1", text="one", language="English", speaker="p1", gender="F",
                    custom={"age": 34, "snr": 1.5}),
        supervision("s2", "r2", text="two", speaker="p2", gender="male",
                    custom={"age": "fourties", "tags": ["a", "b"]}),
        supervision("s3", "r2", text="three", speaker="p2", gender="male", custom={"age": "fourties"}),
    )  # fmt: skip
    lines(folder / "c_recordings_dev.jsonl", recording("r5"))
    assert layouts(tmp_path) == ["Lhotse"]
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select(WANTED).rows() == [
        ("manifests/-/-/r2", "p2", "male", "forties", "train", None, None),
        ("manifests/-/-/r5", None, None, None, "validation", None, None),
        ("manifests/-/English/r1", "p1", "female", "thirties", "train", "English", "one"),
    ]
    assert result.table.select("path", "duration_s", "snr", "tags", "utterances").rows() == [
        ("/x/r2.flac", 2.0, None, None, "2"),
        ("/x/r5.wav", 2.0, None, None, None),
        ("/x/r1.wav", 2.0, "1.5", None, None),
    ]
    assert result.total.dropped == {"recording in several files": 1, "recording without a file": 1}
    assert any("has 1 recording with several supervisions. Only labels" in note for note in result.notes)
    assert any("no c_supervisions_dev.jsonl, so the clips of" in note for note in result.notes)


def test_lhotse_cuts_alone(tmp_path: Path) -> None:
    def cut(name: str, of: str, start: float = 0.0, duration: float = 2.0, **more: Any) -> dict[str, Any]:
        said = [supervision(name, of, speaker=f"p-{of}", gender="female", text=name)]
        return {"id": name, "start": start, "duration": duration, "channel": 0, "supervisions": said,
                "recording": recording(of), "type": "MonoCut"} | more  # fmt: skip

    mixed = {"id": "m", "tracks": [{"cut": cut("x", "r9")}], "type": "MixedCut"}
    path = lines(
        tmp_path / "set" / "my_cuts_test.jsonl.gz",
        cut("c1", "r1"), cut("c2", "r2", 0.0, 0.5), cut("c3", "r2", 0.5, 1.5), mixed,
    )  # fmt: skip
    assert layouts(tmp_path) == ["Lhotse"] == layouts(path)
    for place in (tmp_path, path):
        result = import_corpora([place], tables_only=True)
        assert result.table.select("clip_id", "speaker_id", "gender", "split", "sentence", "utterances").rows() == [
            ("set/-/-/r1", "p-r1", "female", "test", "c1", None),
            ("set/-/-/r2", "p-r2", "female", "test", None, "2"),
        ]
        assert result.total.dropped == {
            "cut of several recordings or no recording": 1,
            "another cut of the same recording": 1,
        }
        assert any("has 2 cuts that are a part of a recording. Their clips are" in note for note in result.notes)


def test_lhotse_files_that_are_no_manifests(tmp_path: Path) -> None:
    lines(tmp_path / "a_recordings.jsonl", {"id": 1, "path": "x"})
    with pytest.raises(CorpusError, match=r"no field 'sources'\. Expected Lhotse recordings"):
        import_corpora([tmp_path], tables_only=True)
    (tmp_path / "a_recordings.jsonl").rename(tmp_path / "a_recordings.jsonl.gz")
    with pytest.raises(CorpusError, match="cannot be read as a Lhotse manifest"):
        import_corpora([tmp_path], tables_only=True)


@pytest.fixture
def database(tmp_path: Path) -> tuple[Any, Path]:
    audformat = pytest.importorskip("audformat")
    database = audformat.Database("db", source="here", languages=["deu"])
    database.schemes["speaker"] = audformat.Scheme(
        "str", labels={"s1": {"gender": "female", "age": 34}, "s2": {"gender": "other", "age": 8}}
    )
    database.schemes["transcription"] = audformat.Scheme("str")
    database.schemes["duration"] = audformat.Scheme("time")
    for split in ("train", "dev"):
        database.splits[split] = audformat.Split(type=split)
    for split, names in (("train", ["a.wav", "b.wav"]), ("dev", ["c.wav"])):
        table = audformat.Table(audformat.filewise_index([f"audio/{name}" for name in names]), split_id=split)
        database[split] = table
        table["spk"] = audformat.Column(scheme_id="speaker")
        table["spk"].set(["s1", "s2"] if split == "train" else [None])
        table["duration"] = audformat.Column(scheme_id="duration")
        table["duration"].set([timedelta(seconds=1.5)] * len(names))
    parts = audformat.segmented_index(["audio/a.wav", "audio/a.wav", "audio/b.wav"], [0, 1, 0], [1, 2, 3])
    database["segments"] = audformat.Table(parts)
    database["segments"]["transcription"] = audformat.Column(scheme_id="transcription")
    database["segments"]["transcription"].set(["one", "two", "three"])
    return database, tmp_path / "german"


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_audformat(tmp_path: Path, storage: str, request: pytest.FixtureRequest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library itself
        database, folder = request.getfixturevalue("database")
        database.save(str(folder), storage_format=storage)
    assert layouts(tmp_path) == ["audformat"]
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select(WANTED).rows() == [
        ("german/-/deu/a", "s1", "female", "thirties", "train", "deu", None),
        ("german/-/deu/b", "s2", "other", "under_ten", "train", "deu", "three"),
        ("german/-/deu/c", None, None, None, "validation", "deu", None),
    ]
    assert result.table["duration_s"].to_list() == [1.5, 1.5, 1.5]
    assert result.table["path"][0] == f"{folder}/audio/a.wav"
    assert result.total.rows == result.total.kept + sum(result.total.dropped.values()) == 6


@pytest.mark.parametrize("way", ["header", "pickle"])
def test_audformat_never_runs_what_is_in_a_database(tmp_path: Path, request: pytest.FixtureRequest, way: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path, "ran"),)  # type: ignore[return-value]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library itself
        database, folder = request.getfixturevalue("database")
        database.save(str(folder), storage_format="csv")
    if way == "header":
        with (folder / "db.yaml").open("a") as file:
            file.write(f"meta: !!python/object/apply:os.mkdir ['{tmp_path / 'ran'}']\n")
        with pytest.raises(CorpusError, match="cannot be read as an audformat database"):
            import_corpora([tmp_path], tables_only=True)
    else:
        for table in list(folder.glob("db.*.csv")):
            table.with_suffix(".pkl").write_bytes(pickle.dumps(Evil()))
        assert import_corpora([tmp_path], tables_only=True).table.height == 3
    assert not (tmp_path / "ran").exists()


def test_audformat_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path / "db", db__yaml="name: [", db__files__csv="file\na.wav\n")
    with pytest.raises(CorpusError, match="cannot be read as an audformat database"):
        import_corpora([tmp_path], tables_only=True)
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[audformat\]"):
        import_corpora([tmp_path], tables_only=True)
