"""The first weights of a fast encoder: layers of the teacher, and products fitted to its outputs."""

import dataclasses

import numpy as np
import pytest
import torch

from encoders import FAST, KEPT, LARGE, correlation, random_encoder, voices
from voxtrait.training.distillation import initial
from voxtrait.training.voices.campplus import CamPlus


def test_a_student_starts_from_its_teachers_layers() -> None:
    """Where the teacher makes nothing of the layers that are left out, student and teacher are the same network."""
    teacher = random_encoder(LARGE, seed=3)
    inside = LARGE.channels
    for at, layers in enumerate(LARGE.layers):
        for dropped in set(range(layers)) - set(KEPT[at]):
            own = inside + dropped * LARGE.growth + torch.arange(LARGE.growth)
            for later in [*(layer.narrow for layer in list(teacher.blocks[at])[dropped + 1 :]), teacher.halves[at]]:
                later.weight.data[:, own] = 0.0
        inside = LARGE.widths[at]
    shape = dataclasses.replace(LARGE, layers=FAST.layers)
    small = initial.beginner(teacher, shape, KEPT).eval()
    assert not torch.equal(small.front.first.weight, teacher.front.first.weight)
    small.front.load_state_dict(teacher.front.state_dict())
    small.delay.load_state_dict(teacher.delay.state_dict())
    small.delay_norm.load_state_dict(teacher.delay_norm.state_dict())
    windows = torch.from_numpy(voices(3, 230, seed=6))
    with torch.no_grad():
        for mine, its in zip(small.features(windows), teacher.features(windows), strict=True):
            np.testing.assert_allclose(mine, its, atol=1e-4)
        np.testing.assert_allclose(small(windows), teacher(windows), rtol=1e-4, atol=1e-3)


def test_the_student_that_ships_fits_the_published_network() -> None:
    large = CamPlus()
    shipped = initial.beginner(large)
    for at, kept in enumerate(initial.KEPT):
        assert len(kept) == len(shipped.blocks[at])
        for layer, source in zip(shipped.blocks[at], kept, strict=True):
            assert torch.equal(layer.local.weight, large.blocks[at][source].local.weight)
    assert shipped.shape.thinned and not large.shape.thinned


def with_front(small: CamPlus, large: CamPlus) -> CamPlus:
    """Give a student of two steps a front that is as good as its teacher's."""
    for part in ("front", "delay", "delay_norm"):
        getattr(small, part).load_state_dict(getattr(large, part).state_dict())
    return small.eval()


def test_a_student_with_all_layers_is_fitted_to_its_teacher() -> None:
    """Also where its weights were lost: least squares finds them again from what the teacher gives."""
    large = random_encoder(dataclasses.replace(LARGE, step=1), seed=3)
    everything = tuple(tuple(range(layers)) for layers in LARGE.layers)
    small = with_front(initial.beginner(large, large.shape, everything), large)
    for block in small.blocks:
        for layer in block:
            layer.narrow.weight.data.zero_()
    windows = torch.from_numpy(voices(12, 300, seed=6)[:, ::2])
    initial.refit(small, large, windows[:8], everything)
    with torch.no_grad():
        for mine, its in zip(small.features(windows[8:]), large.features(windows[8:]), strict=True):
            assert correlation(mine, its) > 0.98


@pytest.mark.parametrize("thinned", [False, True])
def test_fitting_brings_a_student_closer_to_its_teacher_on_other_voices(thinned: bool) -> None:
    large = random_encoder(dataclasses.replace(LARGE, step=1), seed=3)
    shape = dataclasses.replace(large.shape, layers=FAST.layers, thinned=thinned)
    small = with_front(initial.beginner(large, shape, KEPT), large)
    windows = torch.from_numpy(voices(32, 300, seed=6)[:, ::2])

    def alike() -> list[float]:
        every = 1 + thinned
        with torch.no_grad():
            pairs = list(zip(small.features(windows[24:]), large.features(windows[24:]), strict=True))[1:]
        return [correlation(mine, its[:, :, ::every]) for mine, its in pairs]

    before = alike()
    initial.refit(small, large, windows[:24], KEPT)
    after = alike()
    assert all(late > early for early, late in zip(before, after, strict=True)), (before, after)
    assert after[0] > 0.9
