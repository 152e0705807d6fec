"""The fast encoder: the clips it is fitted to, the command that makes it, and which encoder a recipe takes."""

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

from encoders import FAST, KEPT, LARGE, random_encoder, voices
from factories import tiny_manifest
from voxtrait import audio, bundle, features, manifest, speech
from voxtrait.errors import ManifestError, OptionError, PretrainedMissingError
from voxtrait.synthetic import cohort, write_common_voice
from voxtrait.training import recipe
from voxtrait.training.distillation import encoder as distillation
from voxtrait.training.distillation.least_squares import compress
from voxtrait.training.study import cross_corpus
from voxtrait.training.study import shipped as study
from voxtrait.training.voices import assembly, campplus, ensemble
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they bring on networks as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    release = write_common_voice(tmp_path_factory.mktemp("clips"), cohort(4, seed=3), 2, seed=8, jobs=1)
    return sorted(release.glob("*/clips/*.mp3"))


def test_every_second_frame_is_what_the_recogniser_sees(clips: list[Path]) -> None:
    front_end: Any = recipe.load("fast").front_end  # type: ignore[union-attr]
    for clip in clips[:3]:
        spoken = speech.find(audio.load(clip)[0]).surrounded
        found, disturbed = distillation.Windows(list(map(str, clips)))(str(clip))
        expected = features.windows(spoken, front_end)[0]
        assert found.shape == disturbed.shape == (200, 80) and expected.shape == (100, 80)
        assert not np.array_equal(found, disturbed)
        # chosen from levels at 10 instead of 20 ms, it may start a few frames beside
        moves = [np.abs(found[shift : 200 - 10 + shift : 2] - expected[5 + at : 100 + at]).mean() for at in range(-5, 1)
                 for shift in (0, 1)]  # fmt: skip
        assert min(moves) < 0.35 * expected.std()


@pytest.mark.parametrize("what", ["absent", "text", "silence", "a word"])
def test_a_clip_without_a_window_is_left_out(tmp_path: Path, clips: list[Path], what: str) -> None:
    file = tmp_path / "clip.wav"
    if what == "text":
        file.write_text("no sound")
    elif what != "absent":
        signal = audio.load(clips[0])[0]
        spoken = speech.find(signal).speech[:16_000]
        audio.write_wav(file, np.zeros(32_000, np.float32) if what == "silence" else spoken, 16_000)
    assert distillation.Windows([str(clips[0])])(str(file)) == []


def test_clips_are_spread_from_the_first_to_the_last() -> None:
    names = [f"{number:04}" for number in range(5244)]
    for most in (1, 2, 800, 2400, 5244, 9000):
        found = distillation.spread(names, most)
        assert len(set(found)) == len(found) == min(most, len(names))
        gaps = np.diff([int(name) for name in found])
        assert not len(gaps) or (found[-1] == names[-1] and gaps.max() - gaps.min() <= 1)
    assert distillation.spread([], 800) == []


def test_corpora_are_left_out_with_their_speakers() -> None:
    corpora = ["cv-en", "cv-en", "alnum", "alnum", "vox", "vox"]
    releases = ["cv-corpus-6.1", "cv-corpus-13.0", None, None, None, None]
    speakers = ["a", "b", "a", "c", None, None]
    table = pl.DataFrame({"corpus": corpora, "release": releases, "speaker_id": speakers, "row": range(6)})

    def left(*names: str) -> list[int]:
        return distillation.without(table, names)["row"].to_list()

    assert left() == [0, 1, 2, 3, 4, 5]
    assert left("Common Voice 13") == [0, 2, 3, 4, 5]
    assert left("Common Voice 6.1") == [1, 3, 4, 5]  # and speaker a in alnum
    assert left("alnum") == [1, 4, 5]
    assert left("vox") == [0, 1, 2, 3]  # whose speakers are unknown
    assert left("vox", "Common Voice 13") == [0, 2, 3]
    with pytest.raises(
        ManifestError, match=r"Got unknown sets: timit\. Expected some of: Common Voice 6\.1, .*alnum, vox"
    ):
        left("alnum", "timit")


