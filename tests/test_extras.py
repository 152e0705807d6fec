"""Extras: the README's list is whole, and a missing one is named with its install line before anything else."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voxtrait import errors
from voxtrait.errors import MissingExtraError, install_line

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(errors.__file__).parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
PUBLIC = set(EXTRAS) - {"dev"}


def test_the_page_of_the_installation_lists_every_extra() -> None:
    text = (ROOT / "docs" / "how-to" / "install.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `[")]
    assert {name for row in rows for name in re.findall(r"\[([a-z]+)\]", row)} == PUBLIC


def test_all_is_everything_but_training() -> None:
    named = {re.fullmatch(r"voxtrait\[([a-z]+)\]", one)[1] for one in EXTRAS["all"]}  # type: ignore[index]
    assert named == PUBLIC - {"all", "train"}


def test_every_extra_that_an_error_names_exists() -> None:
    source = "".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    named = set(re.findall(r'(?:MissingExtraError|require)\([^\n]*?, "([a-z]+)"[,)]', source))
    assert {"media", "train", "web", "audit", "audformat", "microphone", "remote", "ray", "dask"} <= named
    assert {"corpus", "timeline"} <= named
    assert named <= PUBLIC


WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
sys.argv = ["voxtrait", *sys.argv[2:]]
from voxtrait.cli import main
main()
"""


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("torch", "train", ["train", "no-recipe", "--data", "gone", "--out", "out"]),
        ("lightning", "train", ["demo"]),
        ("fastapi", "web", ["serve", "--token-file", "gone"]),
        ("uvicorn", "web", ["serve", "--model", "gone"]),
        ("sklearn", "audit", ["corpus", "audit", "gone.parquet"]),
        ("ray", "ray", ["a.wav", "gone", "--engine", "ray", "--model", "gone"]),
        ("distributed", "dask", ["timeline", "gone", "--engine", "dask"]),
        ("ray", "ray", ["convert", "gone", "out", "--engine", "ray"]),
        ("sounddevice", "microphone", ["listen", "--microphone", "--model", "gone"]),
        ("audformat", "audformat", ["corpus", "export", "gone.csv", "out", "--to", "audformat"]),
        ("onnx", "site", ["bundle", "export", "gone", "out", "--to", "onnx"]),
        ("fsspec", "remote", ["https://host.invalid/a.mp3", "gone", "--model", "gone"]),
        ("s3fs", "remote", ["a.wav", "s3://bucket/clips", "--model", "gone"]),
        ("fsspec", "remote", ["a.wav", "--out", "s3://bucket/out.csv"]),
        ("aiohttp", "remote", ["timeline", "https://host.invalid/a.mp3"]),
        ("fsspec", "remote", ["convert", "s3://bucket/clips", "out"]),
        ("fsspec", "remote", ["corpus", "check", "s3://bucket/all.parquet"]),
        ("polars", "corpus", ["gone.wav", "--out", "out.csv", "--model", "gone"]),
        ("polars", "corpus", ["gone.wav", "all.csv", "--model", "gone"]),
        ("polars", "corpus", ["--files-from", "all.csv", "--model", "gone"]),
        ("polars", "corpus", ["timeline", "gone.wav", "--out", "out.parquet", "--model", "gone"]),
        ("matplotlib", "timeline", ["timeline", "gone.wav", "--plot", "a.png", "--model", "gone"]),
        ("polars", "corpus", ["corpus", "import", "gone", "out.csv"]),
        ("scipy", "corpus", ["corpus", "check", "gone.csv"]),
        ("polars", "corpus", ["corpus", "split", "gone.csv", "out.csv"]),
        ("matplotlib", "corpus", ["corpus", "stats", "gone.csv", "--plot", "a.png"]),
        ("polars", "corpus", ["corpus", "funnel", "gone.parquet"]),
        ("scipy", "corpus", ["corpus", "leakage", "gone", "gone"]),
        ("polars", "audit", ["corpus", "audit", "gone.csv"]),
        ("polars", "corpus", ["corpus", "export", "gone.csv", "out", "--to", "kaldi"]),
        ("polars", "corpus", ["convert", "gone", "out"]),
        ("PIL", "corpus", ["images", "gone", "out", "--axes"]),
        ("jinja2", "corpus", ["evaluate", "gone", "gone.csv", "--out", "out"]),
        ("jinja2", "web", ["serve", "--model", "gone"]),
        ("polars", "train", ["train", "no-recipe", "--data", "gone", "--out", "out"]),
    ],
)
def test_a_missing_extra_is_named_before_anything_else(
    package: str, extra: str, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "all.csv").write_text("path\na.wav\n")
    command = [sys.executable, "-c", WITHOUT, package, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.fullmatch(rf"voxtrait: .* needs the extra \[{extra}\]: pip install .*\[{extra}\][^\n]*'\n", done.stderr)
    assert [file.name for file in tmp_path.iterdir()] == ["all.csv"]


def test_a_format_of_media_is_a_row_that_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(64))
    command = [sys.executable, "-c", WITHOUT, "av", "a.m4a", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    row = json.loads(done.stdout)
    assert (done.returncode, row["status"], done.stderr) == (1, "error", "")
    assert re.search(r"needs the extra \[media\]: pip install .*\[media\][^\n]*'$", row["message"])


@pytest.mark.checkout
def test_the_install_line_of_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert install_line("web") == "pip install -e '.[web]'"
    monkeypatch.chdir(tmp_path)
    assert install_line("web") == f"pip install -e '{ROOT}[web]'"


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        ({"url": "file:///src/vox%20trait", "dir_info": {}}, "pip install '/src/vox trait[web]'"),
        (
            {"url": "file:///dist/voxtrait-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'voxtrait[web] @ file:///dist/voxtrait-1-py3-none-any.whl'",
        ),
        (
            {"url": "https://host/voxtrait.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'voxtrait[web] @ git+https://host/voxtrait.git'",
        ),
        (None, "pip install 'voxtrait[web]'"),
    ],
)
def test_the_install_line_of_another_installation(
    origin: dict[str, Any] | None, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "lib" / "voxtrait" / "errors.py"))
    assert install_line("web") == line
    assert str(MissingExtraError("the server", "web")) == f"the server needs the extra [web]: {line}"


