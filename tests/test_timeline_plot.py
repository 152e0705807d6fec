"""Timelines as pictures."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageColor

from voxtrait import audio, palette
from voxtrait.cli import root
from voxtrait.errors import OptionError
from voxtrait.timelines import Segment, Speaker, Timeline
from voxtrait.timelines.plot import plot


def talk(count: int) -> Timeline:
    """A timeline of so many speakers, with odd names, and music."""
    genders = ("female", "male", "unsure", None)
    speakers = tuple(
        Speaker(f"${place}_{{x}}", 4.0, genders[place % 4], 0.5, 40.0 if place % 4 < 3 else None, 30.0, 50.0)
        for place in range(count)
    )
    segments = [Segment(5.0 * place, 5.0 * place + 4.0, one.speaker) for place, one in enumerate(speakers)]
    music = Segment(5.0 * count, 5.0 * count + 10, None, "music")
    return Timeline("a/ta$k$.mp3", "ok", None, 5.0 * count + 12, 4.0 * count, speakers, (*segments, music), "voxtrait")


def test_every_speaker_has_a_lane_and_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    plot(talk(4), tmp_path / "new" / "four.svg")
    drawn = (tmp_path / "new" / "four.svg").read_text("utf-8")
    for text in ("$0_{x}, female, 40 years (30–50)", "$3_{x}", "music", "ta$k$.mp3: 0:16 of speech in 0:32"):
        assert f"<!-- {text}" in drawn
    plot(talk(2), tmp_path / "two.png")
    plot(talk(12), tmp_path / "twelve.png")
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "twelve.png") as twelve:
        assert two.width == twelve.width and twelve.height > two.height + 400
        colours = {colour for _, colour in twelve.convert("RGB").getcolors(10**6) or []}
    shown = (palette.FEMALE, palette.MALE, palette.UNSURE, palette.MUSIC, palette.PAPER, palette.INK)
    assert {ImageColor.getrgb(colour.light) for colour in shown} <= colours


def test_a_recording_without_speech_has_a_picture_that_says_so(tmp_path: Path) -> None:
    plot(Timeline("a.mp3", "no_speech", "no speech was found", 9.0, 0.0, (), (), "voxtrait"), tmp_path / "a.svg")
    assert "<!-- no speech was found" in (tmp_path / "a.svg").read_text("utf-8")
    with pytest.raises(OptionError, match="Expected one of"):
        plot(talk(1), tmp_path / "a.bmp")


def test_the_command_draws_one_recording(tmp_path: Path) -> None:
    file = tmp_path / "quiet.wav"
    audio.write_wav(file, np.zeros(16_000, np.float32), 16_000)
    picture = tmp_path / "quiet.png"
    done = CliRunner().invoke(root, ["timeline", str(file), "--plot", str(picture)])
    assert (done.exit_code, "no_speech" in done.stdout, f"plot: {picture}" in done.stderr) == (0, True, True)
    with Image.open(picture) as drawn:
        assert drawn.width == 1440
    many = CliRunner().invoke(root, ["timeline", str(file), str(file), "--plot", str(picture)])
    assert many.exit_code == 2 and "Got --plot and 2 recordings. Expected one recording" in many.stderr
    wrong = CliRunner().invoke(root, ["timeline", str(file), "--plot", str(tmp_path / "a.gif")])
    assert wrong.exit_code == 2
