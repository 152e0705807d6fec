"""Many files on the page: dropped, processed two at a time, sorted, opened, saved as tables."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pages import Visit, becomes, expect, saved
from voxtrait.cli import root
from voxtrait.recognize.prediction import CSV_FIELDS

pytest_plugins = ["page_fixtures"]

FILES = ["c10.wav", "a.wav", "text.wav", "silent.wav", "b, too.wav", "c9.wav"]
DROP = """async ([names, data]) => {
  const transfer = new DataTransfer();
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  names.forEach((name, at) => transfer.items.add(new File([bytes(data[at])], name)));
  const place = document.querySelector(".drop");
  for (const type of ["dragenter", "dragover", "drop"]) {
    place.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    if (type === "dragover" && document.body.dataset.hanging !== "yes") throw new Error("no place to drop is shown");
  }
}"""


def drop(tab: Any, files: list[Path]) -> None:
    import base64

    data = [base64.b64encode(file.read_bytes()).decode() for file in files]
    tab.evaluate(DROP, [[file.name for file in files], data])


def heard(tab: Any) -> None:
    tab.wait_for_selector("#many-clear:not([hidden])", timeout=60_000)


def has_names(tab: Any, names: list[str]) -> None:
    """Wait until the files are in this order."""
    expect(tab.locator("tbody .name")).to_have_text(names)


def column(tab: Any, name: str) -> list[str]:
    return [" ".join(text.split()) for text in tab.locator(f"tbody .{name}").all_inner_texts()]


def told(folder: Path, files: list[str]) -> dict[str, dict[str, str]]:
    """What the command line says of the files, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        answer = CliRunner().invoke(root, ["predict", *files, "--format", "csv", "--quiet"])
    return {row["path"]: row for row in csv.DictReader(answer.stdout.splitlines())}


def test_six_files_are_dropped_sorted_and_saved(visit: Visit, voices: Path, tmp_path: Path) -> None:
    tab = visit(allow="415")
    drop(tab, [voices / name for name in FILES])
    heard(tab)
    expect(tab.locator("#many-count")).to_have_text("6 recordings")
    expected = told(voices, FILES)
    kinds = Counter(row["gender"] or row["status"] for row in expected.values())
    names = {
        "female": "female",
        "male": "male",
        "unsure": "unsure",
        "no_speech": "without speech",
        "error": "unreadable",
    }
    counts = [f"{kinds[kind]} {name}" for kind, name in names.items() if kinds[kind]]
    expect(tab.locator("#counts li")).to_have_text(counts)
    assert kinds["female"] and kinds["male"] and kinds["no_speech"] == kinds["error"] == 1
    has_names(tab, FILES)
    tab.click("th.name button")
    has_names(tab, ["a.wav", "b, too.wav", "c9.wav", "c10.wav", "silent.wav", "text.wav"])
    expect(tab.locator("th.name[scope=col]")).to_have_attribute("aria-sort", "ascending")
    tab.keyboard.press("Enter")  # the button has kept the focus
    expect(tab.locator("th.name[scope=col]")).to_have_attribute("aria-sort", "descending")
    tab.click("th.p_female button")
    expect(tab.locator("th.name[scope=col]")).to_have_attribute("aria-sort", "none")
    expect(tab.locator("tbody .name").nth(4)).to_have_text("text.wav")
    shown = [float(text) for text in column(tab, "p_female") if text]
    assert shown == sorted(shown) and len(shown) == 4
    assert column(tab, "name")[4:] == ["text.wav", "silent.wav"]  # what is not known stands last

    with saved(tab, "#csv", tmp_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CSV_FIELDS)
    assert [row["path"] for row in rows] == column(tab, "name")
    for row in rows:
        if row["status"] != "error":  # of which the server has its own words
            assert row == expected[row["path"]]
    said = json.loads(saved(tab, "#json", tmp_path).read_text("utf-8"))
    assert [one["path"] for one in said] == column(tab, "name")
    for one in said:
        table = expected[one["path"]]
        assert one["status"] == table["status"]
        assert (one["p_female"] is None and not table["p_female"]) or one["p_female"] == float(table["p_female"])
        assert one["age_groups"] is None or sum(one["age_groups"].values()) == pytest.approx(1, abs=0.001)
    assert pl.read_csv(tmp_path / "voices.csv")["speech_s"].dtype == pl.Float64


