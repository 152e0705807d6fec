"""The JavaScript package predicts what Python predicts: speech, windows, graphs and status, for any signal."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from click.testing import CliRunner

import models
import nodes
from voxtrait import recognize
from voxtrait.audio.signals import resample
from voxtrait.cli import root
from voxtrait.recognize import Recognizer, portable
from voxtrait.synthetic import sounds

Array = npt.NDArray[np.float32]
NUMBERS = {"p_female": 0.01, "age_years": 0.3, "age_low": 0.5, "age_high": 0.5, "speech_s": 0.1, "duration_s": 0.01}


def spoken(seconds: float, rate: int = 16_000) -> Array:
    return models.voice(seconds, rate)[:, 0]


def conversation() -> Array:
    """Three minutes with pauses: several windows of the detector, and several pieces of speech."""
    parts = [np.concatenate([models.voice(9, seed=seed)[:, 0], np.zeros(9000, np.float32)]) for seed in range(6)]
    loud = np.concatenate(parts * 4)
    loud[len(loud) // 2 :] *= 0.02  # the level is that of each window
    return loud


def clips() -> dict[str, tuple[Array, int]]:
    rng = np.random.default_rng(0)
    voice, hiss = spoken(4), rng.normal(0, 0.003, 64_000).astype(np.float32)
    return {
        "voice": (voice, 16_000),
        "faint": (1e-3 * voice, 16_000),
        "48 kHz": (spoken(4, 48_000), 48_000),
        "44.1 kHz": (resample(voice, 16_000, 44_100), 44_100),
        "telephone": (resample(voice, 16_000, 8000), 8000),
        "an odd rate": (resample(voice, 16_000, 15_999), 15_999),
        "stereo": (np.stack([voice, 0.5 * voice]), 16_000),
        "inverted": (np.stack([voice, hiss - 0.97 * voice]), 16_000),
        "a channel of hiss": (np.stack([hiss, voice]), 16_000),
        "a call": (np.stack([voice, voice]) * (np.arange(64_000) // 32_000 == [[0], [1]]), 16_000),
        "offset": (0.02 * voice + 0.3, 16_000),
        "voice in noise": (voice + rng.normal(0, 0.01, len(voice)).astype(np.float32), 16_000),
        "half a second": (voice[8000:16_000], 16_000),
        "0.6 s of speech": (np.concatenate([voice[4000:11_000], np.zeros(30_000, np.float32)]), 16_000),
        "silence": (np.zeros(32_000, np.float32), 16_000),
        "ten samples": (voice[:10], 16_000),
        "noise": (rng.normal(0, 0.1, 48_000).astype(np.float32), 16_000),
        "music": (sounds.sound("piano melody", 4.0, rng), 16_000),
        "conversation": (conversation(), 16_000),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = nodes.folder(tmp_path_factory.mktemp("node") / "here")
    shutil.copy(nodes.ROOT / "examples" / "javascript" / "predict.mjs", folder)
    return folder


@pytest.fixture(scope="module")
def files(place: Path) -> list[Path]:
    for name, (signal, rate) in clips().items():
        soundfile.write(place / f"{name}.wav", signal.T, rate, subtype="FLOAT")
    return [place / f"{name}.wav" for name in clips()]


def test_javascript_predicts_what_python_predicts(place: Path, files: list[Path]) -> None:
    bundle = models.make_encoder_bundle(place / "bundle", evidence=0.3, childhood=13.0)
    portable.export(bundle.folder, place / "model")
    model = Recognizer(bundle)
    statuses = set()
    for file, found in zip(files, nodes.run(place / "predict.mjs", "model", *files), strict=True):
        expected = model.predict(file).to_dict()
        assert found["path"] == str(file)
        for name in ("status", "message", "gender", "age_group", "model", "voices"):
            assert found[name] == expected[name], (file.name, name)
        for name, most in NUMBERS.items():
            assert (found[name] is None) == (expected[name] is None), (file.name, name)
            assert found[name] is None or found[name] == pytest.approx(expected[name], abs=most), (file.name, name)
        statuses.add(found["status"])
    assert statuses == {"ok", "too_short", "no_speech"}
    assert list(found) == list(expected)


BLOCKS = """
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { load } from "voxtrait-web";

