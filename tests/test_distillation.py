"""The fast encoder: where it starts, what it learns from, and that its graph says what it says."""

from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch

from voxtrait import audio, bundle, features, speech
from voxtrait.errors import BundleError, ManifestError, PretrainedMissingError
from voxtrait.synthetic import cohort, write_common_voice
from voxtrait.training import recipe
from voxtrait.training.distillation import encoder as distillation
from voxtrait.training.distillation import fast_encoder
from voxtrait.training.distillation.encoder import Lessons
from voxtrait.training.distillation.fast_encoder import FastEncoder
from voxtrait.training.voices import encoder, ensemble
from voxtrait.training.voices.heads import Heads


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    release = write_common_voice(tmp_path_factory.mktemp("clips"), cohort(4, seed=3), 2, seed=3, jobs=1)
    return sorted(release.glob("*/clips/*.mp3"))


@pytest.fixture(scope="module")
def pairs(clips: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the same moments, for the large encoder and for the fast one."""
    cut = [distillation.cut(speech.spoken(audio.load(clip)[0]), None) for clip in clips]
    return np.concatenate([large for large, _ in cut]), np.concatenate([fast for _, fast in cut])


def started() -> FastEncoder:
    network = FastEncoder(encoder.pretrained())
    network.mean += -10.0
    network.scale *= 3.5
    return network.eval()


def test_windows_of_both_encoders_cover_the_same_moments(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    large, fast = pairs
    assert large.shape[1:] == (160, 40)
    assert fast.shape[1:] == (80, 40)
    # every second column of the large encoder's is a column of the fast one's
    np.testing.assert_allclose(np.exp(fast), np.maximum(large[:, ::2], 1e-6), rtol=2e-2, atol=2e-5)


def test_windows_are_those_that_the_recogniser_cuts(clips: list[Path]) -> None:
    spoken = speech.spoken(audio.load(clips[0])[0])
    expected = features.windows(spoken, features.fast_encoder_front_end())
    np.testing.assert_array_equal(distillation.cut(spoken, None)[1], expected)


def test_a_short_signal_is_repeated() -> None:
    large, fast = distillation.cut(np.ones(8000, np.float32), np.random.default_rng(0))
    assert (large.shape, fast.shape) == ((1, 160, 40), (1, 80, 40))


def test_it_starts_near_the_large_encoder(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    large, fast = (torch.from_numpy(windows) for windows in pairs)
    with torch.no_grad():
        expected, found = encoder.pretrained()(large), started()(fast)[1]
        chance = FastEncoder().eval()(fast)[1]

    def likeness(summary: torch.Tensor) -> float:
        return float(torch.nn.functional.cosine_similarity(summary, expected).mean())

    assert likeness(found) > 0.75
    assert likeness(found) > likeness(chance) + 0.3


def test_the_graph_says_what_the_network_says(
    pairs: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_encoder, "FIDELITY", 0.85)  # it has not learnt to live with 8 bits
    graph = fast_encoder.graph(started(), pairs[1])  # checks itself, before and after quantisation
    session = onnxruntime.InferenceSession(graph)
    assert [one.shape for one in session.get_inputs()] == [["n", 80, 40]]
    (summary,) = session.run(["summary"], {"windows": pairs[1]})
    assert summary.shape == (len(pairs[1]), encoder.SUMMARY)


def test_a_graph_that_differs_is_refused(pairs: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_encoder, "FIDELITY", 1.0)
    with pytest.raises(BundleError, match=r"after quantisation have a cosine of 0\.9"):
        fast_encoder.graph(started(), pairs[1])


def test_the_large_encoder_answers_about_clips_as_recorded_and_disturbed(clips: list[Path], tmp_path: Path) -> None:
    paths = [*map(str, clips[:3]), str(tmp_path / "absent.mp3")]
    table = pl.DataFrame({"clip_id": list("abcd"), "speaker_id": [None, "x", "y", "z"], "path": paths})
    given = distillation.lessons(table, tmp_path / "out")
    assert given.windows.shape == (len(given.aside), 80, 40)
    assert given.states.shape == (len(given.aside), 10, 256)
    expected = sum(len(distillation.cut(speech.spoken(audio.load(clip)[0]), None)[1]) for clip in clips[:3])
    assert given.recorded.sum() == expected < len(given.recorded)
    again = distillation.lessons(table, tmp_path / "out")  # from the shards
    np.testing.assert_array_equal(again.states, given.states)


def test_it_learns_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    windows = rng.normal(-8, 3, (24, 80, 40)).astype(np.float16)
    aside = np.arange(24) % 4 == 0
    states = rng.normal(0, 0.3, (24, 10, 256)).astype(np.float16)
    summaries = np.abs(rng.normal(0, 0.1, (24, encoder.SUMMARY))).astype(np.float32)
    given = Lessons(windows, states, summaries, aside, np.ones(24, bool))
    heads = Heads(encoder.SUMMARY, 3, recipe.load("large", ["hidden=8"])).requires_grad_(False).eval()
    torch.nn.init.normal_(heads.linear, std=0.05)  # their answers count by their spread, which is nought at first
    distillation.distil(given, heads, tmp_path / "whole", 3)
    curve = pl.read_csv(tmp_path / "whole/curves.csv")
    assert curve["train_loss"].is_sorted(descending=True)
    assert curve.height == 3
    network = distillation.distil(given, heads, tmp_path / "whole", 3)  # nothing is left to do
    assert isinstance(network, FastEncoder)
    assert pl.read_csv(tmp_path / "whole/curves.csv").equals(curve)
    nobody = Lessons(windows, states, summaries, np.zeros(24, bool), np.ones(24, bool))
    with pytest.raises(ManifestError, match="got 24 windows to learn from and 0 of speakers kept aside"):
        distillation.distil(nobody, heads, tmp_path / "nobody", 1)


def test_a_recipe_starts_from_the_fast_encoder_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recipe.load("base")
    assert asked.front_end == features.fast_encoder_front_end()
    file = ensemble.encoder_graph(pl.DataFrame(), tmp_path, asked)
    assert file.read_bytes() == bundle.load("voxtrait-base").model.read_bytes()
    file.write_bytes(b"another")  # one that was taught anew
    assert ensemble.encoder_graph(pl.DataFrame(), tmp_path, asked).read_bytes() == b"another"
    monkeypatch.setattr(bundle, "shipped", lambda: [bundle.SHIPPED / "voxtrait-large"])
    file.unlink()
    with pytest.raises(PretrainedMissingError, match="no shipped bundle has a fast encoder: teach one with"):
        ensemble.encoder_graph(pl.DataFrame(), tmp_path, asked)
