"""Answers as Python users meet them: printed, in a notebook, as a data frame; many of them, lazily, and in threads."""

import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner

import models
import voxtrait
from voxtrait import synthetic
from voxtrait.cli import root
from voxtrait.errors import OptionError, OptionTypeError, SourceError
from voxtrait.recognize import FIELDS, Prediction, Recognizer

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load("voxtrait-fast")


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    """Six made-up voices whose answers differ."""
    people = [synthetic.draw_voice(gender, age, seed=3) for age in (25, 45, 65) for gender in ("female", "male")]
    return [synthetic.speak(person, 2.0, seed=5) for person in people]


@pytest.fixture
def clips(voices: list[np.ndarray], tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"voice {k}.wav" for k in range(3)]
    for path, voice in zip(paths, voices, strict=False):
        soundfile.write(path, voice, RATE, subtype="FLOAT")
    return paths


ANSWERS = {
    "female": Prediction("a.mp3", "ok", None, 4.8, 3.9, "female", 0.973, 34.2, 24, 47, "thirties", None, "m 1.0"),
    "unsure": Prediction(None, "ok", "a note", 4.8, 3.9, "unsure", 0.44, 9.2, 4, 20, "under_ten", None, "m 1.0"),
    "age": Prediction("a.mp3", "ok", None, 4.8, 3.9, None, None, 34.2, 24, 47, "thirties", None, "m 1.0"),
    "gender": Prediction("a.png", "ok", None, None, None, "male", 0.1, None, None, None, None, None, "m 1.0"),
    "error": Prediction("<b>.mp3", "error", "two\nlines", None, None, *[None] * 7, "m 1.0"),
    "bytes": Prediction("caf\udce9", "error", "no such file: caf\udce9", None, None, *[None] * 7, "m 1.0"),
}
LINES = {
    "female": "a.mp3  female (p 0.97)  34 years (24–47), thirties  3.9 s speech",
    "unsure": "-  unsure (p_female 0.44)  9 years (4–20), under ten  3.9 s speech  a note",
    "age": "a.mp3  34 years (24–47), thirties  3.9 s speech",
    "gender": "a.png  male (p 0.90)",
    "error": "<b>.mp3  error: two lines",
    "bytes": "caf\\xe9  error: no such file: caf\\xe9",
}
BRIEF = {
    "female": "<Prediction a.mp3: female (p 0.97), 34 years (24–47)>",
    "unsure": "<Prediction -: unsure (p_female 0.44), 9 years (4–20)>",
    "age": "<Prediction a.mp3: 34 years (24–47)>",
    "gender": "<Prediction a.png: male (p 0.90)>",
    "error": "<Prediction <b>.mp3: error, two lines>",
    "bytes": "<Prediction caf\\xe9: error, no such file: caf\\xe9>",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_printed_as_the_command_prints_it(name: str) -> None:
    assert str(ANSWERS[name]) == LINES[name]
    assert repr(ANSWERS[name]) == f"{ANSWERS[name]!r}" == BRIEF[name]
    str(ANSWERS[name]).encode(), repr(ANSWERS[name]).encode(), ANSWERS[name]._repr_html_().encode()


def test_a_representation_is_short() -> None:
    long = Prediction("a.mp3", "error", "many words " * 50, None, None, *[None] * 7, "m 1.0")
    assert len(repr(long)) < 130 and repr(long).endswith(" …>")


def test_the_command_prints_the_same_line(model: Recognizer, clips: list[Path]) -> None:
    for path in (clips[0], clips[0].with_name("absent.wav")):
        done = CliRunner().invoke(root, [str(path), "--model", "voxtrait-fast"])
        assert done.stdout == f"{model.predict(path)}\n"
    piped = CliRunner().invoke(root, ["-", "--model", "voxtrait-fast"], input=clips[0].read_bytes())
    assert piped.stdout == f"{model.predict(clips[0].read_bytes())}\n"


def test_a_notebook_shows_a_small_table() -> None:
    shown = ANSWERS["female"]._repr_html_()
    for text in ("<table>", "a.mp3", "female (p 0.97)", "34 years (24–47), thirties", "3.9 s", "m 1.0"):
        assert text in shown
    assert shown.count("<tr>") == 2 and shown.count("<th ") == shown.count("<td ") == 6
    assert "&lt;b&gt;.mp3" in ANSWERS["error"]._repr_html_() and "<b>" not in ANSWERS["error"]._repr_html_()
    assert "gender" not in ANSWERS["error"]._repr_html_()


def test_the_recogniser_names_its_bundle(tmp_path: Path) -> None:
    assert repr(Recognizer(models.make_bundle(tmp_path, name="mine"))) == "<Recognizer mine 1.0>"


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_answers_become_a_data_frame(model: Recognizer, clips: list[Path], library: Any) -> None:
    answers = list(model.predict_many([*clips, "absent.wav", (RATE, np.zeros(RATE))]))
    frame = voxtrait.to_frame(iter(answers), library=library)
    assert isinstance(frame, pl.DataFrame if library == "polars" else pd.DataFrame)
    assert list(frame.columns) == list(FIELDS)
    rows = (
        frame.to_dicts() if library == "polars" else frame.astype(object).where(frame.notna(), None).to_dict("records")
    )
    assert rows == [answer.to_dict() for answer in answers]
    assert voxtrait.to_frame(answers[0], library=library).shape == (1, len(FIELDS))
    empty = voxtrait.to_frame([], library=library)
    assert empty.shape == (0, len(FIELDS)) and list(empty.dtypes) == list(frame.dtypes)
    errors = voxtrait.to_frame(answers[3:], library=library)  # whole columns of nulls
    assert list(errors.dtypes) == list(frame.dtypes)


def test_a_data_frame_of_something_else_is_refused(model: Recognizer) -> None:
    with pytest.raises(OptionError, match=r"Got library 'numpy'\. Expected 'polars' or 'pandas'"):
        voxtrait.to_frame([], library="numpy")  # type: ignore[arg-type]
    with pytest.raises(OptionTypeError, match=r"Got 3 \(int\)\. Expected predictions"):
        voxtrait.to_frame(3)  # type: ignore[arg-type]
    with pytest.raises(OptionTypeError, match="Got None among the predictions"):
        voxtrait.to_frame([None])  # type: ignore[list-item]
    talk = voxtrait.timeline(np.zeros(RATE), RATE, model=model)
    with pytest.raises(OptionTypeError, match=r"call timeline\.to_polars"):
        voxtrait.to_frame([talk])  # type: ignore[list-item]


def test_one_source_is_one_prediction(model: Recognizer, clips: list[Path], voices: list[np.ndarray]) -> None:
    expected = model.predict(clips[0])
    for single in (clips[0], str(clips[0]), {"path": str(clips[0]), "bytes": None}):
        assert list(model.predict_many(single)) == [expected]
    for nameless in (clips[0].read_bytes(), BytesIO(clips[0].read_bytes()), (RATE, voices[0]), (voices[0], RATE)):
        (answer,) = model.predict_many(nameless)
        assert (answer.path, answer.p_female) == (None, expected.p_female)
    for signal in (voices[0], voices[0].tolist()):
        (answer,) = model.predict_many(signal, sampling_rate=RATE)
        assert answer.p_female == expected.p_female
    with clips[0].open("rb") as file:
        assert list(model.predict_many(file)) == [expected]
    (folder,) = model.predict_many(str(clips[0].parent))
    assert "is a folder" in str(folder.message)


def test_any_iterable_is_taken(model: Recognizer, clips: list[Path], voices: list[np.ndarray]) -> None:
    expected = [model.predict(path) for path in clips]
    names = [str(path) for path in clips]
    lazy = (iter(clips), (path for path in clips), map(Path, names), dict.fromkeys(names).keys())
    for iterable in (clips, tuple(names), *lazy, np.array(names), pd.Series(names), pl.Series(names)):
        assert list(model.predict_many(iterable)) == expected
    batch = np.stack(voices)
    import torch

    for rows in (batch, torch.from_numpy(batch), list(batch), torch.from_numpy(batch)[:, None]):
        found = [answer.p_female for answer in model.predict_many(rows, sampling_rate=RATE)]
        assert found == [model.predict(voice, RATE).p_female for voice in voices]
    assert list(model.predict_many([])) == list(model.predict_many(iter([]), jobs=2)) == []


def test_one_odd_item_does_not_end_the_others(model: Recognizer, clips: list[Path], voices: list[np.ndarray]) -> None:
    items = [clips[0], None, "absent.wav", (RATE, np.full(9, np.nan)), {"text": ""}, float("nan"), (RATE, voices[1])]
    one = list(model.predict_many(items))
    assert [answer.status for answer in one] == ["ok", "error", "error", "error", "error", "error", "ok"]
    assert str(one[1].message).startswith("Got None.") and "NaN" in str(one[3].message)
    assert list(model.predict_many((item for item in items), jobs=2)) == one
    each = list(model.predict_many([(RATE, np.stack(voices[:2])), None, clips[0]], channel="each"))
    assert [answer.path for answer in each] == ["-#1", "-#2", None, str(clips[0])]
    assert each[1].p_female == model.predict(voices[1], RATE).p_female
    second = list(model.predict_many([(RATE, np.stack(voices[:2])), (RATE, voices[0])], channel=2))
    assert second[0].p_female == each[1].p_female and "No channel 2 in the signal" in str(second[1].message)


@pytest.mark.parametrize(
    ("paths", "kind", "message"),
    [
        (None, SourceError, r"Got None\. Expected an iterable of files or signals"),
        (3, SourceError, r"Got 3 \(int\)"),
        ({"a.mp3": 1}, SourceError, "Got a dict with the keys a.mp3"),
        (pd.DataFrame({"path": ["a.mp3"]}), SourceError, r"type DataFrame.*Pass the column.*table\['path'\]"),
        (pl.DataFrame({"path": ["a.mp3"]}), SourceError, r"type DataFrame.*Pass the column.*table\['path'\]"),
        ([np.zeros(RATE)], OptionError, "without its sampling rate"),
    ],
)
def test_what_cannot_be_many(model: Recognizer, paths: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        list(model.predict_many(paths))


def test_a_sampling_rate_is_checked_before_the_work(model: Recognizer, clips: list[Path]) -> None:
    with pytest.raises(OptionTypeError, match="'16000'"):
        model.predict_many(clips, sampling_rate="16000")  # type: ignore[arg-type]


def test_shards_are_of_files(model: Recognizer, clips: list[Path], tmp_path: Path) -> None:
    (shard,) = model.predict_shards(str(clips[0]), tmp_path / "parts")  # type: ignore[arg-type]
    assert pl.read_parquet(shard)["path"].to_list() == [str(clips[0])]
    with pytest.raises(SourceError, match=r"predict_shards needs files\. For signals, call predict_many"):
        model.predict_shards([(RATE, np.zeros(RATE))], tmp_path / "parts")
    with pytest.raises(SourceError, match="Got None"):
        model.predict_shards([clips[0], None], tmp_path / "parts")  # type: ignore[list-item]


def test_a_generator_is_read_as_the_answers_are_taken(model: Recognizer) -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def signals() -> Iterator[np.ndarray]:
        for _ in range(20):
            signal = np.zeros(RATE, np.float32)
            made.append(weakref.ref(signal))
            yield signal
            del signal

    answers = model.predict_many(signals(), sampling_rate=RATE)
    assert made == []
    for count, answer in enumerate(answers, 1):
        assert answer.status == "no_speech"
        assert len(made) == count
        assert sum(one() is not None for one in made) <= 2  # memory does not grow with their number


def test_processes_read_a_generator_a_few_chunks_ahead(model: Recognizer, clips: list[Path]) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield clips[asked % 3]

    answers = model.predict_many(endless(), jobs=2)
    assert [next(answers).path for _ in range(4)] == [str(clips[place]) for place in (1, 2, 0, 1)]
    assert asked < 200
    answers.close()  # type: ignore[attr-defined]


def test_one_recogniser_works_in_several_threads(voices: list[np.ndarray], tmp_path: Path) -> None:
    alone = [voxtrait.load().predict(voice, RATE) for voice in voices]
    assert len({answer.p_female for answer in alone}) == len(voices)
    model = voxtrait.load()  # its graphs are not open yet: all threads want the first prediction
    together = threading.Barrier(4)

    def work(thread: int) -> list[tuple[int, Prediction, np.ndarray]]:
        together.wait()
        places = [(thread + step) % len(voices) for step in range(len(voices))]
        return [(place, *model.hear(voices[place], RATE)) for place in places]  # type: ignore[misc]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = [one for part in pool.map(work, range(4)) for one in part]
    finally:
        sys.setswitchinterval(before)
    assert len(found) == 4 * len(voices)
    for place, answer, vector in found:
        assert answer == alone[place]
        np.testing.assert_array_equal(vector, model.embed(voices[place], RATE))


def test_threads_open_a_graph_once(voices: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    from voxtrait.recognize.graph import Graph

    model = voxtrait.load("voxtrait-fast")
    opened: list[Path] = []
    plain = Graph._open

    def slowly(self: Graph) -> Any:
        opened.append(self.file)
        time.sleep(0.3)  # another thread would come here too
        return plain(self)

    monkeypatch.setattr(Graph, "_open", slowly)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda voice: model.predict(voice, RATE), voices[:3]))
    assert len(opened) == len(set(opened)) == 2
    assert {answer.status for answer in answers} == {"ok"}
