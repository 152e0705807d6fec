"""The ways through the package that docs/explanation/architecture.md draws, against the calls that are made."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import voxtrait
from voxtrait import audio, corpora, synthetic
from voxtrait.manifest import splitting

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "architecture.md"
DRAWINGS = re.findall(r"```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1:]  # the first has the layers
EVERYWHERE = ("audio.signals", "storage", "runtime", "bundle", "labels", "errors")  # as the page says
PARTS = (
    "audio.arrays",
    "audio.channels",
    "audio.kinds",
    "audio.mpeg",
    "audio.pieces",
    "corpora.source",
    "corpora.archives",
    "corpora.table",
    "features.front_end",
)  # of what is drawn

Arrow = tuple[str | None, str]  # from caller to callee, without "voxtrait."


def drawn(number: int) -> list[Arrow]:
    """The arrows of a drawing, from top to bottom."""
    above: list[str] = []
    found: list[Arrow] = []
    for line in DRAWINGS[number].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        found.append((above[depth - 1] if depth else None, name))
        above[depth:] = [name]
    return found


def called(act: Callable[[], Any]) -> list[Arrow]:
    """The arrows that calls between modules go along, each once, in the order of the first call."""
    found: list[Arrow] = []

    def module(frame: FrameType | None) -> str | None:
        name = frame.f_globals.get("__name__", "") if frame else ""
        return re.sub(r"^voxtrait\.|(?<=layouts)\..*", "", name) if name.startswith("voxtrait.") else None

    def watch(frame: FrameType, event: str, _: Any) -> None:
        here = module(frame)
        if event != "call" or here is None:
            return
        caller = frame.f_back
        while caller is not None and module(caller) is None:
            caller = caller.f_back
        if here != module(caller) and (module(caller), here) not in found:
            found.append((module(caller), here))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(before)
    return [arrow for arrow in found if not arrow[1].startswith((*EVERYWHERE, *PARTS))]


def test_a_sound_goes_through_predict_as_drawn(tmp_path: Path) -> None:
    (voice,) = synthetic.cohort(1, 1)
    audio.write_wav(tmp_path / "voice.wav", synthetic.speak(voice, 4.0, seed=3), audio.SAMPLING_RATE)
    model = voxtrait.load()
    assert model.predict(tmp_path / "voice.wav").status == "ok"  # the first call opens the graphs
    arrows = called(lambda: model.predict(tmp_path / "voice.wav"))
    arrows.remove(("audio.offset", "recognize.sources"))  # which is asked for its next block
    assert sorted(arrows, key=str) == sorted(drawn(0), key=str)
    below = [name for _, name in arrows]
    assert len(set(below)) == len(below)  # nothing is entered from two places
    steps = [name for caller, name in drawn(0) if caller == "recognize.inference"]
    assert [name for caller, name in arrows if caller == "recognize.inference"] == steps


def test_a_table_goes_through_import_and_split_as_drawn(tmp_path: Path) -> None:
    release = synthetic.write_common_voice(tmp_path, synthetic.cohort(4, 1), 1, 1)
    found: list[Any] = []
    arrows = called(lambda: found.append(corpora.import_corpora([release], tables_only=True)))
    for caller in ("corpora.delimited", "corpora.layouts", "corpora.source", "corpora.spellings"):
        arrows.remove((caller, "manifest.table"))  # for the columns' names
    arrows.remove(("corpora.layouts", "corpora.spellings"))  # for the names of class folders
    arrows = [arrow for arrow in arrows if "manifest.narrow" not in arrow]  # makes a table of columns
    assert sorted(arrows, key=str) == sorted(drawn(1), key=str)
    arrows = called(lambda: splitting.split(found[0].table, seed=1))
    assert arrows == drawn(2)
