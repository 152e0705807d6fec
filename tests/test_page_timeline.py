"""The timeline on the page: lanes, charts, zoom, files, and what is said when there is none."""

import base64
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxtrait
from pages import RATE, Visit, becomes, expect, saved
from test_page_looks import PAPER, SMALL, WIDTH, problems
from voxtrait import audio, features, palette
from voxtrait.recognize.notes import averaged_note
from voxtrait.synthetic import cohort, speak
from voxtrait.timelines.formats import ENDINGS, render
from voxtrait.timelines.records import Segment, Speaker, Timeline

pytest_plugins = ["page_fixtures"]

SHARES = {"twenties": 0.5, "thirties": 0.5}
CAST = (
    Speaker("S1", 60.0, "female", 0.97, 31.0, 22.0, 44.0, "thirties", SHARES),
    Speaker("S2", 40.0, "male", 0.02, 52.0, 41.0, 66.0, "fifties", SHARES),
    Speaker("S3", 0.5),
)
TALK = Timeline(
    "talk.wav", "ok", None, 120.0, 95.0, CAST,
    (
        Segment(0.0, 50.0, "S1"), Segment(45.0, 80.0, "S2"), Segment(80.0, 90.0, None, "music"),
        Segment(91.0, 91.5, "S3"), Segment(92.0, 102.0, "S1"), Segment(110.0, 115.0, "S2"),
    ),
    "voxtrait-base 2.2",
)  # fmt: skip
PNG = features.encode_png(np.full((96, 432), 128, np.uint8))


def piece(start: float, end: float, duration: float) -> dict[str, Any]:
    pictures = {
        "waveform": [[-0.3, 0.3]] * 300,
        "spectrogram": "data:image/png;base64," + base64.b64encode(PNG).decode(),
    }
    return {"type": "piece", "start_s": start, "end_s": end, "at_s": end, "duration_s": duration} | pictures


