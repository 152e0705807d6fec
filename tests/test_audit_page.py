"""The page of the audit: what is in it, and what a browser makes of it."""

import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factories
from pages import PATIENCE_S, expect
from voxtrait import audio, manifest
from voxtrait.audit import page
from voxtrait.corpora import decisions
from voxtrait.features import decode_png

EVIL = '</script><script>document.title = "broken"</script><img src=x onerror="document.title = 1">'


def entry(kind: str, task: str, name: str, rows: list[int], **more: Any) -> page.Entry:
    said = {"label": "male", "answer": "female", "doubt": 0.97, "n_clips": len(rows)}
    if task == "age":
        said |= {"label": "sixties", "answer": "twenties", "years": 24}
    scope = "clip" if kind == "clip" else "speaker"
    return {"kind": kind, "task": task, "scope": scope, "id": name, **said, "rows": rows, **more}


def asked() -> list[page.Entry]:
    both = {"likeness": -4.2, "n_clips": 3, "gender": "male"}
    pair = {"likeness": 7.5, "n_clips": 1, "n_other": 1, "gender": "male", "other_gender": None, "together": True}
    return [
        entry("speaker", "gender", "s0", [0, 1]),
        entry("speaker", "age", "s0", [0]),
        entry("clip", "gender", 'odd "clip", #4%', [3]),
        {"kind": "mixed", "task": "speaker", "scope": "speaker", "id": "s1", **both, "rows": [2], "others": [3],
         "other_ids": ['odd "clip", #4%']},
        {"kind": "same", "task": "speaker", "scope": "speaker", "id": "s2", "with": "s0", **pair, "rows": [0],
         "others": [4]},
        {"kind": "same", "task": "speaker", "scope": "speaker", "id": "s3", "with": "s2", **pair, "rows": [4],
         "others": [5]},
    ]  # fmt: skip


def table(folder: Path) -> pl.DataFrame:
    ids = ["a", "b", "c", 'odd "clip", #4%', "e", "f"]
    for name in ids:
        audio.write_wav(folder / f"{name.replace('/', '_')}.wav", factories.tone(0.5), 16_000)
    return manifest.conform(
        pl.DataFrame(
            {
                "clip_id": ids,
                "path": [str(folder / f"{name}.wav") for name in ids],
                "speaker_id": ["s0", "s0", "s1", "s1", "s2", "s3"],
                "gender": ["male"] * 6,
                "sentence": [EVIL, "one, two", None, "“three”", "", "ö"],
            }
        )
    )


SUMMARY = {"manifest": f"all{EVIL}.parquet", "n_clips": 6, "n_speakers": 4, "model": "voxtrait-base 2.0", "notes": []}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "clips of all").mkdir()
    clips = table(tmp_path / "clips of all")
    out = tmp_path / "audit"
    pictures = page.draw(asked(), clips["path"], out)
    page.write(out, asked(), clips, pictures, SUMMARY, "test")
    return out / "index.html"


