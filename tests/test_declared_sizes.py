"""Headers that state absurd sizes, counts, rates and nesting: refused or read, with little memory and at once."""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'voxtrait[media]'")

from formats import KINDS, patched
from fuzzing import targets
from fuzzing.running import Runner
from fuzzing.sound import signal, with_page_sums

MOST_MB: Final = 100.0  # over the memory before
MOST_S: Final = 5.0
LARGE: Final = (2**31 - 1, 2**31, 2**32 - 1)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    running = Runner()
    yield running
    running.close()


def put(kind: str, *changes: tuple[int | bytes, bytes]) -> bytes:
    """A file of a kind with some bytes replaced, at a place or after a word."""

    def change(content: bytearray) -> None:
        for place, new in changes:
            at = place if isinstance(place, int) else content.index(place) + len(place)
            content[at : at + len(new)] = new

    return patched(KINDS[kind], change)(signal())


def box(name: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I", (8 + len(content) if size is None else size) % 2**32) + name + content


def nested(depth: int) -> bytes:
    """Boxes of an MP4, each in the one before."""
    boxes = b""
    for at in range(depth):
        boxes = box([b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta"][at % 6], boxes)
    return box(b"ftyp", b"isom\0\0\2\0") + boxes


def tag(size: int) -> bytes:
    """The header of an ID3 tag."""
    return b"ID3\x04\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0))


def page(flags: int, granule: int, number: int, content: bytes) -> bytes:
    """A page of an Ogg file."""
    table = bytes([255] * (len(content) // 255) + [len(content) % 255])
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qIII", granule, 7, number, 0) + bytes([len(table)])
    return with_page_sums(head + table + content)


def opus(comment: bytes, granule: int = 960, packet: bytes = b"\xfc\xff\xfe") -> bytes:
    """An Ogg Opus file of one packet."""
    head = b"OpusHead\x01\x01\x38\x01" + struct.pack("<I", 16_000) + bytes(3)
    return page(2, 0, 0, head) + page(0, 0, 1, b"OpusTags" + comment) + page(4, granule, 2, packet)


WAV: Final = {
    f"wav {name} {value}": put("wav-pcm16.wav", (at, struct.pack("<Q", value)[:size]))
    for name, at, size in (
        ("riff", 4, 4), ("fmt", 16, 4), ("channels", 22, 2), ("rate", 24, 4), ("bytes a second", 28, 4),
        ("bytes a frame", 32, 2), ("bits", 34, 2), ("data", 40, 4),
    )
    for value in (0, 1, 65_535, *LARGE)
    if value < 256**size
}  # fmt: skip
OTHERS: Final = {
    "rf64 samples": put("wav-rf64.wav", (b"ds64\x1c\0\0\0", (b"\xff" * 7 + b"\x7f") * 2 + b"\xff" * 8)),
    "w64 data": put("w64.w64", (b"data\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a", b"\xff" * 7 + b"\x7f")),
    "flac samples": put("flac.flac", (21, b"\x0f" + b"\xff" * 4)),
    "flac rate and channels": put("flac.flac", (18, b"\xff" * 3)),
    "flac block": put("flac.flac", (8, b"\xff" * 4)),
    "flac frame": put("flac.flac", (12, b"\xff" * 6)),
    "flac picture": put("flac.flac", (4, b"\x06\xff\xff\xff")),
    "flac seek table": put("flac.flac", (42, b"\x03\xff\xff\xfe")),
    "aiff frames": put("aiff.aiff", (b"COMM\0\0\0\x12\0\x01", b"\xff" * 4)),
    "aiff channels": put("aiff.aiff", (b"COMM\0\0\0\x12", b"\xff\xff")),
    "aiff sound": put("aiff.aiff", (b"SSND", b"\xff" * 8)),
    "au offset": put("au.au", (4, b"\x7f\xff\xff\xff")),
    "au channels": put("au.au", (20, b"\x7f\xff\xff\xff")),
    "caf data": put("caf.caf", (b"data", b"\x7f" + b"\xff" * 7)),
    "caf packets": put("caf-alac.caf", (b"pakt", b"\0" * 8 + b"\x7f" + b"\xff" * 15)),
    "sphere samples": put("sphere.sph", (b"sample_count -i ", b"99999999999999")),
    "sphere header": put("sphere.sph", (8, b"99999999")),
    "mat5 size": put("mat5.mat", (128, b"\xff" * 60)),
    "voc block": put("voc.voc", (27, b"\xff" * 3)),
    "tta samples": put("tta.tta", (14, b"\xff" * 4)),
    "wavpack samples": put("wavpack.wv", (12, b"\xfe\xff\xff\xff")),
    "wavpack block": put("wavpack.wv", (20, b"\xff" * 4)),
    "mp4 samples": put("m4a.m4a", (b"stsz", b"\0" * 8 + b"\xff" * 4)),
    "mp4 sample size": put("m4a.m4a", (b"stsz", b"\0" * 4 + b"\x7f\xff\xff\xff" * 2)),
    "mp4 times": put("m4a.m4a", (b"stts", b"\0" * 4 + b"\xff" * 12)),
    "mp4 chunks": put("m4a.m4a", (b"stco", b"\0" * 4 + b"\xff" * 8)),
    "mp4 descriptions": put("m4a.m4a", (b"stsd", b"\0" * 4 + b"\xff" * 4)),
    "mp4 rate": put("m4a.m4a", (b"mp4a", b"\0" * 16 + b"\xff" * 12)),
    "mp4 duration": put("m4a.m4a", (b"mdhd", b"\0" * 12 + b"\xff" * 8)),
    "mp4 decoder": put("m4a.m4a", (b"esds", b"\0" * 4 + b"\x03\xff\xff\xff\x7f")),
    "mp4 box of 2^64": box(b"ftyp", b"isom") + b"\0\0\0\x01mdat" + b"\xff" * 8 + bytes(100),
    "mp4 boxes in boxes": nested(5000),
    "mp4 empty boxes": box(b"ftyp", b"isom") + box(b"free") * 20_000,
    "matroska size": put("matroska.mka", (b"\x1f\x43\xb6\x75", b"\x01" + b"\xff" * 7)),
    "matroska private": put("matroska.mka", (b"\x63\xa2", b"\x08\x7f\xff\xff\xff")),
    "matroska segments": KINDS["matroska.mka"](signal()) + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" * 5000,
    "avi samples": put("avi.avi", (b"strh", b"\0" * 4 + b"auds" + bytes(24) + b"\xff" * 8)),
    "id3 of 256 MB": tag(2**28 - 1) + bytes(1000),
    "id3 before a WAV": tag(2**28 - 1) + KINDS["wav-pcm16.wav"](signal()),
    "id3 in id3": (tag(10) * 20_000) + KINDS["mp3.mp3"](signal()),
    "mp3 frames": put("mp3.mp3", (b"Info\0\0\0\x0f", b"\xff" * 8)),
    "mp3 no frames": put("mp3.mp3", (b"Info\0\0\0\x0f", b"\0" * 8)),
    "ogg comment": opus(b"\xff" * 4 + b"x"),
    "ogg comments": opus(struct.pack("<I", 1) + b"x" + b"\xff" * 4),
    "ogg end": opus(bytes(8), 2**63 - 1),
    "ogg end before the start": opus(bytes(8), -(2**62)),
    "ogg empty pages": KINDS["ogg-opus.opus"](signal()) + page(0, 0, 3, b"") * 20_000,
    "ogg pages that begin": page(2, 0, 0, b"") * 20_000,
    "asf packets": put("wma.wma", (b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\0\xc0\x0c\x20\x53\x65", b"\xff" * 80)),
    "nut": put("nut.nut", (33, b"\xff" * 8)),
}  # fmt: skip
READERS: Final = ("file-mono", "stream-wav", "corpus-check")


@pytest.mark.parametrize("name", [*WAV, *OTHERS])
def test_a_stated_size_takes_no_memory_and_no_time(name: str, runner: Runner) -> None:
    for reader in READERS:
        outcome = runner.read(targets()[reader], (WAV | OTHERS)[name])
        assert not outcome.is_find, f"{reader}: {outcome}"
        assert outcome.memory_mb < MOST_MB, f"{reader}: {outcome}"
        assert outcome.seconds < MOST_S, f"{reader}: {outcome}"


def png(width: int, height: int, colour: int = 0, rows: Callable[[int, int], bytes] | None = None, depth: int = 8,
        before: bytes = b"") -> bytes:  # fmt: skip
    """A PNG that states a size; by default it has one row."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = zlib.compress(bytes(width + 1) if rows is None else rows(width, height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return struct.pack(">I", size) + name + content + struct.pack(">I", zlib.crc32(name + content))


def every_row(width: int, height: int) -> bytes:
    return bytes((4 * width + 1) * height)


IMAGES: Final = {
    "100000×100000": png(100_000, 100_000),
    "2^31×1": png(2**31 - 1, 1, rows=lambda width, height: b"\0"),
    "4097×4097 of four channels": png(4097, 4097, 6, every_row),
    "a width of 0": png(0, 10),
    "a text of 100 MB": png(60, 40, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))),
    "a profile of 100 MB": png(60, 40, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))),
    "a chunk of 2^31": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13), 2**31 - 1),
    "a JPEG of 65500×65500": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\x03" + b"\x01\x11\0" * 3 + b"\xff\xd9",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n",
    "a GIF": b"GIF89a\xff\xff\xff\xff\xf0\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_states_too_much_is_refused(name: str, runner: Runner) -> None:
    outcome = runner.read(targets()["image"], IMAGES[name])
    assert outcome.kind == "refused", outcome
    assert outcome.text.startswith(("not a readable image", "not an image"))
    assert outcome.memory_mb < MOST_MB
    assert outcome.seconds < MOST_S


def test_an_image_of_the_largest_size_is_read(runner: Runner) -> None:
    outcome = runner.read(targets()["image"], png(4096, 4096, 0, lambda width, height: bytes((width + 1) * height)))
    assert (outcome.kind, outcome.text) == ("answered", "4096×4096")
