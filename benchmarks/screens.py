"""Screenshots of every screen of the page: light and dark, desktop and phone, English and Russian.

python benchmarks/screens.py OUT [--address http://127.0.0.1:8000] [--only desktop-light-en] [--clips FILE …]

Without an address, a server is started. The recordings are synthetic voices, or the given clips. Needs Chromium. The
screen `example` is docs/images/page.png.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from voxtrait import audio
from voxtrait.synthetic import cohort, speak

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # for the browser and server of the tests
from pages import RATE, launch, serving

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
LOCALES = {"en": "en-GB", "ru": "ru-RU"}
NAMES = ("interview, first minute.wav", "аня.wav", "voice 3.wav", "voice 10.wav", "call-2026-04-11.wav", "reading.wav")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the screenshots")
    parser.add_argument("--address", help="address of a running server")
    parser.add_argument("--only", default="", help="Part of the name of a form, such as phone-dark.")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clips instead of synthetic voices")
    asked = parser.parse_args()
    served = nullcontext(asked.address.rstrip("/")) if asked.address else serving()
    with tempfile.TemporaryDirectory() as work, served as address:
        files = recordings(Path(work), asked.clips)
        with sync_playwright() as driver:
            browser = launch(driver, files[0])
            for form in forms():
                if asked.only in form:
                    look(browser, address, form, files, asked.out)
                    print(form, flush=True)
            browser.close()


def forms() -> list[str]:
    return [f"{size}-{scheme}-{locale}" for size in SIZES for scheme in ("light", "dark") for locale in LOCALES]


def recordings(folder: Path, clips: Sequence[Path]) -> list[Path]:
    """Write voices, two alternating voices, silence, a word that is too short, and a file that is not audio."""
    voices = [speak(voice, 6.0, 1) for voice in cohort(len(NAMES), 3)]
    for at, clip in enumerate(clips[: len(NAMES)]):
        voices[at] = audio.load(clip)[0]
    silence = np.zeros(3 * RATE, np.float32)
    talk = np.concatenate([speak(cohort(4, 3)[who], 4.0, seed=at) for at, who in enumerate((2, 3) * 9)])
    word = np.concatenate([silence[: RATE // 2], voices[0][: round(0.6 * RATE)], silence[: RATE // 2]])
    made = dict(zip((*NAMES, "talk.wav", "silence.wav", "a word.wav"), (*voices, talk, silence, word), strict=True))
    for name, signal in made.items():
        audio.write_wav(folder / name, signal, RATE)
    (folder / "notes.wav").write_text("This is no audio.\n", encoding="utf-8")
    return [folder / name for name in (*made, "notes.wav")]


def look(browser: Browser, address: str, form: str, files: Sequence[Path], out: Path) -> None:
    size, scheme, locale = form.split("-")
    width, height = SIZES[size]
    options: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "device_scale_factor": 2 if size == "phone" else 1,
        "has_touch": size == "phone",
        "is_mobile": size == "phone",
        "color_scheme": scheme,
        "locale": LOCALES[locale],
    }
    for name, visit in SCREENS.items():
        context = browser.new_context(**options, permissions=[] if name == "denied" else ["microphone"])
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]")
        whole = visit(page, files) is not False
        page.wait_for_timeout(250)
        target = out / name / f"{form}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target, full_page=whole)
        context.close()


# --- the screens


def first(page: Page, files: Sequence[Path]) -> bool:
    return True


def recording(page: Page, files: Sequence[Path]) -> bool:
    page.click("#record")
    page.wait_for_selector("#stage[data-state=recording]")
    page.locator("#clock", has_text="0:07").wait_for()
    page.wait_for_selector("#so-far-p:not(:empty)")
    return False


def recorded(page: Page, files: Sequence[Path]) -> bool:
    recording(page, files)
    page.click("#record")
    page.wait_for_selector(".player[data-shown]")
    return True


def denied(page: Page, files: Sequence[Path]) -> bool:
    refuse = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    page.evaluate(f"() => {{ {refuse} }}")
    page.click("#record")
    page.wait_for_selector("#notice:not([hidden])")
    return True


def chosen(at: int) -> Callable[[Page, Sequence[Path]], bool]:
    def visit(page: Page, files: Sequence[Path]) -> bool:
        page.set_input_files("#files", files[at])
        page.wait_for_selector(".card.error, .player[data-shown]")
        return True

    return visit


def example(page: Page, files: Sequence[Path]) -> bool:
    page.click("[data-example=male]")
    page.locator(".row-label", has_text="Hz").or_(page.locator(".row-label", has_text="Гц")).wait_for()
    page.wait_for_selector(".player[data-shown=yes]")
    page.mouse.move(0, 0)
    return True


def examples_of_two(page: Page, files: Sequence[Path]) -> bool:
    page.click("[data-example=talk]")
    page.wait_for_selector(".timeline .files")
    page.click(".accuracy summary")
    return True


def talk(page: Page, files: Sequence[Path]) -> bool:
    page.set_input_files("#files", files[len(NAMES)])
    page.wait_for_selector(".timeline .files")
    page.wait_for_timeout(500)
    return True


def zoomed(page: Page, files: Sequence[Path]) -> bool:
    talk(page, files)
    page.click(".zooms button >> nth=1")
    page.click(".timeline summary")
    return True


def making(page: Page, files: Sequence[Path]) -> bool:
    page.route("**/v1/timeline", lambda route: None)  # blocked requests wait until the page is closed
    page.set_input_files("#files", files[len(NAMES)])
    page.wait_for_selector(".timeline progress")
    return True


def many(page: Page, files: Sequence[Path]) -> bool:
    page.set_input_files("#files", [str(file) for file in files])
    page.wait_for_selector("#many-clear:not([hidden])")
    page.click("th.age_years button")
    return True


def working(page: Page, files: Sequence[Path]) -> bool:
    answered = iter(range(3))
    # blocked requests wait until the page is closed
    page.route("**/v1/predict", lambda route: route.continue_() if next(answered, None) is not None else None)
    page.set_input_files("#files", [str(file) for file in files])
    page.locator("#many-progress", has_text="3").wait_for()
    return True


def opened(page: Page, files: Sequence[Path]) -> bool:
    many(page, files)
    page.click("tbody tr:nth-child(2) .opener")
    page.wait_for_selector("#dialog .player[data-shown]")
    return False


def hanging(page: Page, files: Sequence[Path]) -> bool:
    page.evaluate("() => { document.body.dataset.hanging = 'yes' }")
    return False


def token(page: Page, files: Sequence[Path]) -> bool:
    page.evaluate("() => import('/static/token.js').then(({ askForToken }) => void askForToken(false))")
    page.wait_for_selector("#token-dialog[open]")
    return False


def model_card(page: Page, files: Sequence[Path]) -> bool:
    page.goto(f"{page.url.rstrip('/')}/model-card")
    return True


SCREENS: dict[str, Callable[[Page, Sequence[Path]], bool]] = {
    "first": first,
    "recording": recording,
    "recorded": recorded,
    "denied": denied,
    "example": example,
    "two-speakers": examples_of_two,
    "file": chosen(0),
    "unsure": chosen(2),
    "talk": talk,
    "zoomed": zoomed,
    "making": making,
    "silent": chosen(-3),
    "short": chosen(-2),
    "unreadable": chosen(-1),
    "working": working,
    "many": many,
    "opened": opened,
    "hanging": hanging,
    "token": token,
    "model-card": model_card,
}


if __name__ == "__main__":
    main()
