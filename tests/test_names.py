"""Names of files that are not UTF-8 have a spelling in text, and are found again by it."""

import os
from pathlib import Path

import pytest

from voxtrait import storage


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"clip.mp3", "clip.mp3"),
        ("语音.mp3".encode(), "语音.mp3"),
        (b"caf\xe9.mp3", "caf\\xe9.mp3"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("é".encode() + b"\xe9", "é\\xe9"),
    ],
)
def test_a_name_and_its_text(name: bytes, text: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    Path(os.fsdecode(path)).touch()
    spelled = storage.text_of(os.fsdecode(path))
    assert spelled == f"{tmp_path}/{text}"
    spelled.encode()
    assert storage.path_of(spelled) == os.fsdecode(path)


def test_a_text_that_is_the_name_itself_is_taken_as_it_is(tmp_path: Path) -> None:
    literal = f"{tmp_path}/caf\\xe9.mp3"
    assert storage.path_of(literal) == literal  # neither is there
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3")).touch()
    assert storage.path_of(literal) == f"{tmp_path}/caf\udce9.mp3"
    Path(literal).touch()
    assert storage.path_of(literal) == literal


def test_half_a_pair_of_surrogates_has_a_text() -> None:
    storage.text_of("a\ud800.mp3").encode()
