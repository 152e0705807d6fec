import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from click.testing import CliRunner

from factories import clips_of, tiny_release
from voxtrait import bundle, corpora, manifest, recognize
from voxtrait.cli import root
from voxtrait.derived import pictures
from voxtrait.errors import BundleError, ManifestError, OptionError
from voxtrait.evaluate import figures, groups
from voxtrait.manifest import splitting
from voxtrait.training import export, recipe
from voxtrait.training.pictures import dataset, folders
from voxtrait.training.pictures.augmentation import augment
from voxtrait.training.pictures.fit import train
from voxtrait.training.pictures.module import Training
from voxtrait.training.pictures.networks import PictureNetwork
from voxtrait.training.schedule import EpochSampler
from voxtrait.training.study import shipped

QUICK = (
    "max_epochs=3",
    "channels=[4,8]",
    "width=96",
    "height=64",
    "shrink=2",
    "batch_size=8",
    "min_speakers=2",
    "threads=1",
)


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Path:
    """A manifest with splits of 36 made-up speakers, two clips each."""
    folder = tmp_path_factory.mktemp("release")
    tiny_release(folder, speakers=36, clips=2)
    table = splitting.split(corpora.import_corpora([folder]).table, (50, 25, 25), seed=1)
    manifest.write(table, folder / "manifest.parquet")
    return folder / "manifest.parquet"


