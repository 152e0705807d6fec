"""The Python code of the documents and docstrings runs, and nothing in it warns or leaves a file open."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from test_architecture import modules

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PUBLIC = ("audio", "features", "recognize", "speech", "storage", "timelines", "labels", "errors", "bundle")

PREPARED = """
import soundfile
from voxtrait import synthetic
for name, gender in (("clip.mp3", "female"), ("talk.mp3", "male")) if __name__ == "__main__" else ():
    signal = synthetic.speak(synthetic.draw_voice(gender, 34, seed=1), 2.0, seed=1)
    soundfile.write(name, signal, 16000)
"""
# what must be true after the code of a section of docs/how-to/python.md
CHECKS = {
    "Use voxtrait from Python": 'assert (prediction.status, prediction.path) == ("ok", "clip.mp3"), prediction',
    "What `predict` accepts": "assert signal.ndim == 1 and rate == 16000",
    "Many files": 'assert (prediction.status, prediction.path) == ("error", "absent.mp3"), prediction',
    "Data frames": 'assert table["status"].to_list() == ["ok", "ok"] and table.width == 14, table',
    "Hugging Face datasets": """
assert dataset.column_names == ["audio", "gender", "age_years"], dataset
assert dataset["gender"][:] == [model.predict(name).gender for name in ("clip.mp3", "talk.mp3")]
""",
    "PyTorch": 'assert genders == [model.predict(name).gender for name in ("clip.mp3", "talk.mp3")], genders',
    "pandas": """
assert clips.columns.tolist() == ["path", "speaker", "gender", "p_female", "age_years"], clips
assert clips["gender"].tolist() == [model.predict(name).gender for name in ("clip.mp3", "talk.mp3")]
assert clips["p_female"].notna().all()
""",
    "FastAPI": """
from fastapi.testclient import TestClient
with open("clip.mp3", "rb") as file, TestClient(app) as client:
    asked = client.post("/voice", files={"file": ("clip.mp3", file)})
assert asked.json() == model.predict("clip.mp3").to_dict(), asked.text
""",
    "Gradio": """
assert describe(None) == "Nothing was recorded."
assert describe((rate, (signal * 32767).astype("int16"))).startswith("-  female"), describe((rate, signal))
""",
    "Threads": 'assert predictions == [model.predict(name) for name in ("clip.mp3", "talk.mp3")]',
    "Errors": """
try:
    model.predict(signal, sampling_rate="16000")
except voxtrait.VoxtraitError as error:
    assert str(error) == "Got sampling_rate '16000' (str). Expected a number in Hz, such as 16000."
""",
}
CORPUS = """
from voxtrait.synthetic import cohort, write_common_voice
write_common_voice(".", cohort(12, seed=1), 1, seed=1, release="cv-corpus-6.1-2020-12-11", seconds=(0.5, 0.6), blank=0)
"""
MANIFEST = """
import polars as pl
from voxtrait import manifest as manifests
clips = {"clip_id": ["a", "b"], "path": ["clip.mp3", "talk.mp3"], "speaker_id": ["s", "t"], "split": ["train", "test"]}
manifests.write(pl.DataFrame(clips), "split.parquet")
"""
FOLDS = """
import polars as pl
folds = {"path": ["a.wav", "b.wav"], "speaker_id": ["s", "t"], "gender_fold_2": ["train", None]}
pl.DataFrame(folds).write_parquet("audiomnist.parquet")
"""


class Page(NamedTuple):
    """A page whose code runs: what comes before it, what is replaced in it, and what must be true after it."""

    before: str = ""
    replaced: tuple[str, str] = ("", "")
    after: str = ""


OTHERS = {
    "README.md": Page(replaced=("runs/gender/bundle", "voxtrait-diary")),
    "docs/how-to/corpora.md": Page(
        before=CORPUS,
        after="""
