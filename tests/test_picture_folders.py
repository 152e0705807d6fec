"""Class folders as people have them: our layout, Keras's, JPEG files, broken pictures, missing splits."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from voxtrait import features, manifest
from voxtrait.cli import root
from voxtrait.errors import DecodeError, ManifestError
from voxtrait.training.pictures import folders

SIZE = (96, 64)
FRONT_END = features.picture_front_end(SIZE)
QUICK = ["max_epochs=1", "channels=[4,8]", "width=96", "height=64", "shrink=2", "batch_size=4", "threads=1"]


def picture(file: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Draw noise, as PNG or JPEG."""
    drawn = np.random.default_rng(seed).integers(0, 255, size[::-1], dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".png":
        file.write_bytes(features.encode_png(drawn))
    else:
        Image.fromarray(drawn).save(file, "JPEG")
    return file


def tree(folder: Path, splits: tuple[str, ...], classes: tuple[str, ...], ending: str = ".png", count: int = 3) -> Path:
    """Make class folders with ``count`` pictures in each."""
    for split in splits:
        for name in classes:
            for at in range(count):
                picture(folder / split / name / f"{split}-{at}{ending}".replace("/", "-"), at)
    return folder


def train(data: Path, out: Path, *more: str) -> tuple[int, str]:
    settings = [part for value in (*QUICK, *more) for part in ("--set", value)]
    command = ["train", "diary-gender", "--data", str(data), "--out", str(out), "-j", "1", *settings]
    result = CliRunner().invoke(root, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("splits", "classes", "ending"),
    [
        (("train", "validation"), ("gender/female", "gender/male"), ".png"),
        (("train", "validation"), ("female", "male"), ".png"),
        (("train", "val", "test"), ("female", "male"), ".jpg"),
        (("Train", "Valid"), ("Female", "Male"), ".JPEG"),
        (("training", "dev"), ("F", "M"), ".PNG"),
        (("train", "validation"), ("female/deeper", "male/deeper"), ".png"),
        (("train", "validation"), ("Fe\u0301minin", "Masculin"), ".png"),  # as Macs spell é
    ],
)
def test_layouts_that_can_only_mean_one_thing_are_read(
    tmp_path: Path, splits: tuple[str, ...], classes: tuple[str, ...], ending: str
) -> None:
    table = folders.read_folder(tree(tmp_path, splits, classes, ending), "gender")
    counts = table.group_by("split", "label").len().sort("split", "label")
    wanted = ["test", "train", "validation"][3 - len(splits) :]
    assert counts.rows() == [(split, label, 3) for split in wanted for label in ("female", "male")]
    assert table["speaker_id"].null_count() == table.height


def test_joint_classes_are_read_in_both_layouts(tmp_path: Path) -> None:
    for at, classes in enumerate([("age/female_fifties", "age/male_twenties"), ("female_50s", "Male_Twenties")]):
        table = folders.read_folder(tree(tmp_path / str(at), ("train", "val"), classes), "age")
        assert set(table["label"]) == {"female_fifties", "male_twenties"}


def test_layouts_that_can_mean_two_things_are_refused(tmp_path: Path) -> None:
    both = tree(tmp_path / "a", ("train", "validation"), ("female", "male", "gender/female"))
    expected = r"has both gender/female and female\. Expected one layout: gender/CLASS or CLASS\."
    with pytest.raises(ManifestError, match=expected):
        folders.read_folder(both, "gender")
    twice = tree(tmp_path / "b", ("train", "val", "validation"), ("female", "male"))
    expected = r"two folders for validation: val and validation\. Expected one folder per split\."
    with pytest.raises(ManifestError, match=expected):
        folders.read_folder(twice, "gender")


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        (("train",), r"No images for validation in .* Found train/female/ \(3\); train/male/ \(3\)\."),
        ((), "Found no"),
    ],
)
def test_what_is_missing_is_named_with_what_was_found(tmp_path: Path, splits: tuple[str, ...], found: str) -> None:
    tree(tmp_path / "pictures", splits, ("female", "male"))
    (tmp_path / "pictures").mkdir(exist_ok=True)
    with pytest.raises(ManifestError, match=found):
        folders.read_folder(tmp_path / "pictures", "gender")
    status, said = train(tmp_path / "pictures", tmp_path / "run")
    assert status == 2 and len(said.splitlines()) == 1 and "Expected " in said
    assert not (tmp_path / "run").exists()  # so that the same command works when the pictures are there


