"""A bundle is data that is trusted only when every part of it is as expected."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import models
from voxtrait import bundle as bundles
from voxtrait.errors import BundleError
from voxtrait.features import FrontEnd
from voxtrait.features.front_end import ADDED
from voxtrait.labels import JOINT_CLASSES, YEARS


def test_what_is_written_is_what_is_loaded(tmp_path: Path) -> None:
    made = models.make_bundle(tmp_path / "b", age_labels=JOINT_CLASSES[2:6], speakers=["one", "two"])
    again = bundles.load(tmp_path / "b")
    assert again == made
    assert again.front_end == models.FRONT_END
    assert again.outputs == {"gender": ("female", "male"), "age": JOINT_CLASSES[2:6]}
    assert again.speakers() == {bundles.hash_speaker("one"), bundles.hash_speaker("two")}
    assert again.title == "tiny 1.0"
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["bundle.json", "model.onnx", "speakers.txt"]
    assert "one" not in (tmp_path / "b" / "speakers.txt").read_text()


def test_a_bundle_of_windows_has_a_head(tmp_path: Path) -> None:
    made = models.make_encoder_bundle(tmp_path / "b")
    assert bundles.load(tmp_path / "b") == made
    assert made.head == tmp_path / "b" / "head.onnx" and made.head.is_file()
    assert made.front_end == models.WINDOWS
    assert made.outputs["age"] == YEARS
    assert made.pretrained == ({"name": "nothing", "source": "made up", "licence": "CC0-1.0"},)
    pictures = models.make_bundle(tmp_path / "p")
    assert (pictures.head, pictures.pretrained) == (None, ())
    made.head.write_bytes(b"something else")
    with pytest.raises(BundleError, match=r"head\.onnx is missing or was changed: its hash differs"):
        bundles.load(tmp_path / "b")


def test_a_head_of_another_bundle_does_not_stay(tmp_path: Path) -> None:
    models.make_encoder_bundle(tmp_path / "b")
    models.make_bundle(tmp_path / "b")
    assert not (tmp_path / "b" / "head.onnx").exists()
    assert bundles.load(tmp_path / "b").head is None


def test_a_head_stands_where_there_are_windows_and_nowhere_else(tmp_path: Path) -> None:
    made = models.make_encoder_bundle(tmp_path / "b")
    without = dataclasses.replace(made, folder=tmp_path / "c")
    with pytest.raises(BundleError, match=r"Expected head\.onnx and model\.onnx and speakers\.txt .* fit 'windows'"):
        bundles.write(without, b"graph", [])
    pictures = dataclasses.replace(made, folder=tmp_path / "d", front_end=FrontEnd())
    with pytest.raises(BundleError, match=r"Expected model\.onnx and speakers\.txt for .* fit 'middle'"):
        bundles.write(pictures, b"graph", [], b"head")
    assert not (tmp_path / "c" / "bundle.json").exists() and not (tmp_path / "d" / "bundle.json").exists()


def test_childhood_needs_ages(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"a childhood of 12 years\. Expected 0, or at most 100 if the bundle predicts age\."
    ):
        models.make_encoder_bundle(tmp_path, tasks=("gender",), childhood=12)


def test_the_fingerprint_changes_with_any_file(tmp_path: Path) -> None:
    prints = {
        models.make_bundle(tmp_path / "a").fingerprint,
        models.make_bundle(tmp_path / "b").fingerprint,
        models.make_bundle(tmp_path / "c", speakers=["one"]).fingerprint,
        models.make_bundle(tmp_path / "d", tasks=("gender",)).fingerprint,
    }
    assert len(prints) == 3


def _delete(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda values: values.pop(key)


def _set(*path: Any) -> Callable[[dict[str, Any]], Any]:
    *keys, last, value = path

    def change(values: Any) -> None:
        for key in keys:
            values = values[key]
        values[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", 1), r"has format 1\. Expected 3: the bundle is for another version\."),
        (_set("format", 4), r"has format 4\. Expected 3"),
        (_set("format", None), r"has format None\. Expected 3"),
        (_delete("licence"), r"Missing: \['licence'\]"),
        (_set("secret", 1), r"Unknown: \['secret'\]"),
        (_delete("calibration"), r"Missing: \['calibration'\]"),
        (_set("outputs", "gender", ["male", "female"]), "once each, in its order"),
        (_set("outputs", "gender", ["female"]), "Expected female, male"),
        (_set("outputs", "age", ["teens", "robots"]), "Expected labels of voxtrait.labels, once each"),
        (_set("outputs", "age", []), "has age labels"),
        (_set("outputs", "age", list(YEARS[:99])), r"has 99 years as age labels\. Expected all years from 0 to 99\."),
        (_set("outputs", "age", ["30", "thirties"]), "Expected labels of voxtrait.labels, once each"),
        (_set("outputs", "mood", ["glad"]), "has outputs"),
        (_set("outputs", None), "a value of the wrong type"),
        (_set("calibration", "gender", "temperature", 0), "the gender temperature 0. Expected more than 0.000001."),
        (_set("calibration", "gender", "evidence", -0.1), r"has the gender evidence -0\.1\. Expected 0 to 10\."),
        (_set("calibration", "age", "evidence", math.inf), "has the age evidence inf"),
        (_set("calibration", "age", "evidence", None), "a value of the wrong type"),
        (_set("calibration", "gender", "childhood", -1.0), "a childhood of -1.0 years"),
        (_set("calibration", "gender", "childhood", 101.0), "a childhood of 101.0 years"),
        (_set("calibration", "gender", "bias", [0.0]), "one bias per label"),
        (_set("calibration", "gender", "bias", [0.0, "x"]), "a value of the wrong type"),
        (_set("calibration", "gender", "unsure", [0.6, 0.9]), "around 0.5"),
        (_set("calibration", "age", "tail", 0.5), "an age tail of 0.5"),
        (_set("calibration", "age", "tail", [0.1] * 10), "a value of the wrong type"),
        (_set("calibration", "age", "tail", [[0.1] * 10, [0.1] * 9 + [0.0]]), "Expected a share between 0 and 0.5"),
        (_set("calibration", "age", "tail", [[0.1] * 10, [0.1] * 9]), "or one for each of 2 genders and 10 age groups"),
        (_set("calibration", "age", "tail", [[0.1] * 10, ["x"] * 10]), "a value of the wrong type"),
        (
            _set("calibration", "age", "tail", [[[[0.1] * 10] * 2] + [0.1] * 9, [0.1] * 10]),
            "a value of the wrong type",
        ),
        (_set("calibration", "age", "tail", [[0.1]]), "or one for each of 2 genders and 10 age groups"),
        (_set("calibration", "age", "tail", []), "or one for each of 2 genders and 10 age groups"),
        (_set("calibration", "age", "mood", 1), "has the age calibration"),
        (_set("front_end", "n_mels", 0), "a value of the wrong type"),
        (_set("front_end", "n_mels", "many"), "a value of the wrong type"),
        (_set("front_end", "gain", 1), r"lacks the keys \[\] and has the unknown keys \['gain'\]"),
        (_set("files", {"model.onnx": "00", "speakers.txt": "00"}), "its hash differs from that in bundle.json"),
        (_set("files", "../escape", "00"), "Expected model.onnx and speakers.txt"),
        (_set("files", "head.onnx", "00"), "Expected model.onnx and speakers.txt for a front end with fit 'middle'"),
        (
            _set("pretrained", [{"name": "x", "source": "y"}]),
            r"Expected the texts \['licence', 'name', 'source'\] for each\.",
        ),
        (_set("pretrained", [{"name": "x", "source": "y", "licence": None}]), "Expected the texts"),
        (_set("pretrained", [7]), "a value of the wrong type"),
    ],
)
def test_whatever_is_not_as_expected_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    models.make_bundle(tmp_path)
    values = json.loads((tmp_path / "bundle.json").read_text())
    change(values)
    (tmp_path / "bundle.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=message):
        bundles.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "\ufeff{}", '{"format": NaN}'])
def test_a_description_that_is_no_json_object(tmp_path: Path, content: str) -> None:
    (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(BundleError):
        bundles.load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "speakers.txt"])
def test_a_changed_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    models.make_bundle(tmp_path)
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(BundleError, match=name):
        bundles.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name):
        bundles.load(tmp_path)


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    (tmp_path / "run" / "bundle" / "bundle.json").touch()
    with pytest.raises(BundleError, match=r"No bundle at .*run\. Expected .*\. Use .*run/bundle\.$"):
        bundles.load(tmp_path / "run")
    with pytest.raises(BundleError, match=r"No bundle at nowhere\. Expected a folder"):
        bundles.load("nowhere")
    with pytest.raises(BundleError, match="No bundle at"):
        bundles.load(tmp_path)


def test_a_write_that_would_not_load_writes_no_description(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="probabilities around"):
        models.make_bundle(tmp_path, unsure=(0.7, 0.8))
    assert not (tmp_path / "bundle.json").exists()


def as_format(folder: Path, number: int, *, without: tuple[str, ...] = ()) -> None:
    """Change the format of a bundle, and take keys out of its front end."""
    file = folder / "bundle.json"
    values = json.loads(file.read_text("utf-8"))
    values["front_end"] = {name: value for name, value in values["front_end"].items() if name not in without}
    file.write_text(json.dumps(values | {"format": number}), "utf-8")


def test_what_is_written_has_the_newest_format(tmp_path: Path) -> None:
    for folder in (models.make_bundle(tmp_path / "p").folder, models.make_encoder_bundle(tmp_path / "w").folder):
        assert json.loads((folder / "bundle.json").read_text("utf-8"))["format"] == bundles.FORMAT == 3


def test_a_bundle_of_pictures_of_the_format_before_is_read(tmp_path: Path) -> None:
    made = models.make_bundle(tmp_path)
    as_format(tmp_path, 2, without=tuple(name for group in ADDED for name in group))
    assert bundles.load(tmp_path) == made


def test_a_bundle_of_windows_of_the_format_before_is_refused(tmp_path: Path) -> None:
    models.make_encoder_bundle(tmp_path)
    as_format(tmp_path, 2)
    with pytest.raises(BundleError, match=r"has format 2\. Expected 3: its encoder is no longer supported\. Train it"):
        bundles.load(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped bundles with the default one, and an empty working folder."""
    models.make_encoder_bundle(tmp_path / "shelf" / bundles.DEFAULT, name=bundles.DEFAULT)
    monkeypatch.setattr("voxtrait.bundle.folder.SHIPPED", tmp_path / "shelf")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "shelf"


def test_a_former_name_loads_the_default_with_a_warning(shelf: Path) -> None:
    assert bundles.RENAMED == {"voxtrait-large": "voxtrait-base"}
    with pytest.warns(DeprecationWarning, match="voxtrait-large is now voxtrait-base: use that name") as said:
        found = bundles.load("voxtrait-large")
    assert (found.name, found.folder) == ("voxtrait-base", shelf / "voxtrait-base")
    assert [one.filename for one in said] == [__file__]  # the line that has to be changed
    assert bundles.load("voxtrait-base") == bundles.load() == found  # a warning would be an error


def test_a_folder_with_a_former_name_is_that_folder(shelf: Path) -> None:
    mine = models.make_bundle(Path("voxtrait-large"), name="mine")
    assert bundles.load("voxtrait-large") == mine
    assert bundles.load(Path("voxtrait-large").absolute()).name == "mine"


def test_every_shipped_bundle_loads() -> None:
    for folder in bundles.shipped():
        assert bundles.load(folder.name).folder == folder
