"""Large files on the static site: they are cut where that is possible, and the pieces are those of the whole file."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import formats
import nodes
from large_files import covered, edited, opus, padded
from pages import RATE, Visit
from voxtrait.audio.signals import Signal
from voxtrait.synthetic import cohort, speak
from voxtrait.web import site

pytest_plugins = ["page_fixtures", "site_fixtures"]

AAC = "document.createElement('audio').canPlayType('audio/mp4; codecs=\"mp4a.40.2\"') !== ''"
MPEG_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
JOINED = """
async (rates) => {
  const { pieces } = await import("./static/pieces.js");
  const { decode } = await import("./voxtrait-web/decoding.js");
  const found = [];
  let decoded = 0;
  const own = BaseAudioContext.prototype.decodeAudioData;
  BaseAudioContext.prototype.decodeAudioData = function (...given) {
    decoded += 1;
    return own.apply(this, given);
  };
  for (const [at, file] of [...document.getElementById("more").files].entries()) {
    const whole = (await decode(file, rates[at])).channels;
    decoded = 0;
    const { duration, parts } = await pieces(file, 2);
    let [count, start, most] = [0, 0, 0];
    for await (const { channels } of parts) {
      channels.forEach((one, channel) => one.forEach((sample, place) => {
        most = Math.max(most, Math.abs(sample - (whole[channel][start + place] ?? Infinity)));
      }));
      start += channels[0].length;
      count += 1;
    }
    found.push({ count, most, decoded, lengths: [whole[0].length, start, Math.floor(duration * rates[at] + 0.01)] });
  }
  return found;
}
"""
MORE = (
    "document.body.append(Object.assign(document.createElement('input'), { type: 'file', id: 'more', multiple: true }))"
)


def joined(opened: Visit, folder: Path, contents: dict[str, bytes], rate: int | None = None) -> list[dict[str, Any]]:
    """Compare the pieces of files with the whole files, at the rates in their names or at one rate."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    tab = opened()
    if not tab.evaluate(AAC):
        pytest.skip("this browser has no decoder for AAC")
    tab.evaluate(MORE)
    tab.set_input_files("#more", [folder / name for name in contents])
    found: list[dict[str, Any]] = tab.evaluate(JOINED, [rate or int(name.split(".")[0]) for name in contents])
    for one, name in zip(found, contents, strict=True):
        assert len(set(one["lengths"])) == 1, (name, one)
    return found


@pytest.fixture(scope="module")
def voice() -> Signal:
    pytest.importorskip("av", reason="av is not installed: pip install 'voxtrait[media]'")
    return speak(cohort(2, 3)[0], 12.0, 1)


def test_pieces_of_large_mp3_files_are_joined_without_a_seam(opened: Visit, voice: Signal, tmp_path: Path) -> None:
    contents = {
        "44100.mp3": formats.media("mp3", "libmp3lame", 44_100)(voice),
        "48000.mp3": formats.media("mp3", "libmp3lame", 48_000, **formats.VBR)(voice),  # without facts about the file
        "24000.mp3": formats.media("mp3", "libmp3lame", 24_000, bit_rate=8000)(voice),  # few bytes a frame
        "16000.mp3": formats.sndfile("MP3")(np.stack([voice, voice[::-1]], axis=1)),
    }
    assert [any(name in content for name in (b"Xing", b"Info")) for content in contents.values()] == [1, 0, 1, 1]
    found = joined(opened, tmp_path, {name: covered(content) for name, content in contents.items()})
    assert all(one["count"] == one["decoded"] == 6 and one["most"] <= 1e-4 for one in found), found