def broken(folder: Path) -> dict[Path, str]:
    """Put one of each kind of broken picture beside good ones."""
    whole = picture(folder / "whole.png").read_bytes()
    kinds = {
        "zero.png": (b"", r"it is empty \(0 bytes\)"),
        "text.png": (b"This is no picture.\n", "Expected PNG or JPEG"),
        "cut.png": (whole[: len(whole) // 2], "it is damaged"),
        "flipped.png": (whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], "it is damaged"),
        "large.png": (picture(folder / "x.png", size=(224, 100)).read_bytes(), "it has 224×100 pixels, expected 96×64"),
    }
    (folder / "x.png").unlink()
    for name, (data, _) in kinds.items():
        (folder / name).write_bytes(data)
    return {folder / name: why for name, (_, why) in kinds.items()}


def test_each_kind_of_broken_picture_is_left_out_and_named(tmp_path: Path) -> None:
    tree(tmp_path, ("train", "validation"), ("female", "male"))
    whys = broken(tmp_path / "train" / "female")
    (tmp_path / "train" / "female" / "._whole.png").write_bytes(b"\0\5\x16\7")  # as macOS writes it
    (tmp_path / "train" / "female" / "Thumbs.db").write_bytes(b"x")
    table = folders.read_folder(tmp_path, "gender")
    kept, left_out = folders.without_broken(table, FRONT_END)
    assert kept.height == 13 and table.height == 18  # hidden files and other endings are no pictures
    assert {Path(path) for path, _ in left_out} == whys.keys()
    for path, reason in left_out:
        with pytest.raises(DecodeError, match=whys[Path(path)]):
            raise DecodeError(reason)
        assert "BytesIO" not in reason
    words = folders.in_words(left_out * 2, 36)
    assert words.startswith("10 of 36 images skipped: ") and words.endswith("; and 5 more")


def test_all_of_another_size_says_which_settings_fit(tmp_path: Path) -> None:
    for at, name in enumerate(["train/female", "train/male", "val/female", "val/male"]):
        picture(tmp_path / "data" / name / "a.png", at, (224, 128))
    status, said = train(tmp_path / "data", tmp_path / "run")
    assert status == 2 and said.count("\n") == 1
    assert "All images (4) have 224×128 pixels. The recipe expects 96×64. Use --set width=224 --set" in said


def test_a_training_leaves_out_broken_pictures_and_counts_them(tmp_path: Path) -> None:
    data = tree(tmp_path / "data", ("train", "val"), ("female", "male"), ".jpg", count=6)
    (data / "train" / "female" / "zero.png").touch()
    status, said = train(data, tmp_path / "run")
    assert status == 0, said
    assert f"1 of 25 images skipped: {data}/train/female/zero.png: not an image: it is empty (0 bytes)" in said
    lines = pl.read_csv(tmp_path / "run" / "report" / "funnel.csv")
    assert dict(lines.select("what", "clips").rows())["damaged images, or images of another size"] == -1
    predicted = pl.read_csv(tmp_path / "run" / "report" / "predictions.csv")
    assert predicted.height == 12 and set(predicted["status"]) == {"ok"}  # JPEG files are predicted as well
    shutil.rmtree(data / "val")
    tree(data, ("val",), ("female", "male"), ".jpg", count=1)
    for file in (data / "val").rglob("*.jpg"):
        file.write_bytes(b"")
    status, said = train(data, tmp_path / "other")
    assert status == 2 and "No images for validation in" in said.splitlines()[-1]


def test_a_folder_with_too_few_classes_leaves_no_run_folder_so_that_the_command_can_be_corrected(
    tmp_path: Path,
) -> None:
    data = tree(tmp_path / "data", ("train", "validation", "test"), ("female",))
    status, said = train(data, tmp_path / "run")
    assert status == 2 and "Got 1 gender class with 1 or more speakers" in said.splitlines()[-1]
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("splits", "genders", "expected"),
    [
        (
            ["train"] * 4,
            ["female", "male"] * 2,
            r"No validation split in .*\. Clips with a label for gender: train 4\. Run",
        ),
        (
            [None] * 4,
            ["female", "male"] * 2,
            r"No train/validation split .*\. Clips .* for gender: 4 in no split\. Run",
        ),
        (["train", "validation"] * 2, [None] * 4, "No clip in .* has a label for gender"),
        (
            ["train", "validation"] * 2,
            ["male"] * 4,
            r"Got 1 gender class with 1 or more speakers and training .* per class: male 4\.\n$",
        ),
    ],
)
def test_a_table_without_what_training_needs_is_refused_before_a_picture_is_drawn(
    tmp_path: Path, splits: list[str | None], genders: list[str | None], expected: str
) -> None:
    rows = {"path": [f"{at}.mp3" for at in range(4)], "split": splits, "gender": genders}
    manifest.write(pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String)), tmp_path / "all.parquet")
    status, said = train(tmp_path / "all.parquet", tmp_path / "run")
    assert status == 2 and said.count("\n") == 1
    with pytest.raises(ManifestError, match=expected):
        raise ManifestError(said)
    assert not (tmp_path / "run").exists()
