import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch

from encoders import one_by_one, random_encoder, voices
from factories import tiny_release
from voxtrait import audio, bundle, corpora, manifest, recognize, speech, synthetic
from voxtrait.errors import BundleError, ManifestError, PretrainedMissingError
from voxtrait.labels import YEARS
from voxtrait.manifest import splitting
from voxtrait.recognize import decision
from voxtrait.training import calibration, export, recipe, train
from voxtrait.training.calibration import HeldOut
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.study import cross_corpus
from voxtrait.training.voices import assembly, campplus, ensemble, heads, summaries
from voxtrait.training.voices.campplus import EMBEDDING
from voxtrait.training.voices.examples import Clips, clips_of, contradictions, examples_of, fold_of
from voxtrait.training.voices.heads import Heads, HeadTraining, year_targets

SUMMARY = EMBEDDING + 1024  # values of a summary of the fast encoder
QUICK = ("views=3", "members=3", "hidden=8", "max_epochs=3", "batch_size=16", "threads=1", "learning_rate=0.003")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A manifest with splits of 24 made-up speakers, two clips each."""
    folder = tmp_path_factory.mktemp("release")
    tiny_release(folder, speakers=24, clips=2)
    manifest.write(
        splitting.split(corpora.import_corpora([folder]).table, (50, 25, 25), seed=1), folder / "manifest.parquet"
    )
    return folder / "manifest.parquet"


@pytest.fixture(scope="module")
def encoder() -> bytes:
    """The graph of a small encoder, from which runs start instead of CAM++."""
    network = random_encoder()
    seen = one_by_one(voices(12, 300, seed=1))
    return assembly.graph(network, seen, one_by_one(voices(12, 200, seed=2)))


def with_encoder(folder: Path, encoder: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / ensemble.ENCODER).write_bytes(encoder)
    return folder


@pytest.fixture(scope="module")
def run(release, encoder, tmp_path_factory):
    return train(recipe.load("base", QUICK), release, with_encoder(tmp_path_factory.mktemp("run"), encoder))


@pytest.fixture
def clips() -> Clips:
    """Two hundred clips of fifty speakers whose summaries hold gender and age in plain sight."""
    rng = np.random.default_rng(0)
    n, speaker = 200, np.repeat(np.arange(50), 4)
    female = (speaker % 2).astype(np.float32)
    years = (20 + 10 * (speaker // 2 % 5) + 5).astype(np.float32)
    summaries = 0.05 * rng.standard_normal((3, n, SUMMARY)).astype(np.float32)
    summaries[:, :, 300:340] += female[None, :, None]
    summaries[:, :, 400:440] += years[None, :, None] / 40
    table = pl.DataFrame(
        {
            "clip_id": [f"made/-/en/{at}" for at in range(n)],
            "speaker_id": [f"s{one}" for one in speaker],
            "corpus": ["common-voice" if one < 30 else "alnum" for one in speaker],
            "release": ["cv-corpus-6.1" if one < 30 else None for one in speaker],
            "speech_s": np.full(n, 4.0),
        }
    )
    return Clips(table, summaries, female, years, np.zeros(n, bool), speaker, speaker % 3)


def small(**changes) -> EncoderRecipe:
    chosen = dict(members=3, hidden=8, max_epochs=12, batch_size=32, learning_rate=0.003, threads=1) | changes
    return EncoderRecipe("base", **chosen)


@pytest.fixture(scope="module")
def speech_like() -> np.ndarray:
    return synthetic.speak(synthetic.cohort(2, seed=1)[0], 6.0, seed=1)


def test_a_run_leaves_a_bundle_that_answers(run, speech_like):
    loaded = bundle.load(run.bundle)
    assert loaded.outputs["age"] == YEARS
    assert [one["licence"] for one in loaded.pretrained] == ["Apache-2.0"]
    model = recognize.load(run.bundle)
    answer = model.predict(speech_like, 16_000)
    assert answer.status == "ok"
    assert answer.age_low < answer.age_years < answer.age_high
    assert sum(answer.age_groups.values()) == pytest.approx(1.0)
    assert np.linalg.norm(model.embed(speech_like, 16_000)) == pytest.approx(1.0, abs=1e-5)
    report = json.loads((run.report / "report.json").read_text())
    assert (report["split"], report["leakage"]) == ("test", "none")
    folder = run.bundle.parent
    assert pl.read_csv(folder / "curves.csv").columns == ["epoch", "train_loss", "validation_loss"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert set(run.figures["held-out speakers"]) == {"uar", "mae"}
    funnel = pl.read_csv(run.report / "funnel.csv")
    assert funnel["what"][-1] == "kept" and funnel["clips"][:-1].sum() == funnel["clips"][-1] > 0


def test_the_bundle_hears_what_the_training_heard(run, speech_like, tmp_path):
    """The recogniser's own summary of a clip is the first view of it, to rounding."""
    settings = recipe.load("base", QUICK)
    graph = recognize.graph.Graph(bundle.load(run.bundle).model, (None, 80), {"summary": None}, name="windows")
    pause = np.zeros(16_000, np.float32)
    file = tmp_path / "clip.wav"
    audio.write_wav(file, np.concatenate([pause, speech_like, pause, pause, speech_like, pause]), 16_000)
    heard = summaries.Summarise(graph, settings, [str(file)])(str(file))
    first, *_ = np.split(np.asarray(heard["summaries"]), settings.views)
    assert first.shape == (EMBEDDING + 2 * (20 + 2 * 8),)
    model = recognize.load(run.bundle)
    windows = model.inputs(audio.load(file)[0])
    assert len(windows) == 3
    assert np.allclose(graph(windows)["summary"].mean(axis=0), first, atol=1e-5)


