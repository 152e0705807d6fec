"""The refinement of a fast encoder by gradients: what it changes, how fast, and that a killed run is resumed."""

import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from encoders import FAST, KEPT, LARGE, random_encoder, voices
from voxtrait.training.distillation import refinement
from voxtrait.training.distillation.least_squares import compress
from voxtrait.training.distillation.refinement import Lessons, Refinement
from voxtrait.training.voices.campplus import CamPlus, statistics

HELD_OUT = 24


@pytest.fixture(scope="module")
def teacher() -> CamPlus:
    return random_encoder(LARGE, seed=3)


@pytest.fixture(scope="module")
def windows() -> list[np.ndarray]:
    return list(voices(264, 60, seed=6))


@pytest.fixture(scope="module")
def fitted(teacher: CamPlus, windows: list[np.ndarray]) -> CamPlus:
    return compress(teacher, torch.from_numpy(np.stack(windows[HELD_OUT : HELD_OUT + 40])), FAST, KEPT)


@pytest.fixture(scope="module")
def given(teacher: CamPlus, fitted: CamPlus, windows: list[np.ndarray]) -> Lessons:
    return refinement.lessons(fitted, teacher, windows, np.arange(len(windows)) < HELD_OUT)


def away(student: CamPlus, given: Lessons) -> float:
    """Measure how far the student's statistics are from the teacher's, on the windows that it was not trained on."""
    with torch.no_grad():
        found = statistics(student.after(torch.from_numpy(given.first[given.aside]).float())[-1])
    spread = torch.from_numpy(given.expected.astype(np.float32).std(0)) + refinement.SPREAD
    return float(((found - torch.from_numpy(given.expected[given.aside])) / spread).square().mean())


def test_the_targets_are_the_teachers(
    teacher: CamPlus, fitted: CamPlus, given: Lessons, windows: list[np.ndarray]
) -> None:
    some = torch.from_numpy(np.stack(windows[40:50]))
    with torch.no_grad():
        np.testing.assert_allclose(given.first[40:50], fitted.first(some[:, ::2]), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(given.expected[40:50], statistics(teacher.features(some)[-1]), rtol=2e-3, atol=2e-3)
        assert all(
            torch.equal(one, other)
            for one, other in zip(fitted.features(some)[1:], fitted.after(fitted.first(some)), strict=True)
        )
    assert given.first.dtype == given.expected.dtype == np.float16 and given.aside.sum() == HELD_OUT


def test_it_comes_closer_on_windows_that_it_was_not_trained_on(
    fitted: CamPlus, given: Lessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "BATCH", 8)
    monkeypatch.setattr(refinement, "RATE", 0.005)  # few steps
    network = refinement.refine(copy.deepcopy(fitted), given, tmp_path, 4)
    assert away(network, given) < 0.85 * away(fitted, given)
    losses = pl.read_csv(tmp_path / "curves.csv")["validation_loss"].to_list()
    assert len(losses) == 4 and losses[-1] < losses[0]
    before, after = fitted.state_dict(), network.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"blocks", "norms", "transitions", "last_norm"}
    statistic = [name for name in after if "running" in name]
    assert statistic and all(torch.equal(after[name], before[name]) for name in statistic)


def test_the_rate_of_a_tensor_is_relative_to_its_values(fitted: CamPlus, given: Lessons) -> None:
    module = Refinement(copy.deepcopy(fitted), given, 100)
    groups = module.configure_optimizers()["optimizer"].param_groups
    trained = [one for one in module.network.parameters() if one.requires_grad]
    assert [group["params"][0] is one for group, one in zip(groups, trained, strict=True)] == [True] * len(trained)
    for group in groups:
        size = float(group["params"][0].detach().square().mean().sqrt())
        assert group["initial_lr"] == pytest.approx(2e-3 * max(size, 0.02))
    assert not module.train().network.training


def test_a_killed_run_is_resumed(
    fitted: CamPlus, given: Lessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = refinement.refine(copy.deepcopy(fitted), given, tmp_path / "whole", 3)
    start = Refinement.on_train_epoch_start

    def stopped(module: Refinement) -> None:
        if module.current_epoch == 2:
            raise InterruptedError
        start(module)

    monkeypatch.setattr(Refinement, "on_train_epoch_start", stopped)
    with pytest.raises(InterruptedError):
        refinement.refine(copy.deepcopy(fitted), given, tmp_path / "killed", 3)
    monkeypatch.setattr(Refinement, "on_train_epoch_start", start)
    resumed = refinement.refine(copy.deepcopy(fitted), given, tmp_path / "killed", 3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    curves = [(tmp_path / one / "curves.csv").read_text("utf-8") for one in ("whole", "killed")]
    assert curves[0] == curves[1]