def lines_of(timeline: Timeline, course: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What the server would send."""
    duration = timeline.duration_s or 0.0
    starts = np.arange(0, duration, 30).tolist()
    formats = [
        {"format": name, "ending": ENDINGS[name], "content": render([timeline], name)}
        for name in ("json", "csv", "rttm", "textgrid", "srt", "audacity")
    ]
    return [
        *(piece(start, min(duration, start + 30), duration) for start in starts),
        *([course] if course else []),
        {"type": "timeline", "timeline": timeline.to_dict()},
        {"type": "formats", "formats": formats},
    ]


def answered(lines: list[dict[str, Any]], duration: float, **prediction: Any) -> Callable[[Any], None]:
    """Answer a tab's requests for a prediction and for a timeline."""
    said = {
        "path": "a", "status": "ok", "message": None, "duration_s": duration, "speech_s": 0.9 * duration,
        "gender": "female", "p_female": 0.9, "age_years": 33.0, "age_low": 24.0, "age_high": 45.0,
        "age_group": "thirties", "age_groups": SHARES, "model": "voxtrait-base 2.2",
    } | prediction  # fmt: skip
    body = "".join(json.dumps(line) + "\n" for line in lines)

    def before(tab: Any) -> None:
        tab.route("**/v1/predict", lambda route: route.fulfill(json=said))
        tab.route("**/v1/timeline", lambda route: route.fulfill(body=body, content_type="application/x-ndjson"))

    return before


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of sound; what is in it is made up by the answers."""
    file = tmp_path_factory.mktemp("talk") / "talk.wav"
    audio.write_wav(file, np.tile(0.2 * speak(cohort(4, 3)[2], 10.0, 1), 12), RATE)
    return file


def shown(visit: Visit, talk: Path, timeline: Timeline = TALK, **options: Any) -> Any:
    """A tab with a timeline on it."""
    options = {"viewport": {"width": 1280, "height": 1600}, **options}
    tab = visit(before=answered(lines_of(timeline), timeline.duration_s or 0.0, voices="several"), **options)
    tab.set_input_files("#files", talk)
    tab.wait_for_selector(".timeline .files")
    tab.wait_for_selector(".player[data-shown=yes]")
    tab.wait_for_selector(".age-curve svg", state="attached")  # drawn once the browser has laid out the page
    return tab


COLOUR = """([row, share]) => {
  const canvas = document.querySelector("canvas.shown");
  const ratio = window.devicePixelRatio;
  const y = (parseFloat(document.querySelectorAll(".row-label")[row].style.top) + 32) * ratio;
  return [...canvas.getContext("2d").getImageData(share * canvas.width, y, 1, 1).data].slice(0, 3);
}"""
PAUSED = "document.querySelector('audio').paused"
PLACE = "Number(document.querySelector('.place').value)"
# where each playing begins: a slow look at a sound that plays finds it farther on
BEGUN = """() => {
  const sound = document.querySelector("audio");
  window.begun = [];
  sound.play = () => {
    window.begun.push(sound.currentTime);
    return HTMLMediaElement.prototype.play.call(sound);
  };
}"""
PLAYING = "() => { const sound = document.querySelector('audio'); return sound.paused ? null : sound.currentTime; }"
DRAWN = "() => [...document.querySelectorAll('.turns button')].every((one) => one.getBoundingClientRect().height > 0)"
IN_VIEW = """() => {
  const { scrollLeft, scrollWidth, clientWidth } = document.querySelector(".scroll");
  return [scrollLeft / scrollWidth, (scrollLeft + clientWidth) / scrollWidth];
}"""


def rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


FEMALE, MALE, TAPE = rgb(palette.FEMALE.dark), rgb(palette.MALE.dark), [0, 0, 0]  # the tape is dark in both themes


def at(tab: Any, row: int, share: float) -> tuple[float, float]:
    """Where in the view a lane is, at a share of the recording."""
    label = tab.locator(".row-label").nth(row).bounding_box()
    view = tab.locator(".view").bounding_box()
    return view["x"] + share * view["width"], label["y"] + 32


def test_two_voices_from_the_file_to_the_page(visit: Visit, tmp_path: Path) -> None:
    cast = cohort(4, 3)
    turns = [speak(cast[who], 4.0, seed=at) for at, who in enumerate((2, 3, 2, 3))]
    audio.write_wav(tmp_path / "two.wav", 0.2 * np.concatenate(turns), RATE)
    timeline = voxtrait.timeline(tmp_path / "two.wav").to_dict() | {"path": "two.wav"}
    tab = visit()
    tab.set_input_files("#files", tmp_path / "two.wav")
    tab.wait_for_selector(".row-label")
    if len(timeline["speakers"]) > 1:
        names = [f"{one['speaker']} {one['gender']}" for one in timeline["speakers"]]
        expect(tab.locator(".row-label strong")).to_have_text(names)
        file = saved(tab, ".files button >> nth=0", tmp_path)
        assert (file.name, json.loads(file.read_text("utf-8"))) == ("two.timeline.json", timeline)
    else:
        expect(tab.locator(".row-labels")).to_contain_text("Pitch Hz")
    expect(tab.locator(".player")).to_have_attribute("data-shown", "yes")


def test_lanes_by_speaker_coloured_by_gender(visit: Visit, talk: Path) -> None:
    tab = shown(visit, talk)
    labels = [
        "S1 female about 31 years (22–44) · 60.0 s, 60 %",
        "S2 male about 52 years (41–66) · 40.0 s, 40 %",
        "S3 too little speech for an estimate · 0.5 s, 0 %",
        "Music 10.0 s",
    ]
    expect(tab.locator(".row-label")).to_have_text(labels)
    becomes(tab, COLOUR, FEMALE, [0, 20 / 120])
    becomes(tab, COLOUR, MALE, [1, 60 / 120])
    becomes(tab, COLOUR, FEMALE, [0, 47 / 120])  # both speak
    becomes(tab, COLOUR, MALE, [1, 47 / 120])
    assert tab.evaluate(COLOUR, [0, 85 / 120]) not in (FEMALE, MALE)
    assert tab.evaluate(COLOUR, [3, 85 / 120]) not in (FEMALE, MALE, TAPE)  # music
    expect(tab.locator(".several:not([hidden])")).to_contain_text("several voices")
    expect(tab.locator(".share-names li")).to_have_count(3)
    expect(tab.locator(".timeline header")).to_contain_text("3 speakers · 5 turns")
    expect(tab.locator("canvas.shown")).to_have_attribute("aria-label", re.compile(r"3 speakers\. 5 turns$"))


def test_the_share_of_female_voices_is_shown_if_a_voice_is_unsure(visit: Visit, talk: Path) -> None:
    tab = shown(visit, talk)
    expect(tab.locator(".share-names")).to_be_visible()
    expect(tab.get_by_text("counted by probability")).to_have_count(0)
    unsure = dataclasses.replace(TALK, speakers=(CAST[0], dataclasses.replace(CAST[1], gender="unsure", p_female=0.4)))
    tab = shown(visit, talk, dataclasses.replace(unsure, segments=unsure.segments[:3]))
    found = {name: round(100 * part) for name, part in unsure[0:85].female_share().items()}
    share = f"{found['share']} % (95 % interval: {found['low']} to {found['high']} %)"
    expect(tab.get_by_text(f"Share of female voices, unsure ones counted by probability: {share}")).to_be_visible()


def test_turns_are_a_list_and_every_format_is_saved_as_the_server_wrote_it(
    visit: Visit, talk: Path, tmp_path: Path
) -> None:
    tab = shown(visit, talk)
    names = []
    for number, name in enumerate(("json", "csv", "rttm", "textgrid", "srt", "audacity")):
        file = saved(tab, f".files button >> nth={number}", tmp_path)
        assert file.read_text("utf-8") == render([TALK], name)
        names.append(file.name)
    assert names == ["talk.timeline.json", "talk.timeline.csv", "talk.rttm", "talk.TextGrid", "talk.srt", "talk.txt"]
    expect(tab.locator(".turns li")).to_have_count(0)
    tab.focus("summary")
    tab.keyboard.press("Enter")
    expect(tab.locator(".turns li")).to_have_count(6)
    expect(tab.locator(".turns li").nth(2)).to_have_text(re.compile(r"^1:20\.0–1:30\.0"))
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    expect(tab.locator("button:focus")).to_have_attribute("aria-label", "Play from 0:45.0: S2, male, until 1:20.0")
    tab.evaluate(BEGUN)
    tab.keyboard.press("Enter")
    tab.wait_for_function(PLAYING)
    assert tab.evaluate("window.begun") == pytest.approx([45], abs=2)


def test_a_click_on_a_turn_plays_it_and_another_moves_the_position(visit: Visit, talk: Path) -> None:
    tab = shown(visit, talk)
    tab.evaluate(BEGUN)
    tab.mouse.click(*at(tab, 1, 75 / 120))
    tab.wait_for_function(PLAYING)
    assert tab.evaluate("window.begun") == pytest.approx([75], abs=2)
    tab.mouse.click(*at(tab, 2, 91.25 / 120))  # narrow: from its start
    becomes(tab, "window.begun", pytest.approx([75, 91], abs=0.3))
    tab.wait_for_function("() => document.querySelector('audio').currentTime > 90.9")
    tab.click(".play")
    becomes(tab, PAUSED, True)
    tab.mouse.click(*at(tab, 1, 30 / 120))  # nobody speaks in this lane
    becomes(tab, PLACE, pytest.approx(30, abs=0.3))
    assert tab.evaluate(PAUSED)
    becomes(tab, "parseFloat(document.querySelector('.head').style.left)", pytest.approx(25, abs=0.3))
    expect(tab.locator(".clock.number")).to_have_text("0:30 / 2:00")
    assert len(tab.evaluate("window.begun")) == 2


def test_zoom_by_buttons_wheel_keyboard_and_fingers(visit: Visit, talk: Path) -> None:
    tab = shown(visit, talk, has_touch=True)
    out, closer, whole = (tab.locator(".zooms button").nth(number) for number in range(3))
    expect(out).to_be_disabled()
    expect(whole).to_be_disabled()
    closer.click()
    closer.click()
    tab.wait_for_function(f"() => ({IN_VIEW})().every((share, at) => Math.abs(share - [0.375, 0.625][at]) < 0.01)")
    tab.mouse.move(*at(tab, 0, 0.5))
    tab.keyboard.down("Control")
    tab.mouse.wheel(0, -200)
    tab.keyboard.up("Control")
    tab.wait_for_function(f"() => {{ const [a, b] = ({IN_VIEW})(); return b - a < 0.1; }}")
    tab.locator(".place").focus()
    tab.keyboard.press("0")
    tab.wait_for_function(f"() => {{ const [a, b] = ({IN_VIEW})(); return b - a === 1; }}")
    tab.keyboard.press("+")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".clock.number")).to_have_text("0:01 / 2:00")
    tab.keyboard.press("End")
    expect(tab.locator(".clock.number")).to_have_text("2:00 / 2:00")
    tab.wait_for_function(f"() => ({IN_VIEW})()[1] > 0.99")  # the view follows
    tab.keyboard.press("0")
    becomes(tab, IN_VIEW, [0, 1])
    pinch = """(apart) => {
      const scroller = document.querySelector(".scroll");
      const touch = (identifier, x) => new Touch({ identifier, target: scroller, clientX: 600 + x, clientY: 300 });
      const touches = [touch(1, -apart), touch(2, apart)];
      scroller.dispatchEvent(new TouchEvent("touchmove", { touches, cancelable: true, bubbles: true }));
    }"""
    tab.evaluate(pinch, 50)
    tab.evaluate(pinch, 200)
    tab.wait_for_function(f"() => {{ const [a, b] = ({IN_VIEW})(); return Math.abs(b - a - 0.25) < 0.01; }}")


# how wide the canvas is after two more frames
NEXT_DRAWN = """() => new Promise((done) => {
  const width = () => done(document.querySelector("canvas.shown").width);
  requestAnimationFrame(() => requestAnimationFrame(width));
})"""


def test_an_hour_of_turns_needs_few_elements(visit: Visit, talk: Path) -> None:
    segments = tuple(Segment(4.0 * n, 4.0 * n + 3.5, f"S{1 + n % 2}") for n in range(900))
    hour = Timeline("hour.wav", "ok", None, 3600.0, 3150.0, CAST[:2], segments, "voxtrait-base 2.2")
    tab = shown(visit, talk, hour)
    assert tab.evaluate("document.querySelectorAll('#single *').length") < 250
    for _ in range(5):
        tab.locator(".zooms button").nth(1).click()
    tab.locator(".scroll").evaluate("(scroller) => (scroller.scrollLeft = 2000)")
    expect(tab.locator(".zooms button").nth(0)).to_be_enabled()  # it was drawn anew since the zoom
    assert tab.evaluate(NEXT_DRAWN) <= 2400
    tab.click("summary")
    expect(tab.locator(".turns li")).to_have_count(900)


STREAM = """
const ask = window.fetch;
window.fetch = (address, options) => {
  if (!String(address).endsWith("/v1/timeline")) return ask(address, options);
  const body = new ReadableStream({ start(control) {
    window.push = (line) => control.enqueue(new TextEncoder().encode(line));
    options.signal.addEventListener("abort", () => {
      window.stopped = true;
      window.push = null;
      control.error(options.signal.reason);
    });
  } });
  return Promise.resolve(new Response(body, { headers: { "Content-Type": "application/x-ndjson" } }));
};
"""


def test_pieces_come_one_by_one_and_can_be_cancelled(visit: Visit, talk: Path) -> None:
    def before(tab: Any) -> None:
        answered([], 120.0)(tab)
        tab.add_init_script(STREAM)

    tab = visit(before=before)
    tab.set_input_files("#files", talk)
    tab.wait_for_function("() => window.push")  # the file is read before it is sent
    text = json.dumps(piece(0, 30, 120)) + "\n"
    tab.evaluate("(line) => window.push(line)", text[:1000])
    tab.evaluate("(line) => window.push(line)", text[1000:])
    tab.locator(".making .at", has_text="0:30 of 2:00").wait_for()
    expect(tab.locator(".timeline progress")).to_have_js_property("value", 0.25)
    tab.wait_for_selector(".player[data-shown=yes]")
    tab.click("text=Cancel")
    tab.wait_for_function("() => window.stopped")
    expect(tab.locator(".making")).to_contain_text("cancelled")
    tab.click("text=Make the timeline")
    tab.locator(".making .at", has_text="0:00 of 2:00").wait_for()
    tab.wait_for_function("() => window.push")
    for line in lines_of(TALK):
        tab.evaluate("(line) => window.push(line)", json.dumps(line) + "\n")
    error = {"type": "error", "error": {"code": "too_long", "message": ""}}
    tab.evaluate("(line) => window.push(line)", json.dumps(error) + "\n")
    tab.locator(".making", has_text="The recording is longer than the limit of this server").wait_for()


def test_one_voice_has_charts_and_its_speech_shaded(visit: Visit, tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", speak(cohort(4, 3)[0], 6.0, 1), RATE)
    tab = visit()
    tab.set_input_files("#files", tmp_path / "a.wav")
    tab.locator(".row-label", has_text="Pitch").wait_for()
    rows = ["Waveform", "Gender over time", "Age over time", "Pitch"]
    expect(tab.locator(".timeline")).to_be_hidden()  # from the last line of the answer on
    expect(tab.locator(".row-label strong")).to_have_text(rows)
    said = re.compile("gender, age and pitch over time$")
    expect(tab.locator("canvas.shown")).to_have_attribute("aria-label", said)
    expect(tab.locator(".several")).to_be_hidden()


def test_a_single_estimate_is_not_drawn_over_time(visit: Visit, voices: Path) -> None:
    tab = visit()
    tab.set_input_files("#files", voices / "a.wav")
    tab.locator(".row-label", has_text="Pitch").wait_for()
    expect(tab.locator(".row-label strong")).to_have_text(["Waveform", "Pitch"])


def test_without_a_timeline_the_rest_is_there(visit: Visit, talk: Path) -> None:
    error = {"error": {"code": "unsupported", "message": "no"}}

    def before(tab: Any) -> None:
        answered([], 120.0)(tab)
        tab.route("**/v1/timeline", lambda route: route.fulfill(status=501, json=error))

    tab = visit(allow="501", before=before)
    tab.set_input_files("#files", talk)
    tab.wait_for_selector(".player[data-shown=yes]")
    expect(tab.locator(".timeline")).to_be_hidden()
    expect(tab.locator(".deck")).to_have_text(re.compile("first 60\u00a0s"))  # text would match any white space


def test_in_russian_dark_on_a_phone_and_for_everybody(visit: Visit, talk: Path) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    tab = shown(visit, talk, locale="ru-RU", color_scheme="dark", reduced_motion="reduce", **phone)
    expect(tab.locator(".timeline header")).to_contain_text("3 говорящих · 5 реплик")
    expect(tab.locator(".row-label strong")).to_have_text(["S1 женский", "S2 мужской", "S3", "Музыка"])
    tab.click("summary")
    tab.locator(".turns li").nth(5).scroll_into_view_if_needed()
    tab.wait_for_function(DRAWN)  # turns that were out of view have no size before they are drawn
    becomes(tab, WIDTH, 390)
    becomes(tab, SMALL, [])
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    assert problems(tab) == []
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size({"width": 320, "height": 640})
    becomes(tab, PAPER, "rgb(244, 241, 234)")
    becomes(tab, WIDTH, 320)
    assert problems(tab) == []


def test_averaged_channels_are_named(visit: Visit, talk: Path) -> None:
    tab = visit(before=answered(lines_of(TALK), 120.0, voices="several", message=averaged_note(2)))
    tab.set_input_files("#files", talk)
    tab.wait_for_selector(".several:not([hidden])")
    said = ["The recording has several voices.", "The channels contain different speakers and were averaged."]
    texts = [re.compile("^" + re.escape(one)) for one in said]
    expect(tab.locator(".several:visible")).to_have_text(texts)
