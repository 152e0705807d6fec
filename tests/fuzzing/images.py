"""Readers of images: the decoder, and the jobs that check, pack and predict pictures."""

import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from fuzzing import Refused, Target
from fuzzing.sound import place, signal
from voxtrait.errors import BundleError, DecodeError, ManifestError, OptionError

WORDS: Final = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT",
                b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xd9",
                b"JFIF", b"Exif\0\0", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"icns",
                b"8BPS", b"DDS ", b"\0\0\x01\0", b"%!PS-Adobe", b"qoif", b"P5 9 9 255\n")  # fmt: skip


@cache
def seeds() -> tuple[bytes, ...]:
    """A spectrogram as every kind of PNG and JPEG, and as other kinds that Pillow reads."""
    from PIL import Image

    from voxtrait import features

    drawn = np.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    grey = Image.fromarray(drawn)
    made = [features.encode_png(drawn)]
    for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16"):
        made.append(_saved(grey.convert(mode), "PNG"))
    made.append(_saved(grey.convert("RGB"), "JPEG", quality=60))
    made.append(_saved(grey, "JPEG", progressive=True))
    return tuple(made)


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decode(data: bytes) -> str:
    """As training reads an image."""
    from voxtrait import features

    drawn = features.decode_png(data)
    assert drawn.ndim == 2
    assert drawn.dtype == np.uint8
    return f"{drawn.shape[1]}×{drawn.shape[0]}"


def pack(data: bytes) -> str:
    """As ``images --shards`` packs an image."""
    from voxtrait import features
    from voxtrait.derived.shards import _Picture

    path = place("clip.png")
    path.write_bytes(data)
    found = _Picture(features.picture_front_end((60, 40)))(str(path))
    if found["message"] is not None:
        raise Refused(found["message"])
    return "packed"


ROWS: Final = [
    {"path": f"{number}.wav", "gender": gender, "age_group": "fifties", "split": split, "speaker_id": str(number)}
    for number, (gender, split) in enumerate(
        (gender, split) for gender in ("female", "male") for split in ("train", "validation")
    )
]


@cache
def packed() -> Path:
    """A folder of shards with four clips, and the files that are mutated in it."""
    import polars as pl

    from voxtrait import audio, manifest
    from voxtrait.derived import shards

    home = place("shards").parent
    for number, row in enumerate(ROWS):
        audio.write_wav(home / row["path"], signal() * (0.5 + number / 10), 16_000)
    manifest.write(pl.DataFrame(ROWS), home / "all.parquet")
    shards.pack(home / "all.parquet", home / "packed", size=(60, 40))
    return home / "packed"


def shard_files() -> list[Path]:
    """The files that are mutated: the table, the shard, and the settings."""
    return [packed() / "clips.parquet", *(packed() / "pictures").glob("*.parquet"), packed() / "shards.json"]


def shard_seeds() -> tuple[bytes, ...]:
    """The number of a file of a folder of shards, and its content."""
    return tuple(bytes([at]) + file.read_bytes() for at, file in enumerate(sorted(shard_files())))


def read_shards(data: bytes) -> str:
    """A folder of shards with one file of other content, as training reads it."""
    from voxtrait.derived import shards
    from voxtrait.training.pictures.streaming import ShardPictures, read_table

    files = sorted(shard_files())
    file = files[data[0] % len(files) if data else 0]
    before = file.read_bytes()
    file.write_bytes(data[1:])
    try:
        front_end = shards.shards_front_end(packed())
        table = read_table(packed(), "gender")
        pictures = ShardPictures(table, ("female", "male"), np.ones(table.height), front_end, holds=1)
        for at in range(min(10, len(pictures))):
            pictures[at]
        return f"{len(pictures)} images"
    finally:
        file.write_bytes(before)


def with_chunk_sums(data: bytes) -> bytes:
    """Correct the checksums of the chunks of a PNG."""
    made, at = bytearray(data), 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(made):
        end = at + 8 + int.from_bytes(made[at : at + 4], "big")
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(made)


TARGETS: Final = (
    Target("image", seeds, decode, (DecodeError,), WORDS, with_chunk_sums),
    Target(
        "image-shards",
        shard_seeds,
        read_shards,
        (ManifestError, DecodeError, OptionError, BundleError),
        (b"PAR1", b"\x15"),
        slow=True,
    ),
    Target("image-pack", seeds, pack, (DecodeError, OptionError, Refused), WORDS, with_chunk_sums),
)
