"""The fast encoder: what its teacher gives, where it starts, how it learns, and which encoder a recipe takes."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch

from encoders import FAST, KEPT, LARGE, correlation, one_by_one, random_encoder, voices
from factories import tiny_manifest
from voxtrait import audio, bundle, features, manifest, speech
from voxtrait.errors import BundleError, ManifestError, OptionError, PretrainedMissingError
from voxtrait.features import Array
from voxtrait.recognize.graph import Graph
from voxtrait.synthetic import cohort, write_common_voice
from voxtrait.training import recipe
from voxtrait.training.distillation import encoder as distillation
from voxtrait.training.distillation import lessons as teaching
from voxtrait.training.distillation import student
from voxtrait.training.distillation.encoder import Distillation, FrontDistillation
from voxtrait.training.distillation.lessons import Answers, Lessons
from voxtrait.training.study import cross_corpus
from voxtrait.training.study import shipped as study
from voxtrait.training.voices import assembly, campplus, ensemble
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus

HINTS = FAST.channels + sum(FAST.widths)
SUMMARY = EMBEDDING + 2 * FAST.widths[-1]
Taught = tuple[pl.DataFrame, Lessons, Path]  # a table, what was made of its clips, and where


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """A small student instead of the one that ships, and one thread: more cost more than they bring on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "FAST", FAST)
        patch.setattr(distillation, "FAST", FAST)
        patch.setattr(distillation, "KEPT", KEPT)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    release = write_common_voice(tmp_path_factory.mktemp("clips"), cohort(4, seed=3), 2, seed=3, jobs=1)
    return sorted(release.glob("*/clips/*.mp3"))


@pytest.fixture(scope="module")
def large() -> CamPlus:
    return random_encoder(LARGE)


@pytest.fixture(scope="module")
def source(large: CamPlus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's graph, as a run of the recipe ``base`` leaves it."""
    file = tmp_path_factory.mktemp("teacher") / "encoder.onnx"
    seen = one_by_one(voices(12, 300, seed=1))
    file.write_bytes(assembly.Assembly(large, assembly.ranges_of(large, seen)).model().SerializeToString())
    return file


def found_in(clip: Path) -> Array:
    return speech.find(audio.load(clip)[0]).surrounded


def test_every_second_frame_is_what_the_recogniser_sees(clips: list[Path]) -> None:
    spoken = np.resize(found_in(clips[0]), 300 * 160 + 240)  # three seconds
    windows = teaching.cut(spoken)
    assert windows.shape == (1, 300, 80)
    expected = features.windows(spoken, recipe.load("fast").front_end)  # type: ignore[arg-type]
    assert expected.shape == (1, 150, 80)
    # the mean of each band, which is removed, is over twice as many frames
    np.testing.assert_allclose(windows[:, ::2], expected, atol=0.2)
    moved = windows[:, ::2] - expected
    np.testing.assert_allclose(moved, np.broadcast_to(moved.mean(1, keepdims=True), moved.shape), atol=1e-3)


def test_windows_are_the_middle_of_the_frames() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 7).astype(np.float32)
    (frames,) = features.windows(noise, features.kaldi_front_end(10**6))
    assert len(frames) == 698
    np.testing.assert_array_equal(teaching.cut(noise), frames[49:649].reshape(2, 300, 80))


def test_a_short_signal_is_repeated() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    windows = teaching.cut(noise)
    assert windows.shape == (1, 300, 80)
    (frames,) = features.windows(noise, features.kaldi_front_end(10**6))
    for at in range(0, 300, len(frames)):
        np.testing.assert_array_equal(windows[0, at : at + len(frames)], frames[: 300 - at])


# --- the teacher