def data_of(file: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_nothing_of_a_stranger_becomes_html(made: Path) -> None:
    text = made.read_text("utf-8")
    assert text.count("<script") == 2
    assert "<img src=x" not in text
    assert data_of(made)["clips"][0][2] == EVIL


def test_no_network_is_needed(made: Path) -> None:
    text = re.sub(r'url\("data:font/woff2;base64,[\w+/=]+"\)', "", made.read_text("utf-8"))  # the font is in the page
    assert re.findall(r"(?:https?:)?//[a-z]", text.replace("// ", "")) == []
    assert "url(" not in text


def test_clips_are_found_from_where_the_page_lies(made: Path) -> None:
    from urllib.parse import unquote

    for clip_id, address, _, picture in data_of(made)["clips"]:
        assert not address.startswith("/")
        assert not set(' "#?%') & set(re.sub(r"%[0-9A-F]{2}", "", address))
        assert (made.parent / unquote(address)).resolve().stem == clip_id
        assert decode_png((made.parent / "pictures" / picture).read_bytes()).shape == page.SIZE[::-1]


def test_pictures_are_drawn_once_and_those_of_nobody_go(made: Path) -> None:
    clips = table(made.parent.parent / "clips of all")
    pictures = made.parent / "pictures"
    page.draw(asked(), clips["path"], made.parent)
    before = {file.name: file.stat().st_mtime_ns for file in pictures.iterdir()}
    (pictures / "mine.png").write_bytes(b"")
    broken = clips["path"].to_list()
    Path(broken[5]).write_text("no audio")
    drawn = page.draw(asked()[:5], clips["path"], made.parent)
    assert set(drawn) == {0, 1, 2, 3, 4}
    after = {file.name: file.stat().st_mtime_ns for file in pictures.iterdir()}
    assert after.pop("mine.png") > 0
    assert after == {name: before[name] for name in drawn.values()}
    assert 5 not in page.draw(asked(), clips["path"], made.parent)


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install playwright")
    from playwright.sync_api import Error, sync_playwright

    own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        try:
            # as root, as in a container, Chromium starts only without its sandbox
            root = hasattr(os, "geteuid") and os.geteuid() == 0
            found = driver.chromium.launch(executable_path=own, args=["--no-sandbox"] if root else [])
        except Error as error:
            pytest.skip(f"no Chromium to look with: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    assert errors == []
    context.close()


def saved(tab: Any, file: Path) -> pl.DataFrame:
    with tab.expect_download() as found:
        tab.click("#save")
    assert found.value.suggested_filename == "decisions.csv"
    found.value.save_as(file)
    return decisions.read(file)


def say(tab: Any, at: int, choice: str) -> None:
    tab.locator("article").nth(at).locator(f'[data-choice="{choice}"]').click()


def reload_until(tab: Any, said: str) -> None:
    """Reload until the page says so: where the machine is busy, Chromium hands on late what a page has stored."""
    end = time.monotonic() + PATIENCE_S
    tab.reload()
    while tab.locator("#progress").inner_text() != said and time.monotonic() < end:
        tab.wait_for_timeout(500)
        tab.reload()
    expect(tab.locator("#progress")).to_have_text(said)


def test_decide_reload_save_and_apply(tab: Any, made: Path, tmp_path: Path) -> None:
    tab.goto(made.as_uri())
    expect(tab).to_have_title(re.compile("^Audit of all</script>"))
    expect(tab.locator("article")).to_have_count(6)
    first = "Labelled male, presents as female (doubt 0.970), 2 clips"
    expect(tab.locator("article h2").first).to_have_text(first)
    expect(tab.locator("figcaption").first).to_contain_text(EVIL)
    say(tab, 0, "female")
    tab.locator("article").nth(0).locator("input").fill('clear, "very"')
    say(tab, 1, "forties")
    say(tab, 2, "unknown")
    say(tab, 3, "split")
    reload_until(tab, "4 of 6 decided")
    expect(tab.locator("article")).to_have_count(2)  # those that are not decided
    tab.select_option("#state", "done")
    expect(tab.locator("article")).to_have_count(4)
    expect(tab.locator('article [aria-pressed="true"]').first).to_have_text(re.compile("female$"))
    rows = saved(tab, tmp_path / "d.csv")
    assert rows.drop("line").rows() == [
        ("speaker", "s0", "gender", "female", 'clear, "very"'),
        ("speaker", "s0", "age_group", "forties", ""),
        ("clip", 'odd "clip", #4%', "gender", "", ""),
        ("clip", 'odd "clip", #4%', "speaker", "s1/2", ""),
    ]
    new, dropped, changed = decisions.apply(table(tmp_path / "clips of all"), rows)
    assert new["gender"].to_list() == ["female", "female", "male", None, "male", "male"]
    assert new["speaker_id"][3] == "s1/2"
    assert (dropped, changed["matched nothing"]) == ({}, 0)
    say(tab, 0, "female")  # once more takes it back
    assert saved(tab, tmp_path / "e.csv").height == 3


def test_a_file_is_opened_and_what_is_not_on_the_page_is_kept(tab: Any, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "earlier.csv"
    lines = ["speaker,s0,keep,gender,heard", "speaker,s9,remove,,", '"clip","odd ""clip"", #4%",gender,female,']
    file.write_text("scope,id,decision,value,note\r\n" + "\r\n".join(lines) + "\r\n")
    tab.goto(made.as_uri())
    tab.set_input_files("#open", file)
    tab.wait_for_function("document.getElementById('progress').textContent.startsWith('2 of')")
    tab.select_option("#state", "done")
    expect(tab.locator("article").nth(0).locator("input")).to_have_value("heard")
    rows = saved(tab, tmp_path / "d.csv")
    assert sorted(rows.drop("line").rows()) == sorted(decisions.read(file).drop("line").rows())
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    tab.set_input_files("#open", tmp_path / "wrong.csv")
    tab.wait_for_selector("#warning:not([hidden])")
    expect(tab.locator("#warning")).to_contain_text(
        "wrong.csv is not a decisions file. Expected the columns scope, id,"
    )


def test_a_person_with_three_ids_gets_one(tab: Any, made: Path, tmp_path: Path) -> None:
    tab.goto(made.as_uri())
    say(tab, 4, "same")  # s2 is s0
    say(tab, 5, "same")  # s3 is s2
    rows = saved(tab, tmp_path / "d.csv")
    assert sorted(rows.select("id", "value").rows()) == [("s2", "s0"), ("s3", "s0")]
    new = decisions.apply(table(tmp_path / "clips of all"), rows).table
    assert new["speaker_id"].to_list() == ["s0", "s0", "s1", "s1", "s0", "s0"]
    tab.evaluate("localStorage.clear()")
    tab.reload()
    tab.set_input_files("#open", tmp_path / "d.csv")
    tab.wait_for_function("document.getElementById('progress').textContent.startsWith('2 of')")
    assert sorted(saved(tab, tmp_path / "e.csv").select("id", "value").rows()) == [("s2", "s0"), ("s3", "s0")]


def test_the_keyboard_alone_is_enough(tab: Any, made: Path) -> None:
    tab.goto(made.as_uri())
    tab.keyboard.press("1")
    tab.keyboard.press("2")
    tab.keyboard.press("k")
    expect(tab.locator("#progress")).to_have_text("2 of 6 decided")
    expect(tab.locator("article:focus")).to_have_count(1)
    tab.keyboard.press("u")
    expect(tab.locator("#progress")).to_have_text("1 of 6 decided")
    tab.locator("#search").focus()
    tab.keyboard.type("12")  # in a field, letters and numbers are text
    expect(tab.locator("article")).to_have_count(0)
    expect(tab.locator("#progress")).to_have_text("1 of 6 decided")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_and_can_be_read(browser: Any, made: Path, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(made.as_uri())
    say(tab, 0, "female")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for least, selector in (
        (4.5, "h2"),
        (4.5, ".id"),
        (4.5, "figcaption"),
        (4.5, "#save"),
        (4.5, "[aria-pressed=true]"),
    ):
        assert tab.evaluate(CONTRAST, selector) >= least, selector
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    assert axe.Axe().run(tab).response["violations"] == []
    unnamed = "[...document.querySelectorAll('button,input,select,audio,img')].filter((e) => !(e.textContent.trim() || "
    unnamed += "e.ariaLabel || e.alt || e.labels?.length)).map((e) => e.outerHTML)"
    assert tab.evaluate(unnamed) == []
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_two_groups_of_a_pair_stand_side_by_side(browser: Any, made: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    tab = context.new_page()
    tab.goto(made.as_uri())
    headings = ["Group A2 clips, labelled male", "Group B1 clip, labelled male"]
    expect(tab.locator("article").nth(3).locator("h3")).to_have_text(headings)  # one id
    pair = tab.locator("article").nth(4)
    expect(pair.locator("h3")).to_have_text(["Group A1 clip, labelled male", "Group B1 clip, no gender label"])
    expect(pair.locator(".id")).to_have_text(["s0", "s2"])
    left, right = (box.bounding_box() for box in pair.locator(".side").all())
    assert left and right and left["y"] == right["y"] and left["x"] + left["width"] < right["x"]
    expect(pair.locator(".side").first).to_have_class("side male")
    context.close()


# of WCAG 2.1: (L1 + 0.05) / (L2 + 0.05), against the first background that is not transparent
CONTRAST = """(selector) => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  let below = element;
  while (getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)") below = below.parentElement;
  const colours = [getComputedStyle(element).color, getComputedStyle(below).backgroundColor];
  const both = colours.map(light).sort((a, b) => b - a);
  return (both[0] + 0.05) / (both[1] + 0.05);
}"""


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_drawn_a_few_at_a_time(tab: Any, tmp_path: Path) -> None:
    n = 100_000
    clips = manifest.conform(
        pl.DataFrame({"at": range(n)}).select(
            clip_id=pl.format("common-voice/cv-corpus-25.0/en/common_voice_en_{}", "at"),
            path=pl.format("/corpora/cv-corpus-25.0/en/clips/common_voice_en_{}.mp3", "at"),
            speaker_id=pl.col("at").cast(pl.String).str.pad_start(128, "f"),
            sentence=pl.lit("The boy was there when the sun rose."),
        )
    )
    rows = [entry("speaker", "gender", name, [at]) for at, name in enumerate(clips["speaker_id"])]
    page.write(tmp_path, rows, clips, {}, SUMMARY, "many")
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("article")
    say(tab, 0, "female")
    tab.locator("#after").click()
    tab.fill("#search", "common_voice_en_99999")
    expect(tab.locator("article")).to_have_count(1)
    assert tab.evaluate("document.querySelectorAll('*').length") < 2000  # what makes it quick
    assert (tmp_path / "index.html").stat().st_size < 80e6