@pytest.mark.parametrize("name", ["=1+1.wav", "@sum.wav", "-a.wav"])
def test_no_name_is_run_by_a_spreadsheet(visit: Visit, voices: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(voices / "silent.wav", tmp_path / name)
    tab = visit()
    tab.set_input_files("#files", [tmp_path / name, voices / "a.wav"])
    heard(tab)
    has_names(tab, [name, "a.wav"])
    assert saved(tab, "#csv", tmp_path).read_text("utf-8").splitlines()[1].startswith(f"./{name},no_speech,")
    assert json.loads(saved(tab, "#json", tmp_path).read_text("utf-8"))[0]["path"] == name


def test_a_row_opens_its_result_and_takes_the_focus_back(visit: Visit, voices: Path) -> None:
    tab = visit()
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "c9.wav", "silent.wav")])
    heard(tab)
    tab.locator("tbody .opener").first.focus()
    tab.keyboard.press("Enter")
    opened = tab.locator("#dialog[open] .card .name")
    expect(opened).to_have_text("a.wav")
    expect(opened).to_be_focused()
    tab.keyboard.press("ArrowRight")
    expect(opened).to_have_text("c9.wav")
    tab.click("#next")
    expect(opened).to_have_text("silent.wav")
    expect(tab.locator("#next")).to_be_disabled()
    tab.keyboard.press("Escape")
    expect(tab.locator("#dialog")).to_be_hidden()
    label = "Open the result of silent.wav"  # of the button that gets the focus after the dialog's event of closing
    tab.wait_for_function("label => document.activeElement.getAttribute('aria-label') === label", arg=label)
    tab.locator("tbody td.age_years").first.click()  # anywhere in a row
    expect(opened).to_have_text("a.wav")


# the ends of the lines in a column, and where a line's point is: from 0 on the left to 100 on the right
ENDS = "(name) => [...document.querySelectorAll(`.ends.${name} span`)].map((one) => one.textContent)"
POINTS = (
    "() => [...document.querySelectorAll('.p-stroke .point')].map((one) => parseFloat(one.getAttribute('d').slice(1)))"
)


def test_lines_go_from_male_to_female_and_from_0_to_100_years(visit: Visit, voices: Path) -> None:
    tab = visit()
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "b, too.wav", "c9.wav", "c10.wav")])
    heard(tab)
    assert tab.evaluate(ENDS, "p_female") == ["male", "female"]
    assert tab.evaluate(ENDS, "interval") == ["0", "100"]
    shown = [float(text) for text in column(tab, "p_female")]
    assert max(shown) - min(shown) > 0.5
    assert tab.evaluate(POINTS) == pytest.approx([100 * p for p in shown], abs=0.6)
    tab.locator("tbody .opener").first.click()
    expect(tab.locator("#dialog .gender-bar .labels div")).to_have_text(["male", "unsure", "female"])
    needle = tab.locator("#dialog .needle").evaluate("(needle) => parseFloat(needle.style.left)")
    assert needle == pytest.approx(100 * shown[0], abs=0.6)