def test_the_teachers_graph_gives_the_features_of_every_block(large: CamPlus, source: Path, tmp_path: Path) -> None:
    teacher = teaching.teacher(source, tmp_path / "teacher.onnx")
    windows = voices(6, 300, seed=2)
    found = teacher(windows)
    before = Graph(source, [None, 80], {"summary": None}, name="windows")(windows)
    np.testing.assert_array_equal(found["summary"], before["summary"])
    with torch.no_grad():
        expected = large.features(torch.from_numpy(windows))
    for point, feature in zip(teaching.POINTS, expected, strict=True):
        steps = found[point].reshape(6, 25, -1)
        assert steps.shape[2] == feature.shape[1]
        alike = [correlation(steps, feature[:, :, start::6].transpose(1, 2)) for start in range(6)]
        assert alike[0] > 0.98 and max(alike[1:]) < alike[0], point


def test_hints_are_of_the_steps_that_the_student_has(tmp_path: Path) -> None:
    """A student that is as good as its teacher has no distance to it: here they are the same network at two steps."""
    shape = dataclasses.replace(FAST, planes=2)
    network = random_encoder(shape)
    windows = torch.from_numpy(np.ascontiguousarray(voices(12, 300, seed=5)[:, ::2]))
    given = imitated(network, windows, np.zeros(12, bool))
    module, front = Distillation(network, given, 1, 1e-3), FrontDistillation(network, given, 1, 1e-3)
    with torch.no_grad():
        assert float(front._distance(torch.arange(12))) == pytest.approx(0, abs=1e-3)
        by_hint, by_summary, by_voice = module._distances(torch.arange(12))
    assert (float(by_hint), float(by_summary), float(by_voice)) == pytest.approx((0, 0, 0), abs=1e-3)
    given.hints[:, 1:] = given.hints[:, :-1].copy()  # a step late
    with torch.no_grad():
        assert float(module._distances(torch.arange(12))[0]) > 0.1
        assert float(front._distance(torch.arange(12))) > 0.1


def imitated(network: CamPlus, windows: torch.Tensor, aside: np.ndarray) -> Lessons:
    """Lessons whose teacher is a network of the student's shape."""
    with torch.no_grad():
        first, *others = (one.transpose(1, 2) for one in network.features(windows))
        summaries = network(windows).numpy()
    hints = torch.cat([first[:, ::6], *(one[:, ::3] for one in others)], 2).numpy()
    everywhere, clip = np.ones(len(windows), bool), np.arange(len(windows))
    return Lessons(windows.numpy().astype(np.float16), hints.astype(np.float16), summaries, aside, everywhere, clip)


