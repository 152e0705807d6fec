"""Uploads that mean no good: mutated sound, other things under its name, headers that lie, files that swell."""

import io
import random
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import soundfile

from voxtrait.synthetic import cohort, speak

RATE = 16_000
CONTAINERS = (
    ("WAV", "PCM_16", "wav"),
    ("MP3", "MPEG_LAYER_III", "mp3"),
    ("OGG", "VORBIS", "ogg"),
    ("FLAC", "PCM_16", "flac"),
)
PLAYLISTS = (
    b"#EXTM3U\n#EXTINF:5,\n/etc/passwd\n",
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b"\0\0\0\x18ftypisom#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n",
    b'\0\0\0\x18ftypisom<?xml version="1.0"?><MPD profiles="urn:mpeg:dash:profile:isoff-live:2011"><BaseURL>'
    b"http://127.0.0.1:9/x</BaseURL></MPD>",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    b"[playlist]\nFile1=http://127.0.0.1:9/x\n",
)


class Hostile(NamedTuple):
    """One upload."""

    kind: str
    name: str
    content: bytes


def uploads(count: int, seed: int = 1) -> Iterator[Hostile]:
    """So many, of all kinds in turn."""
    chance = random.Random(seed)
    seeds = seed_files()
    makers: Sequence[Callable[[random.Random, dict[str, bytes]], Hostile]] = (
        flipped,
        cut,
        spliced,
        renamed,
        lying_wav,
        many_channels,
        lying_flac,
        swelling_flac,
        playlist,
        renamed_zip,
        noise,
    )
    for at in range(count):
        yield makers[at % len(makers)](chance, seeds)


def seed_files() -> dict[str, bytes]:
    """Three seconds of a made-up voice in each container, and as webm and m4a where PyAV is there."""
    voice = 0.2 * speak(cohort(1, 1)[0], 3.0, 1)
    found = {}
    for kind, subtype, ending in CONTAINERS:
        target = io.BytesIO()
        soundfile.write(target, voice, RATE, format=kind, subtype=subtype)
        found[ending] = target.getvalue()
    found["webm"] = encoded(voice, "webm", "libopus", 48_000)
    found["m4a"] = encoded(voice, "mp4", "aac", RATE)
    return found


