"""Simulates colour blindness on the palette: ``python benchmarks/colours.py [build]`` writes ``build/colours.png``.

The image shows swatches, figures of the report and a timeline, on light and dark paper, for normal vision and three
deficiencies. The smallest distance and contrast of each colour are printed. Needs Playwright and Chromium.
The simulation is that of G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009, at severity 1.0, on linear RGB.
"""

import base64
import itertools
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait import palette
from voxtrait.evaluate import plots
from voxtrait.palette import pages
from voxtrait.timelines import Segment, Speaker, Timeline
from voxtrait.timelines.plot import plot

Floats = NDArray[np.float64]

EYES: Final[dict[str, Floats]] = {
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
SHOWN: Final = ("female", "male", "unsure", "other", "music")
SCHEMES: Final = ("light", "dark")


def to_linear(values: Floats) -> Floats:
    """Convert sRGB in [0, 1] to linear RGB."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear(colour: str) -> Floats:
    """Convert a colour such as ``#b26a00`` to linear RGB."""
    return to_linear(np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255)


def lab(rgb: Floats) -> Floats:
    """Convert linear RGB to CIELAB with white at D65."""
    share = TO_XYZ @ rgb / TO_XYZ.sum(axis=1)
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, eyes: str) -> float:
    """Return the CIELAB distance of two colours for one kind of vision."""
    seen = [lab(np.clip(EYES[eyes] @ linear(colour), 0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast ratio of two colours, 1 to 21."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def seen_by(image: NDArray[np.uint8], eyes: str) -> NDArray[np.uint8]:
    """Simulate one kind of vision on an image ``(height, width, 3)``."""
    rgb = np.clip(to_linear(image / 255) @ EYES[eyes].T, 0, 1)
    return np.rint(255 * np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)).astype(np.uint8)


def page() -> str:
    """Return a page with everything that is distinguished by colour."""

    def row(value: float, n: int = 40) -> dict[str, Any]:
        return {"value": value, "low": value - 0.04, "high": min(1.0, value + 0.03), "n_clips": n, "n_speakers": n}

    names = ("twenties", "thirties", "forties")
    groups = {name: {"female": row(0.93 - 0.02 * at), "male": row(0.95 - 0.01 * at)} for at, name in enumerate(names)}
    figures = [
        plots.fairness(groups),
        plots.recalls({"female": row(0.94), "male": row(0.97)}, 0.5),
    ]
    swatches = "".join(
        f'<span style="display:inline-block;width:9rem;padding:1rem;margin:.2rem;background:var(--{name});'
        f'color:var(--paper);font-weight:700">{name}</span>'
        for name in (*SHOWN, "accent", "quiet")
    )
    with tempfile.TemporaryDirectory() as folder:
        plot(talk(), Path(folder, "talk.png"))
        drawn = base64.b64encode(Path(folder, "talk.png").read_bytes()).decode()
    timeline = f'<img alt="" style="width:100%" src="data:image/png;base64,{drawn}">'
    return f"<style>{pages.style()}</style><p>{swatches}</p>{''.join(figures)}{timeline}"


def talk() -> Timeline:
    """A short conversation of three speakers, with music."""
    genders = {"S1": "female", "S2": "male", "S3": "unsure"}
    speakers = tuple(Speaker(name, 8.0, gender, 0.5, 40.0, 30.0, 50.0) for name, gender in genders.items())
    turns = [Segment(4.0 * at, 4.0 * at + 3.5, name) for at, name in enumerate([*genders, *genders])]
    return Timeline("talk.mp3", "ok", None, 36.0, 24.0, speakers, (*turns, Segment(25.0, 34.0, None, "music")), "")


def screenshots(html: str) -> list[NDArray[np.uint8]]:
    """The page in each scheme, ``(height, width, 3)``."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    found = []
    own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=own, args=["--no-sandbox"])
        for scheme in SCHEMES:
            tab = browser.new_page(viewport={"width": 900, "height": 700}, color_scheme=scheme)
            tab.set_content(html)
            tab.evaluate("document.fonts.ready")
            found.append(np.asarray(Image.open(BytesIO(tab.screenshot(full_page=True))).convert("RGB")))
    return found


def main() -> None:
    from PIL import Image

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    folder.mkdir(parents=True, exist_ok=True)
    both = np.concatenate(screenshots(page()), axis=1)
    Image.fromarray(np.concatenate([seen_by(both, eyes) for eyes in EYES])).save(folder / "colours.png")
    print("| scheme | eyes | nearest two | distance in CIELAB | female from male |\n|---|---|---|---|---|")
    for scheme, eyes in itertools.product(SCHEMES, EYES):
        colours = {name: getattr(palette, name.upper()) for name in SHOWN}
        far = {
            pair: distance(getattr(colours[pair[0]], scheme), getattr(colours[pair[1]], scheme), eyes)
            for pair in itertools.combinations(SHOWN, 2)
        }
        nearest = min(far, key=lambda pair: far[pair])
        print(f"| {scheme} | {eyes} | {', '.join(nearest)} | {far[nearest]:.1f} | {far['female', 'male']:.1f} |")
    print(f"\n{folder / 'colours.png'}: rows {', '.join(EYES)}; left on light paper, right on dark paper")


if __name__ == "__main__":
    main()