ort.env.wasm.numThreads = 1;
const model = await load("model", { ort });
const signal = new Float32Array(new Uint8Array(readFileSync("signal.f32")).buffer);
for (const size of [signal.length, 12_345, 999]) {
  const clip = model.clip(44_100);
  for (let at = 0; at < signal.length; at += size) await clip.feed(signal.slice(at, at + size));
  console.log(JSON.stringify(await clip.close()));
}
await model.clip(44_100).feed(Float32Array.of(0, NaN)).catch((error) => console.log(JSON.stringify(error.message)));
await load("nowhere", { ort }).catch((error) => console.log(JSON.stringify(error.message)));
"""


def test_blocks_of_any_length_give_one_result(place: Path, files: list[Path]) -> None:
    if not (place / "model").exists():
        portable.export(models.make_encoder_bundle(place / "bundle").folder, place / "model")
    (place / "blocks.mjs").write_text(BLOCKS)
    (place / "signal.f32").write_bytes(resample(spoken(4), 16_000, 44_100).tobytes())
    whole, *others, nan, nowhere = nodes.run(place / "blocks.mjs")
    assert whole["duration_s"] == pytest.approx(4.0, abs=0.01) and whole["status"] == "ok"
    assert others == [whole, whole]
    assert nan == "Got a signal with NaN or infinity. Expected finite samples in [-1, 1]."
    assert "nowhere" in nowhere


RESAMPLED = """
import { readFileSync, writeFileSync } from "node:fs";
import { Resampler } from "voxtrait-web";

for (const rate of process.argv.slice(2).map(Number)) {
  const resampler = new Resampler(rate, 16_000);
  const signal = new Float32Array(new Uint8Array(readFileSync(`${rate}.f32`)).buffer);
  const parts = [resampler.feed(signal), resampler.close()];
  writeFileSync(`${rate}.out`, Buffer.concat(parts.map((part) => Buffer.from(part.buffer))));
}
"""


def test_a_new_rate_is_that_of_python(place: Path) -> None:
    (place / "resampled.mjs").write_text(RESAMPLED)
    rates = (8000, 22_050, 44_100, 48_000)
    noise = {rate: np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32) for rate in rates}
    for rate, signal in noise.items():
        signal.tofile(place / f"{rate}.f32")
    assert nodes.run(place / "resampled.mjs", *map(str, rates)) == []
    for rate, signal in noise.items():
        found, expected = np.fromfile(place / f"{rate}.out", np.float32), resample(signal, rate, 16_000)
        assert found.shape == expected.shape == (16_000,)
        apart = (found - expected)[500:-500]
        assert 10 * np.log10(np.mean(apart**2) / np.mean(expected**2)) < -50, rate


def test_a_shipped_bundle_in_javascript(place: Path, files: list[Path]) -> None:
    done = CliRunner().invoke(root, ["bundle", "export", "voxtrait-fast", "--to", "web", str(place / "web"), "-q"])
    assert done.exit_code == 0, done.output
    names = {file.name for file in nodes.PACKAGE.iterdir()}
    assert {file.name for file in (place / "web").iterdir()} == {*names, "model"}
    voice = files[0]
    (found,) = nodes.run(place / "predict.mjs", "web/model", voice)
    expected = recognize.load("voxtrait-fast").predict(voice)
    # at 16 kHz, nothing before the last code of the encoder is rounded differently: see docs/how-to/languages.md
    assert found["p_female"] == pytest.approx(expected.p_female, abs=1e-3)
    assert found["age_years"] == pytest.approx(expected.age_years, abs=0.05)


USE = """
import * as ort from "onnxruntime-web";
import { decode, load, Mixer, Model, Resampler, type Prediction } from "voxtrait-web";

const model: Model = await load("model", { ort });
const { channels, rate } = await decode(new Blob());
const found: Prediction = await model.predict(channels, rate, { voices: false });
const years: number = found.age_years ?? 0;
const mixed: Float32Array = new Resampler(48_000, 16_000).feed(new Mixer().mix(channels));
await model.clip(rate).feed(mixed);
"""


def test_the_types_fit_the_package_and_strict_programs(place: Path) -> None:
    compiler = nodes.PACKAGES / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("TypeScript is not installed: run `make node`")
    command: list[Any] = [compiler, "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]
    for text, fits in ((USE, True), (USE.replace("?? 0", ""), False)):  # the age may be null
        (place / "use.mts").write_text(text)
        done = subprocess.run([*command, "use.mts"], cwd=place, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == fits, done.stdout


def exported(text: str) -> set[str]:
    """Names that a module of JavaScript or its types export."""
    listed = {name.strip() for names in re.findall(r"export \{([^}]*)\}", text) for name in names.split(",")}
    return listed | set(re.findall(r"export (?:class|function) (\w+)", text))


def test_every_export_has_its_type() -> None:
    index, types = (nodes.PACKAGE.joinpath(name).read_text("utf-8") for name in ("index.js", "index.d.ts"))
    assert exported(index) == exported(types) - {"Clip"}
