"""One palette: colours that colour-blind eyes tell apart, readable on both papers, and written down once."""

import importlib.util
import itertools
import re
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import pytest

from test_architecture import SOURCE
from voxtrait import palette
from voxtrait.palette import Colour

APART: Final = 20.0  # CIELAB distance
SHOWN: Final = {name: getattr(palette, name) for name in ("FEMALE", "MALE", "UNSURE", "OTHER", "MUSIC")}
SCHEMES: Final = ("light", "dark")
THEME: Final = SOURCE / "web" / "page" / "theme.css"


@pytest.fixture(scope="module")
def colours() -> ModuleType:
    """benchmarks/colours.py, by its path."""
    file = Path(__file__).resolve().parents[1] / "benchmarks" / "colours.py"
    spec = importlib.util.spec_from_file_location("colours", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_distance_and_contrast_are_right(colours: ModuleType) -> None:
    distance, contrast = colours.distance, colours.contrast
    assert distance("#ffffff", "#000000", "usual") == pytest.approx(100, abs=0.01)
    assert distance("#ff0000", "#00ff00", "usual") == pytest.approx(170.6, abs=0.1)
    assert distance("#ff0000", "#00ff00", "deuteranopia") < distance("#ff0000", "#0000ff", "deuteranopia")
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("eyes", ["usual", "protanopia", "deuteranopia", "tritanopia"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_of_voices_stay_apart_for_every_eye(colours: ModuleType, scheme: str, eyes: str) -> None:
    near = {
        (a, b): round(colours.distance(getattr(SHOWN[a], scheme), getattr(SHOWN[b], scheme), eyes), 1)
        for a, b in itertools.combinations(SHOWN, 2)
    }
    assert {pair: far for pair, far in near.items() if far < APART} == {}
    assert near["FEMALE", "MALE"] > 70


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_of_voices_stand_out_from_the_paper(colours: ModuleType, scheme: str) -> None:
    papers = [getattr(paper, scheme) for paper in (palette.PAPER, palette.RAISED, palette.SUNK)]
    weak = {
        (name, paper): colours.contrast(getattr(SHOWN[name], scheme), paper)
        for name in ("FEMALE", "MALE", "UNSURE", "OTHER")
        for paper in papers
    }
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 3} == {}
    if scheme == "dark":
        assert all(colours.contrast(colour.dark, palette.TAPE) >= 3 for colour in SHOWN.values())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_readable(colours: ModuleType, scheme: str) -> None:
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
    ratios = {
        name: colours.contrast(getattr(text, scheme), getattr(under, scheme)) for name, (text, under) in texts.items()
    }
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


def test_a_picture_is_simulated_like_a_colour(colours: ModuleType) -> None:
    image = np.array([[[0xB2, 0x6A, 0x00], [255, 255, 255]]], dtype=np.uint8)
    assert colours.seen_by(image, "usual").tolist() == image.tolist()
    seen = colours.seen_by(image, "tritanopia")[0]
    assert np.abs(seen[1].astype(int) - 255).max() <= 1  # white stays white
    there = colours.lab(colours.to_linear(seen[0] / 255))
    alone = colours.lab(np.clip(colours.EYES["tritanopia"] @ colours.linear("#b26a00"), 0, 1))
    assert np.linalg.norm(there - alone) < 0.5


COLOUR: Final = re.compile(r"(?<![&\w])#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b")
NAMED: Final = re.compile(r"""(?:color|facecolor|edgecolor|ink)=["'](?!none)[a-z]+["']""")


def test_colours_are_written_down_once() -> None:
    places = {SOURCE / "palette" / "__init__.py", THEME}
    found = {}
    for file in sorted(SOURCE.rglob("*")):
        if file.suffix not in (".py", ".css", ".js", ".html", ".svg") or file in places:
            continue
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            text = re.sub(r">>>.*|^ +'.*'$", "", text, flags=re.MULTILINE)  # examples show what a colour becomes
        if wrong := [*COLOUR.findall(text), *(NAMED.findall(text) if file.suffix == ".py" else [])]:
            found[file.relative_to(SOURCE).as_posix()] = wrong
    assert found == {"web/page/favicon.svg": [palette.ACCENT.light, palette.ON_ACCENT.light]}
