"""Exported graphs compute what Python computes: front end, speech detection, heads and calibration."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import models
from voxtrait import bundle as bundles
from voxtrait import features, recognize, runtime, speech
from voxtrait.bundle import Bundle
from voxtrait.cli import root
from voxtrait.errors import BundleError, OptionError
from voxtrait.features import FrontEnd, kaldi_front_end
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, YEARS
from voxtrait.recognize import Recognizer, portable
from voxtrait.recognize.portable import answer, detection, windows
from voxtrait.speech import network, quick
from voxtrait.synthetic import sounds

Array = npt.NDArray[Any]


def ran(graph: bytes, **inputs: Array) -> dict[str, Array]:
    session = runtime.session(graph)
    given = {name: np.asarray(value, np.float32) for name, value in inputs.items()}
    return dict(zip((one.name for one in session.get_outputs()), session.run(None, given), strict=True))


@pytest.fixture(scope="module")
def voice() -> Array:
    return models.voice(7)[:, 0]


LINEAR = FrontEnd(n_mels=40, n_fft=400, window_length=400, compression="none", frames="centred", norm="area",
                  fit="windows", columns=160)  # fmt: skip
FRONT_ENDS = {
    "base": bundles.load("voxtrait-base").front_end,
    "fast": bundles.load("voxtrait-fast").front_end,
    "linear": dataclasses.replace(LINEAR, level_db=-30.0),
    "decibels": dataclasses.replace(LINEAR, compression="db", pre_emphasis=0.9, window="povey", mean_removed=True),
    "chosen, centred": dataclasses.replace(LINEAR, compression="db", columns=30, chosen_from=200, dc_removed=True),
    "one frame a window": dataclasses.replace(kaldi_front_end(1)),
}


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_front_end_is_pythons(name: str, voice: Array) -> None:
    front_end = FRONT_ENDS[name]
    graph = runtime.session(windows.windows_graph(front_end))
    noise = np.random.default_rng(0).normal(0, 0.1, 50_000).astype(np.float32)
    cases = [voice, 1e-3 * voice, voice[:20_000] + 0.01, noise, voice[:400], voice[:399], voice[:7], np.zeros(9000)]
    for signal in (np.asarray(case, np.float32) for case in cases):
        expected = features.windows(signal, front_end)
        (found,) = graph.run(None, {"speech": signal})
        assert found.shape == expected.shape, len(signal)
        scale = 1 if front_end.compression != "none" else max(float(expected.max()), 1e-9)
        # both compute with 64 bits, so that the results differ by a digit of 32 bits, and seldom
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * scale, err_msg=str(len(signal)))
        assert (found != expected).mean() < 1e-3, len(signal)


@pytest.mark.parametrize("front_end", [FrontEnd(), FrontEnd(n_mels=96, hop_length=320, fit="stretch", columns=100)])
def test_columns_are_those_of_an_image(front_end: FrontEnd, voice: Array) -> None:
    centres = np.linspace(0, len(voice), front_end.columns, dtype=np.int64)
    graph = runtime.session(windows.columns_graph(front_end))
    (found,) = graph.run(None, {"signal": voice, "centres": centres})
    expected = features.picture(voice, front_end=dataclasses.replace(front_end, fit="stretch"))
    assert expected.max() > 150
    np.testing.assert_allclose(found.T[::-1], expected, atol=0.6)  # rounded there


def test_images_have_no_graph() -> None:
    with pytest.raises(OptionError, match=r"Got a front end with fit 'middle'. Expected 'windows'."):
        windows.windows_graph(FrontEnd())


def test_the_networks_of_the_speech_detection_are_pythons() -> None:
    voice = models.voice(7, seed=10)[:, 0]  # with half of the seeds, 11 bits differ by a little more: up to 0.003
    whole = voice[: len(voice) // 512 * 512]
    found = ran(detection.quick_graph(), signal=whole, gain=np.array([2.5]))
    np.testing.assert_allclose(found["shares"], quick.probabilities(whole, 2.5), atol=1e-5)
    state = network.start()
    given: dict[str, Array] = {"context": state.context, "hidden": state.hidden, "cell": state.cell}
    for part in (whole[:51_200], whole[51_200:]):  # the second call continues the first
        expected, state = network.probabilities(part, state, 2.5)
        found = ran(detection.silero_graph(), signal=part, gain=np.array([2.5]), **given)
        assert expected.max() > 0.9
        np.testing.assert_allclose(found.pop("shares"), expected, atol=1e-3)  # its weights are stored with 11 bits
        given = {name.removeprefix("next_"): value for name, value in found.items()}
    np.testing.assert_allclose(given["hidden"], state.hidden, atol=1e-3)


def answered(bundle: Bundle, signal: Array) -> dict[str, Array]:
    """The answer of the two graphs of a bundle."""
    found = speech.find(signal)
    graph = answer.voice_graph(bundle)
    whole = ran(graph, speech=found.surrounded, rows=np.array([0, 1e6]))
    summaries = whole["summaries"]
    assert whole["windows"] == len(summaries)
    parts = [ran(graph, speech=found.surrounded, rows=np.array([at, at + 1])) for at in range(len(summaries))]
    np.testing.assert_allclose(np.concatenate([part["summaries"] for part in parts]), summaries, atol=1e-4)
    seconds = np.array([found.frames.sum() * speech.FRAME_S])
    return ran(answer.answer_graph(bundle), summaries=summaries, speech_s=seconds)


@pytest.mark.parametrize("tasks", [("gender", "age"), ("gender",), ("age",)])
def test_a_clip_has_the_answer_of_python(tasks: tuple[str, ...], voice: Array, tmp_path: Path) -> None:
    bundle = models.make_encoder_bundle(tmp_path, tasks=tasks, evidence=0.3, childhood=13.0 if len(tasks) == 2 else 0)
    model = Recognizer(bundle)
    for signal in (voice, np.random.default_rng(1).normal(0, 1e-3, len(voice)).astype(np.float32) + 0.3 * voice):
        expected, found = model.predict(signal, 16_000), answered(bundle, signal)
        assert expected.status == "ok"
        np.testing.assert_allclose(found["embedding"], model.embed(signal, 16_000), atol=1e-3)
        assert ("p_female" in found, "age_years" in found) == ("gender" in tasks, "age" in tasks)
        if "gender" in tasks:
            assert found["p_female"][0] == pytest.approx(expected.p_female, abs=1e-4)
        if "age" in tasks:
            for name in ("age_years", "age_low", "age_high"):
                assert found[name][0] == pytest.approx(getattr(expected, name), abs=0.01), name
            assert expected.age_groups is not None
            np.testing.assert_allclose(found["age_groups"], [*expected.age_groups.values()], atol=1e-4)


def drawn(rows: int, size: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (rows, size)).astype(np.float32)


@pytest.mark.parametrize("name", ["voxtrait-base", "voxtrait-fast"])
def test_heads_and_calibration_of_a_shipped_bundle_are_pythons(name: str) -> None:
    model = recognize.load(name)
    session = runtime.session(answer.answer_graph(model.bundle))
    names = [one.name for one in session.get_outputs()]
    for seed, seconds in enumerate((0.1, 0.7, 4.0, 29.0, 300.0) * 4):
        rows = drawn(1 + seed, session.get_inputs()[0].shape[1], seed)
        mean = rows.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
        expected = model.decide(model.heads(mean), seconds)[0]
        given = {"summaries": rows, "speech_s": np.array([seconds], np.float32)}
        found = dict(zip(names, session.run(None, given), strict=True))
        assert found["p_female"][0] == pytest.approx(expected["p_female"], abs=1e-5)
        for year in ("age_years", "age_low", "age_high"):
            assert found[year][0] == pytest.approx(expected[year], abs=1e-3)
        np.testing.assert_allclose(found["age_groups"], [*expected["age_groups"].values()], atol=1e-5)


@pytest.mark.parametrize("labels", [AGE_GROUPS, JOINT_CLASSES, YEARS])
def test_every_kind_of_age_classes(labels: tuple[str, ...], tmp_path: Path) -> None:
    made = models.make_encoder_bundle(tmp_path)
    head = models.head_graph({"gender": GENDERS, "age": labels})
    calibration = {
        "gender": made.calibration["gender"] | {"childhood": 13.0},
        "age": made.calibration["age"]
        | {"bias": [0.1] * len(labels), "tail": [[0.05 + 0.01 * k for k in range(10)]] * 2},
    }
    outputs = {"gender": GENDERS, "age": labels}
    bundle = dataclasses.replace(made, outputs=outputs, calibration=calibration)
    bundles.write(bundle, made.model.read_bytes(), [], head)
    model = Recognizer(bundles.load(tmp_path))
    for seed in range(5):
        rows = np.random.default_rng(seed).normal(0, 3, (2, models.SUMMARY)).astype(np.float32)
        expected = model.decide(model.heads(rows.mean(axis=0, keepdims=True)), 2.0)[0]
        found = ran(answer.answer_graph(model.bundle), summaries=rows, speech_s=np.array([2.0]))
        assert found["p_female"][0] == pytest.approx(expected["p_female"], abs=1e-5)
        for year in ("age_years", "age_low", "age_high"):
            assert found[year][0] == pytest.approx(expected[year], abs=1e-3)


@pytest.mark.parametrize("name", ["voxtrait-base", "voxtrait-fast"])
def test_a_shipped_bundle_end_to_end(name: str, voice: Array) -> None:
    model = recognize.load(name)
    found, expected = answered(model.bundle, voice), model.predict(voice, 16_000)
    # nothing before the last code of the encoder is rounded differently (docs/how-to/languages.md)
    assert found["p_female"][0] == pytest.approx(expected.p_female, abs=1e-4)
    assert found["age_years"][0] == pytest.approx(expected.age_years, abs=0.01)


@pytest.mark.parametrize("name", ["voxtrait-base", "voxtrait-fast"])
def test_a_shipped_encoder_gives_the_same_codes_however_it_runs(name: str, voice: Array) -> None:
    bundle = bundles.load(name)
    rows = np.concatenate([features.windows(part, bundle.front_end) for part in np.split(voice[:48_000], 3)])
    sessions = [runtime.session(bundle.model, optimised=optimised, threads=2) for optimised in (False, True)]
    (together,), (fused,) = (session.run(["summary"], {"windows": rows}) for session in sessions)
    apart = np.concatenate([sessions[0].run(["summary"], {"windows": row[None]})[0] for row in rows])
    for other in (fused, apart):  # sums over the last codes are rounded, and one other code would change them by 1e-3
        np.testing.assert_allclose(other, together, rtol=0, atol=1e-4)


def test_an_export_is_a_folder_that_explains_itself(tmp_path: Path) -> None:
    done = CliRunner().invoke(root, ["bundle", "export", "voxtrait-fast", "--to", "onnx", str(tmp_path / "out"), "-q"])
    assert done.exit_code == 0, done.output
    files = {file.name: file for file in (tmp_path / "out").iterdir()}
    described = json.loads(files["model.json"].read_text("utf-8"))
    readme = files["README.md"].read_text("utf-8")
    assert set(files) == {"README.md", "NOTICE.txt", "model.json", *described["graphs"]}
    for name, graph in described["graphs"].items():
        session = runtime.session(files[name])
        for kind, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert [(one.name, one.shape, one.type) for one in values] == [
                (one["name"], one["shape"], "tensor(float)") for one in graph[kind]
            ]
            assert [one.name for one in values if f"| `{one.name}` | (" not in readme] == []
    assert (described["model"], described["sampling_rate"]) == ("voxtrait-fast 2.4", 16_000)
    assert described["labels"]["gender"] == ["female", "male"] and len(described["labels"]["age"]) == 100
    assert described["unsure"] == list(bundles.load("voxtrait-fast").calibration["gender"]["unsure"])
    assert all(notice in files["NOTICE.txt"].read_text("utf-8") for notice in ("Silero", "CAM++"))
    assert max(len(line) for line in readme.splitlines() if not line.startswith("|")) <= 100


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match=r"exists and is not an empty folder. Choose a new folder"):
        portable.export("voxtrait-fast", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(BundleError, match=r"is a CNN on spectrogram images.* Use a bundle with a speaker encoder"):
        portable.export("voxtrait-diary", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_sounds_without_speech_are_none_to_the_graphs() -> None:
    noise = sounds.sound("white", 3.0, np.random.default_rng(0))[: 93 * 512]
    expected = quick.probabilities(noise)
    found = ran(detection.quick_graph(), signal=noise, gain=np.array([1.0]))["shares"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
