"""The static site in browsers: every kind of file, sounds that are no clean voice, a phone, four looks, and Firefox."""

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import formats
import models
import nodes
from pages import RATE, Visit, expect, saved, visits
from sites import hosted, written
from test_page_looks import SMALL, WIDTH, problems
from voxtrait import audio, recognize
from voxtrait.synthetic import cohort, speak
from voxtrait.web import site

pytest_plugins = ["page_fixtures", "site_fixtures"]

OTHER = (0.03, 0.5)  # other decoders round MP3 samples, and keep others at the beginning of an Opus or M4A file
MPEG_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC = "document.createElement('audio').canPlayType('audio/mp4; codecs=\"mp4a.40.2\"') !== ''"
KINDS = {
    "a.wav": formats.sndfile("WAV", "PCM_24"),
    "b.mp3": formats.sndfile("MP3"),
    "c.flac": formats.sndfile("FLAC"),
    "d.ogg": formats.sndfile("OGG", "VORBIS"),
    "e.opus": formats.sndfile("OGG", "OPUS"),
    "f.webm": formats.media("webm", "libopus", 48_000),
    "g.m4a": formats.media("ipod", "aac"),
}


def covered(content: bytes) -> bytes:
    """Put a tag of four megabytes before the sound, as large as some pictures are, and two small tags after it."""
    size = bytes([4_000_000 >> shift & 127 for shift in (21, 14, 7, 0)])
    ape = b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 0xA0000000) + bytes(8)
    return b"ID3\x04\0\0" + size + bytes(4_000_000) + content + ape + bytes(32) + b"TAG" + bytes(125)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A voice, noise, silence, a voice in noise, at 8 kHz, in one of two channels, and one that speaks for minutes."""
    folder = tmp_path_factory.mktemp("sounds")
    voice = speak(cohort(2, 3)[0], 5.0, 1)
    noise = np.random.default_rng(1).normal(0, 0.05, len(voice)).astype(np.float32)
    narrow = speak(cohort(2, 3)[1], 5.0, 1)[::2]
    made = {
        "voice": (voice, RATE),
        "noise": (noise, RATE),
        "silence": (np.zeros(3 * RATE, np.float32), RATE),
        "noisy": (voice + noise / 5, RATE),
        "telephone": (narrow, RATE // 2),
        "stereo": (np.stack([voice, noise / 50]), RATE),
        "studio": (np.repeat(voice, 3), 3 * RATE),
        "long": (np.tile(np.concatenate([voice, narrow / 2]), 18), RATE),  # so large that it is decoded in two pieces
    }
    for name, (signal, rate) in made.items():
        audio.write_wav(folder / f"{name}.wav", signal, rate)
    (folder / "music.mp3").write_bytes(covered(formats.sndfile("MP3")(made["long"][0])))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> recognize.Recognizer:
    """A bundle that computes with 32-bit numbers: with 8 bits, the rounding of every runtime shows in the results."""
    return recognize.Recognizer(models.make_encoder_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def public(model: recognize.Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with this bundle."""
    return written(tmp_path_factory.mktemp("exact") / "site", str(model.bundle.folder))


@pytest.fixture(scope="module")
def exact(public: Path) -> Iterator[str]:
    """The address of this site."""
    with hosted(public) as address:
        yield address


COUNT = """
window.decoded = 0;
const own = BaseAudioContext.prototype.decodeAudioData;
BaseAudioContext.prototype.decodeAudioData = function (...given) {
  window.decoded += 1;
  return own.apply(this, given);
};
"""


def table(
    browser: Any, address: str, files: list[Path], tmp_path: Path, decoded: int | None = None
) -> list[dict[str, Any]]:
    """Predict files on the page, and save its table; with `decoded`, check how many pieces the browser decoded."""
    with visits(browser, address) as visit:
        tab = visit(before=lambda tab: tab.add_init_script(COUNT))
        tab.set_input_files("#files", files)
        expect(tab.locator("#many-clear")).to_be_visible()
        found: list[dict[str, Any]] = json.loads(saved(tab, "#json", tmp_path).read_text("utf-8"))
        assert decoded in (None, tab.evaluate("window.decoded"))
    assert [one["path"] for one in found] == [file.name for file in files]
    return found