# --- the command


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small teacher with a small student instead of CAM++, which needs few clips."""
    large = random_encoder(LARGE)

    def fit(teacher: CamPlus, windows: torch.Tensor) -> CamPlus:
        return compress(teacher, windows, FAST, KEPT)

    monkeypatch.setattr(campplus, "pretrained", lambda: large)
    monkeypatch.setattr(distillation, "compress", fit)
    monkeypatch.setattr(distillation, "FEWEST", 16)
    monkeypatch.setattr(distillation, "FRAMES", features.kaldi_front_end(60, chosen_from=600))  # the clips are short
    monkeypatch.setattr(distillation.batch, "default_jobs", lambda: 1)


def test_the_command_writes_a_graph_for_the_recipe_fast(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    assert manifest.read(table).filter(pl.col("split") != "test").height == 8
    monkeypatch.setattr(assembly, "FIDELITY", 0.5)  # eight clips are few
    out = tmp_path / "out"
    command = ["distillation", str(table), str(out)]
    monkeypatch.setattr(sys, "argv", command)
    distillation.main()
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "encoder.onnx")
    assert json.loads((out / "distillation.json").read_text("utf-8")) == {"without": [], "epochs": 0} | {
        "windows": json.loads((out / "distillation.json").read_text("utf-8"))["windows"]
    }
    assert sorted(one.name for one in out.iterdir()) == ["distillation.json", "encoder.onnx"]
    session = onnxruntime.InferenceSession(out / "encoder.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("windows", ["n", "frames", 80])]
    size = EMBEDDING + 2 * 16
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("summary", ["n", size])]
    before = (out / "encoder.onnx").read_bytes()
    distillation.main()  # it is finished
    assert (out / "encoder.onnx").read_bytes() == before
    monkeypatch.setattr(sys, "argv", [*command, "--without", "alnum"])
    with pytest.raises(OptionError, match="was made with other settings"):
        distillation.main()
    other = tmp_path / "other"
    monkeypatch.setattr(sys, "argv", [*command[:2], str(other), "--without", "alnum"])
    with pytest.raises(ManifestError, match=r"Got unknown sets: alnum\."):
        distillation.main()
    assert not other.exists()


def test_it_is_the_same_however_many_processes_read(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "FIDELITY", 0.5)
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    made = [distillation.make(table, tmp_path / str(jobs), jobs=jobs).read_bytes() for jobs in (1, 2)]
    assert made[0] == made[1]


def test_refined_by_gradients_it_comes_closer_to_its_teacher(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It uses all clips, keeps the windows of a killed run, and leaves learning curves."""
    monkeypatch.setattr(assembly, "FIDELITY", 0.5)
    monkeypatch.setattr(distillation, "CLIPS", 8)
    monkeypatch.setattr(distillation, "HELD_OUT", 3)
    monkeypatch.setattr(distillation.refinement, "BATCH", 8)
    monkeypatch.setattr(distillation.refinement, "RATE", 0.005)  # few steps
    table = tiny_manifest(tmp_path, speakers=30, clips=1)
    known = manifest.read(table).filter(pl.col("split") != "test").height
    assert known == 20
    networks: list[CamPlus] = []
    graph = distillation.graph

    def watched(network: CamPlus, windows: Any) -> bytes:
        networks.append(network)
        assert len(windows) == 16
        return graph(network, windows)

    monkeypatch.setattr(distillation, "graph", watched)
    plain, out = tmp_path / "plain", tmp_path / "refined"
    distillation.make(table, plain)
    lessons = distillation.refinement.lessons

    def stopped(*given: Any, **more: Any) -> Any:
        raise InterruptedError

    monkeypatch.setattr(distillation.refinement, "lessons", stopped)
    command = ["distillation", str(table), str(out), "--epochs", "4"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(InterruptedError):
        distillation.main()
    assert not (out / "encoder.onnx").exists()
    monkeypatch.setattr(distillation.refinement, "lessons", lessons)
    monkeypatch.setattr(distillation.Windows, "__call__", stopped)  # they are stored
    monkeypatch.setattr(sys, "argv", command[:3])
    with pytest.raises(OptionError, match="was made with other settings"):
        distillation.main()
    monkeypatch.setattr(sys, "argv", command)
    distillation.main()
    assert (out / "encoder.onnx").read_bytes() != (plain / "encoder.onnx").read_bytes()
    assert {"curves.csv", "curves.png"} < {one.name for one in out.iterdir()} and not (out / "windows").exists()
    # which of two lines is printed depends on the time
    assert "fast encoder, refinement: 4 epochs done" in capsys.readouterr().err.replace("epoch 4/4", "4 epochs")
    windows, large = torch.from_numpy(voices(24, 60, seed=5)), campplus.pretrained()
    with torch.no_grad():
        expected = campplus.statistics(large.features(windows)[-1])
        found = [campplus.statistics(one.features(windows[:, ::2])[-1]) for one in networks]
    before, after = (float(((one - expected) / expected.std(0)).square().mean()) for one in found)
    assert after < 0.95 * before


def test_a_random_part_is_as_long_as_the_loudest(clips: list[Path]) -> None:
    job = distillation.Windows(list(map(str, clips)), parts=2)
    for clip in clips[:3]:
        found = job(str(clip))
        assert [one.shape for one in found] == [(200, 80)] * 6
        assert all(np.abs(one.mean(0)).max() < 1e-4 for one in found)
        assert len({one.tobytes() for one in found}) == 6
        for loudest, other in zip(found[:2], distillation.Windows(job.others)(str(clip)), strict=True):
            assert np.array_equal(loudest, other)


def test_a_finished_encoder_is_kept_and_other_settings_are_refused(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "FIDELITY", 0.5)
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    out = tmp_path / "out"
    with pytest.raises(OptionError, match=r"Got -1 epochs\. Expected 0 or more\."):
        distillation.make(table, out, epochs=-1)
    monkeypatch.setattr(distillation, "compress", lambda *given: 1 / 0)  # killed after the windows
    with pytest.raises(ZeroDivisionError):
        distillation.make(table, out)
    other = tiny_manifest(tmp_path / "other", speakers=13, clips=1)
    with pytest.raises(OptionError, match="has an interrupted run with other clips"):
        distillation.make(other, out)
    # an encoder of an earlier version, whose run was killed before it removed the windows
    (out / "distillation.json").write_text(json.dumps({"without": []}))
    (out / "encoder.onnx").write_text("finished")
    assert (out / "windows").is_dir()
    assert distillation.make(table, out).read_text() == "finished" and not (out / "windows").exists()
    with pytest.raises(OptionError, match=r"other settings\. Got .*'epochs': 2\}, expected .*'epochs': 0\}"):
        distillation.make(table, out, epochs=2)
    (out / "distillation.json").unlink()  # nobody knows how it was made
    with pytest.raises(OptionError, match="was made with other settings"):
        distillation.make(table, out)


@pytest.mark.parametrize(("every", "what"), [(1, "all"), (10**12, "none")])
def test_speakers_are_needed_on_both_sides(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, what: str
) -> None:
    monkeypatch.setattr(distillation, "HELD_OUT", every)
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    with pytest.raises(ManifestError, match=rf"Got 8 speakers, and {what} of them are held out\."):
        distillation.make(table, tmp_path / "out", epochs=1)
    assert not (tmp_path / "out").exists()


def test_without_clips_it_says_so(small: None, tmp_path: Path) -> None:
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    manifest.write(manifest.read(table).filter(pl.col("split") == "test"), table)
    with pytest.raises(ManifestError, match=r"Got 0 windows of 0\.6 s of speech from 0 clips\. Expected 16 or more"):
        distillation.make(table, tmp_path / "out")


def test_too_few_clips_are_refused(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "FEWEST", 17)
    table = tiny_manifest(tmp_path, speakers=12, clips=1)
    with pytest.raises(ManifestError, match=r"Got 16 windows of 0\.6 s of speech from 8 clips\. Expected 17 or more"):
        distillation.make(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- what a recipe makes of it


@pytest.mark.parametrize("left_out", [None, [], ["alnum"]])
def test_a_student_is_measured_once_it_is_distilled_without_a_set(tmp_path: Path, left_out: list[str] | None) -> None:
    if left_out is not None:
        (tmp_path / "distillation.json").write_text(json.dumps({"without": left_out}))
    with pytest.raises(ManifestError, match=r"no fast encoder made with --without\. Expected encoder\.onnx"):
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
        ("fast", 0, r"Make one with 'python -m voxtrait\.training\.distillation\.encoder', copy it to encoder\.onnx"),
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


def test_the_bundle_fast_is_made_on_the_fast_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def make(table: Path, out: Path, **options: Any) -> Path:
        calls.append((table, out, options["label"]))
        out.mkdir(exist_ok=True)
        (out / "encoder.onnx").write_text("student")
        return out / "encoder.onnx"

    class StoppedError(Exception):
        pass

    def train(settings: Any, *others: Any, **options: Any) -> None:
        assert settings.name == "voxtrait-fast" and (tmp_path / "fast" / "encoder.onnx").read_text() == "student"
        raise StoppedError

    table = tmp_path / "manifest.parquet"
    table.touch()
    monkeypatch.setattr(distillation, "make", make)
    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study.integrity, "check", lambda *a, **k: SimpleNamespace(to_dict=dict, fatal=False))
    for _ in range(2):
        with pytest.raises(StoppedError):
            study.build(tmp_path, tmp_path, bundle="fast", label="model")
    assert calls == [(table, tmp_path / "distilled", "fast encoder")]


def test_a_bundle_that_ships_is_built_with_two_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last digits of sums depend on the number of threads, so it must not be that of the machine."""

    def build(*_: object, **__: object) -> None:
        raise InterruptedError(torch.get_num_threads())  # main ends here, before it copies the bundle

    before = torch.get_num_threads()
    monkeypatch.setattr(study, "build", build)
    monkeypatch.setattr("sys.argv", ["shipped", str(tmp_path), str(tmp_path / "out")])
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with pytest.raises(InterruptedError, match=r"^2$"):
                study.main()
    finally:
        torch.set_num_threads(before)
