import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from voxtrait import audio, bundle, manifest, recognize, synthetic
from voxtrait.evaluate import evaluate
from voxtrait.labels import YEARS
from voxtrait.synthetic import sounds
from voxtrait.training import recipe
from voxtrait.training.study import shipped
from voxtrait.training.voices import campplus

BASE, FAST, DIARY = "voxtrait-base", "voxtrait-fast", "voxtrait-diary"
NAMES = (BASE, FAST, DIARY)


@pytest.fixture(scope="module", params=[BASE, FAST])
def model(request) -> recognize.Recognizer:
    return recognize.load(request.param)


def test_the_bundles_that_ship():
    assert {folder.name for folder in bundle.shipped()} == set(NAMES)
    assert all(bundle.load(name).name == name for name in NAMES)
    assert recognize.load().bundle.name == bundle.DEFAULT == BASE


def test_a_bundle_of_windows_is_small_and_knows_gender_and_years(model):
    assert set(model.bundle.outputs) == {"gender", "age"}
    assert model.bundle.outputs["age"] == YEARS
    most = {BASE: 14e6, FAST: 6e6}[model.bundle.name]
    assert 0.5 * most < sum(file.stat().st_size for file in model.bundle.folder.iterdir()) <= most
    assert {entry["licence"] for entry in model.bundle.data} == {"CC0-1.0", "CC-BY-4.0", "MIT"}
    assert {entry["licence"] for entry in model.bundle.pretrained} == {"Apache-2.0"}


@pytest.mark.parametrize("name", NAMES)
def test_the_bundles_were_made_by_the_recipes_that_ship(name):
    loaded = bundle.load(name)
    recipes = {"recipe": name.removeprefix("voxtrait-")}
    if name == DIARY:
        recipes = {"recipe diary-age": "diary-age", "recipe diary-gender": "diary-gender"}
    for key, which in recipes.items():
        settings = recipe.load(which)
        assert recipe.from_dict(json.loads(loaded.made_with[key])) == settings
        assert loaded.front_end == settings.front_end
    started_from = {BASE: (campplus.PRETRAINED,), FAST: (campplus.COMPRESSED,)}
    assert loaded.pretrained == started_from.get(name, ())


def test_the_former_large_bundle_is_the_default_with_a_warning():
    with pytest.warns(DeprecationWarning, match="voxtrait-large is now voxtrait-base: use that name"):
        assert bundle.load("voxtrait-large").folder == bundle.load(None).folder
    with pytest.warns(DeprecationWarning, match="voxtrait-large is now voxtrait-base"):
        assert recognize.load("voxtrait-large").bundle.name == "voxtrait-base"