def encoded(voice: np.ndarray, container: str, codec: str, rate: int) -> bytes:
    """A voice by PyAV."""
    import av

    from voxtrait.audio.signals import resample

    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        signal = resample(voice.astype(np.float32), RATE, rate)
        frame = av.AudioFrame.from_ndarray(np.round(32767 * signal).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate, frame_size=960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return target.getvalue()


def flipped(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    ending = chance.choice(sorted(seeds))
    content = bytearray(seeds[ending])
    reach = chance.choice([64, 512, len(content)])  # in the header, near it, anywhere
    for _ in range(chance.choice([1, 8, 64, 512])):
        content[chance.randrange(min(reach, len(content)))] = chance.randrange(256)
    return Hostile("bytes changed", f"voice.{ending}", bytes(content))


def cut(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    ending = chance.choice(sorted(seeds))
    return Hostile("cut short", f"voice.{ending}", seeds[ending][: chance.randrange(1, len(seeds[ending]))])


def spliced(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    one, other = chance.sample(sorted(seeds), 2)
    at = chance.randrange(len(seeds[one]))
    return Hostile("two files in one", f"voice.{one}", seeds[one][:at] + seeds[other][chance.randrange(4096) :])


def renamed(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    html = b"<!doctype html><script>alert(1)</script>" * chance.randrange(1, 500)
    return Hostile("html", f"../../voice{chance.randrange(9)}.{chance.choice(sorted(seeds))}", html)


def renamed_zip(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    return Hostile("zip", f"voice.{chance.choice(sorted(seeds))}", target.getvalue())


def noise(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    start = chance.choice(
        [b"", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"OggS\0\2", b"fLaC\0\0\0\x22", b"\x1aE\xdf\xa3", b"#!AMR\n"]
    )
    return Hostile("noise", "voice.mp3", start + chance.randbytes(chance.choice([1, 100, 20_000, 200_000])))


def playlist(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    return Hostile("playlist", chance.choice(["list.m3u8", "voice.mp3", "voice.m4a"]), chance.choice(PLAYLISTS))


def lying_wav(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    """Sizes, rate and channels of the header, at random or at their ends."""
    content = bytearray(seeds["wav"])
    values = [0, 1, 2, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1, chance.randrange(2**32)]
    for place, size in chance.sample(
        [(4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)], 2
    ):
        content[place : place + size] = struct.pack("<I", chance.choice(values))[:size]
    return Hostile("wav that lies", "voice.wav", bytes(content))


def many_channels(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    """A header of up to 1024 channels at an absurd rate, over a little silence."""
    channels, rate = chance.choice([64, 65, 255, 1024]), chance.choice([1, 8000, 768_000, 2**31 - 1])
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 2**31, b"WAVE", b"fmt ", 16, 1, channels, rate,
                         rate * channels * 2 % 2**32, channels * 2 % 65536, 16, b"data", 2**31)  # fmt: skip
    return Hostile("many channels", "voice.wav", header + bytes(chance.choice([0, 2000, 300_000])))


def lying_flac(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    """The number of samples, the rate and the channels that a FLAC says it has."""
    content = bytearray(seeds["flac"])
    content[18:26] = chance.randbytes(8) if chance.random() < 0.5 else b"\xff" * 8
    return Hostile("flac that lies", "voice.flac", bytes(content))


_swollen: dict[str, bytes] = {}


def swelling_flac(chance: random.Random, seeds: dict[str, bytes]) -> Hostile:
    """Silence that is a thousand times as large once it is decoded: an hour and more, many channels, high rates."""
    ways = {"hours": (8_000, 1, 4_000.0), "channels": (96_000, 8, 60.0), "rate": (655_350, 2, 30.0)}
    way = chance.choice(sorted(ways))
    if way not in _swollen:
        rate, channels, seconds = ways[way]
        target = io.BytesIO()
        block = np.zeros((rate, channels), np.int16)
        with soundfile.SoundFile(target, "w", rate, channels, format="FLAC", subtype="PCM_16") as file:
            for _ in range(round(seconds)):
                file.write(block)
        _swollen[way] = target.getvalue()
    return Hostile(f"swelling, {way}", "voice.flac", _swollen[way])


def requests(host: str = "localhost") -> dict[str, bytes]:
    """Whole requests whose headers lie about what follows, as they go over the wire."""
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = part + bytes(1000) + b"\r\n--edge--\r\n"

    def request(*headers: str, content: bytes = body) -> bytes:
        lines = [
            "POST /v1/predict HTTP/1.1",
            f"Host: {host}",
            "Content-Type: multipart/form-data; boundary=edge",
            *headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + content

    right = f"Content-Length: {len(body)}"

    def form(*parts: bytes) -> bytes:
        content = b"".join(b"--edge\r\n" + one + b"\r\n" for one in parts) + b"--edge--\r\n"
        return request(f"Content-Length: {len(content)}", content=content)

    field = b'Content-Disposition: form-data; name="note"'
    return {
        "more announced than sent": request(f"Content-Length: {len(body) + 1000}"),
        "less announced than sent": request(f"Content-Length: {len(body) - 500}"),
        "a terabyte announced": request("Content-Length: 1099511627776"),
        "a negative length": request("Content-Length: -1"),
        "two lengths": request(right, "Content-Length: 5"),
        "a length and chunks": request(right, "Transfer-Encoding: chunked"),
        "chunks that are none": request("Transfer-Encoding: chunked", content=b"zz\r\nabc\r\n"),
        "a chunk of a terabyte": request("Transfer-Encoding: chunked", content=b"10000000000\r\nabc\r\n"),
        "deflated": request(f"Content-Length: {len(zlib.compress(body))}", "Content-Encoding: deflate",
                            content=zlib.compress(body)),
        "a thousand fields": form(*[field + b"\r\n\r\nx"] * 1000),
        "a field with a thousand headers": form(field + b"\r\nX: y" * 1000 + b"\r\n\r\nx"),
        "a field with a header of a megabyte": form(field + b"; x=" + b"y" * 10**6 + b"\r\n\r\nx"),
        "fields with large headers": form(*[field + b"; x=" + b"y" * 4000 + b"\r\n\r\nx"] * 15),
        "a field without a name": form(b"Content-Disposition: form-data\r\n\r\nx"),
        "a form that is all boundary": form(),
        "headers without end": b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 100_000,
        "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    }  # fmt: skip


def first_line(address: tuple[str, int], request: bytes, seconds: float = 5.0) -> str:
    """Send a request, end one's own side, and give the first line of the answer, or how the connection ended."""
    with socket.create_connection(address, seconds) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65_536)
        except (ConnectionError, TimeoutError) as error:
            return type(error).__name__
    return answer.partition(b"\r\n")[0].decode("latin-1") or "closed"