def test_pieces_of_other_large_files_are_joined_without_a_seam(opened: Visit, voice: Signal, tmp_path: Path) -> None:
    m4a = formats.media("ipod", "aac")(voice)
    early = formats.media("mp4", "aac", options={"use_editlist": "0"})(voice)
    contents = {  # how many pieces of 2 s, and the maximum difference: decoders of AAC make noise at random
        "studio.wav": (6, 0, formats.media("wav", "pcm_s16le", 48_000)(voice)),
        "music.wav": (6, 1e-6, formats.media("wav", "pcm_f32le", 44_100)(voice)),
        "speech.flac": (7, 0, formats.sndfile("FLAC")(voice)),
        "studio.flac": (6, 0, formats.media("flac", "flac", 48_000)(voice)),
        "music.flac": (2, 1e-6, formats.media("flac", "flac", 44_100)(voice)),
        "stereo.flac": (7, 0, formats.sndfile("FLAC", "PCM_24")(np.stack([voice, voice[::-1]], axis=1))),
        "a.m4a": (6, 1e-3, m4a),
        "early.mp4": (6, 1e-3, early),
        "cut.m4a": (5, 1e-3, edited(512, 9.9, 1024)(m4a)),
        "late.m4a": (6, 1e-3, edited(1024, 11.9, 2112)(m4a)),
        "a.webm": (6, 1e-4, formats.media("webm", "libopus", 48_000)(voice)),
        "live.webm": (6, 1e-4, formats.media("webm", "libopus", 48_000, options={"live": "1"})(voice)),
        "long.mka": (6, 1e-4, formats.media("matroska", "libopus", 24_000)(voice)),
    }
    files = {name: padded(content) for name, (_, _, content) in contents.items()} | {"a.opus": opus(voice)}
    found = joined(opened, tmp_path, files, RATE)
    expected = [(count, most) for count, most, _ in contents.values()] + [(6, 1e-4)]
    for one, name, (count, most) in zip(found, files, expected, strict=True):
        assert one["count"] == count and one["decoded"] == count + 1, (name, one)  # also the first second
        assert one["most"] <= most, (name, one)


SAMPLES = """
async (rate) => {
  const { wavOf } = await import("./static/riff.js");
  const { decode } = await import("./voxtrait-web/decoding.js");
  const found = [];
  for (const file of document.getElementById("more").files) {
    const { count, samples } = await wavOf(file);
    const whole = await decode(file, rate).catch(() => null);
    const lists = (channels) => channels?.map((one) => [...one]) ?? null;
    found.push([lists(await samples?.(100, count)), lists(whole?.channels)]);
  }
  return found;
}
"""


