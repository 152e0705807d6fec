"""The static site: the page predicts in the browser what Python predicts, sends nothing, and works offline."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

import nodes
from pages import RATE, Visit, expect, visits
from sites import Quiet, hosted, written
from voxtrait import audio, recognize
from voxtrait.cli import root
from voxtrait.synthetic import draw_voice, speak
from voxtrait.web import site

pytest_plugins = ["page_fixtures", "site_fixtures"]


def test_files_are_predicted_in_the_browser_and_offline(opened: Visit, voices: Path) -> None:
    tab = opened()
    expect(tab.locator("#private")).to_have_text("Nothing is stored. Audio stays on this machine.")
    tab.click("[data-example=female]")
    expect(tab.locator("#single .card.ok h2")).to_have_text("Female voice (synthetic).wav")
    tab.set_input_files("#files", voices / "a.wav")
    expect(tab.locator("#single .card.ok h2")).to_have_text("a.wav")
    expected = recognize.load("voxtrait-fast").predict(voices / "a.wav")
    shown = tab.evaluate("document.querySelector('#single .years').textContent")
    assert abs(int("".join(filter(str.isdigit, shown))) - round(expected.age_years or 0)) <= 2
    gender = {"female": "female", "male": "male", "unsure": "unsure"}[expected.gender or ""]
    assert gender in tab.locator("#single .gender").inner_text().lower()
    expect(tab.locator("#single .player[data-shown=yes]")).to_be_visible()
    tab.evaluate("navigator.serviceWorker.ready")
    tab.wait_for_function("caches.keys().then((names) => names.length === 1)")
    before = len(Quiet.asked)
    tab.context.set_offline(True)
    tab.reload()
    tab.wait_for_selector("body[data-ready=yes]")
    assert tab.evaluate("fetch('./?from=link').then((found) => found.ok)")
    files = [voices / name for name in ("b, too.wav", "silent.wav", "short.wav", "text.wav")]
    tab.set_input_files("#files", files)
    for kind in ("no_speech", "too_short", "error"):
        expect(tab.locator(f"#counts .{kind}")).to_have_count(1)
    expect(tab.locator("#progress")).to_be_hidden()
    assert set(Quiet.asked[before:]) <= {"/voice/sw.js"}  # the browser itself looks for a new version


def test_a_recording_has_live_estimates_and_a_result(opened: Visit) -> None:
    tab = opened(color_scheme="dark", viewport={"width": 390, "height": 844})
    tab.click("#record")
    expect(tab.locator("#so-far-age")).to_contain_text("years")
    assert tab.evaluate("document.querySelector('#so-far-gender').textContent") != ""
    tab.click("#record")
    expect(tab.locator("#single .card.ok")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


CONTROLLED = """() => new Promise((done) => {
  if (navigator.serviceWorker.controller) done();
  else navigator.serviceWorker.addEventListener("controllerchange", () => done());
})"""


def test_several_voices_are_found_without_a_network(browser: Any, tmp_path: Path) -> None:
    written(tmp_path / "site", "voxtrait-base")
    voices = [draw_voice("female", 70.0, seed=2), draw_voice("male", 25.0, seed=4)]
    audio.write_wav(tmp_path / "two.wav", np.concatenate([speak(voice, 10.0, seed=1) for voice in voices]), RATE)
    with hosted(tmp_path / "site") as host, visits(browser, host) as visit:
        tab = visit("/")
        tab.wait_for_selector("body[data-ready=yes]")
        tab.evaluate(CONTROLLED)
        tab.context.set_offline(True)
        tab.set_input_files("#files", tmp_path / "two.wav")
        expect(tab.locator("#single .several")).to_contain_text("or use voxtrait timeline")
        expect(tab.locator("#single .several")).to_be_visible()


def without(name: str) -> Callable[[Any], None]:
    """Prepare a tab that cannot load a file."""
    return lambda tab: tab.route(f"**/{name}", lambda route: route.abort())


def test_the_worker_starts_before_the_page_and_its_failure_is_shown(browser: Any, host: str, voices: Path) -> None:
    with visits(browser, host) as visit:
        tab = visit("/voice/", allow="ERR_FAILED", before=without("app.js"))
        tab.wait_for_load_state()
        assert len(tab.workers) == 1
        tab = visit("/voice/", allow="ERR_FAILED", before=without("ort.wasm.min.mjs"))
        tab.wait_for_selector("body[data-ready=yes]")
        for name in ("a.wav", "c9.wav"):  # also after the failure
            tab.set_input_files("#files", voices / name)
            expect(tab.locator("#single .card.error h2")).to_have_text(name)


def test_the_policy_allows_nothing_outside_and_the_site_is_small(folder: Path) -> None:
    for page in ("index.html", "model-card.html"):
        text = (folder / page).read_text("utf-8")
        assert f'<meta http-equiv="Content-Security-Policy" content="{site.POLICY}">' in text
        assert "http:" not in site.POLICY and "https:" not in site.POLICY and "unsafe-inline" not in site.POLICY
    listed = (folder / "sw.js").read_text("utf-8")
    files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    later = {"sw.js", *(name for name in files if name.startswith("examples/"))}
    assert {name for name in files if f'"{name}"' not in listed} == later and len(later) == 4
    first = sum(len(gzip.compress((folder / name).read_bytes(), 6)) for name in files if name not in later)
    assert first < 10e6  # transferred at the first visit, from a host that compresses


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    cases = [
        ([tmp_path / "full"], "is not an empty folder. Choose a new folder for the site."),
        ([tmp_path / "new", "--runtime", tmp_path], "lacks dist/ort.wasm.min.mjs. Expected the folder of onnxruntime"),
    ]
    runtime = nodes.PACKAGES / "onnxruntime-web"
    if runtime.is_dir():  # `make node`
        cases.append(([tmp_path / "new", "--model", "voxtrait-diary", "--runtime", runtime], "is a CNN on"))
    for arguments, reason in cases:
        done = CliRunner().invoke(root, ["site", *map(str, arguments)])
        assert done.exit_code == 2 and reason in done.output, done.output
    assert not (tmp_path / "new").exists()
