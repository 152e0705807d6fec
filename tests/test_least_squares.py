"""The weights of a fast encoder: layers of the teacher, and convolutions fitted to its outputs."""

import dataclasses

import pytest
import torch
from torch import nn

from encoders import FAST, KEPT, LARGE, correlation, random_encoder, voices
from voxtrait.training.distillation import least_squares
from voxtrait.training.voices.campplus import FAST as SHIPPED
from voxtrait.training.voices.campplus import CamPlus, Shape

EVERYTHING = tuple(tuple(range(layers)) for layers in LARGE.layers)


@pytest.fixture(scope="module")
def teacher() -> CamPlus:
    return random_encoder(LARGE, seed=3)


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    return torch.from_numpy(voices(48, 200, seed=6))


def alike(small: CamPlus, large: CamPlus, windows: torch.Tensor) -> list[float]:
    """Correlate the features of a student before and after each block with those of its teacher."""
    every = small.shape.frame_ms // large.shape.frame_ms  # of frames and of steps
    with torch.no_grad():
        mine, its = small.features(windows[:, ::every]), large.features(windows)
    if small.shape.layers[-1] < large.shape.layers[-1]:  # before the last transition: channels of the layers it keeps
        before, growth = large.shape.widths[-2], large.shape.growth
        kept = [before + layer * growth + channel for layer in KEPT[-1] for channel in range(growth)]
        its[-2] = its[-2][:, [*range(before), *kept]]
    return [correlation(a, b[:, :, ::every]) for a, b in zip(mine, its, strict=True)]


def test_a_student_as_large_as_its_teacher_is_its_teacher(teacher: CamPlus, windows: torch.Tensor) -> None:
    """Least squares finds the weights again from what the teacher gives, and drops no channel."""
    small = least_squares.compress(teacher, windows[:40], LARGE, EVERYTHING)
    assert min(alike(small, teacher, windows[40:])) > 0.99
    with torch.no_grad():
        mine, its = small(windows[40:]), teacher(windows[40:])
    assert correlation(mine, its) > 0.99


def test_a_student_is_like_its_teacher_on_other_voices(teacher: CamPlus, windows: torch.Tensor) -> None:
    small = least_squares.compress(teacher, windows[:40], FAST, KEPT)
    assert small.shape == FAST and not small.training
    found = alike(small, teacher, windows[40:])
    assert found[0] > 0.97 and min(found) > 0.85, found
    # the layers that are left, with the teacher's own weights
    plain = random_encoder(FAST)
    for at, layers in enumerate(KEPT):
        for mine, source in zip(plain.blocks[at], layers, strict=True):
            mine.load_state_dict(
                {
                    key: value[..., : mine.state_dict()[key].shape[1], :]
                    if key == "narrow.weight"
                    else value[: mine.state_dict()[key].shape[0]]
                    if value.ndim
                    else value
                    for key, value in teacher.blocks[at][source].state_dict().items()
                }
            )
    assert alike(plain, teacher, windows[40:])[-1] < found[-1] - 0.1


def test_it_is_the_same_every_time(teacher: CamPlus, windows: torch.Tensor) -> None:
    first, second = (least_squares.compress(teacher, windows[:16], FAST, KEPT).state_dict() for _ in range(2))
    for name, value in first.items():
        assert torch.equal(second[name], value), name


def test_the_teacher_is_not_changed(teacher: CamPlus, windows: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    least_squares.compress(teacher, windows[:16], FAST, KEPT)
    for name, value in teacher.state_dict().items():
        assert torch.equal(before[name], value), name


def test_errors_of_a_shortcut_are_compensated(teacher: CamPlus, windows: torch.Tensor) -> None:
    """A block adds its input, or a product of it: with half of the frames this is not the teacher's any more."""
    shape = dataclasses.replace(FAST, inner=LARGE.inner)
    small = least_squares.compress(teacher, windows[:40], shape, KEPT)
    with torch.no_grad():
        x, expected = (
            torch.relu(net.front.first_norm(net.front.first(part.transpose(1, 2)[:, None])))
            for net, part in ((small, windows[40:, ::2]), (teacher, windows[40:]))
        )
        whole = correlation(small.front.blocks(x), teacher.front.blocks(expected)[..., ::2])
        for block in small.front.blocks:
            block.second_norm.bias.zero_()
        assert correlation(small.front.blocks(x), teacher.front.blocks(expected)[..., ::2]) < whole
    assert whole > 0.97


# --- which channels are kept


def sums_of(inputs: torch.Tensor, weights: torch.Tensor, noise: float = 0.0) -> least_squares.Sums:
    layer = nn.Conv2d(inputs.shape[1], len(weights), 3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights)
        outputs = layer(inputs)
        outputs += noise * torch.randn(outputs.shape, generator=torch.Generator().manual_seed(5))
        return least_squares._sums(layer, [(inputs, outputs)])


def test_channels_that_change_nothing_go_first() -> None:
    chance = torch.Generator().manual_seed(4)
    inputs = torch.randn(8, 6, 10, 12, generator=chance)
    weights = torch.randn(4, 6, 3, 3, generator=chance)
    weights[:, 1] *= 0.01
    weights[:, 4] = 0.0
    sums = sums_of(inputs, weights, noise=0.1)
    assert least_squares.most_useful(sums, 6) == [0, 1, 2, 3, 4, 5]
    assert least_squares.most_useful(sums, 5) == [0, 1, 2, 3, 5]
    assert least_squares.most_useful(sums, 4) == [0, 2, 3, 5]


def test_of_two_channels_that_are_alike_one_is_kept() -> None:
    """Its weights take over what the other one gave, so that neither is missed, however large its weights are."""
    chance = torch.Generator().manual_seed(4)
    inputs = torch.randn(8, 5, 10, 12, generator=chance)
    inputs[:, 3] = inputs[:, 0] + 0.01 * inputs[:, 3]
    weights = torch.randn(4, 5, 3, 3, generator=chance)
    weights[:, [0, 3]] *= 3.0
    kept = least_squares.most_useful(sums_of(inputs, weights, noise=0.1), 4)
    assert kept in ([0, 1, 2, 4], [1, 2, 3, 4])


# --- the student that ships


def test_the_student_that_ships_fits_the_published_network() -> None:
    assert tuple(map(len, least_squares.KEPT)) == SHIPPED.layers
    for kept, layers in zip(least_squares.KEPT, Shape().layers, strict=True):
        assert list(kept) == sorted(set(kept)) and kept[0] >= 0 and kept[-1] < layers
    assert (SHIPPED.channels, SHIPPED.widths, SHIPPED.growth) == (Shape().channels, Shape().widths, Shape().growth)
    assert SHIPPED.frame_ms * SHIPPED.step == 2 * Shape().frame_ms * Shape().step
