"""The example in C++ is built where a compiler and ONNX Runtime are there, and predicts what Python predicts."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from voxtrait import recognize
from voxtrait.audio.writing import write_wav
from voxtrait.recognize import Recognizer, portable
from voxtrait.synthetic import sounds

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "build" / "onnxruntime"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("no C++ compiler, or no CMake")
    if not (RUNTIME / "lib").is_dir():
        pytest.skip("no ONNX Runtime for C++: run `make onnxruntime`")
    built = tmp_path_factory.mktemp("cpp")
    configure = ["cmake", "-S", ROOT / "examples" / "cpp", "-B", built, f"-DONNXRUNTIME={RUNTIME}"]
    for command in ([*configure, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-Werror"], ["cmake", "--build", built]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return built / "predict"


def predicted(program: Path, *arguments: Path) -> list[dict[str, Any]]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def clips() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    voice = models.voice(4)[:, 0]
    long = np.concatenate([np.concatenate([models.voice(9, seed=seed)[:, 0], np.zeros(9000)]) for seed in range(6)] * 3)
    return {
        "voice": voice,
        "noisy": voice + rng.normal(0, 0.01, len(voice)),
        "stereo": np.stack([voice, 0.5 * voice]),
        "half a second": voice[8000:16_000],
        "0.6 s of speech": np.concatenate([voice[4000:11_000], np.zeros(30_000)]),
        "silence": np.zeros(32_000),
        "music": sounds.sound("piano melody", 4.0, rng),
        "long": long,
    }


def test_cpp_predicts_what_python_predicts(program: Path, tmp_path: Path) -> None:
    bundle = models.make_encoder_bundle(tmp_path / "bundle", evidence=0.3, childhood=13.0)
    portable.export(bundle.folder, tmp_path / "model")
    model = Recognizer(bundle)
    files = [tmp_path / f"{name}.wav" for name in clips()]
    for file, signal in zip(files, clips().values(), strict=True):
        write_wav(file, np.asarray(signal, np.float32), 16_000)
    statuses = set()
    for file, found in zip(files, predicted(program, tmp_path / "model", *files), strict=True):
        expected = model.predict(file).to_dict()
        statuses.add(found["status"])
        for name in ("status", *(("gender", "age_group") if found["status"] == "ok" else ())):
            assert found[name] == expected[name], (file.name, name)
        most = {
            "p_female": 0.01,
            "age_years": 0.3,
            "age_low": 0.5,
            "age_high": 0.5,
            "speech_s": 0.1,
            "duration_s": 0.01,
        }
        for name in most.keys() & found.keys():
            assert found[name] == pytest.approx(expected[name], abs=most[name]), (file.name, name)
    assert statuses == {"ok", "too_short", "no_speech"}


def test_a_shipped_bundle_in_cpp(program: Path, tmp_path: Path) -> None:
    portable.export("voxtrait-fast", tmp_path / "model")
    write_wav(tmp_path / "voice.wav", models.voice(4)[:, 0], 16_000)
    (found,) = predicted(program, tmp_path / "model", tmp_path / "voice.wav")
    expected = recognize.load("voxtrait-fast").predict(tmp_path / "voice.wav")
    # rounding in 8 bits: see docs/how-to/languages.md
    assert found["p_female"] == pytest.approx(expected.p_female, abs=0.03)
    assert found["age_years"] == pytest.approx(expected.age_years, abs=2.0)


def test_mistakes_are_one_line(program: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "8k.wav", np.zeros(8000, np.float32), 8000)
    portable.export("voxtrait-fast", tmp_path / "model")
    for arguments, reason in (
        ([tmp_path / "nowhere", tmp_path / "8k.wav"], "No model.json at "),
        ([tmp_path / "model", tmp_path / "8k.wav"], "Expected a sampling rate of 16 kHz and 16-bit samples."),
        ([tmp_path / "model", tmp_path / "model" / "README.md"], "This is not a WAV file."),
    ):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"predict: {reason}") and done.stderr.count("\n") == 1
