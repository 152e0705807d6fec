"""How the page looks and reads: every screen in light and dark, on a phone, in two languages, for everybody."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import voxtrait
from pages import Visit, becomes, expect, record

pytest_plugins = ["page_fixtures"]

PAPER = "getComputedStyle(document.documentElement).backgroundColor"
WIDTH = "document.documentElement.scrollWidth"
PAGE = Path(voxtrait.__file__).parent / "web" / "page"


def first(tab: Any, voices: Path) -> None:
    pass


def recording(tab: Any, voices: Path) -> None:
    tab.click("#record")
    tab.wait_for_selector("#so-far-p:not(:empty)")


def answered(tab: Any, voices: Path) -> None:
    tab.set_input_files("#files", voices / "a.wav")
    tab.wait_for_selector(".player[data-shown=yes]")


def unreadable(tab: Any, voices: Path) -> None:
    tab.set_input_files("#files", voices / "text.wav")
    tab.wait_for_selector(".card.error")


def working(tab: Any, voices: Path) -> None:
    answered = iter(range(1))
    tab.route("**/v1/predict", lambda route: route.continue_() if next(answered, None) is not None else None)
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "c9.wav", "c10.wav", "text.wav")])
    tab.locator("#many-progress", has_text="1 of 4 processed").wait_for()


def table(tab: Any, voices: Path) -> None:
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "c9.wav", "silent.wav", "text.wav")])
    tab.wait_for_selector("#many-clear:not([hidden])")


def opened(tab: Any, voices: Path) -> None:
    table(tab, voices)
    tab.locator("tbody .opener").first.click()
    tab.wait_for_selector("#dialog .player[data-shown=yes]")


def refused(tab: Any, voices: Path) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    tab.evaluate(f"() => {{ {refuse} }}")
    tab.click("#record")
    tab.wait_for_selector("#notice:not([hidden])")


def token(tab: Any, voices: Path) -> None:
    tab.evaluate("() => import('/static/token.js').then(({ askForToken }) => void askForToken(false))")
    tab.wait_for_selector("#token-dialog[open]")


Screen = Callable[[Any, Path], None]
SCREENS: list[Screen] = [first, recording, answered, unreadable, working, table, opened, refused, token]


def problems(tab: Any) -> list[str]:
    """What the rules of accessibility say against it."""
    from axe_playwright_python.sync_playwright import Axe

    # it would copy style sheets into the page, which the page's policy forbids
    found = Axe().run(tab, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


SMALL = """() => [...document.querySelectorAll("button, input, a")]
  .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest("p, .unseen") && !e.matches(".skip"))
  .filter((e) => { const { width, height } = e.getBoundingClientRect(); return width < 44 || height < 44; })
  .map((e) => e.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.__name__)
def test_every_screen_is_for_everybody(visit: Visit, voices: Path, screen: Screen) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    phone: dict[str, Any] = {"viewport": {"width": 320, "height": 640}, "has_touch": True}
    tab = visit(allow="415", color_scheme="light", reduced_motion="reduce", **phone)  # no colour on its way to another
    screen(tab, voices)
    assert problems(tab) == []
    becomes(tab, WIDTH, 320)
    becomes(tab, SMALL, [])
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size({"width": 640, "height": 400})  # 1280 × 800 at a zoom of 200 %
    becomes(tab, PAPER, "rgb(26, 24, 21)")
    becomes(tab, f"innerWidth === 640 && {WIDTH} <= 640", True)
    assert problems(tab) == []


def test_the_model_card_is_one_click_away(visit: Visit) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    tab = visit(viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    tab.click("nav >> text=Model card")
    tab.wait_for_url("**/model-card")
    expect(tab.locator("main")).to_contain_text("Uses and limitations")
    becomes(tab, WIDTH, 320)
    assert problems(tab) == []
    light = tab.evaluate(PAPER)
    tab.emulate_media(color_scheme="dark")
    becomes(tab, f"{PAPER} !== '{light}'", True)
    assert problems(tab) == []
    tab.go_back()
    tab.wait_for_selector("#record")


def test_russian_is_chosen_by_the_browser_and_remembered_when_changed(visit: Visit, voices: Path) -> None:
    tab = visit(allow="415", locale="ru-RU")
    expect(tab.locator("html")).to_have_attribute("lang", "ru")
    expect(tab).to_have_title("voxtrait: как звучит голос")
    expect(tab.locator("h1")).to_have_text("Как звучит этот голос?")
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "silent.wav")])
    tab.wait_for_selector("#many-clear:not([hidden])")
    expect(tab.locator("#many-count")).to_have_text("2 записи")
    expect(tab.locator("#counts li")).to_have_text(["женских: 1", "без речи: 1"])
    expect(tab.locator("tbody .p_female .number").first).to_have_text(re.compile(r"^0,\d\d$"))
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "c9.wav", "c10.wav")])
    expect(tab.locator("#many-count")).to_have_text("5 записей")  # until then, the first two are all that there is
    tab.wait_for_selector("#many-clear:not([hidden])")
    tab.click("#language")
    expect(tab.locator("#many-count")).to_have_text("5 recordings")
    expect(tab.locator("tbody .pill").first).to_have_text("female")
    tab.reload()
    expect(tab.locator("h1")).to_have_text("How does this voice sound?")
    expect(tab.locator("html")).to_have_attribute("lang", "en")