assert result.total.kept == 12 and splitting.leakage(table)["verdict"] == "none", result
assert manifest.read("split.parquet")["path"][0].startswith("cv-corpus-6.1-2020-12-11/en/clips/")
""",
    ),
    "docs/how-to/export.md": Page(before=MANIFEST, after="assert (done.written, done.failed) == (1, 0), done"),
    "docs/how-to/scale.md": Page(
        replaced=('"ray", address="10.0.0.1:6379", jobs=None', '"local", jobs=1'),
        after='assert __name__ != "__main__" or (where.timeout, prediction.path) == (600, "talk.mp3"), prediction',
    ),
    "docs/how-to/streaming.md": Page(
        before='sound = open("clip.mp3", "rb")',
        replaced=("streams.microphone()", "streams.incoming(sound)"),
        after='sound.close()\nassert estimate.final and estimate.so_far.status == "ok", estimate',
    ),
    "docs/how-to/timeline.md": Page(after='assert talk.status == "ok" and talk.path == "talk.mp3", talk'),
    "docs/reference/layouts.md": Page(
        before=FOLDS, after='assert pl.read_parquet("fold-2.parquet")["path"].to_list() == ["a.wav"]'
    ),
}
ELSEWHERE = {"docs/how-to/python.md", "docs/tutorials/common-voice.md"}  # above, and test_tutorials.py


def sections() -> dict[str, str]:
    """The code under each heading of docs/how-to/python.md."""
    found = {}
    for part in re.split(r"^#+ ", (ROOT / "docs" / "how-to" / "python.md").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        if blocks := BLOCK.findall(part):
            found[part.splitlines()[0]] = "\n".join(blocks)
    return found


def run(code: str, folder: Path) -> str:
    """Run a program in which every warning is an error, and return what it prints; its standard error stays empty."""
    file = folder / "program.py"
    file.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", file],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_page_shows_what_it_is_to_show() -> None:
    assert list(sections()) == list(CHECKS)


def test_the_code_of_the_page_runs(tmp_path: Path) -> None:
    code, parts = PREPARED, sections()
    for name in CHECKS:
        packages = re.findall(r"^(?:import|from) (datasets|pandas|torch|fastapi)", parts[name], re.MULTILINE)
        if all(importlib.util.find_spec(package) for package in packages):
            code += f"\n# {name}\n{parts[name]}\n{CHECKS[name]}\nprint('done:', {name!r})\n"
    printed = run(code, tmp_path)
    done = re.findall(r"^done: (.*)$", printed, re.MULTILINE)
    assert {"Use voxtrait from Python", "FastAPI", "Threads", "Errors"} <= set(done)
    assert "clip.mp3  female (p " in printed and "absent.mp3  error: no such file: absent.mp3" in printed
    if left := [name for name in CHECKS if name not in done]:
        pytest.skip(f"all but {', '.join(left)}: not installed")


def test_no_page_is_forgotten() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = {page.relative_to(ROOT).as_posix() for page in pages if BLOCK.search(page.read_text("utf-8"))}
    assert found == {*OTHERS, *ELSEWHERE}


@pytest.mark.parametrize("name", OTHERS)
def test_the_code_of_other_pages_runs(name: str, tmp_path: Path) -> None:
    before, (old, new), after = OTHERS[name]
    code = "\n".join(BLOCK.findall((ROOT / name).read_text("utf-8")))
    assert old in code
    run(f"{PREPARED}{before}\n{code.replace(old, new) if old else code}\n{after}\n", tmp_path)


def test_examples_in_docstrings_warn_of_nothing(tmp_path: Path) -> None:
    names = ["voxtrait", *(name for name in modules() if name.split(".")[1:2] and name.split(".")[1] in PUBLIC)]
    code = f"""
import doctest, importlib, json
found = {{}}
for name in {names!r}:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    found[name] = result.attempted, result.failed
print(json.dumps(found))
"""
    found = json.loads(run(code, tmp_path).splitlines()[-1])
    assert sum(attempted for attempted, _ in found.values()) > 200
    assert [name for name, (_, failed) in found.items() if failed] == []


def test_a_file_that_stays_open_would_be_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unclosed file"):
        run("open(__file__)", tmp_path)