@pytest.fixture(scope="session")
def drawn(release, tmp_path_factory) -> Path:
    """The same as class folders of small pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    pictures.draw(release, folder, size=(96, 64))
    return folder


@pytest.fixture(scope="session")
def run(release, tmp_path_factory):
    """An undisturbed training of the gender recipe from the manifest."""
    folder = tmp_path_factory.mktemp("run")
    return train(recipe.load("diary-gender", QUICK), release, folder)


def test_a_run_leaves_everything_it_promises(run):
    folder = run.bundle.parent
    curves = pl.read_csv(folder / "curves.csv")
    assert curves["epoch"].to_list() == [0, 1, 2]
    assert curves.null_count().sum_horizontal().item() == 0
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert set(run.figures) == {"train", "validation", "test"}
    assert all(set(figures) == {"loss", "accuracy", "uar"} for figures in run.figures.values())
    assert json.loads((folder / "figures.json").read_text()) == run.figures
    report = json.loads((run.report / "report.json").read_text())
    assert (report["split"], report["leakage"]) == ("test", "none")


def test_the_funnel_adds_up_to_the_clips_learnt_from(run, release):
    table = manifest.read(release)
    learnt = table.filter(pl.col("gender").is_in(["female", "male"]), pl.col("split") != "test").height
    lines = pl.read_csv(run.report / "funnel.csv")
    assert lines["what"][0] == "rows" and lines["clips"][0] == table.height
    assert lines["what"][-1] == "kept" and lines["clips"][-1] == learnt
    assert lines["clips"][:-1].sum() == learnt
    assert "in the test split" in lines["what"]
    assert (run.report / "funnel.png").read_bytes().startswith(b"\x89PNG")


def test_the_bundle_knows_its_speakers_and_data(run, release):
    made = bundle.load(run.bundle)
    table = manifest.read(release).filter(pl.col("gender").is_in(["female", "male"]))
    seen = table.filter(pl.col("split") != "test")["speaker_id"].unique()
    assert made.speakers() == {bundle.hash_speaker(one) for one in seen}
    assert [one["corpus"] for one in made.data] == ["common-voice"]
    assert made.data[0]["speakers"] == seen.len()
    assert made.scores["gender"]["uar"]["value"] == run.evaluation["gender"]["uar"]["value"]
    assert made.outputs == {"gender": ("female", "male")}


def test_the_bundle_has_its_errors_by_group(run):
    scores = bundle.load(run.bundle).scores
    errors = groups.by_group(run.evaluation)
    bins = figures.merged_bins(run.evaluation["reliability"])
    assert scores["gender"] == run.evaluation["gender"] | errors["gender"] | {"reliability": bins}
    assert scores["age"] == run.evaluation["age"] | {"by_group": {}, "by_estimate": {}}  # it estimates no age
    adults = run.evaluation["fairness"]["adults"]["female"]
    assert (adults["n_speakers"] >= groups.LEAST_SPEAKERS) == ("female_adults" in scores["gender"]["by_group"])


def test_a_bundle_of_gender_alone_leaves_age_null(run, release):
    path = manifest.with_absolute_paths(manifest.read(release), release.parent)["path"][0]
    answer = recognize.load(run.bundle).predict(path)
    assert answer.status == "ok"
    assert 0 <= answer.p_female <= 1
    assert (answer.age_years, answer.age_low, answer.age_high, answer.age_group, answer.age_groups) == (None,) * 5


def test_png_and_mp3_give_the_same_answer(run, release):
    rows = manifest.with_absolute_paths(manifest.read(release), release.parent).filter(pl.col("gender") == "female")
    model = recognize.load(run.bundle)
    folder = run.bundle.parent / "pictures"
    drawn = manifest.with_absolute_paths(manifest.read(folder / "manifest.csv"), folder)
    for path, clip in rows.select("path", "clip_id").head(5).iter_rows():
        picture = drawn.filter(pl.col("clip_id") == clip)["path"].item()
        assert model.predict(picture).p_female == pytest.approx(model.predict(path).p_female, abs=1e-6)


def test_training_from_class_folders_of_the_age_recipe(drawn, tmp_path):
    outcome = train(recipe.load("diary-age", (*QUICK, "max_epochs=1")), drawn, tmp_path / "run")
    made = bundle.load(outcome.bundle)
    assert set(made.outputs) == {"age"}
    assert list(made.outputs["age"]) == sorted(made.outputs["age"], key=lambda name: dataset.NAMES["age"].index(name))
    report = json.loads((outcome.report / "report.json").read_text())
    assert report["gender"]["uar"] is None
    assert report["age"]["mae"]["value"] > 0
    assert report["leakage"] == "none"


def test_class_folders_without_a_table_have_unknown_speakers(drawn, tmp_path):
    folder = tmp_path / "bare"
    for file in drawn.glob("*/gender/*/*.png"):
        target = folder / file.relative_to(drawn)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, target)
    outcome = train(recipe.load("diary-gender", (*QUICK, "max_epochs=1")), folder, tmp_path / "run")
    assert json.loads((outcome.report / "report.json").read_text())["leakage"] == "unknown: no speaker ids"


def test_killed_and_resumed_is_the_same_as_undisturbed(run, release, tmp_path):
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "voxtrait",
        "train",
        "diary-gender",
        "--data",
        str(release),
        "--out",
        str(folder),
        "-q",
    ]
    command += [word for one in QUICK for word in ("--set", one)]
    child = subprocess.Popen([*command, "--jobs", "1"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while child.poll() is None and not (folder / "checkpoints" / "last.ckpt").is_file():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (folder / "bundle").exists()
    refused = CliRunner().invoke(root, command[3:])
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    resumed = CliRunner().invoke(root, [*command[3:], "--resume"], catch_exceptions=False)
    assert resumed.exit_code == 0, resumed.stderr
    again, undisturbed = (pl.read_csv(one / "curves.csv").to_numpy() for one in (folder, run.bundle.parent))
    assert again == pytest.approx(undisturbed, abs=1e-3)
    figures = json.loads((folder / "figures.json").read_text())
    for split, values in run.figures.items():
        assert figures[split] == pytest.approx(values, abs=1e-3)


def test_resuming_a_run_that_stopped_early_adds_no_epoch(drawn, tmp_path):
    settings = recipe.load("diary-gender", (*QUICK, "max_epochs=12", "patience=1", "learning_rate=0.03"))
    first = train(settings, drawn, tmp_path / "run")
    curve = (tmp_path / "run" / "curves.csv").read_bytes()
    assert 1 < len(curve.splitlines()) - 1 < 12, "this training must stop early for the test"
    again = train(settings, drawn, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "curves.csv").read_bytes() == curve
    assert again.figures == first.figures


def test_no_bundle_is_made_from_corpora_with_fatal_findings(tmp_path):
    release = tiny_release(tmp_path / "speech", speakers=12, clips=1)
    clips_of(release)[0].write_bytes(b"")
    with pytest.raises(ManifestError, match="fatal findings"):
        shipped.build(tmp_path / "speech", tmp_path / "out")
    assert not (tmp_path / "out" / "pictures").exists()


def test_ctrl_c_is_an_interrupt_and_resume_goes_on(drawn, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt(signal.SIGTERM)

    settings = recipe.load("diary-gender", (*QUICK, "max_epochs=2"))
    with monkeypatch.context() as patch:
        patch.setattr(Training, "on_validation_epoch_start", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(settings, drawn, tmp_path / "run")
    assert stopped.value.args == (signal.SIGTERM,)  # Lightning raises SystemExit
    assert not (tmp_path / "run" / "bundle").exists()
    assert train(settings, drawn, tmp_path / "run", resume=True).bundle.is_dir()


def test_a_clip_that_cannot_be_drawn_is_told(release, tmp_path, capsys):
    table = manifest.with_absolute_paths(manifest.read(release), release.parent)
    (tmp_path / "bad.mp3").write_text("no sound")
    first = pl.col("clip_id") == table.filter(split="train", gender="male")["clip_id"][0]
    table = table.with_columns(path=pl.when(first).then(pl.lit(str(tmp_path / "bad.mp3"))).otherwise("path"))
    manifest.write(table, tmp_path / "all.parquet")
    train(
        recipe.load("diary-gender", (*QUICK, "max_epochs=1")), tmp_path / "all.parquet", tmp_path / "run", label="run"
    )
    assert "1 clip could not be drawn: see" in capsys.readouterr().err
    assert "is a text file" in (tmp_path / "run" / "pictures" / "failures.csv").read_text()


def test_resume_with_other_settings_is_refused(run, release):
    with pytest.raises(OptionError, match=r"has other settings \(dropout\)"):
        train(recipe.load("diary-gender", (*QUICK, "dropout=0.5")), release, run.bundle.parent, resume=True)


def test_pictures_of_another_size_are_refused(drawn, tmp_path):
    expected = r"have another size, fit or range than the recipe diary-gender\. Make them again with --size 96x48"
    with pytest.raises(OptionError, match=expected):
        train(recipe.load("diary-gender", (*QUICK, "height=48")), drawn, tmp_path / "run")


def test_a_folder_without_splits_says_what_to_do(tmp_path):
    with pytest.raises(ManifestError, match=r"Found no images\. Run 'voxtrait corpus split'"):
        folders.read_folder(tmp_path, "gender")


def test_rare_classes_are_left_out(drawn):
    table = folders.read_folder(drawn, "age")
    counts = dict(table.group_by("label").agg(pl.col("speaker_id").n_unique()).iter_rows())
    assert len(set(counts.values())) > 1, "the release must have classes of different size for this test"
    for least in set(counts.values()) - {max(counts.values())}:
        chosen = dataset.choose_classes(table, recipe.load("diary-age", [f"min_speakers={least}"]))
        in_training = set(table.filter(pl.col("split") == "train")["label"])
        assert set(chosen) == {name for name, n in counts.items() if n >= least} & in_training
    with pytest.raises(ManifestError, match=r"Expected 2 or more\. Speakers per class: "):
        dataset.choose_classes(table, recipe.load("diary-age", ["min_speakers=1000"]))


def test_weights_balance_classes_and_speakers():
    table = pl.DataFrame(
        {"label": ["female"] * 2 + ["male"] * 6, "speaker_id": ["a", "b", *"ccccd", None], "path": list("12345678")}
    )
    settings = recipe.load("diary-gender", ["speaker_balance=1"])
    weights = dataset.example_weights(table, settings)
    assert weights[:2].sum() == pytest.approx(weights[2:].sum())
    assert weights[2:6].sum() == pytest.approx(weights[6]) == pytest.approx(weights[7])
    assert weights.mean() == pytest.approx(1.0)


def test_soft_targets_lean_to_the_neighbouring_decades():
    settings = recipe.load("diary-age", ["neighbour_smoothing=0.4", "label_smoothing=0"])
    targets = dataset.soft_targets(("female_teens", "female_twenties", "female_thirties", "male_twenties"), settings)
    assert targets == pytest.approx(np.array([[0.8, 0.2, 0, 0], [0.2, 0.6, 0.2, 0], [0, 0.2, 0.8, 0], [0, 0, 0, 1.0]]))


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    one, other = EpochSampler(50, seed=3), EpochSampler(50, seed=3)
    for _ in range(4):
        list(one)
    one.epoch = other.epoch = 2
    assert list(one) == list(other) != sorted(one)
    other.epoch = 3
    assert list(one) != list(other)
    assert sorted(one) == list(range(50))


def test_augmentation_never_moves_energy_to_another_band():
    settings = recipe.load("diary-gender", ["noise_db=0"])
    pictures_ = torch.zeros(64, 1, 96, 144)
    pictures_[:, :, 40, :] = 0.7
    changed = augment(pictures_, settings, 90.0, torch.Generator().manual_seed(0))
    # gain and tilt may lift black to grey, but the line stays the brightest of its column wherever it is not masked
    line = changed[:, 0, 40, :]
    assert (changed[:, 0].argmax(dim=1)[line > 0] == 40).all()
    assert 0.3 < (line > 0).float().mean() < 1


def test_augmentation_leaves_padding_black_and_the_range_whole():
    settings = recipe.load("diary-gender", ["time_shift=0"])
    pictures_ = torch.rand(32, 1, 96, 144)
    pictures_[..., :40] = 0
    changed = augment(pictures_, settings, 90.0, torch.Generator().manual_seed(1))
    assert changed[..., :40].max() == 0
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, augment(pictures_, settings, 90.0, torch.Generator().manual_seed(1)))
    assert not torch.equal(changed, augment(pictures_, settings, 90.0, torch.Generator().manual_seed(2)))


def test_the_exported_graph_is_the_network(tmp_path):
    settings = recipe.load("diary-gender", QUICK)
    torch.manual_seed(0)
    network = PictureNetwork(settings, settings.front_end.input_shape, 2).eval()
    graph = export.to_onnx(network, settings.front_end.input_shape, "gender")
    inputs = np.random.default_rng(0).random((5, *settings.front_end.input_shape), dtype=np.float32)
    assert export.check_parity(network, graph, inputs, "gender") < 1e-5
    assert str(Path(__file__).resolve().parents[1]).encode() not in graph
    other = PictureNetwork(settings, settings.front_end.input_shape, 2).eval()
    with pytest.raises(BundleError, match="differs from the network"):
        export.check_parity(other, graph, inputs, "gender")


def test_merged_graphs_answer_like_the_single_ones():
    settings = recipe.load("diary-gender", QUICK)
    shape = settings.front_end.input_shape
    graphs = [
        export.to_onnx(PictureNetwork(settings, shape, classes), shape, task)
        for task, classes in (("gender", 2), ("age", 5))
    ]
    inputs = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    both = onnxruntime.InferenceSession(export.merge(graphs)).run(["gender", "age"], {"picture": inputs})
    for graph, task, got in zip(graphs, ("gender", "age"), both, strict=True):
        (alone,) = onnxruntime.InferenceSession(graph).run([task], {"picture": inputs})
        assert np.array_equal(got, alone)
    with pytest.raises(BundleError, match=r"Expected the same input for all\."):
        export.merge([graphs[0], export.to_onnx(PictureNetwork(settings, (1, 32, 32), 2), (1, 32, 32), "age")])


def test_the_loss_weighs_clips(release):
    settings = recipe.load("diary-gender", (*QUICK, "dropout=0", "label_smoothing=0"))
    module = Training(settings, torch.eye(2), steps=10).eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = torch.rand(2, *settings.front_end.input_shape), torch.tensor([0, 1])
    logits = module(batch[0])
    expected = torch.nn.functional.cross_entropy(logits, batch[1], reduction="none")
    got = module._step("validation", (*batch, torch.tensor([3.0, 1.0])))
    assert got.item() == pytest.approx(((3 * expected[0] + expected[1]) / 4).item(), rel=1e-5)


@pytest.mark.slow
def test_the_shipped_bundle_can_be_rebuilt_from_a_folder_of_corpora(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speech = Path("speech")  # relative, as make gives it
    tiny_release(speech, speakers=36, clips=2)
    quick = [one for one in QUICK if not one.startswith(("width", "height", "shrink"))]
    made = shipped.build(speech, tmp_path / "out", bundle="diary", overrides=[*quick, "shrink=6", "max_epochs=1"])
    loaded = bundle.load(made.folder)
    assert (loaded.name, set(loaded.outputs)) == ("voxtrait-diary", {"gender", "age"})
    assert recognize.load(made.folder).predict(np.zeros(16000), 16000).status == "no_speech"
    assert set(loaded.scores) >= {"gender", "age", "n_speakers"}