def test_colours_are_changed_and_remembered(visit: Visit) -> None:
    tab = visit(color_scheme="dark")
    becomes(tab, PAPER, "rgb(26, 24, 21)")
    tab.click("#theme")
    becomes(tab, PAPER, "rgb(244, 241, 234)")
    tab.reload()
    becomes(tab, PAPER, "rgb(244, 241, 234)")
    expect(tab.locator("#theme")).to_have_attribute("aria-label", "Change to the dark colours")


def test_nothing_moves_where_the_browser_asks_for_calm(visit: Visit) -> None:
    tab = visit(reduced_motion="reduce")
    record(tab, seconds=2)
    assert tab.evaluate("document.getAnimations().length") == 0


def test_both_languages_say_everything(visit: Visit) -> None:
    tab = visit()
    read = "async (name) => Object.fromEntries(Object.entries((await import(`/static/${name}.js`)).default))"
    english, russian = tab.evaluate(read, "english"), tab.evaluate(read, "russian")
    assert list(english) == list(russian)
    for name, text in english.items():
        values = lambda one: {*re.findall(r"\{\w+\}", one if isinstance(one, str) else one["other"])}  # noqa: E731
        assert values(text) == values(russian[name]), name
        if not isinstance(text, str):
            assert (set(text), set(russian[name])) == ({"one", "other"}, {"one", "few", "many", "other"})
    html = (PAGE / "index.html").read_text("utf-8")
    assert {*re.findall(r'data-say(?:-label)?="([^"]+)"', html)} - set(english) == set()
    for name, text in re.findall(r'data-say="([^"]+)"[^>]*>([^<]*)<', html):
        assert text in (english[name], russian[name]), name  # what is there before any script has run


def test_the_curve_of_age_keeps_the_share_of_each_decade(visit: Visit) -> None:
    tab = visit()
    years = tab.evaluate(
        """async () => {
          const { density, GROUPS } = await import("/static/density.js");
          const shares = [0.05, 0.38, 0.47, 0.09, 0.01, 0, 0, 0, 0, 0];
          return density(Object.fromEntries(GROUPS.map((group, at) => [group, shares[at]])));
        }"""
    )
    assert len(years) == 100
    assert min(years) >= 0
    decades = [sum(years[at : at + 10]) for at in range(0, 100, 10)]
    assert decades == pytest.approx([0.05, 0.38, 0.47, 0.09, 0.01, 0, 0, 0, 0, 0], abs=1e-9)
    steps = [other - one for one, other in itertools.pairwise(years)]
    assert max(map(abs, steps)) < 0.008
    falls = [step < 0 for step in steps if abs(step) > 1e-9]
    assert falls == sorted(falls)  # it rises once and falls once, as the decades do


def test_files_of_the_page_are_short_and_ask_nobody(visit: Visit) -> None:
    lines = {file.name: len(file.read_text("utf-8").splitlines()) for file in PAGE.iterdir() if file.suffix != ".woff2"}
    assert {name: count for name, count in lines.items() if count > 220} == {}
    texts = {file.name: file.read_text("utf-8") for file in PAGE.iterdir() if file.suffix in (".js", ".css", ".html")}
    outside = {name: re.findall(r"""["'(](?:https?:)?//[^"')]+""", text) for name, text in texts.items()}
    assert {one for found in outside.values() for one in found} <= {'"http://www.w3.org/2000/svg'}
    assert all(' style="' not in text and "innerHTML" not in text for text in texts.values())


def test_colours_are_those_of_the_theme_alone() -> None:
    texts = {file.name: file.read_text("utf-8") for file in PAGE.iterdir() if file.suffix in (".js", ".css")}
    own = {name: re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", text) for name, text in texts.items()}
    assert [name for name, found in own.items() if found] == ["theme.css"]