def test_an_extra_without_packages_is_there() -> None:
    errors.require("nothing", "corpus")
    with pytest.raises(MissingExtraError, match=r"this needs the extra \[media\]"):
        errors.require("this", "media", "polars", "no_such_package")
    assert pl.__version__


FUNCTIONS = """
import io, sys
for name in ("jinja2", "matplotlib", "PIL", "polars", "scipy"):
    sys.modules[name] = None
import voxtrait
from voxtrait import evaluate, features, synthetic
from voxtrait.timelines import Timeline, formats, plot
timeline = Timeline("a.wav", "ok", None, 1.0, 1.0, (), (), "")
model = voxtrait.load()

def load(name):
    return lambda: __import__(f"voxtrait.{name}")

for call in (
    *map(load, ("corpora", "manifest", "derived.convert", "integrity", "audit", "synthetic.sounds", "synthetic.music")),
    lambda: synthetic.write_common_voice("release", synthetic.cohort(1, seed=1), 1, seed=1),
    lambda: voxtrait.to_frame([]),
    lambda: model.predict_shards(["gone.wav"], "parts"),
    lambda: timeline.to_polars(),
    lambda: formats.write_table([timeline], "a.parquet"),
    lambda: plot.plot(timeline, "a.png"),
    lambda: features.decode_png(b"png"),
    lambda: evaluate.evaluate(None, "gone.csv", "out"),
):
    try:
        call()
    except voxtrait.VoxtraitError as error:
        assert isinstance(error, ImportError)
        print(str(error).partition(":")[0])
"""


def test_a_function_whose_extra_is_missing_names_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FUNCTIONS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "working with corpora needs the extra [corpus]",
        "reading tables needs the extra [corpus]",
        "converting and drawing needs the extra [corpus]",
        "checking corpora needs the extra [corpus]",
        "the audit needs the extra [audit]",
        *["a synthetic sound needs the extra [corpus]"] * 2,
        "a synthetic release needs the extra [corpus]",
        *["a table needs the extra [corpus]"] * 4,
        "plotting a timeline needs the extra [timeline]",
        "reading an image needs the extra [corpus]",
        "an evaluation needs the extra [corpus]",
    ]
    assert list(tmp_path.iterdir()) == []
