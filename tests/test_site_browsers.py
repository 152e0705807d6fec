"""The static site in browsers: every kind of file, sounds that are no clean voice, a phone, four looks, and Firefox."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import formats
import models
import nodes
from large_files import covered, music, opus, padded
from pages import RATE, Visit, expect, saved, visits
from sites import hosted, written
from test_page_looks import SMALL, WIDTH, problems
from voxtrait import audio, recognize
from voxtrait.synthetic import cohort, speak

pytest_plugins = ["page_fixtures", "site_fixtures"]

OTHER = (0.03, 0.5)  # other decoders round MP3 samples, and keep others at the beginning of an Opus or M4A file
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
    found = table(browser, exact, sounds, tmp_path, decoded=len(sounds))  # none for long.wav, two for music.mp3
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
    found = table(browser, exact, sorted(tmp_path.iterdir()), tmp_path, decoded=1)  # PCM is only read
    expected = model.predict(signal, audio.SAMPLING_RATE)
    for one in found:
        if one["path"] == "packed.wav":
            assert one["status"] == "error" and "The browser cannot decode this file." in one["message"]
        else:
            same(one, expected)
            assert one["duration_s"] == pytest.approx(len(signal) / RATE, abs=0.001)


def test_large_files_of_other_kinds_are_decoded_in_pieces(
    browser: Any, exact: str, model: recognize.Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    signal, _ = audio.load(str(next(file for file in sounds if file.name == "long.wav")))
    signal = signal[: 95 * RATE]  # two pieces
    two = np.stack([signal, signal[::-1] / 50], axis=1)
    makers = {
        "a.flac": lambda: padded(formats.sndfile("FLAC")(two)),
        "b.flac": lambda: music(signal),
        "c.opus": lambda: opus(signal),
        "d.webm": lambda: padded(formats.media("webm", "libopus", 48_000)(signal)),
        "e.m4a": lambda: padded(formats.media("ipod", "aac", 44_100)(signal)),
    }
    with visits(browser, exact) as visit:
        names = [name for name in makers if name != "e.m4a" or visit().evaluate(AAC)]
    for name in names:
        (tmp_path / name).write_bytes(makers[name]())
    with (tmp_path / "f.wav").open("wb") as file:  # so large that the browser does not decode it
        plain = formats.sndfile("WAV", "PCM_16")(two)
        file.write(plain[:12] + b"JUNK" + (100_000_000).to_bytes(4, "little"))
        file.seek(100_000_000, 1)
        file.write(plain[12:])
    files = sorted(tmp_path.iterdir())
    for one, file in zip(table(browser, exact, files, tmp_path, decoded=3 * len(names)), files, strict=True):
        same(one, model.predict(file), *(OTHER if file.suffix in (".opus", ".webm", ".m4a") else ()))


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
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    signal, _ = audio.load(str(next(file for file in sounds if file.name == "long.wav")))
    two = tmp_path / "two.m4a"  # in two pieces; Firefox leaves out the first frame of each
    two.write_bytes(padded(formats.media("ipod", "aac", 44_100)(signal[: 78 * RATE])))
    files = [two, *sounds]
    shutil.copy(Path(__file__).with_name("firefox.mjs"), tmp_path)
    (tmp_path / "node_modules").symlink_to(nodes.PACKAGES)
    with hosted(public) as address:
        command = ["node", "firefox.mjs", firefox, f"{address}/", *map(str, files)]
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
        for one, file in zip(found["answers"], files, strict=True):
            same(one, model.predict(file), *(OTHER if file.suffix in (".mp3", ".m4a") else ()))
        assert "years" in found["card"] and found["private"] == "Nothing is stored. Audio stays on this machine."