def test_the_same_seed_makes_the_same_bundle_and_resume_goes_on(run, release, encoder, tmp_path):
    settings = recipe.load("base", QUICK)
    again = train(settings, release, with_encoder(tmp_path / "run", encoder), jobs=2)
    for name in ("model.onnx", "head.onnx", "speakers.txt"):
        assert (again.bundle / name).read_bytes() == (run.bundle / name).read_bytes(), name
    resumed = train(settings, release, tmp_path / "run", resume=True)
    assert (resumed.bundle / "head.onnx").read_bytes() == (run.bundle / "head.onnx").read_bytes()


def test_a_killed_fit_ends_as_an_undisturbed_one(clips, tmp_path, monkeypatch):
    settings = small(max_epochs=4)
    whole = ensemble.fit(settings, examples_of(clips, settings), tmp_path / "whole")

    starts, epochs = HeadTraining.on_train_epoch_start, []

    def starts_or_is_killed(self):
        epochs.append(self.current_epoch)
        if epochs == [0, 1, 2]:
            raise RuntimeError("killed")
        starts(self)

    monkeypatch.setattr(HeadTraining, "on_train_epoch_start", starts_or_is_killed)
    with pytest.raises(RuntimeError, match="killed"):
        ensemble.fit(settings, examples_of(clips, settings), tmp_path / "killed")
    resumed = ensemble.fit(settings, examples_of(clips, settings), tmp_path / "killed")
    assert epochs == [0, 1, 2, 2, 3]
    assert pl.read_csv(tmp_path / "killed" / "curves.csv").equals(pl.read_csv(tmp_path / "whole" / "curves.csv"))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_pictures_are_no_data_for_it(tmp_path):
    with pytest.raises(ManifestError, match="needs a manifest"):
        train(recipe.load("base", QUICK), tmp_path, tmp_path / "run")