@pytest.fixture(scope="module")
def taught(clips: list[Path], source: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """Lessons of three clips of two speakers, one of whom is held out, and of a file that is not there."""
    folder = tmp_path_factory.mktemp("lessons")
    held_out = next(name for name in map(str, range(1000)) if student.kept_aside(name, teaching.UNSEEN))
    paths = [*map(str, clips[:3]), str(folder / "absent.mp3")]
    table = pl.DataFrame({"clip_id": list("abcd"), "speaker_id": [None, held_out, held_out, "z"], "path": paths})
    return table, teaching.lessons(table, source, folder), folder


def test_lessons_are_windows_of_clips_as_recorded_and_disturbed(
    taught: Taught, clips: list[Path], large: CamPlus
) -> None:
    _, given, _ = taught
    n = len(given.clip)
    assert (given.windows.shape, given.windows.dtype) == ((n, 150, 80), np.float16)
    assert (given.hints.shape, given.hints.dtype) == ((n, 25, HINTS), np.float16)
    assert (given.summaries.shape, given.summaries.dtype) == ((n, SUMMARY), np.float32)
    assert np.unique(given.clip).tolist() == [0, 1, 2]
    assert given.aside.tolist() == [clip > 0 for clip in given.clip]
    assert len(np.unique(given.windows.reshape(n, -1), axis=0)) > 0.8 * n
    for row, clip in enumerate(clips[:3]):
        recorded = given.recorded & (given.clip == row)
        cut = teaching.cut(found_in(clip))
        np.testing.assert_array_equal(given.windows[recorded], cut[:, ::2].astype(np.float16))
        assert 5 <= (given.clip == row).sum() - recorded.sum() <= 10  # five views, of up to 3.75 s
        with torch.no_grad():
            last = large.features(torch.from_numpy(cut))[-1].transpose(1, 2)
            summary = large(torch.from_numpy(cut))
        assert correlation(given.hints[recorded][:, :, -16:], last[:, ::6]) > 0.97
        assert correlation(given.summaries[recorded], summary) > 0.97


def test_babble_is_of_the_same_corpus_and_release() -> None:
    """So that a student that was taught without a corpus has not heard its speakers behind others."""
    table = pl.DataFrame(
        {
            "path": [f"{at}.mp3" for at in range(40)],
            "corpus": ["common-voice"] * 30 + ["alnum"] * 10,
            "release": ["6.1"] * 15 + ["17"] * 15 + [None] * 10,
        }
    )
    found = teaching.babblers(table)
    assert list(found) == table["path"].to_list()
    for start, stop in ((0, 15), (15, 30), (30, 40)):
        own = [f"{at}.mp3" for at in range(start, stop)]
        assert all(len(found[path]) >= 2 and set(found[path]) <= set(own) for path in own)


def test_lessons_are_resumed_from_their_shards(taught: Taught, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, given, folder = taught

    def never(job: Answers, path: str) -> dict[str, bytes]:
        raise AssertionError(f"{path} was cut a second time")

    monkeypatch.setattr(Answers, "__call__", never)
    again = teaching.lessons(table, source, folder)
    for field in dataclasses.fields(Lessons):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(given, field.name))
    monkeypatch.setattr(teaching, "SEED", 8)
    with pytest.raises(AssertionError, match="was cut a second time"):
        teaching.lessons(table, source, folder)


# --- the student


@pytest.fixture(scope="module")
def given() -> Lessons:
    """What a network of the student's shape makes of 32 voices, eight of them held out."""
    windows = torch.from_numpy(np.ascontiguousarray(voices(32, 300, seed=5)[:, ::2]))
    return imitated(random_encoder(FAST, seed=4), windows, np.arange(32) % 4 == 0)


@pytest.fixture(scope="module")
def fitted() -> torch.Tensor:
    """Windows for the teacher that the first weights are fitted to."""
    return torch.from_numpy(voices(6, 300, seed=8))


def test_it_learns_what_the_teacher_says(
    given: Lessons, large: CamPlus, fitted: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "BATCH", 4)
    network = distillation.distil(given, large, fitted, tmp_path, (6, 6), learning_rates=(0.01, 0.01))
    assert not network.training
    for folder in (tmp_path / "front", tmp_path):
        curve = pl.read_csv(folder / "curves.csv")
        assert curve.height == 6
        assert curve["train_loss"][-1] < 0.7 * curve["train_loss"][0], folder
        assert curve["validation_loss"][-1] < 0.7 * curve["validation_loss"][0], folder


def test_the_whole_student_keeps_the_statistics_of_its_normalisations(
    given: Lessons, large: CamPlus, fitted: torch.Tensor, tmp_path: Path
) -> None:
    """Those of a batch would undo the fitted weights; the front, which starts from nothing, finds its own."""
    none = distillation.distil(given, large, fitted, tmp_path / "none", (1, 0)).state_dict()
    whole = distillation.distil(given, large, fitted, tmp_path / "whole", (1, 2)).state_dict()
    for name, value in none.items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.equal(whole[name], value), name
    assert none["front.first_norm.running_mean"].abs().max() > 0 and none["delay_norm.running_mean"].abs().max() > 0
    assert not torch.equal(whole["blocks.1.0.narrow.weight"], none["blocks.1.0.narrow.weight"])


def test_a_killed_distillation_ends_as_an_undisturbed_one(
    given: Lessons, large: CamPlus, fitted: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = distillation.distil(given, large, fitted, tmp_path / "whole", (2, 2))
    starts, epochs = distillation.Imitation.on_train_epoch_start, list[tuple[str, int]]()
    kills = [("FrontDistillation", 1), ("Distillation", 1)]

    def starts_or_is_killed(module: distillation.Imitation) -> None:
        now = (type(module).__name__, module.current_epoch)
        epochs.append(now)
        if now in kills:
            kills.remove(now)
            raise RuntimeError("killed")
        starts(module)

    monkeypatch.setattr(distillation.Imitation, "on_train_epoch_start", starts_or_is_killed)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            distillation.distil(given, large, fitted, tmp_path / "killed", (2, 2))
    resumed = distillation.distil(given, large, fitted, tmp_path / "killed", (2, 2))
    front, both = "FrontDistillation", "Distillation"
    assert epochs == [(front, 0), (front, 1), (front, 1), (both, 0), (both, 1), (both, 1)]
    for part in ("", "front"):
        curves = [pl.read_csv(tmp_path / run / part / "curves.csv") for run in ("killed", "whole")]
        assert curves[0].height == 2 and curves[0].equals(curves[1])
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("aside", "recorded", "counts"), [(0, True, (24, 0)), (24, True, (0, 24)), (8, False, (16, 0))]
)
def test_without_speakers_on_both_sides_it_is_refused(
    given: Lessons,
    large: CamPlus,
    fitted: torch.Tensor,
    tmp_path: Path,
    aside: int,
    recorded: bool,
    counts: tuple[int, int],
) -> None:
    rows = [values[:24] for values in (given.windows, given.hints, given.summaries)]
    at = np.arange(24)
    one_sided = Lessons(*rows, at < aside, np.full(24, recorded), at)  # type: ignore[arg-type]
    message = f"{counts[0]} windows of training speakers and {counts[1]} of held-out speakers"
    with pytest.raises(ManifestError, match=message):
        distillation.distil(one_sided, large, fitted, tmp_path, (1, 1))


def test_corpora_are_left_out_with_their_speakers() -> None:
    corpora = ["cv-en", "cv-en", "alnum", "alnum", "vox", "vox"]
    releases = ["cv-corpus-6.1", "cv-corpus-13.0", None, None, None, None]
    table = pl.DataFrame({"corpus": corpora, "release": releases, "speaker_id": ["a", "b", "a", "c", None, None]})
    clip = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5])
    numbers = np.arange(9)
    flags = numbers % 2 == 0
    whole = Lessons(*(numbers.astype(kind) for kind in ("f2", "f2", "f4")), flags, ~flags, clip)  # type: ignore[arg-type]

    def left(*names: str) -> list[int]:
        found = teaching.without(table, whole, names)
        rows = found.windows.astype(int)
        for field in dataclasses.fields(Lessons):  # all of them have the same rows
            np.testing.assert_array_equal(getattr(found, field.name), getattr(whole, field.name)[rows])
        return np.unique(found.clip).tolist()

    assert left("Common Voice 13") == [0, 2, 3, 4, 5]
    assert left("Common Voice 6.1") == [1, 3, 4, 5]  # and speaker a in alnum
    assert left("alnum") == [1, 4, 5]
    assert left("vox") == [0, 1, 2, 3]  # whose speakers are unknown
    assert left("vox", "Common Voice 13") == [0, 2, 3]
    with pytest.raises(ManifestError, match=r"unknown sets timit, expected some of: Common Voice 6\.1, .*alnum, vox"):
        teaching.without(table, whole, ["alnum", "timit"])