def test_a_folder_is_searched(visit: Visit, voices: Path, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    for name in ("x/a.wav", "x/c9.wav", "silent.wav", "x/.hidden.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(voices / Path(name).name.replace(".hidden", "a"), folder / name)
    (folder / "notes.txt").write_text("not a recording")
    tab = visit()
    tab.set_input_files("#folder", folder)
    heard(tab)
    has_names(tab, ["all/silent.wav", "all/x/a.wav", "all/x/c9.wav"])
    expect(tab.locator("#drop-note")).to_have_text("2 other files were skipped.")
    expect(tab.locator("#drop-note")).to_be_visible()


def test_files_are_pasted(visit: Visit) -> None:
    paste = """() => {
      const clipboardData = new DataTransfer();
      for (const name of ["x.wav", "y.wav"]) clipboardData.items.add(new File(["RIFF"], name));
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }"""
    tab = visit(before=lambda tab: stubbed(tab, 2))
    tab.evaluate(paste)
    heard(tab)
    has_names(tab, ["x.wav", "y.wav"])


def test_what_was_not_answered_is_asked_again_and_what_cannot_be_read_is_not(visit: Visit, voices: Path) -> None:
    tab = visit(allow="Failed to load", before=lambda tab: tab.route("**/v1/predict", _gone, times=2))
    tab.set_input_files("#files", [voices / name for name in ("a.wav", "c9.wav", "text.wav")])
    heard(tab)
    expect(tab.locator("#counts li")).to_have_text(["3 unreadable"])
    tab.click("text=Try 2 again")
    tab.locator("#counts", has_text="1 female").wait_for()
    heard(tab)
    expect(tab.locator("#counts li")).to_have_text(["1 female", "1 male", "1 unreadable"])
    expect(tab.locator("#many-again")).to_be_hidden()


def _gone(route: Any) -> None:
    route.abort()


ANSWER = {
    "path": "x", "status": "ok", "message": None, "duration_s": 2.0, "speech_s": 1.5, "gender": "female",
    "p_female": 0.9, "age_years": 30.0, "age_low": 20.0, "age_high": 40.0, "age_group": "thirties",
    "age_groups": {"thirties": 1.0}, "model": "voxtrait-base 2.0",
}  # fmt: skip
# a server that answers so many questions and no more, and how many were open at once
STUB = """(() => {
  const answer = ANSWER, real = fetch;
  window.pending = 0;
  window.most = 0;
  window.asked = 0;
  window.fetch = async (path, options) => {
    if (path !== "/v1/predict") return real(path, options);
    const number = ++window.asked;
    window.most = Math.max(window.most, ++window.pending);
    const wait = new Promise((done, failed) => {
      if (number <= ANSWERS) setTimeout(done, 2);
      options.signal.addEventListener("abort", () => failed(options.signal.reason));
    });
    try { await wait; } finally { window.pending -= 1; }
    return new Response(JSON.stringify(answer), { status: 200 });
  };
})()"""


def stubbed(tab: Any, answers: int) -> None:
    tab.add_init_script(STUB.replace("ANSWERS", str(answers)).replace("ANSWER", json.dumps(ANSWER)))


def files(count: int) -> list[dict[str, Any]]:
    return [{"name": f"{at}.wav", "mimeType": "audio/wav", "buffer": b"RIFF"} for at in range(count)]


def test_hundreds_are_heard_two_at_a_time(visit: Visit) -> None:
    tab = visit(before=lambda tab: stubbed(tab, 300))
    tab.set_input_files("#files", files(300))
    heard(tab)
    becomes(tab, "[most, asked]", [2, 300])
    expect(tab.locator("tbody tr")).to_have_count(300)
    expect(tab.locator("#counts li")).to_have_text(["300 female"])
    expect(tab.locator("#announcer")).to_have_text("All 300 recordings processed.")
    tab.click("#many-clear")
    expect(tab.locator("#many")).to_be_hidden()
    becomes(tab, "document.querySelector('h1').getBoundingClientRect().height > 40", True)


def test_what_is_not_heard_yet_can_be_cancelled(visit: Visit, tmp_path: Path) -> None:
    tab = visit(before=lambda tab: stubbed(tab, 4))
    tab.set_input_files("#files", files(20))
    tab.locator("#many-progress", has_text="4 of 20 processed").wait_for()
    becomes(tab, "[pending, asked]", [2, 6])
    tab.click("#cancel")
    expect(tab.locator("#many-progress")).to_have_text("Cancelled. 16 recordings were not processed.")
    expect(tab.locator("tbody tr")).to_have_count(4)
    becomes(tab, "pending", 0)  # the two questions that were open have ended, and the page could ask the next
    assert len(json.loads(saved(tab, "#json", tmp_path).read_text("utf-8"))) == 4
    assert tab.locator("tbody tr").count() == 4
    assert tab.evaluate("asked") == 6