def same(found: dict[str, Any], expected: recognize.Prediction, share: float = 0.001, years: float = 0.01) -> None:
    """Compare a prediction of a browser with that of Python."""
    assert found["status"] == expected.status, found
    if expected.status == "ok":
        assert found["p_female"] == pytest.approx(expected.p_female, abs=share), found
        assert found["age_years"] == pytest.approx(expected.age_years, abs=years), found
        assert found["gender"] == expected.gender


def test_a_browser_predicts_what_python_predicts(
    browser: Any, exact: str, model: recognize.Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    found = table(browser, exact, sounds, tmp_path, decoded=len(sounds) + 2)  # long.wav and music.mp3 have two pieces
    for one, file in zip(found, sounds, strict=True):
        same(one, model.predict(file), *(OTHER if file.suffix == ".mp3" else ()))
    assert {one["status"] for one in found} == {"ok", "no_speech"}


def test_every_kind_of_file_is_decoded_or_refused(
    browser: Any, exact: str, model: recognize.Recognizer, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    voice = speak(cohort(2, 3)[0], 5.0, 1)
    with visits(browser, exact) as visit:
        kinds = {name: make for name, make in KINDS.items() if name != "g.m4a" or visit().evaluate(AAC)}
    for name, make in {**kinds, "h.au": formats.sndfile("AU"), "i.mp3": lambda signal: b"no sound"}.items():
        (tmp_path / name).write_bytes(make(voice))
    files = sorted(tmp_path.iterdir())
    found = {one["path"]: one for one in table(browser, exact, files, tmp_path)}
    for name in kinds:
        same(found[name], model.predict(tmp_path / name), *(OTHER if name in ("b.mp3", "e.opus", "g.m4a") else ()))
    for name in ("h.au", "i.mp3"):
        assert found[name]["status"] == "error", name
        assert found[name]["message"].startswith("The browser cannot decode this file."), name


def test_large_wav_files_are_decoded_in_pieces(
    browser: Any, exact: str, model: recognize.Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    signal, _ = audio.load(str(next(file for file in sounds if file.name == "long.wav")))
    plain = formats.sndfile("WAV", "PCM_16")(signal)
    at = plain.index(b"data")
    contents = {
        "float.wav": formats.sndfile("WAVEX", "FLOAT")(signal),
        # a chunk of an odd length before the samples, and a stream that did not know its length
        "odd.wav": plain[:at] + b"LIST\x03\0\0\0abc\0data\0\0\0\0" + plain[at + 8 :],
        "cut.wav": plain[:-1],
        "packed.wav": formats.sndfile("WAV", "IMA_ADPCM")(np.tile(signal, 4)),  # decoded as a whole, or refused
    }
    for name, content in contents.items():
        assert len(content) > 4e6, name
        (tmp_path / name).write_bytes(content)
    found = table(browser, exact, sorted(tmp_path.iterdir()), tmp_path, decoded=2 + 2 + 2 + 1)
    expected = model.predict(signal, audio.SAMPLING_RATE)
    for one in found:
        if one["path"] == "packed.wav":
            assert one["status"] == "error" and "The browser cannot decode this file." in one["message"]
        else:
            same(one, expected)
            assert one["duration_s"] == pytest.approx(len(signal) / RATE, abs=0.001)


JOINED = """
async (rates) => {
  const { pieces } = await import("./static/pieces.js");
  const { decode } = await import("./voxtrait-web/decoding.js");
  const found = [];
  for (const [at, file] of [...document.getElementById("more").files].entries()) {
    const whole = (await decode(file, rates[at])).channels;
    const { duration, parts } = await pieces(file, 2);
    let [count, start, most] = [0, 0, 0];
    for await (const { channels } of parts) {
      channels.forEach((one, channel) => one.forEach((sample, place) => {
        most = Math.max(most, Math.abs(sample - (whole[channel][start + place] ?? Infinity)));
      }));
      start += channels[0].length;
      count += 1;
    }
    found.push({ count, most, lengths: [whole[0].length, start, Math.round(duration * rates[at])] });
  }
  return found;
}
"""
MORE = (
    "document.body.append(Object.assign(document.createElement('input'), { type: 'file', id: 'more', multiple: true }))"
)


def test_pieces_of_large_mp3_files_are_joined_without_a_seam(browser: Any, exact: str, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    voice = speak(cohort(2, 3)[0], 12.0, 1)
    contents = {
        "44100.mp3": formats.media("mp3", "libmp3lame", 44_100)(voice),
        "48000.mp3": formats.media("mp3", "libmp3lame", 48_000, **formats.VBR)(voice),  # without facts about the file
        "24000.mp3": formats.media("mp3", "libmp3lame", 24_000, bit_rate=8000)(voice),  # few bytes a frame
        "16000.mp3": formats.sndfile("MP3")(np.stack([voice, voice[::-1]], axis=1)),
    }
    assert [any(name in content for name in (b"Xing", b"Info")) for content in contents.values()] == [1, 0, 1, 1]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(covered(content))
    with visits(browser, exact) as visit:
        tab = visit()
        tab.evaluate(MORE)
        tab.set_input_files("#more", [tmp_path / name for name in contents])
        found = tab.evaluate(JOINED, [int(name.split(".")[0]) for name in contents])
    for one, name in zip(found, contents, strict=True):
        assert one["count"] == 6 and one["most"] <= 1e-4, (name, one)
        assert len(set(one["lengths"])) == 1, (name, one)


FRAMES = """
import { openAsBlob } from "node:fs";
import { framesOf } from "./mpeg.mjs";
for (const file of process.argv.slice(2)) {
  const found = await framesOf(await openAsBlob(file));
  const length = ({ starts, samples, before, after }) => (starts.length - 1) * samples - before - after;
  console.log(JSON.stringify(found && [found.rate, length(found)]));
}
"""


def test_frames_of_mp3_files_are_found_or_the_file_is_not_cut(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    voice = speak(cohort(2, 3)[0], 3.0, 1)
    whole = formats.media("mp3", "libmp3lame", 44_100)(voice)
    other = formats.media("mp3", "libmp3lame", 22_050, **formats.VBR)(voice)
    plain = formats.media("mp3", "libmp3lame", 44_100, **formats.VBR)(voice)
    good = {f"{rate}.mp3": formats.media("mp3", "libmp3lame", rate)(voice) for rate in MPEG_RATES}
    good |= {"covered.mp3": covered(whole), "sndfile.mp3": formats.sndfile("MP3")(voice)}
    bad = {
        "none.mp3": b"",
        "text.mp3": b"no sound" * 1000,
        "tag.mp3": covered(b""),
        "two.mp3": 2 * good["sndfile.mp3"],
        "tagged-two.mp3": whole + whole,
        "cut.mp3": whole[:-10],
        "rates.mp3": plain + other,
        "garbage.mp3": plain + b"no sound" * 100 + plain,
        "tags.mp3": covered(plain) + plain,
        "layer2.mp3": formats.media("mp2", "mp2", 44_100)(voice),
        "adts.mp3": formats.media("adts", "aac", 44_100)(voice),
        "free.mp3": bytes([*plain[:2], plain[2] & 15, *plain[3:]]),
    }
    program = nodes.folder(tmp_path / "node") / "frames.mjs"
    program.write_text(FRAMES)
    shutil.copy(site.OFFLINE / "mpeg.js", program.with_name("mpeg.mjs"))
    for name, content in (good | bad).items():
        (tmp_path / name).write_bytes(content)
    found = nodes.run(program, *(tmp_path / name for name in good | bad))
    expected = [soundfile.info(tmp_path / name) for name in good]
    assert found == [[one.samplerate, one.frames] for one in expected] + [None] * len(bad)


RATES = {
    "8000.wav": formats.sndfile("WAV", rate=8000),
    "16000.wav": formats.sndfile("WAVEX", "FLOAT"),
    "16000.flac": formats.sndfile("FLAC"),
    "8000.ogg": formats.sndfile("OGG", "VORBIS", rate=8000),
    "44100.mp3": formats.media("mp3", "mp3", 44_100),
    "22050.mp3": formats.media("mp3", "mp3", 22_050),
    "8000.mp3": formats.sndfile("MP3", rate=8000),
    "48000.webm": formats.media("webm", "libopus", 48_000),
    "48000.txt": lambda signal: b"RIFF no sound",
    "48000.none": lambda signal: b"",
}
READ = """
import { readFileSync } from "node:fs";
import { ownRate } from "voxtrait-web/decoding.js";
for (const file of process.argv.slice(2)) console.log(ownRate(new Uint8Array(readFileSync(file)).buffer));
"""


def test_the_rate_of_a_file_is_read_from_its_header(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    program = nodes.folder(tmp_path) / "read.mjs"
    program.write_text(READ.replace("voxtrait-web/", "./node_modules/voxtrait-web/"))
    voice = speak(cohort(2, 3)[0], 1.0, 1)
    for name, make in RATES.items():
        (tmp_path / name).write_bytes(make(voice))
    found = nodes.run(program, *(tmp_path / name for name in RATES))
    assert found == [int(name.split(".")[0]) for name in RATES]


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
def test_every_look_is_for_everybody(opened: Visit, voices: Path, locale: str) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    phone: dict[str, Any] = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "reduced_motion": "reduce"}
    tab = opened(color_scheme="light", locale=locale, **phone)
    assert tab.evaluate("document.documentElement.lang") == locale[:2]
    for names in ((), ("c9.wav", "silent.wav", "text.wav")):  # the page has more screens: see test_page_looks
        if names:
            tab.set_input_files("#files", [voices / name for name in names])
            tab.wait_for_selector("#many-clear:not([hidden])")
        for scheme in ("dark", "light"):
            tab.emulate_media(color_scheme=scheme)
            assert problems(tab) == [], (names, scheme)
            assert tab.evaluate(WIDTH) == 320 and tab.evaluate(SMALL) == []


def test_a_slow_phone_answers(opened: Visit, voices: Path) -> None:
    tab = opened(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    # Chromium refuses this for the session of a worker
    tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    tab.set_input_files("#files", voices / "a.wav")
    expect(tab.locator("#single .card.ok h2")).to_have_text("a.wav")
    tab.tap("#record")
    expect(tab.locator("#so-far-age")).to_contain_text("years")
    tab.tap("#record")
    expect(tab.locator("#stage")).to_have_attribute("data-state", "idle")
    expect(tab.locator("#single .card.ok h2")).not_to_have_text("a.wav")
    assert tab.evaluate(WIDTH) == 390


def test_firefox_predicts_what_python_predicts_also_without_the_host(
    public: Path, model: recognize.Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None or not (nodes.PACKAGES / "puppeteer-core").is_dir():
        pytest.skip("Firefox or puppeteer-core is not installed: apt-get install firefox-esr, and `make node`")
    shutil.copy(Path(__file__).with_name("firefox.mjs"), tmp_path)
    (tmp_path / "node_modules").symlink_to(nodes.PACKAGES)
    with hosted(public) as address:
        command = ["node", "firefox.mjs", firefox, f"{address}/", *map(str, sounds)]
        program = subprocess.Popen(
            command, cwd=tmp_path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert program.stdout is not None
        online = program.stdout.readline()
    # the host is closed: from here on, the page has only what its service worker kept
    offline, errors = program.communicate(timeout=120)
    assert program.returncode == 0, errors
    for line in (online, offline):
        found = json.loads(line)
        assert found["wrong"] == []
        for one, file in zip(found["answers"], sounds, strict=True):
            same(one, model.predict(file), *(OTHER if file.suffix == ".mp3" else ()))
        assert "years" in found["card"] and found["private"] == "Nothing is stored. Audio stays on this machine."
