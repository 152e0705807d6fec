"""The JavaScript package counts voices as Python does: rules, the network that separates speakers, recordings."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import models
import nodes
from voxtrait import recognize, runtime
from voxtrait.audio.channels import Comparison
from voxtrait.recognize import portable, several
from voxtrait.recognize.merging import ANY, merge
from voxtrait.recognize.notes import SEVERAL_NOTE, averaged_note
from voxtrait.recognize.portable import voices
from voxtrait.speech import segmentation
from voxtrait.synthetic import draw_voice, speak

Array = npt.NDArray[np.float32]
RATE = 16_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = nodes.folder(tmp_path_factory.mktemp("node") / "here")
    shutil.copy(nodes.ROOT / "examples" / "javascript" / "predict.mjs", folder)
    return folder


def test_the_graph_separates_speakers_as_python_does() -> None:
    session = runtime.session(voices.segmentation_graph())
    voice = models.voice(12)[:, 0]
    for signal in (voice, voice[:96_000], voice[:1000], np.zeros(160_000, np.float32)):
        (found,) = session.run(["activity"], {"signal": signal})
        np.testing.assert_allclose(found, segmentation.activity(signal[: segmentation.WINDOW]), atol=1e-6)


def test_only_bundles_that_count_voices_have_the_graph_and_its_rules(tmp_path: Path) -> None:
    for name, counts in (("voxtrait-base", True), ("voxtrait-fast", False)):
        portable.export(name, tmp_path / name)
        described = json.loads((tmp_path / name / "model.json").read_text("utf-8"))
        texts = [(tmp_path / name / file).read_text("utf-8") for file in ("README.md", "NOTICE.txt")]
        assert (tmp_path / name / "segmentation.onnx").exists() == counts
        assert ("segmentation.onnx" in described["graphs"]) == counts
        assert described["voices"] == (voices.rules() if counts else None)
        assert ["segmentation.onnx" in texts[0], "pyannote" in texts[1]] == [counts, counts]


MERGED = """
import { readFileSync } from "node:fs";
import { merge } from "./node_modules/voxtrait-web/voices.js";

const cases = JSON.parse(readFileSync("merged.json"));
for (const [similarity, same] of cases) console.log(JSON.stringify(merge(similarity, same)));
"""


def test_vectors_are_merged_as_in_python(place: Path) -> None:
    cases: list[tuple[Any, float]] = [([[1.0]], 0.5), (np.ones((5, 5)), 0.48), (np.eye(4), 0.1)]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        centres = rng.normal(0, 1, (3, 16))
        vectors = centres[rng.integers(0, 3, 2 + seed % 19)] + rng.normal(0, 0.7, (2 + seed % 19, 16))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cases.append((vectors @ vectors.T, 0.3 + 0.005 * seed))
    cases = [(np.asarray(similarity), same) for similarity, same in cases]
    (place / "merged.mjs").write_text(MERGED)
    (place / "merged.json").write_text(json.dumps([(similarity.tolist(), same) for similarity, same in cases]))
    expected = [merge(similarity, np.ones(len(similarity)), ANY, same=same) for similarity, same in cases]
    assert nodes.run(place / "merged.mjs") == expected
    assert {1, 2, 3} <= {len({*labels}) for labels in expected}


COUNTED = """
import { readFileSync } from "node:fs";
import { VoiceCount } from "./node_modules/voxtrait-web/voices.js";

