"""``voxtrait demo``: the whole way with few voices, that its commands exist, what it keeps, removes and refuses."""

import importlib.util
import json
import shlex
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from voxtrait import bundle, demo
from voxtrait.cli import root
from voxtrait.demo import Plan
from voxtrait.errors import MissingExtraError

QUICK = ("max_epochs=1", "channels=[4,8]", "shrink=6", "threads=1")
SMALL = partial(Plan, speakers=42, clips=1, seconds=(1.5, 1.6), gender=QUICK, age=(*QUICK, "min_speakers=3"))


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["demo", *map(str, args)])


@pytest.fixture
def few_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "Plan", partial(SMALL, least_uar=0.0))


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One tour, by the command, in one process, that any network passes."""
    out = tmp_path_factory.mktemp("tour") / "a demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "Plan", partial(SMALL, least_uar=0.0))
        return out, run("--out", out, "--jobs", 1, "--format", "json")


def test_a_tour_leaves_everything_it_names(tour: tuple[Path, Result]) -> None:
    out, result = tour
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["passed"] is True
    assert 0.0 <= found["gender_uar"]["low"] <= found["gender_uar"]["value"] <= found["gender_uar"]["high"] <= 1.0
    report = json.loads((out / "report" / "report.json").read_text("utf-8"))
    assert found["gender_uar"] == report["gender"]["uar"]
    assert (report["split"], report["leakage"]) == ("test", "none")
    assert all(Path(path).exists() for path in found["paths"].values())
    assert len(list((out / "wav").rglob("*.wav"))) == 42
    assert bundle.load(out / "age" / "bundle").outputs.keys() == {"age"}
    asked = 1 + bool(bundle.shipped())
    assert [answer["status"] for answer in found["predictions"]] == ["ok"] * 4 * asked
    assert [answer["model"] for answer in found["predictions"][:4]] == ["diary-gender 1.0"] * 4


def test_every_command_that_it_names_is_one(tour: tuple[Path, Result]) -> None:
    _, result = tour
    commands = [step["command"] for step in json.loads(result.stdout)["steps"] if step["command"]]
    assert len(commands) == 11 + bool(bundle.shipped())
    for line in commands:
        assert f"    $ {line}\n" in result.stderr
        name, *words = shlex.split(line)
        assert name == "voxtrait"
        group: click.Command = root
        while isinstance(group, click.Group):
            if words[0] not in group.list_commands(click.Context(group)):
                words.insert(0, "predict")  # `voxtrait FILE`
            command = group.get_command(click.Context(group), words.pop(0))
            assert command is not None
            group = command
        group.make_context("voxtrait", words)  # raises where an option or an argument is none
    assert "$ voxtrait my-recording.mp3" in result.stderr
    assert "They do not measure accuracy on real voices." in result.stderr


def test_a_second_tour_keeps_what_is_whole(tour: tuple[Path, Result], few_voices: None) -> None:
    out, first = tour
    clips = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp3")}
    result = run("--out", out, "--jobs", 1, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert "contains an earlier demo. Its complete results are kept." in result.stderr
    assert "0 made, 42 skipped (already done), 0 failed" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp3")} == clips
    assert json.loads(result.stdout)["gender_uar"] == json.loads(first.stdout)["gender_uar"]


def test_a_result_that_is_too_bad_fails(tour: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = tour
    real = demo.evaluate

    def bad(*args: object, **options: object) -> dict:
        report = real(*args, **options)
        report["gender"]["uar"] = {"value": 0.8999, "low": 0.8, "high": 1.0}
        return report

    monkeypatch.setattr(demo, "evaluate", bad)
    monkeypatch.setattr(demo, "Plan", SMALL)
    result = run("--out", out, "-j", 1, "-q")
    assert result.exit_code == 1
    assert result.stderr == ""
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines()[1:])
    assert rows["gender UAR"].strip() == "0.900 (0.800–1.000), required 0.9"
    assert rows["passed"].strip() == "no"


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = run("--out", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "is not empty and contains no demo. Use another folder with --out." in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_plan_starts_anew_and_removes_only_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo._Tour, "go", lambda self: sorted(path.name for path in self.out.iterdir()))
    assert demo.run(tmp_path, plan=SMALL()) == ["demo.json"]
    for name in ("gender", "wav", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "all.parquet").write_bytes(b"x")
    assert demo.run(tmp_path, plan=SMALL()) == ["all.parquet", "demo.json", "gender", "notes", "wav"]
    assert demo.run(tmp_path, plan=SMALL(seed=2)) == ["demo.json", "notes"]


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train\]"):
        demo.run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_limit_is_the_one_promised() -> None:
    assert Plan().least_uar == 0.9
    assert Plan().speakers % 14 == 0  # every gender in every decade the same number
