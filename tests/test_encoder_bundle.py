"""Bundles of windows: an encoder over the speech of a clip, and heads on the mean of what it says."""

import pickle
from io import BytesIO
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
import soundfile

import models
from voxtrait import audio, features, recognize, speech
from voxtrait.audio import opening
from voxtrait.errors import AudioMissingError, BundleError, DecodeError, SignalError
from voxtrait.recognize import Recognizer, clip, graph, recognizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(models.make_encoder_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return np.concatenate([models.voice(4)[:, 0], np.zeros(8000, np.float32)])


def windows_of(sound: np.ndarray) -> np.ndarray:
    return features.windows(speech.find(sound).surrounded, models.WINDOWS)


def test_the_answer_is_the_one_worked_out_on_paper(model: Recognizer, sound: np.ndarray) -> None:
    x = models.tilt_of(windows_of(sound))
    answer = model.predict(sound, 16_000)
    assert (answer.status, answer.model, answer.joint_class) == ("ok", "small 1.0", None)
    assert answer.p_female == pytest.approx(1 / (1 + np.exp(-4 * x)), abs=1e-4)
    assert answer.gender == ("female" if x > 0 else "male")
    years = 40 + 10 * x
    assert answer.age_years == pytest.approx(years, abs=0.1)
    assert answer.age_low == pytest.approx(years - 1.2816 * models.SPREAD, abs=0.2)
    assert answer.age_high == pytest.approx(years + 1.2816 * models.SPREAD, abs=0.2)
    assert answer.age_groups is not None and sum(answer.age_groups.values()) == pytest.approx(1)
    assert answer.age_group == max(answer.age_groups, key=lambda group: answer.age_groups[group])  # type: ignore[index]


def test_the_steps_and_their_shapes(model: Recognizer, sound: np.ndarray) -> None:
    inputs = model.inputs(sound)
    np.testing.assert_array_equal(inputs, windows_of(sound))
    heard = speech.find(sound)
    assert len(heard.speech) == 124 * 512 and len(heard.surrounded) == 134 * 512  # the sound ends 0.5 s after them
    # 134 × 512 samples have 427 frames, which are two windows of 160 and 107 more, or three of 142 and one more
    assert inputs.shape == (3, 142, 80) and inputs.dtype == np.float32
    frames = model.frames(heard.surrounded)
    assert frames.shape == (427, 80)
    np.testing.assert_array_equal(inputs.reshape(-1, 80), frames[:426])
    logits = model.run(inputs)
    assert {task: values.shape for task, values in logits.items()} == {"gender": (1, 2), "age": (1, 100)}
    (answer,) = model.decide(logits, seconds=speech.speech_seconds(sound))
    whole = model.predict(sound, 16_000)
    assert (answer["p_female"], answer["age_low"]) == (whole.p_female, whole.age_low)
    with pytest.raises(SignalError, match="no speech was found"):
        model.inputs(np.zeros(32_000))


def test_silence_around_speech_does_not_matter(model: Recognizer, sound: np.ndarray) -> None:
    near, far = (np.zeros(frames * 512, np.float32) for frames in (10, 100))
    # 0.3 s of it are more than the 0.2 s that belong to the speech
    some, much = (model.embed(np.concatenate([quiet, sound, quiet]), 16_000) for quiet in (near, far))
    assert float(some @ much) > 0.9999
    bare = model.embed(speech.spoken(sound), 16_000)
    assert float(bare @ much) < 0.999  # without those it sounds a little different


def test_any_rate_and_any_channels(model: Recognizer, sound: np.ndarray) -> None:
    plain = model.predict(sound, 16_000)
    assert model.predict(np.stack([sound, sound]), 16_000) == plain
    eight = audio.resample(sound, 16_000, 8000)
    telephone = model.predict(np.stack([eight] * 2), 8000)
    assert telephone == model.predict(audio.resample(eight, 8000, 16_000), 16_000)
    assert (telephone.status, telephone.duration_s) == ("ok", plain.duration_s)
    wide = model.predict(audio.resample(sound, 16_000, 48_000), 48_000)
    assert wide.p_female == pytest.approx(plain.p_female, abs=0.01)


def test_file_bytes_and_array_agree(model: Recognizer, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    plain = model.predict(sound, 16_000)
    data = BytesIO((tmp_path / "a.wav").read_bytes())
    assert model.predict(data) == plain
    assert model.predict(tmp_path / "a.wav").p_female == plain.p_female
    vector = model.embed(sound, 16_000)
    np.testing.assert_array_equal(model.embed(tmp_path / "a.wav"), vector)
    np.testing.assert_array_equal(model.embed(data), vector)


def test_one_hearing_gives_the_prediction_and_the_embedding(
    model: Recognizer, sound: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    for source, rate in ((sound, 16_000), (tmp_path / "a.wav", None)):
        said, vector = model.hear(source, rate)
        assert said == model.predict(source, rate)
        np.testing.assert_array_equal(vector, model.embed(source, rate))
    for silent in (np.zeros(16_000, np.float32), sound[:3000]):
        said, vector = model.hear(silent, 16_000)
        assert (said, vector) == (model.predict(silent, 16_000), None)
    assert (model.hear(tmp_path / "none.wav")[0].status, model.hear(tmp_path / "none.wav")[1]) == ("error", None)


# --- long recordings


def test_a_long_file_read_in_blocks_is_the_array(
    model: Recognizer, sound: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = np.tile(sound, 5)  # 22 s
    soundfile.write(tmp_path / "a.wav", long, 16_000, subtype="FLOAT")
    in_one = model.predict(long, 16_000)
    monkeypatch.setattr(opening, "BLOCK_S", 1.7)
    from_blocks = model.predict(tmp_path / "a.wav")
    assert from_blocks.p_female == in_one.p_female
    assert (from_blocks.speech_s, from_blocks.age_low) == (in_one.speech_s, in_one.age_low)
    monkeypatch.setattr(clip, "_STRETCH", 4 * 16_000)  # now four stretches or so
    parts = [features.windows(one, models.WINDOWS) for one in clip.Clip().stretches(clip.cut(long))]
    assert len(parts) > 2
    stretches = model.predict(tmp_path / "a.wav")
    assert stretches == model.predict(tmp_path / "a.wav")
    assert stretches.p_female != in_one.p_female  # other windows …
    assert stretches.p_female == pytest.approx(in_one.p_female, abs=0.02)  # … of the same voice
    x = np.average([models.tilt_of(part) for part in parts], weights=[len(part) for part in parts])
    assert stretches.p_female == pytest.approx(1 / (1 + np.exp(-4 * x)), abs=1e-5)
    np.testing.assert_array_equal(model.embed(tmp_path / "a.wav"), model.embed(long, 16_000))


def test_the_windows_of_a_long_signal_have_the_length_of_the_shortest(
    model: Recognizer, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "_STRETCH", 4 * 16_000)
    long = np.tile(sound, 5)
    parts = [features.windows(one, models.WINDOWS) for one in clip.Clip().stretches(clip.cut(long))]
    sizes = [part.shape[1] for part in parts]
    assert len(set(sizes)) > 1
    inputs = model.inputs(long)
    assert inputs.shape == (sum(map(len, parts)), min(sizes), 80)
    np.testing.assert_array_equal(inputs, np.concatenate([part[:, : min(sizes)] for part in parts]))
    (stepwise,) = model.decide(model.run(inputs))
    assert stepwise["p_female"] == pytest.approx(model.predict(long, 16_000).p_female, abs=0.01)


@pytest.mark.parametrize("frames", [1, 57, 160, 1000])
def test_windows_have_any_number_of_frames(model: Recognizer, frames: int) -> None:
    windows = np.random.default_rng(frames).normal(0, 1, (2, frames, 80)).astype(np.float32)
    summaries = model.summaries(windows)
    assert summaries.shape == (2, 160)
    np.testing.assert_allclose(summaries.mean(axis=0), models.summary_of(windows), atol=1e-5)


def test_every_window_counts_the_same_and_goes_in_its_own_call(model: Recognizer) -> None:
    windows = np.random.default_rng(0).normal(0, 1, (70, 100, 80)).astype(np.float32)
    windows[:10] *= np.linspace(0.5, 1.5, 80, dtype=np.float32)
    windows[:10] += np.linspace(-0.2, 0.2, 80, dtype=np.float32)
    sizes = []
    plain = graph.Graph.__call__

    def call(self: graph.Graph, rows: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(rows.shape)
        return plain(self, rows)

    with mock.patch.object(graph.Graph, "__call__", call):
        logits = model.run(windows)
    assert sizes == [(1, 100, 80)] * 70 + [(1, 160)]
    x = models.tilt_of(windows)
    assert abs(x - models.tilt_of(windows[10:])) > 0.01
    assert logits["gender"][0].tolist() == pytest.approx([2 * x, -2 * x], abs=1e-5)


# --- evidence and childhood


def test_from_more_speech_it_is_surer(sound: np.ndarray, tmp_path: Path) -> None:
    model = Recognizer(models.make_encoder_bundle(tmp_path, evidence=0.5))
    logits = model.run(model.inputs(sound))
    widths = {}
    for seconds in (1.0, None, 4.0, 16.0):
        (answer,) = model.decide(logits, seconds)
        widths[seconds] = answer["age_high"] - answer["age_low"]
    assert widths[None] == widths[4.0]
    # a normal distribution of temperature T is √T times as wide: T = 2 at 1 s, and a half at 16 s
    assert widths[1.0] / widths[4.0] == pytest.approx(2**0.5, rel=0.01)
    assert widths[16.0] / widths[4.0] == pytest.approx(2**-0.5, rel=0.01)
    answers = [model.predict(np.tile(sound, times), 16_000) for times in (1, 2, 4)]
    found = [one.age_high - one.age_low for one in answers]  # type: ignore[operator]
    assert found == sorted(found, reverse=True)
    assert found[0] / found[2] == pytest.approx((answers[2].speech_s / answers[0].speech_s) ** 0.25, rel=0.02)  # type: ignore[operator]


def test_a_childs_gender_is_unsure(sound: np.ndarray, tmp_path: Path) -> None:
    grown = Recognizer(models.make_encoder_bundle(tmp_path / "a")).predict(sound, 16_000)
    bundle = models.make_encoder_bundle(tmp_path / "b", childhood=20.0)
    young = Recognizer(bundle).predict(sound, 16_000)
    assert grown.p_female is not None and young.age_groups is not None
    child = young.age_groups["under_ten"] + young.age_groups["teens"]
    assert young.p_female == pytest.approx(0.5 + (grown.p_female - 0.5) * (1 - child**2) ** 4)
    assert child > 0.001 and young.p_female != grown.p_female


# --- embeddings


def test_an_embedding_has_length_one(model: Recognizer, sound: np.ndarray) -> None:
    vector = model.embed(sound, sampling_rate=16_000)
    assert vector.shape == (48,) and vector.dtype == np.float32 and model.embedding_size == 48
    raw = models.summary_of(windows_of(sound)) @ models.PROJECTION
    np.testing.assert_allclose(vector, raw / np.linalg.norm(raw), atol=1e-5)
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-6)


def test_without_speech_there_is_no_embedding(model: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="No speaker embedding: no speech was found"):
        model.embed(np.zeros(32_000), 16_000)
    with pytest.raises(SignalError, match=r"No speaker embedding: 0\.35 s of speech, expected at least 0\.7 s"):
        model.embed(models.voice(0.4)[:, 0], 16_000)
    with pytest.raises(ValueError, match="without its sampling rate"):
        model.embed(np.zeros(32_000))
    with pytest.raises(AudioMissingError, match="no such file"):
        model.embed(tmp_path / "a.wav")
    (tmp_path / "b.mp3").write_text("no sound\n")
    with pytest.raises(DecodeError, match="it is a text file"):
        model.embed(tmp_path / "b.mp3")


def test_a_bundle_without_ages_or_without_genders(sound: np.ndarray, tmp_path: Path) -> None:
    gender = Recognizer(models.make_encoder_bundle(tmp_path / "g", tasks=("gender",)))
    answer = gender.predict(sound, 16_000)
    assert answer.p_female is not None and answer.age_years is None
    age = Recognizer(models.make_encoder_bundle(tmp_path / "a", tasks=("age",))).predict(sound, 16_000)
    assert age.p_female is None and age.age_years is not None
    assert gender.embed(sound, 16_000).shape == (48,)


def test_a_bundle_of_pictures_has_no_embedding(tmp_path: Path) -> None:
    assert Recognizer(models.make_bundle(tmp_path)).embedding_size is None


# --- refusals


def test_pictures_are_no_sound(model: Recognizer, tmp_path: Path) -> None:
    answer = model.predict(models.grey(tmp_path / "a.png", 0.5))
    assert (answer.status, answer.gender) == ("error", None)
    assert "is an image, but small 1.0 needs audio. Pass the recording." in str(answer.message)


@pytest.mark.parametrize(
    ("what", "made", "message"),
    [
        ("encoder_graph", models.unopened(), "is not a graph that ONNX Runtime can open"),
        ("head_graph", models.unopened(), "is not a graph that ONNX Runtime can open"),
        (
            "encoder_graph",
            models.head_graph({}),
            r"model\.onnx has the outputs \['embedding'\]\. Expected \['summary'\]",
        ),
        (
            "head_graph",
            models.head_graph({"gender": ("female", "male")}),
            r"has the outputs .*\. Expected \['age', 'embedding', 'gender'\]",
        ),
        (
            "head_graph",
            models.head_graph({"gender": ("female", "male"), "age": models.YEARS}, "voice"),
            r"has the outputs \['age', 'gender', 'voice'\]\. Expected",
        ),
        ("encoder_graph", models.encoder_graph(40), r"head\.onnx cannot process an input of shape \(1, 40\)"),
        (
            "encoder_graph",
            models.encoder_graph(bands=40),
            r"has the input windows of shape \['n', 'frames', 40\]\. Expected \(n, any, 80\)",
        ),
        (
            "encoder_graph",
            models.encoder_graph(frames=100),
            r"model\.onnx cannot process an input of shape \(1, 142, 80\)",
        ),
        ("encoder_graph", models.encoder_graph(name="input"), r"has the inputs \['input'\]\. Expected windows"),
        (
            "head_graph",
            models.head_graph({"gender": ("female",) * 2, "age": models.YEARS[:90]}),
            r"has the output age of shape \['m', 90\]\. Expected \(n, 100\)",
        ),
    ],
)
def test_graphs_that_are_not_what_the_bundle_says(
    sound: np.ndarray, tmp_path: Path, what: str, made: bytes, message: str
) -> None:
    with mock.patch.object(models, what, return_value=made):
        broken = models.make_encoder_bundle(tmp_path)
    with pytest.raises(BundleError, match=message):
        Recognizer(broken).predict(sound, 16_000)


# --- travelling, tables, real speech


def test_it_travels_without_its_sessions(model: Recognizer, sound: np.ndarray) -> None:
    before = model.predict(sound, 16_000)
    again = pickle.loads(pickle.dumps(model))
    assert again._model._session is None and again._head._session is None
    assert again.predict(sound, 16_000) == before
    np.testing.assert_array_equal(again.embed(sound, 16_000), model.embed(sound, 16_000))


def test_the_graphs_run_on_as_many_threads_as_were_asked_for(sound: np.ndarray, tmp_path: Path) -> None:
    model = recognizer.Recognizer(models.make_encoder_bundle(tmp_path), threads=2)
    model.predict(sound, 16_000)
    for one in (model._model, model._head):
        options = one._session.get_session_options()  # type: ignore[union-attr]
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_shards_hold_what_is_not_printed(model: Recognizer, sound: np.ndarray, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, np.tile(sound, 1 + number), 16_000)
    table = pl.read_parquet(model.predict_shards(paths, tmp_path / "parts", jobs=2))
    one = [model.predict(path) for path in paths]
    assert table["snr_db"].to_list() == [answer.snr_db for answer in one]
    assert all(answer.snr_db is not None for answer in one)
    assert table["joint_class"].to_list() == [None] * 3
    assert table.columns == [*recognize.FIELDS, "joint_class", "snr_db"] == list(recognize.table_schema())
    assert not {"joint_class", "snr_db"} & set(one[0].to_dict())


def test_real_speech_from_a_file_and_from_an_array(
    model: Recognizer, speech_clips: list[tuple[Path, np.ndarray]]
) -> None:
    for path, signal in speech_clips[::20]:
        from_file, from_array = model.predict(path), model.predict(signal, 16_000)
        assert (from_file.status, from_file.p_female) == ("ok", from_array.p_female)
        assert from_file.age_low < from_file.age_years < from_file.age_high  # type: ignore[operator]
        assert from_file.snr_db is None or 0 < from_file.snr_db < 100
