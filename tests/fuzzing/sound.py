"""Readers of sound: files in memory and on a disk, pipes, raw samples, the check of a corpus, prediction."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from formats import KINDS, RATE
from fuzzing import Refused, Target
from piping import piped
from voxtrait.audio.signals import HIGHEST_RATE, LOWEST_RATE
from voxtrait.errors import AudioError, DecodeError, NothingToDoError, OptionError

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "wav": ("wav", "w64"),
    "mpeg": ("mp3", "mp2", "aac"),
    "ogg": ("ogg",),
    "flac": ("flac",),
    "mp4": ("m4a", "mp4", "mov", "3gp"),
    "matroska": ("webm", "matroska"),
    "aiff": ("aiff", "aifc", "au", "caf", "svx"),
    "archive": ("voc", "sphere", "ircam", "paf", "mat4", "mat5", "htk", "wavpack", "tta"),
    "film": ("avi", "flv", "mpegts", "mpeg", "nut", "wma"),
    "phone": ("amr", "ac3", "eac3"),
}
"""Targets → first words of the names of :data:`formats.KINDS`."""

WORDS: Final[dict[str, tuple[bytes, ...]]] = {
    "wav": (b"RIFF", b"RIFX", b"RF64", b"BW64", b"WAVE", b"fmt ", b"data", b"ds64", b"fact", b"LIST", b"bext", b"id3 ",
            b"riff\x2e\x91\xcf\x11", b"\xff\xff\xff\xff", b"\xfe\xff"),
    "mpeg": (b"ID3\x04\0\0\0\0\0\x7f", b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"Xing", b"Info", b"VBRI", b"LAME",
             b"\xff\xfb\x90\x64", b"\xff\xf3", b"\xff\xf1\x60\x40"),
    "ogg": (b"OggS", b"\x01vorbis", b"\x05vorbis", b"OpusHead", b"OpusTags", b"\x7fFLAC", b"fLaC", b"Speex   "),
    "flac": (b"fLaC", b"fLaC\0\0\0\x22", b"\xff\xf8", b"\x84\0\0\x08", b"\x03\0\0\x12", b"ID3\x04\0\0\0\0\0\x7f"),
    "mp4": (b"ftyp", b"moov", b"mdat", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"stsz", b"stts", b"stsc", b"stco",
            b"co64", b"moof", b"traf", b"trun", b"tfhd", b"esds", b"alac", b"mp4a", b"edts", b"elst", b"dref", b"url "),
    "matroska": (b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\x1fC\xb6u", b"\x16T\xaek", b"A_OPUS", b"A_FLAC", b"\xa3", b"\xec",
                 b"\x01\xff\xff\xff\xff\xff\xff\xff"),
    "aiff": (b"FORM", b"AIFF", b"AIFC", b"COMM", b"SSND", b".snd", b"dns.", b"caff", b"desc", b"8SVX", b"VHDR", b"BODY",
             b"\x40\x0e\xfa\0"),
    "archive": (b"NIST_1A", b"channel_count", b"sample_rate", b"end_head", b"wvpk", b"TTA1", b"MATLAB 5.0 MAT-file",
                b"Creative Voice File\x1a", b" paf", b"fap ", b"\x64\xa3"),
    "film": (b"RIFF", b"AVI ", b"LIST", b"movi", b"strh", b"strf", b"idx1", b"FLV\x01", b"\x47\x40", b"\0\0\x01\xba",
             b"\0\0\x01\xc0", b"nut/multimedia container", b"0&\xb2u\x8ef\xcf\x11"),
    "phone": (b"#!AMR\n", b"#!AMR-WB\n", b"\x0b\x77"),
}  # fmt: skip


@cache
def signal() -> np.ndarray:
    """Half a second of two tones in noise, and a short silence."""
    chance = np.random.default_rng(1)
    at = np.arange(RATE // 2) / RATE
    made = 0.3 * np.sin(2 * np.pi * 220 * at) + 0.1 * np.sin(2 * np.pi * 1330 * at) + 0.02 * chance.normal(size=at.size)
    return np.asarray(np.concatenate([made, np.zeros(RATE // 20)]), np.float32)


@cache
def seeds_of(family: str) -> tuple[bytes, ...]:
    """A valid file of each kind of a family."""
    names = [name for name in KINDS if name.split(".")[0].split("-")[0] in FAMILIES[family]]
    return tuple(KINDS[name](signal()) for name in names)


def every_seed() -> tuple[bytes, ...]:
    """A valid file of every kind."""
    return tuple(seed for family in FAMILIES for seed in seeds_of(family))


@cache
def place(name: str = "input") -> Path:
    """A file in a folder that ends with the process."""
    _folders.append(tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    return Path(_folders[-1].name, name)


_folders: list[Any] = []


def drained(blocks: Iterator[tuple[np.ndarray, int]]) -> tuple[int, int, int, int]:
    """Samples, channels, rate and checksum of decoded audio; the blocks themselves are dropped."""
    samples = channels = rate = check = 0
    for block, rate in blocks:  # noqa: B007 - the rate is the same for every block
        assert block.dtype == np.float32, f"samples are {block.dtype}"
        here = block.shape[0] if block.ndim == 2 else 1
        assert channels in (0, here), "the number of channels changes"
        channels = here
        samples += block.shape[-1]
        check = zlib.crc32(np.ascontiguousarray(block[..., :4096]), check)
    assert LOWEST_RATE <= rate <= HIGHEST_RATE, f"a rate of {rate} Hz"
    return samples, channels, rate, check


def read_file(data: bytes, exact: bool = True) -> str:
    """From a disk and from memory, with the same result, and the duration that the file states.

    Args:
        data: content of the file.
        exact: whether both have the same samples. In an mp3 with a damaged frame, mpg123 goes on elsewhere if it reads
            from a file.
    """
    from voxtrait import audio

    path = place()
    path.write_bytes(data)
    results: list[Any] = []
    for source in (path, BytesIO(data)):
        audio.stated_s(source)
        try:
            results.append(drained(audio.blocks(source, None, mono=False)))
        except AudioError as error:
            results.append(error)
    on_disk, in_memory = results
    if isinstance(on_disk, Exception) and isinstance(in_memory, Exception):
        raise on_disk
    same = on_disk == in_memory if exact else type(on_disk) is type(in_memory)
    assert same, f"on disk {on_disk}, in memory {in_memory}"
    samples, channels, rate, _ = on_disk
    return f"{samples} samples, {channels} channels, {rate} Hz"


def read_mono(data: bytes) -> str:
    """At the rate of the models, mono, with a comparison of its channels, and its first channel alone."""
    from voxtrait import audio
    from voxtrait.audio.channels import Comparison

    compared = Comparison()
    samples, channels, rate, _ = drained(audio.blocks(BytesIO(data), compared=compared))
    assert (channels, rate) == (1, RATE)
    assert audio.channel_count(BytesIO(data)) >= 1
    drained(audio.blocks(BytesIO(data), channel=1))
    return f"{samples} samples, same {compared.same}"


def read_stream(data: bytes) -> str:
    """As it arrives, from an object without seeking."""
    from voxtrait.audio import streams

    class Arriving(BytesIO):
        def seekable(self) -> bool:
            return False

        def fileno(self) -> int:
            raise OSError

    samples, channels, rate, _ = drained(streams.incoming(Arriving(data)))
    return f"{samples} samples, {channels} channels, {rate} Hz"


def read_pipe(data: bytes) -> str:
    """Through a pipe of the system."""
    samples, channels, rate, _ = drained(piped(data))
    return f"{samples} samples, {channels} channels, {rate} Hz"


def read_raw(data: bytes) -> str:
    """Samples without a header; the first bytes choose encoding, rate and channels."""
    from voxtrait.audio import streams

    names = sorted(streams.RAW)
    head = data[:6].ljust(6, b"\0")
    rate = int.from_bytes(head[1:5], "big") % (2 * HIGHEST_RATE)
    raw = streams.Raw(names[head[0] % len(names)], rate, head[5] % 80)
    samples, channels, rate, _ = drained(streams.incoming(BytesIO(data[6:]), raw))
    return f"{samples} samples, {channels} channels, {rate} Hz"


def raw_seeds() -> tuple[bytes, ...]:
    """Raw samples at ordinary rates."""
    samples = (signal()[:2000] * 20_000).astype("<i2").tobytes()
    return tuple(
        bytes([at]) + struct.pack(">I", rate) + b"\x01" + samples for at, rate in enumerate([8000, 48_000] * 5)
    )


def check(data: bytes) -> str:
    """As ``corpus check`` does it: state, hash, fingerprint."""
    from voxtrait.integrity.examination import STATES, examine

    path = place("clip.wav")
    path.write_bytes(data)
    found = examine((str(path),))
    assert found.state in STATES
    if found.reason:
        raise Refused(found.reason)
    return found.state


def convert(data: bytes) -> str:
    """To a WAV, as ``convert`` does it with one file."""
    from voxtrait.derived.convert import convert as converted

    path = place("clip.mp3")
    path.write_bytes(data)
    channels = 1 if len(data) % 2 else "keep"
    summary = converted(path, path.with_name("made.wav"), channels=channels, overwrite=True, jobs=1)
    if summary.failed:
        (failure,) = summary.failures()
        raise Refused(failure["reason"])
    return "converted"


@cache
def model() -> Any:
    """The default bundle."""
    import voxtrait

    return voxtrait.load()


def predict(data: bytes) -> str:
    """A prediction from bytes."""
    found = model().predict(BytesIO(data))
    if found.status == "error":
        raise Refused(found.message)
    return str(found.status)


def timeline(data: bytes) -> str:
    """A timeline from bytes."""
    import voxtrait

    found = voxtrait.timeline(BytesIO(data), model=model())
    if found.status == "error":
        raise Refused(found.message)
    return f"{found.status}, {len(found.segments)} segments"


@cache
def _page_sums() -> tuple[int, ...]:
    sums = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        sums.append(value)
    return tuple(sums)


def with_page_sums(data: bytes) -> bytes:
    """Correct the checksums of the pages of an Ogg file, without which every decoder skips a changed page."""
    made, table, at = bytearray(data), _page_sums(), data.find(b"OggS")
    while at >= 0 and at + 27 <= len(made):
        body = at + 27 + made[at + 26]
        end = min(len(made), body + sum(made[at + 27 : body]))
        made[at + 22 : at + 26] = bytes(4)
        value = 0
        for byte in made[at:end]:
            value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
        made[at + 22 : at + 26] = value.to_bytes(4, "little")
        at = made.find(b"OggS", end)
    return bytes(made)


def _target(name: str, family: str | None, run: Callable[[bytes], str], **options: Any) -> Target:
    seeds: Callable[[], Sequence[bytes]] = every_seed if family is None else partial(seeds_of, family)
    words = WORDS[family] if family else tuple(word for family in WORDS for word in WORDS[family])
    mend = with_page_sums if family == "ogg" else None
    refusals = (DecodeError, Refused, NothingToDoError)
    settings = {"seeds": seeds, "refusals": refusals, "words": words, "mend": mend} | options
    return Target(name, run=run, **settings)


TARGETS: Final = (
    *(_target(f"file-{one}", one, partial(read_file, exact=one != "mpeg")) for one in FAMILIES),
    *(_target(f"stream-{family}", family, read_stream) for family in FAMILIES),
    _target("file-mono", None, read_mono),
    _target("pipe", None, read_pipe),
    _target("raw", None, read_raw, seeds=raw_seeds, refusals=(DecodeError, NothingToDoError, OptionError)),
    _target("corpus-check", None, check),
    _target("convert", None, convert),
    _target("predict", None, predict, seconds=30.0),
    _target("timeline", None, timeline, seconds=60.0),
)
