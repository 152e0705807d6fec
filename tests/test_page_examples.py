"""Synthetic example clips: generated the same every time, free of the token, and one click away on the start page."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from pages import Visit, becomes, expect
from test_page_looks import PAPER, SMALL, WIDTH, problems
from voxtrait.web import Settings, create_app, examples

pytest_plugins = ["page_fixtures"]


@pytest.mark.parametrize("name", examples.NAMES)
def test_a_clip_is_synthesised_once(name: str) -> None:
    client = TestClient(
        create_app(None, Settings(workers=1, token="a-token-of-some-length")), base_url="http://localhost"
    )
    found = client.get(f"/examples/{name}.wav")
    assert (found.status_code, found.headers["content-type"]) == (200, "audio/wav")
    assert client.head(f"/examples/{name}.wav").status_code == 200
    assert client.get(f"/examples/{name}.wav").content == found.content
    assert soundfile.info(io.BytesIO(found.content)).subtype == "PCM_16"
    signal, rate = soundfile.read(io.BytesIO(found.content))
    assert (rate, signal.ndim) == (16_000, 1)
    assert len(signal) / rate == (24 if name == "talk" else 8)
    turns = signal.reshape(-1, 4 * rate)
    levels = 10 * np.log10(np.mean(np.square(turns), axis=1))
    if name == "talk":
        assert levels == pytest.approx(-20, abs=0.05)  # both speakers have one level
    assert -32 < levels.min() < levels.max() < -18
    assert np.abs(signal).max() < 1
    examples.example.cache_clear()
    assert examples.example(name) == found.content


@pytest.mark.parametrize("name", ["other", "..%2Fapp", "female.wav", ""])
def test_other_names_are_not_found(name: str) -> None:
    client = TestClient(create_app(None, Settings(workers=1)), base_url="http://localhost")
    found = client.get(f"/examples/{name}.wav")
    assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("name", "title", "gender"),
    [("female", "Female voice (synthetic).wav", "female"), ("male", "Older male voice (synthetic).wav", "male")],
)
def test_one_click_tries_an_example(visit: Visit, name: str, title: str, gender: str) -> None:
    tab = visit()
    expect(tab.locator(".examples")).to_contain_text("Not recordings of people.")
    tab.locator(f"[data-example={name}]").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#single .card.ok .name")).to_have_text(title)
    expect(tab.locator(".part.gender .big")).to_have_text(gender)
    expect(tab.locator(".examples")).to_be_hidden()


def test_the_example_of_two_speakers_has_two_lanes(visit: Visit) -> None:
    tab = visit()
    tab.click("[data-example=talk]")
    expect(tab.locator(".timeline header")).to_contain_text("2 speakers")
    expect(tab.locator(".row-label strong")).to_have_text(["S1 female", "S2 male"])


def test_an_example_that_cannot_be_loaded(visit: Visit) -> None:
    def before(tab: Any) -> None:
        tab.route("**/examples/*", lambda route: route.abort(), times=1)

    tab = visit(allow="ERR_FAILED", before=before)
    tab.click("[data-example=female]")
    expect(tab.locator("#drop-note")).to_have_text("The example could not be loaded.")
    tab.click("[data-example=female]")
    tab.wait_for_selector("#single .card.ok")
    expect(tab.locator("#drop-note")).to_be_hidden()


def test_accuracy_and_limits_are_for_everybody(visit: Visit) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    tab = visit(locale="ru-RU", reduced_motion="reduce", **phone)
    tab.click("[data-example=male]")
    tab.wait_for_selector(".player[data-shown=yes]")
    tab.click(".accuracy summary")
    expect(tab.locator(".accuracy table").first).to_be_visible()
    becomes(tab, WIDTH, 390)
    becomes(tab, SMALL, [])
    assert problems(tab) == []
    tab.emulate_media(color_scheme="dark")
    becomes(tab, PAPER, "rgb(26, 24, 21)")
    assert problems(tab) == []
