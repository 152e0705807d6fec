"""Every kind of file is read by every command, or refused by all of them in the same words; docs/reference/formats.md
has the table, which ``VOXTRAIT_WRITE_DOCS=1 pytest tests/test_formats.py`` writes anew."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import soundfile
from click.testing import CliRunner

pytest.importorskip("av", reason="PyAV is not installed: pip install 'voxtrait[media]'")
pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from formats import KINDS, RATE, REFUSED
from piping import piped
from voxtrait import audio, corpora, manifest, synthetic
from voxtrait.cli import root
from voxtrait.errors import DecodeError
from voxtrait.web import Settings, create_app

SECONDS = 2.5
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "formats.md"
COMMANDS = ("predict", "convert", "images", "corpus check", "listen", "REST")
Cells = dict[str, dict[str, str]]  # command → file → seconds, or what was refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (voice,) = synthetic.cohort(1, 1)
    signal = synthetic.speak(voice, SECONDS, seed=3)[: round(SECONDS * RATE)]
    place = tmp_path_factory.mktemp("formats")
    for name, make in KINDS.items():
        (place / name).write_bytes(make(signal))
    for name, content in REFUSED.items():
        (place / name).write_bytes(content)
    return place


@pytest.fixture(scope="module")
def cells(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    place = tmp_path_factory.mktemp("made")
    listed = place / "files.txt"
    listed.write_text("".join(f"{folder / name}\n" for name in [*KINDS, *REFUSED]))
    found: Cells = {
        "predict": dict(predicted(listed)),
        "convert": dict(converted(listed, place / "wav")),
        "images": dict(drawn(listed, place / "png")),
        "corpus check": dict(checked(folder, place)),
        "listen": dict(heard(folder)),
        "REST": dict(asked(folder)),
    }
    return found


def seconds(value: float) -> str:
    """A length as it is compared: encoders add up to two frames."""
    return "read" if abs(value - SECONDS) < 0.2 else f"{value:.2f} s"


def reason(message: str) -> str:
    """A refusal without the name of the file."""
    known = "is not a readable audio file|has no samples|is a damaged|is damaged|is empty|has no audio"
    return re.sub(rf"^.*?(?={known})", "", message)


def predicted(listed: Path) -> Iterator[tuple[str, str]]:
    done = CliRunner().invoke(root, ["predict", "--files-from", str(listed), "--format", "jsonl", "-q"])
    for line in done.stdout.splitlines():
        row = json.loads(line)
        said = reason(row["message"] or "") if row["status"] == "error" else seconds(row["duration_s"])
        yield Path(row["path"]).name, said


def converted(listed: Path, out: Path) -> Iterator[tuple[str, str]]:
    CliRunner().invoke(root, ["convert", str(listed), str(out), "-q"])
    sources = {Path(name).name for name in listed.read_text().split()}
    for file in out.rglob("*.wav"):
        yield source_of(file, sources), seconds(soundfile.info(file).duration)
    yield from failures(out)


def drawn(listed: Path, out: Path) -> Iterator[tuple[str, str]]:
    CliRunner().invoke(root, ["images", str(listed), str(out), "-q"])
    sources = {Path(name).name for name in listed.read_text().split()}
    for file in out.rglob("*.png"):
        yield source_of(file, sources), "read"
    yield from failures(out)


def source_of(made: Path, sources: set[str]) -> str:
    (name,) = (one for one in sources if Path(one).stem == made.stem)
    return name


def failures(out: Path) -> Iterator[tuple[str, str]]:
    if (out / "failures.csv").exists():
        for path, why, *_ in pl.read_csv(out / "failures.csv").select("path", "reason").iter_rows():
            yield Path(path).name, reason(why)


def checked(folder: Path, place: Path) -> Iterator[tuple[str, str]]:
    from voxtrait.integrity import examination

    for name in [*KINDS, *REFUSED]:
        state = examination.examine((str(folder / name),))
        yield name, seconds(state.seconds) if state.state == "whole" else reason(state.reason)


def heard(folder: Path) -> Iterator[tuple[str, str]]:
    for name in [*KINDS, *REFUSED]:
        try:
            blocks = list(audio.at_rate(piped((folder / name).read_bytes())))
            yield name, seconds(sum(len(block) for block, _ in blocks) / RATE)
        except DecodeError as error:
            yield name, reason(str(error))


def asked(folder: Path) -> Iterator[tuple[str, str]]:
    with TestClient(create_app(None, Settings(workers=1)), base_url="http://localhost:8000") as client:
        for name in [*KINDS, *REFUSED]:
            answer = client.post("/v1/predict", files={"file": (name, (folder / name).read_bytes())}).json()
            yield name, reason(answer["error"]["message"]) if "error" in answer else seconds(answer["duration_s"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_kind_is_read(cells: Cells, command: str) -> None:
    assert {name: cells[command].get(name) for name in KINDS} == dict.fromkeys(KINDS, "read")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sound_is_refused_alike(cells: Cells, name: str) -> None:
    said = {cells[command].get(name) for command in COMMANDS}
    assert len(said) == 1, cells["predict"].get(name)


def test_every_kind_may_be_exported(folder: Path, tmp_path: Path) -> None:
    """A header is enough for most; what is refused there is refused with the reason of the decoder."""
    table = pl.DataFrame({"path": [str(folder / name) for name in [*KINDS, *REFUSED]]}).with_row_index("at")
    table = manifest.conform(table.select("path", clip_id=pl.format("c/-/-/{}", "at")))
    done = corpora.export(table, tmp_path / "out", to="audiofolder", audio="copy")
    lost = {Path(path).name: why for path, why in done.failures.select("path", "reason").iter_rows()}
    assert lost.keys() <= REFUSED.keys() and len(lost) > 5


def test_the_page_has_the_table(cells: Cells) -> None:
    head = ["| File | " + " | ".join(f"`{one}`" if one != "REST" else one for one in COMMANDS) + " |"]
    lines = [*head, "|---|" + "---|" * len(COMMANDS)]
    for name in [*KINDS, *REFUSED]:
        row = [cells[command].get(name, "") for command in COMMANDS]
        lines.append(f"| `{name}` | " + " | ".join("yes" if cell == "read" else "refused" for cell in row) + " |")
    table = "\n".join(lines) + "\n"
    page = PAGE.read_text("utf-8")
    mark = "<!-- table -->\n"
    before, _, rest = page.partition(mark)
    _, _, after = rest.partition(mark)
    if os.environ.get("VOXTRAIT_WRITE_DOCS"):
        PAGE.write_text(before + mark + table + mark + after, "utf-8")
    assert mark + table + mark in PAGE.read_text("utf-8")


def test_there_are_as_many_kinds_as_promised() -> None:
    assert len(KINDS) >= 45
