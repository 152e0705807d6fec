"""Data sets of Hugging Face on disk, with the audio inside: saved ones, and repositories of the hub."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from test_corpora_formats import got, layouts
from voxtrait.audio.writing import write_wav
from voxtrait.corpora import detect, import_corpora
from voxtrait.corpora.layouts import hugging_face
from voxtrait.errors import CorpusError


def sound(seconds: float = 0.5) -> bytes:
    data = BytesIO()
    write_wav(data, np.full(int(8000 * seconds), 0.1, np.float32), 8000)
    return data.getvalue()


AUDIO = pl.Struct({"bytes": pl.Binary, "path": pl.String})
FEATURES = {
    "audio": {"sampling_rate": 8000, "_type": "Audio"},
    "gender": {"names": ["female", "male"], "_type": "ClassLabel"},
    "age": {"dtype": "int64", "_type": "Value"},
}


def saved(folder: Path, *shards: pl.DataFrame) -> Path:
    """Write what ``Dataset.save_to_disk`` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{at:05d}-of-{len(shards):05d}.arrow" for at in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        shard.write_ipc_stream(folder / name)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def shard(*rows: tuple[bytes | None, str | None, str | None, int, int]) -> pl.DataFrame:
    audio = [{"bytes": data, "path": path} for data, path, *_ in rows]
    columns = {
        "speaker_id": [row[2] for row in rows],
        "gender": [row[3] for row in rows],
        "age": [row[4] for row in rows],
    }
    return pl.DataFrame({"audio": pl.Series(audio, dtype=AUDIO), **columns})


def test_hugging_face_saved_to_disk_with_the_audio_inside(tmp_path: Path) -> None:
    root = tmp_path / "voices"
    saved(
        root / "train",
        shard((sound(0.5), "a.wav", "s1", 0, 34), (sound(0.6), "x/same.wav", "s1", 0, 34)),
        shard(
            (sound(0.7), "y/same.wav", "s2", 1, 8),
            (sound(0.8), None, None, -1, 50),
            (None, "/x/out.wav", "s3", 1, 70),
        ),
    )  # fmt: skip
    saved(root / "test", shard((sound(0.9), "a.wav", "s4", 1, 12)))
    (root / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert layouts(tmp_path) == ["Hugging Face"]
    result = import_corpora([tmp_path], tables_only=True)
    rows = {row["path"]: row for row in result.table.to_dicts()}
    assert [
        (path, row["speaker_id"], row["gender"], row["age_group"], row["split"])
        for path, row in sorted(
            rows.items(), key=lambda item: item[0].removeprefix(str(tmp_path)).replace("/x/", "/a/")
        )
    ] == [
        ("/x/out.wav", "s3", "male", "seventies", "train"),
        (f"{root}/test/a.wav", "s4", "male", "teens", "test"),
        (f"{root}/train/0000001-same.wav", "s1", "female", "thirties", "train"),
        (f"{root}/train/0000002-same.wav", "s2", "male", "under_ten", "train"),
        (f"{root}/train/0000003.wav", None, None, "fifties", "train"),
        (f"{root}/train/a.wav", "s1", "female", "thirties", "train"),
    ]
    assert "has 5 clips inside its data files. To write them to files, pass --extract FOLDER" in result.notes[0]
    source = detect.find(tmp_path)[0]
    out = tmp_path / "out"
    assert hugging_face.extract(source, out) == 5
    assert hugging_face.extract(source, out) == 0
    there = {path.relative_to(out).as_posix() for path in out.rglob("*.wav")}
    moved = hugging_face.read(replace(source, home=out)).table["file"].to_list()
    assert there == {name for name in moved if not name.startswith("/")} and len(there) == 5
    assert (out / "train" / "0000002-same.wav").read_bytes() == sound(0.7)
    (out / "train" / "a.wav").write_bytes(b"half")
    assert hugging_face.extract(source, out) == 1


def test_hugging_face_repository_of_the_hub(tmp_path: Path) -> None:
    data = tmp_path / "hub" / "data"
    data.mkdir(parents=True)
    table = shard((sound(), "a.wav", "s1", 0, 34), (sound(), "b.wav", "s2", 1, 51))
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    table[:1].write_parquet(data / "train-00000-of-00002.parquet", metadata=metadata)
    table[1:].write_parquet(data / "train-00001-of-00002.parquet", metadata=metadata)
    table[:1].write_parquet(data / "validation-00000-of-00001-0123456789abcdef.parquet", metadata=metadata)
    assert layouts(tmp_path) == ["Hugging Face"]
    assert got(tmp_path, "clip_id", "gender", "age_group", "split") == [
        ("hub/-/-/b", "male", "fifties", "train"),
        ("hub/-/-/train/a.wav", "female", "thirties", "train"),
        ("hub/-/-/validation/a.wav", "female", "thirties", "validation"),
    ]
    assert layouts(data / "train-00000-of-00002.parquet") == ["Hugging Face"]
    (data / "train-00000-of-00002.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CorpusError, match=r"is a Git LFS pointer without data\. Run git lfs pull"):
        import_corpora([tmp_path], tables_only=True)


def test_hugging_face_damage_is_one_clear_error(tmp_path: Path) -> None:
    root = saved(tmp_path / "voices", shard((sound(), "a.wav", "s1", 0, 34)))
    whole = (root / "data-00000-of-00001.arrow").read_bytes()
    (root / "data-00000-of-00001.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="cannot be read as data of Hugging Face datasets"):
        import_corpora([tmp_path], tables_only=True)
    (root / "state.json").write_text("{")
    with pytest.raises(CorpusError, match=r"state\.json cannot be read"):
        import_corpora([tmp_path], tables_only=True)
