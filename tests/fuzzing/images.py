"""Readers of images: the decoder, and the jobs that check, pack and predict pictures."""

import zlib
from functools import cache
from io import BytesIO
from typing import Any, Final

import numpy as np

from fuzzing import Refused, Target
from fuzzing.sound import place
from voxtrait.errors import DecodeError, OptionError

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
    Target("image-pack", seeds, pack, (DecodeError, OptionError, Refused), WORDS, with_chunk_sums),
)
