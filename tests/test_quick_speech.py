"""The quick detector of speech: what it learns from, that it learns, and that its graph says what it says."""

from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch

from voxtrait import features
from voxtrait.features import FrontEnd
from voxtrait.speech import network, quick
from voxtrait.synthetic import cohort, sounds, write_common_voice
from voxtrait.training.distillation import speech as quick_speech
from voxtrait.training.distillation.speech import Lessons, QuickNetwork


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    release = write_common_voice(tmp_path_factory.mktemp("clips"), cohort(3, seed=3), 2, seed=3, jobs=1)
    return sorted(map(str, release.glob("*/clips/*.mp3")))


def test_its_bands_are_the_front_ends() -> None:
    signal = 0.1 * np.random.default_rng(0).standard_normal(20 * 512).astype(np.float32)
    bands = quick.powers(signal) @ quick_speech.bank()
    front_end = FrontEnd(
        n_fft=512, window_length=512, hop_length=512, n_mels=32, norm="area", compression="none", scaled=False
    )
    centres = np.arange(20) * 512 + 256
    np.testing.assert_allclose(bands.T, features.mel_power(signal, front_end, centres), rtol=1e-3)


def test_silero_answers_about_clips_in_three_forms_and_about_sounds(
    clips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = quick_speech.Answers(clips)
    said = np.frombuffer(job(clips[0])["shares"], np.float16)
    frames = len(said) // 3
    assert len(said) == 3 * frames and (said[:frames] > 0.9).mean() > 0.3
    assert np.frombuffer(job("sound:white:1")["shares"], np.float16).max() < 0.9
    assert job(str(tmp_path / "absent.mp3")) == job("sound:silence:0") == {"bands": b"", "shares": b""}
    monkeypatch.setattr(quick_speech, "SOUNDS", 1)
    monkeypatch.setattr(sounds, "KINDS", ("white", "silence"))
    given = quick_speech.lessons(clips, tmp_path / "answers")
    assert given.bands.shape[1:] == (32, 160) and given.shares.shape == given.counts.shape == (len(given.bands), 160)
    assert not given.shares[~given.counts].any()


def test_it_learns_and_its_graph_says_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spoken = rng.random((60, 160)) < 0.5
    bands = (rng.normal(-6, 1, (60, 32, 160)) + 4 * spoken[:, None]).astype(np.float16)
    given = Lessons(bands, spoken.astype(np.float16), np.ones((60, 160), bool), np.arange(60) % 5 == 0)
    taught = quick_speech.teach(given, tmp_path, 6)
    assert pl.read_csv(tmp_path / "curves.csv")["validation_loss"].to_list()[-1] < 0.6
    real = np.abs(rng.standard_normal((50, 257))).astype(np.float32)
    graph = quick_speech.graph(taught, real)
    for frames in (1, 50):
        (logits,) = onnxruntime.InferenceSession(graph).run(["logits"], {"powers": real[:frames]})
        with torch.no_grad():
            np.testing.assert_allclose(logits, taught(torch.from_numpy(real[:frames])).numpy(), atol=1e-4)


def test_it_looks_a_second_and_a_half_to_both_sides() -> None:
    torch.manual_seed(0)
    net = QuickNetwork().eval()
    powers = torch.rand(200, 257)
    changed = powers.clone()
    changed[100] += 1
    with torch.no_grad():
        moved = (net(changed) - net(powers)).abs().nonzero().flatten()
    assert (int(moved.min()), int(moved.max())) == (100 - 47, 100 + 47)
    reach_s = 47 * network.FRAME / 16_000
    assert reach_s == pytest.approx(1.5, abs=0.01)