const { people, rules, clips } = JSON.parse(readFileSync("counted.json"));
const hop = rules.frame_samples;
function summary(signal) {
  const row = new Float64Array(people[0].length);
  for (let at = 0; at < signal.length; at += hop) people[signal[at]].forEach((value, k) => (row[k] += value));
  return Float32Array.from(row);
}
let [separated, samples] = [0, 0];
const networks = {
  summarise: async (signal) => {
    samples += signal.length;
    return [summary(signal)];
  },
  embed: async (row) => row.map((value) => value / Math.hypot(...row)),
  separate: async (window) => {
    separated += 1;
    return Array.from({ length: Math.min(589, Math.ceil(window.length / hop)) }, (_, frame) =>
      Float32Array.from([1, 2, 4], (bit) => (window[frame * hop] & bit ? 1 : 0)));
  },
};
for (const stretches of clips) {
  const count = new VoiceCount(networks, rules, 16_000);
  for (const windows of stretches) {
    const size = windows[0].length * hop;
    const speech = new Float32Array(windows.length * size);
    windows.flat().forEach((one, frame) => speech.fill(one, frame * hop, (frame + 1) * hop));
    await count.feed(speech, windows.map((_, at) => summary(speech.subarray(at * size, (at + 1) * size))));
  }
  console.log(JSON.stringify([count.voices, separated, samples]));
}
"""


class Made:
    """An encoder of signals whose value is, in each frame, the set of the slots that speak, plus 8 times a way of
    speaking. Each value has a voice."""

    def __init__(self, people: npt.NDArray[np.float64]) -> None:
        self.people = people
        self.samples = 0  # of all pieces

    def windows(self, spoken: Array) -> Array:
        self.samples += len(spoken)
        return spoken

    def summaries(self, windows: Array) -> Array:
        return self.people[windows[:: segmentation.HOP].astype(int)].sum(axis=0)[None].astype(np.float32)

    def embed_summary(self, summary: Array) -> Array:
        return summary[0] / np.linalg.norm(summary[0].astype(np.float64)).astype(np.float32)


def frames_of(rng: np.random.Generator, size: int) -> list[int]:
    """The values of a window, in runs of up to 5 s; set 0 is nobody."""
    kinds = rng.choice([[0, 1], [1, 1], [1, 2], [0, 1, 2, 3, 4], [2, 2, 6]][int(rng.integers(5))], 30)
    lengths = rng.integers(1, 300, 30)
    return [int(one) for one in np.repeat(kinds + 8 * rng.integers(0, 4, 30), lengths)[:size]]


def test_the_rules_are_those_of_python(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With made-up networks, so that every rule decides some clips."""
    separated = 0

    def activity(window: Array) -> Array:
        nonlocal separated
        separated += 1
        sets = window[:: segmentation.HOP].astype(int)[: segmentation.FRAMES]
        return np.stack([sets & bit > 0 for bit in (1, 2, 4)], axis=1).astype(np.float32)

    monkeypatch.setattr(segmentation, "activity", activity)
    people = np.random.default_rng(7).normal(0, 1, (32, 6)) + np.array([1.2, 0, 0, 0, 0, 0])
    encoder, clips, expected = Made(people), [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(60, 640))
        clips.append([[frames_of(rng, size) for _ in range(rng.integers(1, 4))] for _ in range(rng.integers(1, 4))])
        count = several.VoiceCount(encoder)
        for windows in clips[-1]:
            parts = [np.repeat(np.array(frames, np.float32), segmentation.HOP) for frames in windows]
            count.feed(np.concatenate(parts), np.concatenate([encoder.summaries(part) for part in parts]))
        expected.append([count.voices, separated, encoder.samples])
    (place / "counted.mjs").write_text(COUNTED)
    (place / "counted.json").write_text(
        json.dumps({"people": people.tolist(), "rules": voices.rules(), "clips": clips})
    )
    assert nodes.run(place / "counted.mjs") == expected
    results = [result for result, *_ in expected]
    assert min(results.count(None), results.count("one"), results.count("several")) >= 5, results
    assert separated > 100


COMPARED = """
import { readFileSync } from "node:fs";
import { Comparison } from "./node_modules/voxtrait-web/channels.js";

const { rules, cases } = JSON.parse(readFileSync("compared.json"));
const samples = new Float32Array(new Uint8Array(readFileSync("compared.f32")).buffer);
for (const { rate, channels, start, length, block } of cases) {
  const compared = new Comparison(rules, rate);
  for (let at = 0; at < length; at += block) {
    const stop = Math.min(length, at + block);
    const part = (k) => samples.subarray(start + k * length + at, start + k * length + stop);
    compared.feed(Array.from({ length: channels }, (_, k) => part(k)));
  }
  console.log(JSON.stringify(compared.note));
}
"""


