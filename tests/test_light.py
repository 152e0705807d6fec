"""The light install: an answer needs five packages, and no other package of an extra is even looked for."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from voxtrait import audio
from voxtrait.synthetic import cohort, speak
from voxtrait.web import site

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HEAVY = (
    *("polars", "scipy", "matplotlib", "PIL", "jinja2", "tqdm", "sklearn", "pandas", "av", "torch", "lightning"),
    *("onnx", "fastapi", "uvicorn", "fsspec", "s3fs", "aiohttp", "ray", "dask", "distributed", "librosa", "pyarrow"),
)
REFUSED = """
import sys
from importlib.abc import MetaPathFinder

class Refused(MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname in sys.argv[1].split(","):
            raise RuntimeError(f"{fullname} is looked for")  # no ImportError, which a program may catch

sys.meta_path.insert(0, Refused())
"""
CONSOLE = f"""{REFUSED}
sys.argv[:] = ["voxtrait", *sys.argv[2:]]
from voxtrait.cli import main
main()
"""
PYTHON = f"""{REFUSED}
import json
import voxtrait

model = voxtrait.load()
one, two = model.predict(sys.argv[2]), list(model.predict_many([sys.argv[2]] * 2))
assert one == two[0] == two[1] and one.status == "ok", one
assert len(model.embed(sys.argv[2])) == 192
timeline = voxtrait.timeline(sys.argv[2], model=model)
print(json.dumps(one.to_dict() | {{"speakers": len(timeline.speakers)}}))
"""


def run(program: str, *arguments: str, allowed: tuple[str, ...] = ()) -> str:
    refused = ",".join(name for name in HEAVY if name not in allowed)
    command = [sys.executable, "-c", program, refused, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("light") / "voice.wav"
    audio.write_wav(file, speak(cohort(1, seed=1)[0], 4.0, seed=1), audio.SAMPLING_RATE)
    return str(file)


def test_the_light_install_has_five_packages() -> None:
    names = {one.partition(">")[0] for one in PROJECT["dependencies"]}
    assert names == {"click", "numpy", "onnxruntime", "soundfile", "soxr"}


@pytest.mark.parametrize("package", ["polars", "scipy"])
def test_a_package_that_is_looked_for_would_be_found(package: str) -> None:
    program = f"{REFUSED}\ntry:\n    import {package}\nexcept ImportError:\n    pass"
    command = [sys.executable, "-c", program, ",".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{package} is looked for" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--format", "json"], ["--format", "csv"]])
def test_the_console_predicts(clip: str, arguments: list[str]) -> None:
    assert "male" in run(CONSOLE, clip, *arguments)


def test_python_predicts_embeds_and_finds_who_speaks_as_the_console_does(clip: str) -> None:
    found = json.loads(run(PYTHON, clip))
    assert found.pop("speakers") == 1
    assert found == json.loads(run(CONSOLE, clip, "--format", "json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["models", "--by-decade"],
        ["timeline", "--quiet", "--format", "rttm", "CLIP"],
        ["listen", "--quiet", "CLIP"],
    ],
)
def test_other_commands_need_no_more(clip: str, arguments: list[str]) -> None:
    assert run(CONSOLE, *(clip if word == "CLIP" else word for word in arguments))


SERVER = f"""{REFUSED}
from starlette.testclient import TestClient
from voxtrait.web import create_app, require_extra

require_extra()
client = TestClient(create_app(), base_url="http://localhost")
for name in ("female", "male", "talk"):
    found = [client.get(f"/examples/{{name}}.wav") for _ in range(2)]
    assert [one.status_code for one in found] == [200, 200], found
    assert found[0].content == found[1].content
    print(name, len(found[0].content))
"""


def test_the_server_and_its_example_clips_need_nothing_of_corpora() -> None:
    pytest.importorskip("httpx2")
    printed = run(SERVER, allowed=("jinja2", "fastapi", "uvicorn", "av"))
    assert printed.splitlines() == ["female 256044", "male 256044", "talk 768044"]


def test_a_site_needs_nothing_of_corpora(tmp_path: Path) -> None:
    for name in site.RUNTIME:
        (tmp_path / "package" / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / "dist" / name).write_text("its content does not matter here")
    arguments = (
        "site",
        str(tmp_path / "out"),
        "--model",
        "voxtrait-fast",
        "--runtime",
        str(tmp_path / "package"),
        "-q",
    )
    run(CONSOLE, *arguments, allowed=("jinja2", "onnx"))
    assert len(list((tmp_path / "out" / "examples").glob("*.wav"))) == 3


def test_synthetic_speech_needs_numpy_only() -> None:
    program = (
        f"{REFUSED}\nfrom voxtrait.synthetic import cohort, speak\nprint(len(speak(cohort(1, seed=1)[0], 1.0, 1)))"
    )
    assert run(program) == "16000\n"