# --- the whole way, and what a recipe makes of it


def test_the_command_writes_a_graph_for_the_recipe_fast(
    large: CamPlus, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    known = manifest.read(table).filter(pl.col("split") != "test")
    monkeypatch.setattr(teaching, "UNSEEN", 2)
    aside = [student.kept_aside(one, 2) for one in known["speaker_id"]]
    assert 2 <= sum(aside) < known.height == 8
    monkeypatch.setattr(campplus, "pretrained", lambda: large)
    monkeypatch.setattr(distillation.batch, "default_jobs", lambda: 1)
    monkeypatch.setattr(assembly, "FIDELITY", 0.5)  # it has hardly learnt
    out = tmp_path / "out"
    command = ["distillation", str(table), str(source), str(out), "--epochs", "1", "2"]
    monkeypatch.setattr(sys, "argv", command)
    distillation.main()
    written = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert written["clips"] == 8 and 0 < written["held_out"] < written["windows"]
    assert written["without"] == [] and written["epochs"] == [1, 2]
    assert json.loads((out / "distillation.json").read_text("utf-8")) == written
    session = onnxruntime.InferenceSession(out / "encoder.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("windows", ["n", "frames", 80])]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("summary", ["n", SUMMARY])]
    monkeypatch.setattr(sys, "argv", [*command, "--without", "alnum", "--lessons", str(out)])
    with pytest.raises(OptionError, match="other settings"):  # its checkpoints are of another training
        distillation.main()
    other = str(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", [*command[:3], other, "--without", "alnum", "--lessons", str(out)])
    with pytest.raises(ManifestError, match="unknown sets alnum"):
        distillation.main()
    assert not Path(other, "distillation.json").exists()  # a run with the right name may take the folder


@pytest.mark.parametrize("left_out", [None, [], ["alnum"]])
def test_a_student_is_measured_once_it_is_distilled_without_a_set(tmp_path: Path, left_out: list[str] | None) -> None:
    if left_out is not None:
        (tmp_path / "distillation.json").write_text(json.dumps({"without": left_out}))
    with pytest.raises(ManifestError, match=r"not the folder of a finished distillation.*expected encoder\.onnx"):
        cross_corpus._left_out_of(tmp_path)
    if left_out:
        (tmp_path / "encoder.onnx").touch()
        assert cross_corpus._left_out_of(tmp_path) == left_out


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands for the bundles that ship, each with a model that holds its name."""
    folders = [tmp_path / f"voxtrait-{name}" for name in ("base", "fast")]
    for folder in folders:
        folder.mkdir()
        (folder / "model.onnx").write_text(folder.name)

    def load(folder: Path) -> Any:
        settings = recipe.load(folder.name.removeprefix("voxtrait-"))
        return SimpleNamespace(front_end=settings.front_end, model=folder / "model.onnx")

    monkeypatch.setattr(bundle, "shipped", lambda: folders)
    monkeypatch.setattr(bundle, "load", load)
    monkeypatch.setattr(campplus, "PACKAGE", "no_such_package")
    return folders


@pytest.mark.parametrize("name", ["base", "fast"])
def test_a_recipe_takes_the_encoder_that_ships(shipped: list[Path], tmp_path: Path, name: str) -> None:
    settings: Any = recipe.load(name)
    file = ensemble.encoder_graph(pl.DataFrame(), tmp_path, settings)
    assert file == tmp_path / "encoder.onnx" and file.read_text() == f"voxtrait-{name}"
    file.write_text("another")  # one that was trained anew
    assert ensemble.encoder_graph(pl.DataFrame(), tmp_path, settings).read_text() == "another"


@pytest.mark.parametrize(
    ("name", "other", "advice"),
    [
        ("fast", 0, r"Train one with 'python -m voxtrait\.training\.distillation\.encoder', copy it to encoder\.onnx"),
        ("base", 1, r"pip install --no-deps no_such_package==0\.2\.2.*at least 144 training clips"),
    ],
)
def test_without_an_encoder_a_recipe_says_what_to_do(
    shipped: list[Path], tmp_path: Path, name: str, other: int, advice: str
) -> None:
    settings: Any = recipe.load(name)
    shipped[:] = [shipped[other]]
    message = f"No shipped bundle has the encoder '{settings.encoder}'.*{advice}"
    with pytest.raises(PretrainedMissingError, match=message):
        ensemble.encoder_graph(pl.DataFrame(), tmp_path, settings)
    assert not (tmp_path / "encoder.onnx").exists()


def test_the_fast_encoder_is_distilled_from_that_of_base_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def make(table: Path, source: Path, out: Path, **options: Any) -> None:
        calls.append((table, source.read_text(), options["label"]))
        out.mkdir()
        (out / "encoder.onnx").write_text("student")

    monkeypatch.setattr(distillation, "make", make)
    table = tmp_path / "manifest.parquet"
    with pytest.raises(BundleError, match="make the bundle base first"):
        study.distilled(tmp_path, table)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "encoder.onnx").write_text("teacher")
    for _ in range(2):
        found = study.distilled(tmp_path, table, label="model")
        assert found == tmp_path / "distilled" / "encoder.onnx" and found.read_text() == "student"
    assert calls == [(table, "teacher", "distillation")]