def test_channels_with_different_people_have_the_note_of_python(place: Path) -> None:
    cases: list[dict[str, int]] = []
    signals, expected = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        rate, channels, seconds = int(rng.choice([1000, 4000])), 1 + seed % 4, int(rng.integers(2, 60))
        levels = 10 ** (rng.choice([-90.0, -45.0, -20.0, -9.0, 0.0], (channels, seconds)) / 20)
        if seed % 5 == 0:
            levels[0] *= 0.02  # silence beside the others
        if seed % 5 == 1:  # the first channel is louder, all but a second
            levels[:] = 0.01
            levels[0, :-1] = levels[1:, -1] = 1
        noise = rng.normal(0, 0.1, (channels, seconds * rate)) * np.repeat(levels, rate, axis=1)
        signal = noise.astype(np.float32)
        compared = Comparison()
        compared.feed(signal, rate)
        expected.append(averaged_note(channels) if compared.differ else None)
        start = sum(one.size for one in signals)
        block = int(rng.integers(30, 3 * rate))
        cases.append({"rate": rate, "channels": channels, "start": start, "length": signal.shape[1], "block": block})
        signals.append(signal)
    np.concatenate([one.ravel() for one in signals]).tofile(place / "compared.f32")
    (place / "compared.json").write_text(json.dumps({"rules": voices.channel_rules(), "cases": cases}))
    (place / "compared.mjs").write_text(COMPARED)
    assert nodes.run(place / "compared.mjs") == expected
    assert expected.count(None) >= 20 and {averaged_note(2), averaged_note(3), averaged_note(4)} < {*expected}


def recordings() -> dict[str, Array]:
    """One voice, two voices, and clips that are not examined."""
    one, two = draw_voice("female", 70.0, seed=2), draw_voice("male", 25.0, seed=4)
    first, second = speak(one, 20.0, seed=1), speak(two, 10.0, seed=2)
    return {
        "one voice": first,
        "two voices": np.concatenate([first[: 10 * RATE], second]),
        "after a minute": np.concatenate([first, first, first, second]),
        "short": first[: 4 * RATE],
        "silence": np.zeros(10 * RATE, np.float32),
    }


def test_recordings_have_the_voices_and_the_message_of_python(place: Path) -> None:
    portable.export("voxtrait-base", place / "base")
    model, made = recognize.load("voxtrait-base"), recordings()
    for name, signal in made.items():
        soundfile.write(place / f"{name}.wav", signal, RATE, subtype="FLOAT")
    files = [place / f"{name}.wav" for name in made]
    both = []
    for file, found in zip(files, nodes.run(place / "predict.mjs", "base", *files), strict=True):
        expected = model.predict(file).to_dict()
        for name in ("voices", "message"):
            assert found[name] == expected[name], (file.name, name)
        assert list(found)[-2:] == list(expected)[-2:] == ["model", "voices"]
        both.append((found["voices"], found["message"]))
    several_voices = ("several", SEVERAL_NOTE)
    assert both == [("one", None), several_voices, several_voices, (None, None), (None, "no speech was found")]


LATER = """
import { readFileSync, renameSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { load } from "voxtrait-web";

ort.env.wasm.numThreads = 1;
renameSync("base/segmentation.onnx", "later.onnx");
const model = await load("base", { ort });
const signal = new Float32Array(new Uint8Array(readFileSync("two.f32")).buffer);
const ask = (signal, options) =>
  model.predict(signal, 16_000, options).then(({ voices }) => voices, (error) => error.message);
console.log(JSON.stringify(await ask(signal.slice(0, 64_000))));
console.log(JSON.stringify(await ask(signal)));
console.log(JSON.stringify(await ask(signal, { voices: false })));
renameSync("later.onnx", "base/segmentation.onnx");
console.log(JSON.stringify(await ask(signal)));
"""


def test_the_network_is_loaded_when_it_is_needed(place: Path) -> None:
    if not (place / "base").exists():
        portable.export("voxtrait-base", place / "base")
    recordings()["two voices"].astype(np.float32).tofile(place / "two.f32")
    (place / "later.mjs").write_text(LATER)
    short, missing, left, found = nodes.run(place / "later.mjs")
    assert (short, left, found) == (None, None, "several")
    assert "segmentation.onnx" in missing
