"""The one inference path: the same answer for a signal, a file, bytes, a picture, one process or two."""

import dataclasses
import json
import pickle
from io import BytesIO
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
import soundfile

import models
from voxtrait import batch, features, recognize, speech
from voxtrait.bundle import Bundle
from voxtrait.errors import BundleError, OptionError, SignalError
from voxtrait.labels import AGE_GROUPS, JOINT_CLASSES
from voxtrait.recognize import Prediction, Recognizer

CONTRACT = (
    *("path", "status", "message", "duration_s", "speech_s", "gender", "p_female"),
    *("age_years", "age_low", "age_high", "age_group", "age_groups", "model", "voices"),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def recognizer(bundle: Bundle) -> Recognizer:
    return Recognizer(bundle)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    return [str(models.grey(tmp_path / f"{k:02d}.png", k / 20)) for k in range(20)]


def test_the_answer_is_the_one_worked_out_on_paper(recognizer: Recognizer, tmp_path: Path) -> None:
    answer = recognizer.predict(models.grey(tmp_path / "a.png", 0.6))
    assert answer.p_female == pytest.approx(models.p_female(0.6), abs=1e-5)
    assert (answer.gender, answer.age_group, answer.status) == ("female", "sixties", "ok")
    assert answer.age_years == pytest.approx(65, abs=1e-3)  # the distribution is even about the sixties
    assert answer.age_groups is not None
    weights = np.exp([-models.SHARPNESS * (k - 6) ** 2 for k in range(10)])
    assert list(answer.age_groups.values()) == pytest.approx(weights / weights.sum(), abs=1e-5)
    assert recognizer.predict(models.grey(tmp_path / "b.png", 0.5)).gender == "unsure"
    assert recognizer.predict(models.grey(tmp_path / "c.png", 0.4)).gender == "male"


def test_fields_are_the_contracts_in_its_order(recognizer: Recognizer) -> None:
    values = recognizer.predict(models.voice(2)[:, 0], 16_000).to_dict()
    assert tuple(values) == CONTRACT
    assert tuple(name for name in CONTRACT if name != "age_groups") == recognize.CSV_FIELDS
    assert tuple(values["age_groups"]) == AGE_GROUPS
    assert values["model"] == "tiny 1.0"
    assert json.loads(json.dumps(values)) == values


def test_signal_file_bytes_and_steps_agree(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = models.voice(2)[:, 0]
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    from_file = recognizer.predict(tmp_path / "a.wav")
    from_bytes = recognizer.predict(BytesIO((tmp_path / "a.wav").read_bytes()))
    from_signal = recognizer.predict(sound, sampling_rate=16_000)
    assert from_file.path == str(tmp_path / "a.wav")
    assert from_bytes == from_signal == dataclasses.replace(from_file, path=None)
    (steps,) = recognizer.decide(recognizer.run(recognizer.inputs(sound)))
    assert steps["p_female"] == from_signal.p_female


def test_picture_and_sound_agree(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = models.voice(2)[:, 0]
    drawn = features.picture(sound, front_end=models.FRONT_END)
    (tmp_path / "a.png").write_bytes(features.encode_png(drawn))
    from_picture, from_sound = recognizer.predict(tmp_path / "a.png"), recognizer.predict(sound, 16_000)
    assert from_picture.p_female == from_sound.p_female
    assert from_picture.duration_s is None


def test_a_long_recording_is_shown_by_its_first_minute_of_speech(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = np.concatenate([np.tile(models.voice(2)[:, 0], 20), np.zeros(40 * 16_000, np.float32)])
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    answer = recognizer.predict(tmp_path / "a.wav")
    drawn = features.picture(speech.spoken(sound), front_end=models.FRONT_END)
    np.testing.assert_array_equal(recognizer.inputs(sound)[0], features.network_input(drawn, models.FRONT_END))
    (steps,) = recognizer.decide(recognizer.run(recognizer.inputs(sound)))
    assert (answer.status, answer.duration_s, answer.p_female) == ("ok", 80, steps["p_female"])
    short = sound[: 60 * 16_000]  # and up to a minute by its middle, as it is
    drawn = features.picture(short, front_end=models.FRONT_END)
    np.testing.assert_array_equal(recognizer.inputs(short)[0], features.network_input(drawn, models.FRONT_END))


def test_any_rate_and_any_channels_give_nearly_the_same(recognizer: Recognizer) -> None:
    plain = recognizer.predict(models.voice(2)[:, 0], 16_000)
    wide = recognizer.predict(models.voice(2, 96_000, 8).T, 96_000)
    assert plain.p_female is not None and wide.p_female == pytest.approx(plain.p_female, abs=0.01)
    assert wide.duration_s == 2


@pytest.mark.parametrize(
    ("signal", "status", "message"),
    [
        (np.zeros(32_000, np.float32), "no_speech", "no speech was found"),
        (models.voice(0.4)[:, 0], "too_short", "0.35 s of speech, expected at least 0.7 s"),
        (np.zeros(1600, np.float32), "too_short", "0.00 s of speech, expected at least 0.7 s"),
        (np.pad(models.voice(0.4)[:, 0], (0, 32_000)), "too_short", "s of speech, expected at least 0.7 s"),
    ],
)
def test_answers_without_an_answer(recognizer: Recognizer, signal: np.ndarray, status: str, message: str) -> None:
    answer = recognizer.predict(signal, 16_000)
    assert answer.status == status
    assert message in str(answer.message)
    values = answer.to_dict()
    assert {values[name] for name in CONTRACT[5:-2]} == {None}
    assert values["duration_s"] == round(len(signal) / 16_000, 2)


def test_what_a_bundle_cannot_tell_is_null(tmp_path: Path) -> None:
    picture = models.grey(tmp_path / "a.png", 0.8)
    gender = Recognizer(models.make_bundle(tmp_path / "g", tasks=("gender",))).predict(picture)
    assert gender.gender == "female"
    assert {getattr(gender, name) for name in CONTRACT if name.startswith("age")} == {None}
    age = Recognizer(models.make_bundle(tmp_path / "a", tasks=("age",), age_labels=JOINT_CLASSES)).predict(picture)
    assert (age.gender, age.p_female, age.age_group) == (None, None, "eighties")
    assert age.joint_class == "female_eighties"
    assert "joint_class" not in age.to_dict()


def test_misuse_of_arrays_raises(recognizer: Recognizer) -> None:
    with pytest.raises(ValueError, match="without its sampling rate"):
        recognizer.predict(np.zeros(100))
    with pytest.raises(SignalError, match="NaN"):
        recognizer.predict(np.full(100, np.nan), 16_000)


def test_a_file_with_nan_in_it_is_an_error(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = models.voice(2)[:, 0]
    sound[100] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    answer = recognizer.predict(tmp_path / "a.wav")
    assert (answer.status, answer.gender) == ("error", None)
    assert "NaN" in str(answer.message)


def test_a_graph_that_does_not_open_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with mock.patch.object(models, "graph", return_value=models.unopened()):
        broken = models.make_bundle(tmp_path / "a")
    with pytest.raises(BundleError, match="is not a graph that ONNX Runtime can open"):
        Recognizer(broken).predict(models.grey(tmp_path / "a.png", 0.5))
    only_gender = models.graph({"gender": ("female", "male")})
    with mock.patch.object(models, "graph", return_value=only_gender):
        other = models.make_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"has the outputs \['gender'\]\. Expected \['age', 'gender'\]"):
        Recognizer(other).predict(tmp_path / "a.png")


def test_two_processes_give_what_one_gives_in_order(recognizer: Recognizer, pictures: list[str]) -> None:
    paths = [*pictures, "missing.wav"]
    one, two = list(recognizer.predict_many(paths)), list(recognizer.predict_many(paths, jobs=2))
    assert one == two
    assert [answer.path for answer in one] == paths
    assert (one[-1].status, one[-1].message) == ("error", "no such file: missing.wav")


def test_a_recognizer_travels_without_its_session(recognizer: Recognizer, tmp_path: Path) -> None:
    picture = models.grey(tmp_path / "a.png", 0.5)
    before = recognizer.predict(picture)
    assert pickle.loads(pickle.dumps(recognizer)).predict(picture) == before


def test_shards_go_on_where_a_killed_run_was(
    recognizer: Recognizer, pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch.shards, "SHARD", 6)
    asked: list[str] = []
    plain = Recognizer.predict

    def predict(self: Recognizer, path: str) -> Prediction:
        if len(asked) == 15:
            raise KeyboardInterrupt
        asked.append(path)
        return plain(self, path)

    monkeypatch.setattr(Recognizer, "predict", predict)
    parts = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        recognizer.predict_shards(pictures, parts)
    assert len(list(parts.iterdir())) == 2  # 12 of 15 are whole shards
    asked.clear()
    resumed = recognizer.predict_shards(pictures, parts)
    assert asked == pictures[12:]
    monkeypatch.setattr(Recognizer, "predict", plain)
    at_once = recognizer.predict_shards(pictures, tmp_path / "other", jobs=2)
    assert [shard.name for shard in resumed] == [shard.name for shard in at_once]
    assert [shard.read_bytes() for shard in resumed] == [shard.read_bytes() for shard in at_once]
    assert pl.read_parquet(resumed)["path"].to_list() == pictures


def test_shards_of_other_files_or_of_another_bundle_are_not_taken(
    recognizer: Recognizer, pictures: list[str], tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    (before,) = recognizer.predict_shards(pictures, parts)
    assert recognizer.predict_shards(pictures, parts) == [before]
    models.grey(Path(pictures[3]), 0.9)
    (changed,) = recognizer.predict_shards(pictures, parts)
    assert changed != before
    assert pl.read_parquet(changed)["age_group"][3] == "nineties"
    other = Recognizer(models.make_bundle(tmp_path / "b", name="other"))
    (third,) = other.predict_shards(pictures, parts)
    assert pl.read_parquet(third)["model"].unique().to_list() == ["other 1.0"]
    assert list(parts.iterdir()) == [third]


def test_a_table_in_each_format_holds_the_same(recognizer: Recognizer, pictures: list[str], tmp_path: Path) -> None:
    wav = BytesIO()
    soundfile.write(wav, models.voice(2), 16_000, format="WAV")
    shards = recognizer.predict_shards([*pictures[:3], "missing.wav", wav], tmp_path / "parts")
    for suffix in recognize.TABLE_SUFFIXES:
        recognize.write_table(shards, tmp_path / f"out{suffix}")
    parquet = pl.read_parquet(tmp_path / "out.parquet")
    assert tuple(parquet.columns) == CONTRACT
    assert parquet["path"].to_list() == [*pictures[:3], "missing.wav", "-"]
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    expected = [one.to_dict() for one in recognizer.predict_many([*pictures[:3], "missing.wav"])]
    assert [json.loads(line) for line in lines[:4]] == expected
    csv = pl.read_csv(tmp_path / "out.csv")
    assert tuple(csv.columns) == recognize.CSV_FIELDS
    assert csv["p_female"].to_list() == parquet["p_female"].to_list()
    with pytest.raises(OptionError, match=r"out\.xlsx\. Expected one ending in \.parquet, \.csv or \.jsonl\."):
        recognize.write_table(shards, tmp_path / "out.xlsx")


def test_a_name_that_is_not_utf8_can_be_printed(recognizer: Recognizer) -> None:
    answer = recognizer.predict("caf\udce9.wav")
    assert answer.to_dict()["path"] == "caf\\xe9.wav"


def test_embeddings_are_refused_by_a_bundle_without_them(recognizer: Recognizer) -> None:
    with pytest.raises(BundleError, match=r"tiny 1\.0 has no speaker embedding"):
        recognizer.embed("a.wav")
