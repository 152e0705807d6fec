"""The commands of the tutorials run and print what the pages show.

``VOXTRAIT_WRITE_DOCS=1 pytest tests/test_tutorials.py`` writes the outputs and the pictures of the pages again.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images" / "tutorial"
SPEECH = Path(os.environ.get("VOXTRAIT_SPEECH", ROOT.parent / "shared" / "corpora"))
WRITING = bool(os.environ.get("VOXTRAIT_WRITE_DOCS"))
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.?\d*")
TAKEN = re.compile(r" in \d+\.\d s\b")  # how long a run took differs from machine to machine

# English clips of Common Voice 18 and 19, by the names that the first tutorial gives them
CLIPS = {"anna": "40969969", "henry": "40920578", "mia": "40329790", "short": "40926372"}
TALK = ("40969995", "40976031", "40973113", "40970053")  # three speakers in turn
SETTINGS = "--set shrink=4 --set batch_size=16 --set dropout=0.1 --set min_speakers=5"
"""What the second tutorial tells readers to add to a training on the synthetic release."""


def shell(command: str, folder: Path) -> str:
    """Run a command as a reader would, and return what it prints on standard output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, (command, done.stderr)
    return done.stdout


def same(shown: str, printed: str) -> bool:
    """Whether two outputs have the same words and counts, and estimates that differ as those of two processors may.

    Estimates are decimals, years, shares and bounds of intervals.
    """
    shown, printed = TAKEN.sub("", shown), TAKEN.sub("", printed)
    if NUMBER.sub("0", shown).split() != NUMBER.sub("0", printed).split():
        return False
    return all(map(_close, NUMBER.finditer(shown), NUMBER.finditer(printed)))


def _close(shown: re.Match[str], printed: re.Match[str]) -> bool:
    one, other = float(shown[0]), float(printed[0])
    if "." in shown[0]:
        return abs(one - other) <= max(0.1 * one, 0.04)
    estimated = shown.string[shown.end() :].startswith((" years", " %", "–", ")"))
    return abs(one - other) <= max(0.1 * one, 2) if estimated else one == other


def follow(
    page: Path, folder: Path, altered: Callable[[str], str] = lambda command: command
) -> Iterator[tuple[str, str]]:
    """Run the blocks of a page in order; yields each block as shown and as printed now."""
    for block in BLOCK.findall(page.read_text("utf-8")):
        printed = []
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            output = shell(altered(command), folder).rstrip()
            printed += [f"$ {command}", *([output] if output else [])]
        yield block, "\n".join(printed) + "\n"


def compare(page: Path, blocks: Iterator[tuple[str, str]]) -> None:
    """Fail where a block differs from what is printed, or write the page again."""
    text, differing = page.read_text("utf-8"), []
    for shown, printed in blocks:
        if WRITING:
            text = text.replace(f"```console\n{shown}```", f"```console\n{printed}```")
        elif not same(shown, printed):
            differing.append((shown, printed))
    if WRITING:
        page.write_text(text, "utf-8")
    assert differing == []


def draw(**sources: Path) -> None:
    """Copy pictures into the documents, when they are written."""
    if WRITING:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name, source in sources.items():
            shutil.copyfile(source, PICTURES / f"{name.replace('_', '-')}.png")


def test_numbers_may_differ_a_little_and_words_not() -> None:
    assert same("male (p 0.98)  29 years (20–40)", "male (p 0.95)  30 years (18–44)")
    assert not same("male (p 0.98)  29 years", "female (p 0.98)  29 years")
    assert not same("male (p 0.98)  29 years", "male (p 0.98)  35 years")
    assert not same("2 files", "3 files")
    assert not same("1.25 s", "1.45 s")
    assert same("2 files in 0.1 s", "2 files in 9.4 s")


def test_the_first_folder(tmp_path: Path) -> None:
    found = {file.stem: file for file in SPEECH.glob("cv-corpus-1[89].0-*/en/clips/*.mp3")}
    if not found:
        pytest.skip(f"no Common Voice 18 and 19 in {SPEECH}; set VOXTRAIT_SPEECH")
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name, number in CLIPS.items():
        shutil.copyfile(found[f"common_voice_en_{number}"], recordings / f"{name}.mp3")
    noise = 0.05 * np.random.default_rng(1).standard_normal(64_000)
    soundfile.write(recordings / "rain.wav", noise, 16_000)
    (recordings / "notes.mp3").write_text("Call Anna on Tuesday.\n", "utf-8")
    parts = [soundfile.read(found[f"common_voice_en_{number}"]) for number in TALK]
    soundfile.write(tmp_path / "talk.wav", np.concatenate([signal for signal, _ in parts]), parts[0][1])

    page = ROOT / "docs" / "tutorials" / "first-folder.md"
    compare(page, follow(page, tmp_path))
    assert (tmp_path / "talk.TextGrid").stat().st_size > 500
    draw(talk=tmp_path / "talk.png")


@pytest.mark.slow
def test_common_voice(tmp_path: Path) -> None:
    page = ROOT / "docs" / "tutorials" / "common-voice.md"
    for code in CODE.findall(page.read_text("utf-8")):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    settings = f"{SETTINGS} --set max_epochs={12 if WRITING else 1} --set threads=1"

    def altered(command: str) -> str:
        return f"{command} {settings}" if command.startswith("voxtrait train") else command

    blocks = follow(page, tmp_path, altered)
    if WRITING:
        compare(page, blocks)
    else:  # trained for one epoch only: the outputs before the training are as shown, and the others exist
        shown, printed = zip(*blocks, strict=True)
        trained = next(index for index, block in enumerate(shown) if "voxtrait train" in block)
        compare(page, zip(shown[:trained], printed[:trained], strict=True))
        assert [bool(one.count("\n") > one.count("$ ")) for one in shown] == [
            bool(one.count("\n") > one.count("$ ")) for one in printed
        ]
    pictures = tmp_path / "pictures" / "train" / "gender"
    female, male = (sorted((pictures / gender).glob("*.png"))[0] for gender in ("female", "male"))
    draw(
        funnel=tmp_path / "funnel.png",
        stats=tmp_path / "stats.png",
        female=female,
        male=male,
        gender_curves=tmp_path / "runs" / "gender" / "curves.png",
        age_curves=tmp_path / "runs" / "age" / "curves.png",
    )
    assert (tmp_path / "report" / "report.html").is_file()