def test_samples_of_wav_files_are_those_of_the_browser_and_of_python(opened: Visit, tmp_path: Path) -> None:
    voice = speak(cohort(2, 3)[0], 1.0, 1)[-RATE // 8 :]
    two = np.clip(np.stack([3 * voice / np.abs(voice).max(), voice], axis=1), -1, 1 - 2**-30)  # with the extremes
    # the last difference from the browser: Chromium divides positive numbers by another one than negative numbers
    kinds = {"PCM_U8": 2**-6, "PCM_16": 2**-14, "PCM_24": 1e-6, "PCM_32": 1e-6, "FLOAT": 0, "DOUBLE": 0, "ALAW": 0}
    names = [f"{kind}.{form}" for form in ("WAV", "WAVEX") for kind in kinds]
    for name in names:
        kind, form = name.split(".")
        (tmp_path / name).write_bytes(formats.sndfile(form, kind)(two))
    tab = opened()
    tab.evaluate(MORE)
    tab.set_input_files("#more", [tmp_path / name for name in names])
    for name, (own, whole) in zip(names, tab.evaluate(SAMPLES, RATE), strict=True):
        kind = name.split(".")[0]
        assert (own is None) == (kind == "ALAW"), name
        if own is not None:
            expected = soundfile.read(tmp_path / name, dtype="float32")[0].T
            np.testing.assert_allclose(np.float32(own), expected[:, 100:], rtol=0, atol=1e-7, err_msg=name)
            assert whole or kind == "DOUBLE", name
            if whole:
                np.testing.assert_allclose(np.float32(whole), expected, rtol=0, atol=kinds[kind], err_msg=name)


OPENED = """
import { openAsBlob } from "node:fs";
import { flacOf } from "./flac.js";
import { matroskaOf } from "./matroska.js";
import { mp4Of } from "./mp4.js";
import { framesOf } from "./mpeg.js";
import { oggOf } from "./ogg.js";
import { wavOf } from "./riff.js";

async function mpegOf(file) {
  const found = await framesOf(file);
  return found && { rate: found.rate, length: (found.starts.length - 1) * found.samples - found.before - found.after };
}

for (const name of process.argv.slice(2)) {
  const file = await openAsBlob(name);
  const found = {};
  for (const [kind, of] of Object.entries({ mpegOf, wavOf, flacOf, mp4Of, matroskaOf, oggOf })) {
    const cut = await of(file).catch(() => null); // as pieces.js does
    if (cut) Object.assign(found, { [kind.slice(0, -2)]: [cut.rate, cut.length] });
  }
  console.log(JSON.stringify(found));
}
"""


def cuttable(folder: Path, contents: dict[str, bytes]) -> dict[str, dict[str, list[int]]]:
    """Which kind each file is for the site, its rate in Hz, and its samples; nothing for a file that is not cut."""
    program = nodes.folder(folder / "node") / "opened.mjs"
    program.write_text(OPENED)
    (folder / "node" / "package.json").write_text('{"type": "module"}')
    for name in ("flac", "matroska", "mp4", "mpeg", "ogg", "reading", "riff"):
        shutil.copy(site.OFFLINE / f"{name}.js", program.parent)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return dict(zip(contents, nodes.run(program, *(folder / name for name in contents)), strict=True))


def test_frames_of_mp3_files_are_found_or_the_file_is_not_cut(voice: Signal, tmp_path: Path) -> None:
    voice = voice[: 3 * RATE]
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
    found = cuttable(tmp_path, good | bad)
    for name in good:
        facts = soundfile.info(tmp_path / name)
        assert found[name] == {"mpeg": [facts.samplerate, facts.frames]}, name
    assert [name for name in bad if found[name]] == []


CUT = {  # of formats.KINDS, the files that are cut
    "wav": "wav-pcm8 wav-pcm16 wav-pcm24 wav-pcm32 wav-float wav-double wav-alaw wav-mulaw wav-extensible wav-bext "
    "wav-junk-no-size wav-no-data-size wav-no-sizes wav-pipe",
    "flac": "flac flac-24 flac-id3",
    "mpeg": "mp3 mp3-id3 mp3-no-xing mp3-sndfile mp3-8khz",
    "mp4": "m4a mp4-film 3gp-aac",
    "matroska": "webm",
    "ogg": "ogg-opus",
}


def test_every_kind_of_file_is_cut_with_its_length_or_not_at_all(voice: Signal, tmp_path: Path) -> None:
    voice = voice[: 3 * RATE]
    contents = {name: make(voice) for name, make in formats.KINDS.items()} | formats.REFUSED
    found = cuttable(tmp_path, contents)
    expected = {name: kind for kind, names in CUT.items() for name in names.split()}
    assert {name.rsplit(".", 1)[0]: "".join(one) for name, one in found.items() if one} == expected
    for name, one in found.items():
        for rate, length in one.values():
            assert rate == (48_000 if "opus" in name or "webm" in name else 8000 if "8khz" in name else RATE), name
            assert name == "mp3-no-xing.mp3" or length == 3 * rate, name


def test_frames_of_other_files_are_found_or_the_file_is_not_cut(voice: Signal, tmp_path: Path) -> None:
    voice = voice[: 3 * RATE]
    flac, m4a = formats.sndfile("FLAC")(voice), formats.media("ipod", "aac")(voice)
    webm = formats.media("webm", "libopus", 48_000)(voice)
    live = formats.media("webm", "libopus", 48_000, options={"live": "1"})(voice)
    ogg = opus(voice, "")
    good = {
        "music.flac": ("flac", 44_100, 44_100 * 3, formats.media("flac", "flac", 44_100)(voice)),
        "tagged.flac": ("flac", RATE, 3 * RATE, padded(flac) + b"TAG" + bytes(125)),
        "early.m4a": ("mp4", RATE, 3 * RATE + 1024, formats.media("ipod", "aac", options={"use_editlist": "0"})(voice)),
        "edit.m4a": ("mp4", RATE, 15 * 1024 - 512, edited(1024, 0.9, 512)(m4a)),
        "live.webm": ("matroska", 48_000, 3 * 48_000, live),
        "commented.opus": ("ogg", 48_000, 3 * 48_000, opus(voice)),
        "sndfile.opus": ("ogg", 48_000, 3 * 48_000, formats.sndfile("OGG", "OPUS")(voice)),
    }
    middle = len(flac) // 2
    parts = {"movflags": "frag_keyframe", "frag_duration": "900000"}
    bad = {
        "none.flac": b"",
        "cut.flac": flac[:-5000],
        "frame.flac": flac[:middle] + flac[middle + 5000 :],
        "two.flac": flac + flac,
        "stream.flac": flac[:21] + bytes([flac[21] & 240]) + bytes(4) + flac[26:],  # without the number of samples
        "lengths.flac": flac[:8] + b"\x08\0" + flac[10:],  # of blocks
        "cut.m4a": m4a[:-1000],
        "tables.m4a": m4a[: m4a.index(b"stsz") + 30],
        "apple.m4a": good["early.m4a"][-1].replace(b"trak", b"iTunSMPB", 1),
        "edits.m4a": m4a.replace(b"elst" + bytes(4) + b"\0\0\0\1", b"elst" + bytes(4) + b"\0\0\0\2"),
        "slow.m4a": edited(1024, 2, 77)(m4a).replace(b"\x4d\0\1\0\0", b"\x4d\0\0\x80\0"),
        "fragments.m4a": formats.media("ipod", "aac", options=parts)(voice),
        "endless.m4a": m4a.replace(m4a[m4a.index(b"mvhd") - 4 :][:8], b"\0\0\0\0mvhd"),
        "doubled.m4a": m4a.replace(b"\x56\xe5\0", b"\x56\xe5\x80"),
        "protected.m4a": m4a.replace(b"mp4a", b"enca"),
        "cut.webm": webm[:-1000],
        "two.webm": webm + webm,
        "coded.webm": webm.replace(b"A_OPUS", b"A_NONE"),
        "cut.opus": ogg[:-100],
        "two.opus": ogg + ogg,
        "middle.opus": ogg.replace(b"OggS\0\0", b"OggS\0\1"),
        "boxes.mp4": b"\0\0\0\x08ftyp" * 500_000,
        "pages.ogg": ogg[:28] * 100_000,
        "voids.webm": webm[:40] + b"\xec\x80" * 2_000_000,
        "blocks.flac": b"fLaC\0\0\0\x22" + flac[8:42] + b"\1\0\0\0" * 1_000_000,
        "tags.flac": b"ID3\4\0\0\0\0\0\0" * 400_000,
        "chunks.wav": b"RIFF\0\0\0\0WAVE" + b"none\0\0\0\0" * 500_000,
    }
    found = cuttable(tmp_path, {name: content for name, (_, _, _, content) in good.items()} | bad)
    assert {name: found[name] for name in good} == {
        name: {kind: [rate, length]} for name, (kind, rate, length, _) in good.items()
    }
    assert [name for name in bad if found[name]] == []


def test_damaged_files_are_read_to_an_end(voice: Signal, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    makers = [
        formats.sndfile("FLAC"),
        formats.media("ipod", "aac"),
        formats.media("webm", "libopus", 48_000),
        formats.WAV,
    ]
    contents = {}
    for kind, make in enumerate([*makers, lambda signal: opus(signal, "")]):
        whole = np.frombuffer(make(voice[:RATE]), np.uint8)
        for number in range(60):
            changed = whole.copy()
            places = random.integers(0, len(whole) if number % 2 else min(len(whole), 400), 1 + number % 5)
            changed[places] = random.integers(0, 256, len(places))
            contents[f"{kind}-{number}"] = changed[: len(whole) - number % 3 * 1000].tobytes()
    for name, one in cuttable(tmp_path, contents).items():
        for rate, length in one.values():
            assert rate > 0 and length > 0, (name, one)
