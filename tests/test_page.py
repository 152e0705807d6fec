"""The page in a browser: recording, playback, the microphone, and what fails."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxtrait
from pages import RATE, Visit, becomes, expect, launch, record, recorded, saved, serving, visits
from voxtrait import audio, bundle

pytest_plugins = ["page_fixtures"]

GREYS = """() => {
  const tape = document.getElementById("tape");
  const { data, width, height } = tape.getContext("2d").getImageData(0, 0, tape.width, tape.height);
  const below = [];
  for (let y = Math.ceil(0.5 * height); y < height; y += 4) {
    for (let x = Math.ceil(0.75 * width); x < width; x += 4) {
      const at = 4 * (y * width + x);
      below.push([data[at], data[at + 1], data[at + 2]]);
    }
  }
  const near = below.every(([r, g, b]) => Math.max(r, g, b) - Math.min(r, g, b) < 12);
  return new Set(below.map(([r]) => r)).size > 50 && { near };
}"""
LOUD = "() => Number(document.getElementById('record').style.getPropertyValue('--level')) > 0.1"
# all that the button of the player says from now on
WATCHED = """() => {
  const play = document.querySelector(".play");
  window.said = [];
  new MutationObserver(() => window.said.push(play.textContent)).observe(play, { childList: true });
}"""
HEAD = "parseFloat(document.querySelector('.head').style.left)"
PLACE = "Number(document.querySelector('.place').value)"


def test_a_recording_is_answered_as_its_file_would_be(visit: Visit, tmp_path: Path) -> None:
    tab = visit()
    tab.click("#record")
    recorded(tab, 3)
    tab.wait_for_selector("#so-far-p:not(:empty)")
    expect(tab.locator("#so-far-gender")).to_have_text("male")
    tab.wait_for_function(LOUD)  # between two words it is not
    drawn = tab.wait_for_function(GREYS, polling=100)  # the spectrogram is there, in the greys of `voxtrait images`
    assert drawn.json_value()["near"]
    tab.click("#record")
    tab.wait_for_selector("#single .card.ok")
    expect(tab.locator(".part.gender .big")).to_have_text("male")
    label = tab.locator(".gender-bar")
    expect(label).to_have_attribute("aria-label", re.compile(r"^Presents as male\. Probability of female 0\.0"))
    low, high = bundle.load().calibration["gender"]["unsure"]
    zone = re.escape(f"The abstention band is {low:.2f} to {high:.2f}.")
    expect(label).to_have_attribute("aria-label", re.compile(zone))
    tab.wait_for_selector(".player[data-shown=yes]")
    said = json.loads(saved(tab, "footer .button >> nth=1", tmp_path).read_text("utf-8"))
    heard = saved(tab, "footer .button >> nth=0", tmp_path)
    answer = voxtrait.load().predict(heard).to_dict()
    assert list(said) == list(answer)
    assert (said["status"], said["gender"], said["model"]) == ("ok", "male", bundle.load().title)
    assert said["path"].startswith("recording 20") and said["path"].endswith(".wav")
    assert said["duration_s"] == pytest.approx(answer["duration_s"], abs=0.1)
    assert said["p_female"] == pytest.approx(answer["p_female"], abs=0.01)  # 16 bits were kept, and floats heard
    assert said["age_years"] == pytest.approx(answer["age_years"], abs=1)
    expect(tab.locator("#announcer")).to_have_text(re.compile("^" + re.escape(said["path"])))


def test_real_speech_from_the_microphone(
    driver: Any, address: str, speech_clips: list[tuple[Path, np.ndarray]], tmp_path: Path
) -> None:
    model = voxtrait.load()
    for path, signal in speech_clips:
        answer = model.predict(path)
        if answer.gender == "female" and (answer.p_female or 0) > 0.9 and len(signal) > 4 * RATE:
            break
    else:
        pytest.skip("no clip of a clear voice")
    audio.write_wav(tmp_path / "heard.wav", signal, RATE)
    browser = launch(driver, tmp_path / "heard.wav")
    with visits(browser, address) as visit:
        tab = visit()
        record(tab, seconds=4)
        expect(tab.locator(".part.gender .big")).to_have_text("female")
    browser.close()


@pytest.mark.parametrize("key", [" ", "Escape", "Enter"])
def test_recording_by_the_keyboard_alone(visit: Visit, key: str) -> None:
    tab = visit()
    tab.keyboard.press("Tab")
    expect(tab.locator("a.skip")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#main")).to_be_focused()
    tab.keyboard.press("Tab")
    expect(tab.locator("#record")).to_be_focused()
    tab.keyboard.press("Enter")
    recorded(tab, 1)
    tab.keyboard.press(key)
    tab.wait_for_selector("#single .card")
    expect(tab.locator("#single .name")).to_be_focused()
    expect(tab.locator("#stage")).to_have_attribute("data-state", "idle")  # the key that ended it began no other
    tab.keyboard.press("Tab")
    expect(tab.locator("#single input[type=range]")).to_be_focused()
    tab.keyboard.press("Tab")
    expect(tab.locator("button:focus")).to_have_text("Play")


def test_a_clip_is_played_from_where_one_likes(visit: Visit, voices: Path) -> None:
    tab = visit()
    tab.set_input_files("#files", voices / "a.wav")
    position = tab.locator(".place")
    position.fill("2.5")
    expect(position).to_have_attribute("aria-valuetext", "2.5\u00a0s of 3.0\u00a0s")
    tab.evaluate(WATCHED)  # to look now and then would miss half a second
    tab.click(".play")
    tab.wait_for_function("() => window.said[0] === 'Pause' && window.said.at(-1) === 'Play'")  # its end
    becomes(tab, PLACE, pytest.approx(3.0, abs=0.05))
    becomes(tab, HEAD, pytest.approx(100, abs=2))
    position.focus()
    tab.keyboard.press("Home")
    expect(position).to_have_attribute("aria-valuetext", "0.0\u00a0s of 3.0\u00a0s")


def test_when_the_live_connection_breaks_the_recording_is_answered_all_the_same(visit: Visit) -> None:
    tab = visit(before=lambda tab: tab.route_web_socket("**/v1/live", lambda socket: socket.close()))
    tab.click("#record")
    recorded(tab, 2)
    expect(tab.locator("#notice:not([hidden])")).to_contain_text(
        "The recording continues, and the result appears after you stop."
    )
    expect(tab.locator("#so-far-gender")).to_have_text("After you stop")
    tab.click("#record")
    tab.wait_for_selector("#single .card.ok")
    expect(tab.locator(".part.gender .big")).to_have_text("male")
    expect(tab.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NotAllowedError", "The microphone is blocked."),
        ("NotFoundError", "No microphone was found."),
        ("NotReadableError", "The microphone could not be opened."),
    ],
)
def test_a_microphone_that_does_not_open(visit: Visit, name: str, said: str) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'))"
    tab = visit(before=lambda tab: tab.add_init_script(refuse))
    tab.click("#record")
    expect(tab.locator("#notice:not([hidden])")).to_contain_text(said)
    expect(tab.locator("#stage")).to_have_attribute("data-state", "idle")


def test_where_the_page_may_not_listen(visit: Visit) -> None:
    away = "const none = (from, name, value) => Object.defineProperty(from, name, { value });"
    away += "none(navigator, 'mediaDevices', undefined); none(window, 'isSecureContext', false)"
    tab = visit(before=lambda tab: tab.add_init_script(away))
    tab.click("#record")
    expect(tab.locator("#notice:not([hidden])")).to_contain_text("only on this machine or over https")


@pytest.mark.parametrize(
    ("file", "said", "todo"),
    [
        ("silent.wav", "No speech found", "Check that the right microphone is selected"),
        ("short.wav", "Too little speech", "Record a sentence or two"),
        ("text.wav", "This file could not be read", "This is not a supported audio file"),
    ],
)
def test_what_gets_no_answer_is_told_why(visit: Visit, voices: Path, file: str, said: str, todo: str) -> None:
    tab = visit(allow="415")
    tab.set_input_files("#files", voices / file)
    expect(tab.locator(".nothing .big")).to_have_text(said)
    expect(tab.locator(".todo")).to_contain_text(todo)
    expect(tab.locator(".card .name")).to_have_text(file)
    expect(tab.locator("#announcer")).to_have_text(f"{file}: {said}.")
    expect(tab.locator(".part")).to_have_count(0)


def test_a_busy_server_is_waited_for(visit: Visit, voices: Path) -> None:
    answers = iter([503, 429])

    def busy(route: Any) -> None:
        if status := next(answers, None):
            body = '{"error": {"code": "busy", "message": "busy"}}'
            route.fulfill(status=status, headers={"Retry-After": "1"}, content_type="application/json", body=body)
        else:
            route.continue_()

    tab = visit(allow="status of", before=lambda tab: tab.route("**/v1/predict", busy))
    tab.set_input_files("#files", voices / "a.wav")
    tab.wait_for_selector("#single .card.ok")
    assert next(answers, None) is None


def test_a_server_that_is_gone_can_be_asked_again(visit: Visit, voices: Path) -> None:
    tab = visit(allow="ERR_FAILED", before=lambda tab: tab.route("**/v1/predict", lambda route: route.abort(), times=1))
    tab.set_input_files("#files", voices / "a.wav")
    expect(tab.locator(".todo")).to_contain_text("voxtrait serve")
    tab.click("text=Try again")
    tab.wait_for_selector("#single .card.ok")


def test_the_token_is_asked_for_once(browser: Any, address: str, voices: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right-and-long-enough\n")
    with serving("--token-file", str(tmp_path / "token")) as guarded, visits(browser, guarded) as visit:
        tab = visit("/?", allow="401")
        tab.fill("#token", "wrong-and-long-enough")
        tab.keyboard.press("Enter")
        tab.locator("#token-note", has_text="The token was rejected").wait_for()
        tab.fill("#token", "right-and-long-enough")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("body[data-ready=yes]")
        tab.set_input_files("#files", voices / "a.wav")
        tab.wait_for_selector("#single .player[data-shown=yes]")
        record(tab, seconds=1)  # the live connection has the token, too
        expect(tab.locator("#notice")).to_be_hidden()
        becomes(tab, "Object.keys(sessionStorage)", ["voxtrait.token"])
        assert tab.evaluate("Object.keys(localStorage).length") == 0


def test_a_file_that_is_too_large_is_not_sent(visit: Visit, voices: Path) -> None:
    small = {"max_upload_bytes": 50_000, "max_seconds": 3600, "timeout_s": 60, "auth": False}
    sent: list[str] = []

    def before(tab: Any) -> None:
        tab.route("**/v1/limits", lambda route: route.fulfill(json=small))
        tab.on("request", lambda request: sent.append(request.url))

    tab = visit(before=before)
    tab.set_input_files("#files", voices / "a.wav")
    expect(tab.locator(".todo")).to_have_text(re.compile(re.escape("larger than the limit of this server (50 kB)")))
    assert [url for url in sent if url.endswith("/v1/predict")] == []
