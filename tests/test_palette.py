"""One palette: colours that colour-blind eyes tell apart, readable on both papers, and written down once."""

import itertools
import re
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from test_architecture import SOURCE
from voxtrait import palette
from voxtrait.palette import Colour

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB
EYES: Final = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
APART: Final = 20.0  # CIELAB distance
SHOWN: Final = {name: getattr(palette, name) for name in ("FEMALE", "MALE", "UNSURE", "OTHER", "MUSIC")}
SCHEMES: Final = ("light", "dark")
THEME: Final = SOURCE / "web" / "page" / "theme.css"


def linear(colour: str) -> NDArray[np.float64]:
    part = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear RGB as CIELAB, white at D65."""
    share = TO_XYZ @ rgb / TO_XYZ.sum(axis=1)
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, eyes: str) -> float:
    seen = [lab(np.clip(EYES[eyes] @ linear(colour), 0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours, 1 to 21."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_distance_and_contrast_are_right() -> None:
    assert distance("#ffffff", "#000000", "usual") == pytest.approx(100, abs=0.01)
    assert distance("#ff0000", "#00ff00", "usual") == pytest.approx(170.6, abs=0.1)
    assert distance("#ff0000", "#00ff00", "deuteranopia") < distance("#ff0000", "#0000ff", "deuteranopia")
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_of_voices_stay_apart_for_every_eye(scheme: str, eyes: str) -> None:
    near = {
        (a, b): round(distance(getattr(SHOWN[a], scheme), getattr(SHOWN[b], scheme), eyes), 1)
        for a, b in itertools.combinations(SHOWN, 2)
    }
    assert {pair: far for pair, far in near.items() if far < APART} == {}
    assert near["FEMALE", "MALE"] > 70


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_of_voices_stand_out_from_the_paper(scheme: str) -> None:
    papers = [getattr(paper, scheme) for paper in (palette.PAPER, palette.RAISED, palette.SUNK)]
    weak = {
        (name, paper): contrast(getattr(SHOWN[name], scheme), paper)
        for name in ("FEMALE", "MALE", "UNSURE", "OTHER")
        for paper in papers
    }
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 3} == {}
    if scheme == "dark":
        assert all(contrast(colour.dark, palette.TAPE) >= 3 for colour in SHOWN.values())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_readable(scheme: str) -> None:
    texts = {
        "ink": (palette.INK, palette.PAPER),
        "ink on sunk": (palette.INK, palette.SUNK),
        "quiet": (palette.QUIET, palette.PAPER),
        "quiet on raised": (palette.QUIET, palette.RAISED),
        "quiet on sunk": (palette.QUIET, palette.SUNK),
        "accent": (palette.ACCENT, palette.PAPER),
        "on accent": (palette.ON_ACCENT, palette.ACCENT),
        "warn": (palette.WARN, palette.WARN_PAPER),
    }
    ratios = {name: contrast(getattr(text, scheme), getattr(under, scheme)) for name, (text, under) in texts.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_the_page_has_the_palette_and_no_other_colour() -> None:
    text = THEME.read_text(encoding="utf-8")
    found = {name: value.strip() for name, value in re.findall(r"--([\w-]+):([^;]+);", text) if "#" in value}
    assert found == {
        name: colour if isinstance(colour, str) else f"light-dark({colour.light}, {colour.dark})"
        for name, colour in palette.VARIABLES.items()
    }
    assert len(re.findall(r"#[0-9a-f]{3,8}\b", text)) == sum(
        1 if isinstance(colour, str) else 2 for colour in palette.VARIABLES.values()
    )
    assert f"font-family: {palette.FONT};" in text


def test_every_constant_is_a_variable() -> None:
    constants = {name: value for name, value in vars(palette).items() if name.isupper()}
    colours = {
        name.lower().replace("_", "-"): value
        for name, value in constants.items()
        if isinstance(value, Colour) or (isinstance(value, str) and value.startswith("#"))
    }
    assert colours == palette.VARIABLES
