"""Images for people: axes, a colour bar and a title around the same pixels, and never in training."""

import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from voxtrait import audio, features, manifest
from voxtrait.cli import root
from voxtrait.derived import axes, pictures
from voxtrait.errors import OptionError
from voxtrait.features import FrontEnd, decode_png, picture

RATE = 16_000


def voice(seconds: float, hz: float = 1000.0) -> features.Array:
    return np.asarray(0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE), dtype=np.float32)


def table(folder: Path) -> Path:
    rows = [
        {"path": f"{split}{at}.wav", "gender": gender, "age_group": "fifties", "split": split}
        for split in ("train", "validation", "test")
        for at, gender in enumerate(("female", "male"))
    ]
    for at, row in enumerate(rows):
        audio.write_wav(folder / row["path"], voice(1.0, 300.0 + 50 * at), RATE)
    manifest.write(pl.DataFrame(rows), folder / "all.csv")
    return folder / "all.csv"


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(root, [str(one) for one in arguments])
    return done.exit_code, done.stdout + done.stderr


def test_the_spectrogram_has_the_pixels_of_the_plain_picture() -> None:
    signal = voice(6.0)
    drawn = decode_png(axes.with_axes(signal, RATE, FrontEnd(), "clip.mp3"))
    assert drawn.shape == axes.size_of(432, 288)[::-1] == (368, 594)
    inside = drawn[axes.TOP : axes.TOP + 288, axes.LEFT : axes.LEFT + 432]
    plain = picture(signal, RATE)
    far = np.abs(inside.astype(int) - plain.astype(int))[2:-2, 2:-2]  # without the frame
    assert np.quantile(far, 0.99) <= 2
    loudest = np.flatnonzero(inside[:, 200] == inside[:, 200].max()).mean()
    assert loudest == pytest.approx(287 - features.band_of(1000, FrontEnd()), abs=1)


@pytest.mark.parametrize("fit", ["middle", "stretch"])
def test_columns_outside_of_a_short_clip_are_paper(fit: features.Fit) -> None:
    front_end = features.picture_front_end(fit=fit)
    drawn = decode_png(axes.with_axes(voice(1.0), RATE, front_end, "a"))
    row = drawn[axes.TOP + 40, axes.LEFT + 3 : axes.LEFT + 429]
    paper = int(drawn[1, 1])
    assert (row[0] == paper, row[-1] == paper) == ((True, True) if fit == "middle" else (False, False))
    assert row[213] < 60  # quiet at this frequency


def test_frequencies_are_where_the_filters_are() -> None:
    front_end = FrontEnd()
    bank = features.filters(front_end)
    for hz in (250, 1000, 4000):
        nearest = int(bank[:, round(hz * front_end.n_fft / RATE)].argmax())
        assert features.band_of(hz, front_end) == pytest.approx(nearest, abs=0.6)


def test_the_command_and_its_settings(tmp_path: Path) -> None:
    clips = table(tmp_path)
    status, said = run("images", clips, tmp_path / "plain", "--quiet")
    assert status == 0, said
    assert "axes" not in json.loads((tmp_path / "plain/pictures.json").read_text())
    plain = (tmp_path / "plain/train/gender/female/train0.png").read_bytes()
    assert plain == features.encode_png(picture(*audio.load(tmp_path / "train0.wav")))
    assert run("images", clips, tmp_path / "people", "--axes", "--quiet")[0] == 0
    assert json.loads((tmp_path / "people/pictures.json").read_text())["axes"] is True
    shown = decode_png((tmp_path / "people/train/gender/female/train0.png").read_bytes())
    assert shown.shape == (368, 594)
    status, said = run("images", clips, tmp_path / "plain", "--axes", "--quiet")
    assert status == 2 and "plain has other settings (axes: None before, True now)" in said
    status, said = run("corpus", "check", clips, "--images", tmp_path / "people", "--quiet")
    assert status == 0, said  # of the size that images with axes have


def test_training_refuses_images_with_axes(tmp_path: Path) -> None:
    clips = table(tmp_path)
    pictures.draw(clips, tmp_path / "people", axes=True)
    with pytest.raises(OptionError, match="has images with axes, written with --axes"):
        pictures.front_end_of(tmp_path / "people")
    status, said = run("train", "diary-gender", "--data", tmp_path / "people", "--out", tmp_path / "run", "--quiet")
    assert status == 2 and "Training expects images without axes" in said
    status, said = run("images", tmp_path / "people", tmp_path / "shards", "--shards", "--quiet")
    assert status == 2 and "Training expects images without axes" in said
    status, said = run("images", clips, tmp_path / "shards", "--shards", "--axes")
    assert status == 2 and "Got --shards and --axes." in said
    (tmp_path / "people/pictures.json").unlink()  # also without the settings: the images have another size
    status, said = run("train", "diary-gender", "--data", tmp_path / "people", "--out", tmp_path / "run", "--quiet")
    assert status == 2 and "368" in said


def test_names_in_any_script_are_drawn_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [decode_png(axes.with_axes(voice(1.0), RATE, FrontEnd(), name)) for name in ("имя", "東京", "a" * 200)]
    titles = [picture[: axes.TOP - 2] for picture in drawn]
    assert all((title < 128).any() for title in titles) and not np.array_equal(titles[0], titles[1])
    assert (titles[2][:, -40:] > 128).all()  # a long name is cut


def test_one_clip_under_a_name(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a $x$ clip.wav", voice(5.0), RATE)
    assert run("images", tmp_path / "a $x$ clip.wav", tmp_path / "a.png", "--axes", "--quiet")[0] == 0
    assert decode_png((tmp_path / "a.png").read_bytes()).shape == (368, 594)