def test_embeddings_have_192_values_and_tell_speakers_apart(model):
    assert model.embedding_size == 192
    voices = synthetic.cohort(6, seed=5)
    first, second = (
        np.stack([model.embed(synthetic.speak(voice, 4.0, seed=seed), 16_000) for voice in voices]) for seed in (5, 6)
    )
    assert first.shape == (6, 192)
    assert np.linalg.norm(first, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    likeness = first @ second.T
    assert (likeness.argmax(axis=1) == np.arange(6)).mean() > 0.6
    assert np.diag(likeness).mean() > likeness.mean() + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_made_up_voices_apart(name):
    model = recognize.load(name)
    voices = [voice for voice in synthetic.cohort(28, seed=5) if 20 <= voice.age_years < 60]
    answers = [model.predict(synthetic.speak(voice, 4.0, seed=5), 16_000).p_female for voice in voices]
    right = [(p >= 0.5) == (voice.gender == "female") for p, voice in zip(answers, voices, strict=True)]
    assert sum(right) >= 0.85 * len(voices) > 10


def test_sounds_that_are_no_speech_get_no_gender(model):
    rng = np.random.default_rng(11)
    made = [sounds.sound(sounds.KINDS[at % len(sounds.KINDS)], 2.0 + at % 5, rng) for at in range(200)]
    answered = [signal for signal in made if model.predict(signal, 16_000).gender in ("female", "male")]
    assert len(answered) <= 4


def test_real_speech_is_not_refused(model, speech_clips):
    # digital silence stands in the corpora too; single words may be shorter than 0.7 s
    audible = [path for path, signal in speech_clips if np.abs(signal).max() > 1e-3 and len(signal) > 2 * 16_000]
    refused = [path for path in audible if model.predict(path).status != "ok"]
    assert len(refused) <= 0.01 * len(audible) + 1
    assert len(audible) > 30


def test_a_recording_says_the_same_in_any_form(model, speech_clips, tmp_path):
    """As mp3, WAV, stereo, 8 kHz, 20 dB quieter, behind two seconds of silence: gender stays, age moves little."""
    flipped, moved, compared = 0, [], 0
    for path, signal in speech_clips[::2]:
        first = model.predict(path)
        if first.status != "ok":
            continue
        compared += 1
        audio.write_wav(tmp_path / "clip.wav", signal, 16_000)
        audio.write_wav(tmp_path / "narrow.wav", audio.resample(signal, 16_000, 8_000), 8_000)
        forms = [
            model.predict(tmp_path / "clip.wav"),
            model.predict(tmp_path / "narrow.wav"),
            model.predict(np.stack([signal, signal]), 16_000),
            model.predict(0.1 * signal, 16_000),
            model.predict(np.concatenate([np.zeros(32_000, np.float32), signal]), 16_000),
        ]
        flipped += any({first.gender, form.gender} == {"female", "male"} for form in forms)
        moved += [abs(first.age_years - form.age_years) for form in forms]
    assert compared > 20
    assert flipped <= 0.05 * compared
    assert np.quantile(moved, 0.5) <= 3
    assert np.quantile(moved, 0.9) <= 6


def test_the_interval_narrows_with_evidence(model, speech_clips):
    """A clip's first seconds alone against the whole of it, said twice over."""
    widths = []
    for _, signal in speech_clips:
        whole = model.predict(np.concatenate([signal, signal, signal]), 16_000)
        part = model.predict(signal[: 2 * 16_000], 16_000)
        if whole.status == part.status == "ok":
            widths.append((part.age_high - part.age_low, whole.age_high - whole.age_low))
    short, long = np.mean(widths, axis=0)
    assert len(widths) > 30
    assert long < short


@pytest.mark.slow
def test_figures_on_speakers_it_never_heard(model, speech, tmp_path):
    table = shipped.speakers_split(speech)
    known = model.bundle.speakers()
    test = table.filter([one is None or bundle.hash_speaker(one) not in known for one in table["speaker_id"]])
    manifest.write(test, tmp_path / "test.parquet")
    report = evaluate(model.bundle.folder, tmp_path / "test.parquet", tmp_path / "report", split="all", jobs=2)
    assert report["leakage"] == "none"
    assert report["n_speakers"] > 180
    grown = report["slices"]["children"]["adults"]
    # what it was when it was made stands in docs/notes/results.md; these are what must not be lost
    assert grown["gender"]["uar"]["value"] >= 0.96
    assert report["age"]["mae"]["value"] <= report["age"]["mae_constant"]["value"] - 1.0
    assert 0.72 <= report["age"]["coverage80"]["value"] <= 0.88
    assert report["age"]["interval_width"]["value"] < report["age"]["interval_width_constant"]["value"]
    assert report["gender"]["ece"]["value"] <= 0.05


def test_nothing_is_told_to_anybody(tmp_path: Path) -> None:
    """ONNX Runtime writes what it tells its maker into a database at home, from 1.29 on, unless it is forbidden to."""
    program = "import numpy, voxtrait; voxtrait.load().predict(numpy.random.randn(32_000), sampling_rate=16_000)"
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = kept | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", program], check=True, env=home)
    assert list(tmp_path.rglob("*")) == []