def test_campplus_is_made_anew_where_its_weights_and_enough_clips_are_there(release, tmp_path, monkeypatch):
    settings = recipe.load("base", QUICK)
    table = manifest.with_absolute_paths(manifest.read(release), release.parent).sort("clip_id")
    network = random_encoder(seed=3)
    monkeypatch.setattr(campplus, "PACKAGE", "numpy")  # any that is installed
    monkeypatch.setattr(campplus, "pretrained", lambda: network)
    monkeypatch.setattr(bundle, "shipped", list)
    with pytest.raises(PretrainedMissingError, match="at least 144 training clips"):
        ensemble.encoder_graph(table, tmp_path, settings)
    monkeypatch.setattr(ensemble, "RANGE_CLIPS", 16)
    monkeypatch.setattr(ensemble, "PARITY_CLIPS", 8)
    graph = ensemble.encoder_graph(table, tmp_path, settings).read_bytes()  # checks itself
    windows = ensemble.speech_windows(table, settings, 24)
    assert graph == assembly.graph(network, windows[8:], windows[:8])
    clip = speech.find(audio.load(table["path"][0])[0]).surrounded
    assert windows[0].shape == (1, 1 + (len(clip) - 400) // 160, 80)


@pytest.mark.parametrize("networks", [1, 2])
def test_a_member_never_learns_from_its_own_fold(clips, networks):
    settings = small(networks=networks)
    module = HeadTraining(settings, examples_of(clips, settings), 10)
    rows = torch.from_numpy(np.flatnonzero(clips.fold == 1))
    module._loss(module.summaries[0, rows], rows, module.learnt).backward()
    moved = module.network.linear.grad.abs().sum(dim=(1, 2)) > 0
    assert moved.tolist() == [True, False, True] * networks


@pytest.mark.parametrize("networks", [1, 2])
def test_members_learn_what_is_in_plain_sight_about_held_out_speakers(clips, tmp_path, networks):
    # with the fast encoder, both networks use all channels
    settings = small(networks=networks, encoder="fast", max_epochs=12 * networks)
    network = ensemble.fit(settings, examples_of(clips, settings), tmp_path)
    figures = ensemble.figures_of(clips, *ensemble.cross_fitted(network, clips))
    assert figures["uar"] > 0.95
    assert figures["mae"] < 6.0


def test_weights_make_genders_and_speakers_even(clips):
    fewer = clips.take(np.arange(200) != 4)
    weights = examples_of(fewer, small(speaker_balance=1.0))
    assert weights.gender_weight[fewer.female == 1].sum() == pytest.approx(
        weights.gender_weight[fewer.female == 0].sum(), rel=1e-5
    )
    of_one = [weights.age_weight[fewer.speaker == speaker].sum() for speaker in (0, 1)]
    assert of_one[0] == pytest.approx(of_one[1], rel=1e-5)
    assert weights.age_weight.mean() == pytest.approx(1.0, abs=1e-5)


def test_only_adults_labels_are_called_contradicted(clips):
    years = clips.years.copy()
    years[:4] = 9.0
    logit = np.where(clips.female == 1, 5.0, -5.0)
    logit[:8] *= -1  # two speakers sound like the other gender; the first is a child
    found = contradictions(dataclasses.replace(clips, years=years), logit, small())
    assert np.flatnonzero(found).tolist() == [4, 5, 6, 7]
    left_out = examples_of(clips, small(), found)
    assert np.isnan(left_out.female[4:8]).all()
    assert (left_out.gender_weight[4:8] == 0).all()
    assert (left_out.age_weight[4:8] > 0).all()


def test_folds_hang_on_the_speaker_alone():
    settings = small(members=10)
    folds = [fold_of(f"speaker {at}", settings) for at in range(1000)]
    assert folds == [fold_of(f"speaker {at}", settings) for at in range(1000)]
    assert min(np.bincount(folds, minlength=10)) > 60


def test_targets_are_decades_with_soft_edges_or_bells():
    years = np.array([35.0, 8.0, np.nan], dtype=np.float32)
    target = year_targets(years, np.array([False, True, False])).numpy()
    assert target.sum(axis=1) == pytest.approx([1, 1, 0], abs=1e-5)
    assert 0.7 < target[0, 30:40].sum() < 0.95
    assert int(target[1].argmax()) == 8
    assert decision.expected_years(target[0]) == pytest.approx(35.0, abs=0.1)


@pytest.mark.parametrize("networks", [1, 2])
def test_the_mean_of_the_members_is_what_is_exported(clips, networks):
    network = Heads(SUMMARY, 3, small(networks=networks)).eval()
    assert len(network.hidden) == 3 * networks
    for values, spread in ((network.deep, 0.1), (network.linear, 0.03), (network.bias, 1.0)):
        torch.nn.init.normal_(values, std=spread)
    network.mean += 0.2
    network.scale *= 0.5
    summary = torch.from_numpy(clips.summaries[0, :5])
    with torch.no_grad():
        gender, age, embedding = heads.JoinedHeads(network)(summary)
        female, years = network.members(summary)
    assert torch.allclose(gender[:, 0] - gender[:, 1], female.mean(0), atol=1e-5)
    assert torch.allclose(age, torch.log_softmax(torch.log_softmax(years, 2).mean(0), 1), atol=1e-5)
    assert embedding.shape == (5, EMBEDDING)
    voice = summary[:, :EMBEDDING]
    assert torch.allclose(embedding, voice / voice.norm(dim=1, keepdim=True), atol=1e-5)


def test_of_two_networks_the_second_uses_what_the_last_block_adds(clips):
    network = Heads(SUMMARY, 3, small(networks=2)).eval()
    for values in (network.deep, network.linear):
        torch.nn.init.normal_(values, std=0.1)
    summary = torch.from_numpy(clips.summaries[0, :5])
    changed = summary.clone()
    channels = (SUMMARY - EMBEDDING) // 2  # half of them are of the blocks before
    for first in (EMBEDDING, EMBEDDING + channels):  # mean and spread
        changed[:, first : first + channels // 2] += 1
    with torch.no_grad():
        moved = (network.answers(changed) - network.answers(summary)).abs().amax((1, 2))
    assert (moved[:3] > 0.1).all() and (moved[3:] == 0).all()
    fast = Heads(SUMMARY, 3, small(networks=2, encoder="fast"))  # its features are those after the last transition
    assert fast.used.all() and not network.used.all()


def test_each_network_of_a_member_may_see_another_summary(clips):
    network = Heads(SUMMARY, 3, small(networks=2)).eval()
    torch.nn.init.normal_(network.deep, std=0.1)
    one, other = torch.from_numpy(clips.summaries[:2, :5])
    with torch.no_grad():
        both = network.answers(torch.stack([one, other]))
        expected = torch.cat([network.answers(one)[:3], network.answers(other)[3:]])
    assert both.shape == (6, 5, 35) and torch.allclose(both, expected, atol=1e-6)


def test_of_two_networks_the_first_learns_from_clips_as_recorded(clips, monkeypatch):
    settings = small(networks=2)
    numbered = np.arange(3, dtype=np.float32)[:, None, None] + np.zeros_like(clips.summaries)
    module = HeadTraining(settings, examples_of(dataclasses.replace(clips, summaries=numbered), settings), 10)
    seen = []
    monkeypatch.setattr(module, "log", lambda *given, **more: None)
    monkeypatch.setattr(type(module), "current_epoch", 0)
    monkeypatch.setattr(module, "_loss", lambda summary, *others: seen.append(summary) or torch.zeros(()))
    module.training_step(torch.arange(200), 0)
    assert seen[0].shape == (2, 200, SUMMARY)
    assert not seen[0][0].any() and set(seen[0][1].unique().tolist()) == {0, 1, 2}


def test_heads_in_8_bits_answer_as_before_and_else_are_refused(clips, monkeypatch):
    network = Heads(SUMMARY, 3, small()).eval()
    torch.nn.init.normal_(network.deep, std=0.1)
    real = clips.summaries[0, :20]
    graph = heads.graph(network, real)
    eight = [one for one in onnx.load_from_string(graph).graph.initializer if one.data_type == onnx.TensorProto.INT8]
    assert max(np.prod(one.dims) for one in eight) == network.hidden.numel()
    with torch.no_grad():
        expected = heads.JoinedHeads(network)(torch.from_numpy(real))
    for row in range(20):  # one by one, as clips are heard
        found = export.run(graph, "gender", summary=real[row : row + 1])
        np.testing.assert_allclose(found, expected[0][row : row + 1], atol=0.03)
    monkeypatch.setattr(heads, "FIDELITY", 1e-6)
    with pytest.raises(BundleError, match=r"on average after quantisation\. Expected at most 1e-06\."):
        heads.graph(network, real)


def heard(n: int, seconds: float, sharpness: float, rng: np.random.Generator) -> HeldOut:
    """Answers that are as sure as their seconds allow, about people of 20 to 70."""
    years = rng.uniform(20, 70, n)
    error = 8.0 / sharpness
    middle = years + rng.normal(0, error, n)
    ages = np.arange(100) + 0.5
    logits = -0.5 * ((ages - middle[:, None]) / (2 * error)) ** 2  # half as sure as they may be
    female = (rng.random(n) < 0.5).astype(float)
    logit = np.where(female == 1, 1.0, -1.0) * rng.normal(2.5, 1.5, n)
    return HeldOut(logit, logits, np.full(n, seconds), female, years, np.ones(n), np.arange(n))


def test_calibration_of_years_covers_eight_in_ten_and_is_surer_with_more_speech():
    rng = np.random.default_rng(0)
    whole = heard(3000, 4.0, 1.0, rng)
    longer = dataclasses.replace(whole, seconds=np.full(3000, 16.0), year_logits=2 * whole.year_logits)
    fitted = calibration.calibrate_voices([whole, longer], 13.0)["age"]
    assert 0.1 < fitted["temperature"] < 0.6
    shares = decision.probabilities(whole.year_logits, decision.temperature_at(fitted, 4.0))
    low, high = decision.interval(shares, fitted["tail"], whole.female)
    assert ((low <= whole.years) & (whole.years <= high)).mean() == pytest.approx(0.82, abs=0.02)
    alone = calibration.calibrate_years([heard(3000, 1.5, 0.7, rng), heard(3000, 12.0, 1.6, rng)])
    assert alone["evidence"] >= 0.0


def test_the_band_of_unsure_holds_its_share_of_adults():
    rng = np.random.default_rng(1)
    whole = heard(4000, 4.0, 1.0, rng)
    age = calibration.calibrate_years([whole])
    fitted = calibration.calibrate_presented_gender([whole], age, 13.0)
    p_female = 1 / (1 + np.exp(-whole.female_logit / decision.temperature_at(fitted, 4.0)))
    years = decision.probabilities(whole.year_logits, decision.temperature_at(age, 4.0))
    p_female = decision.without_childhood(p_female, years, 13.0)
    low, high = fitted["unsure"]
    unsure = ((p_female > low) & (p_female < high)).mean()
    assert 0.02 < unsure <= calibration.UNSURE_ADULTS + 0.001
    assert fitted["childhood"] == 13.0


def test_views_do_not_depend_on_the_processes_and_say_what_cannot_be_heard(run, release, tmp_path):
    table = manifest.with_absolute_paths(manifest.read(release), release.parent).sort("clip_id").head(20)
    broken = tmp_path / "broken.mp3"
    broken.write_text("no audio")
    fourth = pl.int_range(pl.len()) == 3
    table = table.with_columns(path=pl.when(fourth).then(pl.lit(str(broken))).otherwise("path"))
    settings = recipe.load("base", QUICK)
    graph = run.bundle.parent / "encoder.onnx"
    one = summaries.summarise(table, graph, settings, tmp_path / "one", jobs=1)
    two = summaries.summarise(table, graph, settings, tmp_path / "two", jobs=2)
    assert one.equals(two)
    assert one["summaries"].null_count() == 1
    assert "broken.mp3" in one["message"][3]
    kept = clips_of(one, settings)
    assert kept.summaries.shape == (3, 19, EMBEDDING + 2 * (20 + 2 * 8))
    assert not np.allclose(kept.summaries[0], kept.summaries[2])


def test_leaving_out_gives_a_row_a_set(clips, tmp_path):
    pitches = np.where(clips.female == 1, 210.0, 120.0)
    rows = cross_corpus.compare(small(max_epochs=6), clips, pitches, tmp_path)
    names = [row["set"] for row in rows]
    assert names[-2:] == ["Common Voice 6.1, left out", "alnum, left out"]
    assert rows[0]["uar_pitch"]["value"] == 1.0
    assert rows[-1]["mae"]["value"] < rows[-1]["mae_constant"]["value"]
    table = cross_corpus.markdown(rows)
    accuracy, calibration_lines = table.split("\n\n")
    assert accuracy.count("\n") == calibration_lines.count("\n") == len(rows) + 1
    assert "| alnum, left out | 80 | 20 |" in accuracy
    whole = rows[0]
    assert whole["coverage80"]["value"] == pytest.approx(0.85, abs=0.07)  # fitted to these very answers
    assert 0 <= whole["ece"]["value"] < 0.2 and whole["width"]["value"] > 0
    parts = [whole[f"coverage80_{name}"]["value"] for name in ("female", "male")]
    assert min(parts) <= whole["coverage80"]["value"] <= max(parts)
    assert "seventies" not in calibration_lines  # fewer than 20 speakers


def test_trials_are_weighed_on_held_out_speakers(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(
        cross_corpus, "TRIALS", {"as it is": {}, "hardly trained": {"max_epochs": 1, "learning_rate": 1e-6}}
    )
    rows = cross_corpus.weigh(small(), clips, np.where(clips.female == 1, 210.0, 120.0), tmp_path)
    assert [row["set"] for row in rows] == ["as it is", "hardly trained"]
    assert rows[0]["mae"]["value"] < rows[1]["mae"]["value"]
