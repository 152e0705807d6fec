"""One second and a half of sound as many kinds of file, made by code: what people really have."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import numpy as np
import soundfile

from voxtrait.audio.signals import Signal

RATE: Final = 16_000
Maker = Callable[[Signal], bytes]


def sndfile(format_: str, subtype: str | None = None, endian: str | None = None, rate: int = RATE) -> Maker:
    """By libsndfile: the samples are ``(samples,)`` or ``(samples, channels)`` at ``RATE``."""

    def make(signal: Signal) -> bytes:
        out = BytesIO()
        soundfile.write(out, signal if rate == RATE else signal[:: RATE // rate], rate, subtype, endian, format_)
        return out.getvalue()

    return make


def media(format_: str, codec: str, rate: int = RATE, options: dict[str, str] | None = None, **settings: Any) -> Maker:
    """By FFmpeg, through PyAV."""

    def make(signal: Signal) -> bytes:
        import av

        out = BytesIO()
        with av.open(out, "w", format=format_, options=options or {}) as container:
            stream: Any = container.add_stream(codec, rate=rate, layout="mono")
            for name, value in settings.items():
                setattr(stream.codec_context, name, value)
            stream.codec_context.open()
            encode(container, stream, signal, rate)
        return out.getvalue()

    return make


def encode(container: Any, stream: Any, signal: Signal, rate: int) -> None:
    """Encode a mono signal at ``RATE`` into a stream of a container."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal[None]), format="fltp", layout="mono")
    frame.sample_rate = RATE
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
    fifo = av.AudioFifo()
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        part.pts = None
        fifo.write(part)
    size = stream.codec_context.frame_size or 1024
    at = 0
    while (part := fifo.read(size, partial=True)) is not None:
        part.pts, at = at, at + part.samples
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def video(format_: str, codec: str, video_codec: str = "mpeg4", rate: int = RATE) -> Maker:
    """A film: three pictures and the sound."""

    def make(signal: Signal) -> bytes:
        import av

        out = BytesIO()
        with av.open(out, "w", format=format_) as container:
            pictures: Any = container.add_stream(video_codec, rate=25, width=64, height=64, pix_fmt="yuv420p")
            stream: Any = container.add_stream(codec, rate=rate, layout="mono")
            for at in range(3):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts = at
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
            encode(container, stream, signal, rate)
        return out.getvalue()

    return make


def patched(make: Maker, change: Callable[[bytearray], Any]) -> Maker:
    """A file with some bytes changed."""

    def changed(signal: Signal) -> bytes:
        content = bytearray(make(signal))
        change(content)
        return bytes(content)

    return changed


def laid_end_to_end(make: Maker) -> Maker:
    """Two files in one, each with a half of the sound."""
    return lambda signal: b"".join(make(half) for half in np.array_split(signal, 2))


def with_sizes(riff: int | None, data: int | None, id_: bytes = b"data") -> Callable[[bytearray], None]:
    """Make the header of a WAV state other sizes, as a recorder that crashed leaves it."""

    def change(content: bytearray) -> None:
        if riff is not None:
            content[4:8] = struct.pack("<I", riff)
        if data is not None:
            at = content.index(id_) + 4
            content[at : at + 4] = struct.pack("<I", data)

    return change


def with_chunk(name: bytes, body: bytes) -> Callable[[bytearray], None]:
    """Put a chunk before the format of a WAV."""

    def change(content: bytearray) -> None:
        content[12:12] = name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        content[4:8] = struct.pack("<I", len(content) - 8)

    return change


def id3(content: bytearray) -> None:
    """Put a tag with a kilobyte of cover before the sound."""
    content[0:0] = b"ID3\x04\x00\x00" + bytes([0, 0, 8, 0]) + bytes(1024)


def sphere(signal: Signal) -> bytes:
    """A NIST SPHERE file, as LDC's corpora have it: a header of 1,024 bytes of text, then samples."""
    fields = f"channel_count -i 1\nsample_count -i {len(signal)}\nsample_rate -i {RATE}\nsample_n_bytes -i 2\n"
    fields += "sample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
    return f"NIST_1A\n   1024\n{fields}".encode().ljust(1024) + (signal * 32767).astype("<i2").tobytes()


WAV: Final = sndfile("WAV", "PCM_16")
VBR: Final = {"options": {"write_xing": "0"}}

KINDS: Final[dict[str, Maker]] = {
    "wav-pcm8.wav": sndfile("WAV", "PCM_U8"),
    "wav-pcm16.wav": WAV,
    "wav-pcm24.wav": sndfile("WAV", "PCM_24"),
    "wav-pcm32.wav": sndfile("WAV", "PCM_32"),
    "wav-float.wav": sndfile("WAV", "FLOAT"),
    "wav-double.wav": sndfile("WAV", "DOUBLE"),
    "wav-alaw.wav": sndfile("WAV", "ALAW"),
    "wav-mulaw.wav": sndfile("WAV", "ULAW"),
    "wav-ima.wav": sndfile("WAV", "IMA_ADPCM"),
    "wav-ms.wav": sndfile("WAV", "MS_ADPCM"),
    "wav-gsm.wav": sndfile("WAV", "GSM610", rate=8000),
    "wav-g722.wav": media("wav", "g722"),
    "wav-mp3.wav": media("wav", "libmp3lame"),
    "wav-ac3.wav": media("wav", "ac3", 48_000),
    "wav-extensible.wav": sndfile("WAVEX", "PCM_24"),
    "wav-big-endian.wav": sndfile("WAV", "PCM_16", "BIG"),
    "wav-rf64.wav": sndfile("RF64", "PCM_16"),
    "wav-bext.wav": patched(WAV, with_chunk(b"bext", bytes(603))),
    "wav-junk-no-size.wav": patched(patched(WAV, with_chunk(b"JUNK", bytes(28))), with_sizes(0, 0)),
    "wav-no-data-size.wav": patched(WAV, with_sizes(None, 0)),
    "wav-no-sizes.wav": patched(WAV, with_sizes(0, 0)),
    "wav-pipe.wav": patched(WAV, with_sizes(0xFFFFFFFF, 0xFFFFFFFF)),
    "w64.w64": sndfile("W64", "PCM_16"),
    "aiff.aiff": sndfile("AIFF", "PCM_16"),
    "aiff-float.aif": sndfile("AIFF", "FLOAT"),
    "aifc-mulaw.aifc": sndfile("AIFF", "ULAW"),
    "au.au": sndfile("AU", "PCM_16"),
    "au-mulaw.snd": sndfile("AU", "ULAW"),
    "au-no-size.au": patched(sndfile("AU", "PCM_16"), lambda content: content.__setitem__(slice(8, 12), b"\xff" * 4)),
    "caf.caf": sndfile("CAF", "PCM_16"),
    "caf-alac.caf": media("caf", "alac"),
    "voc.voc": sndfile("VOC", "PCM_16"),
    "sphere.sph": sphere,
    "sphere-mulaw.sph": sndfile("NIST", "ULAW"),
    "ircam.sf": sndfile("IRCAM", "PCM_16"),
    "paf.paf": sndfile("PAF", "PCM_16"),
    "svx.svx": sndfile("SVX", "PCM_16"),
    "mat4.mat": sndfile("MAT4", "PCM_16"),
    "mat5.mat": sndfile("MAT5", "PCM_16"),
    "htk.htk": sndfile("HTK", "PCM_16"),
    "flac.flac": sndfile("FLAC", "PCM_16"),
    "flac-24.flac": sndfile("FLAC", "PCM_24"),
    "flac-id3.flac": patched(sndfile("FLAC", "PCM_16"), id3),
    "ogg-vorbis.ogg": sndfile("OGG", "VORBIS"),
    "ogg-opus.opus": sndfile("OGG", "OPUS"),
    "ogg-flac.oga": media("ogg", "flac"),
    "ogg-chained-vorbis.ogg": laid_end_to_end(sndfile("OGG", "VORBIS")),
    "ogg-chained-opus.opus": laid_end_to_end(sndfile("OGG", "OPUS")),
    "mp3.mp3": media("mp3", "libmp3lame"),
    "mp3-id3.mp3": patched(media("mp3", "libmp3lame"), id3),
    "mp3-no-xing.mp3": media("mp3", "libmp3lame", **VBR),
    "mp3-sndfile.mp3": sndfile("MP3", "MPEG_LAYER_III"),
    "mp3-8khz.mp3": media("mp3", "libmp3lame", 8000),
    "mp3-end-to-end.mp3": laid_end_to_end(media("mp3", "libmp3lame")),
    "mp3-end-to-end-no-xing.mp3": laid_end_to_end(media("mp3", "libmp3lame", **VBR)),
    "mp3-id3-between.mp3": laid_end_to_end(patched(media("mp3", "libmp3lame"), id3)),
    "mp2.mp2": media("mp2", "mp2"),
    "aac.aac": media("adts", "aac"),
    "aac-id3.aac": patched(media("adts", "aac"), id3),
    "aac-as-mp3.mp3": media("adts", "aac"),
    "aac-as-wav.wav": media("adts", "aac"),
    "m4a.m4a": media("ipod", "aac"),
    "m4a-alac.m4a": media("ipod", "alac"),
    "m4a-fragmented.m4a": media("mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}),
    "mp4-film.mp4": video("mp4", "aac"),
    "mov-film.mov": video("mov", "pcm_s16le"),
    "3gp-amr.3gp": media("3gp", "libopencore_amrnb", 8000, bit_rate=12_200),
    "3gp-aac.3gp": media("3gp", "aac"),
    "amr.amr": media("amr", "libopencore_amrnb", 8000, bit_rate=12_200),
    "webm.webm": media("webm", "libopus", 48_000),
    "matroska.mka": media("matroska", "flac"),
    "matroska-film.mkv": video("matroska", "libmp3lame"),
    "avi-film.avi": video("avi", "libmp3lame"),
    "avi.avi": media("avi", "pcm_s16le"),
    "flv.flv": media("flv", "libmp3lame", 44_100),
    "mpegts.ts": media("mpegts", "aac"),
    "mpegts-film.ts": video("mpegts", "aac", "mpeg2video"),
    "mpeg-film.mpg": video("mpeg", "mp2", "mpeg2video", 44_100),
    "ac3.ac3": media("ac3", "ac3", 48_000),
    "eac3.eac3": media("eac3", "eac3", 48_000),
    "wma.wma": media("asf", "wmav2", 44_100, bit_rate=64_000),
    "wavpack.wv": media("wv", "wavpack"),
    "tta.tta": media("tta", "tta"),
    "nut.nut": media("nut", "pcm_s16le"),
}
"""Name of a file of that kind → what makes it of a mono signal at ``RATE``."""

_NO_SOUND: Final = b"RIFF\x24\0\0\0" + WAV(np.zeros(1, np.float32))[8:40] + bytes(4)

REFUSED: Final[dict[str, bytes]] = {
    "text.mp3": b"Dear all, this is no sound.\n" * 50,
    "picture.wav": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
    "photo.mp3": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 20,
    "document.m4a": b"%PDF-1.7\n" + bytes(range(256)) * 20,
    "archive.ogg": b"PK\x03\x04" + bytes(range(256)) * 20,
    "page.mp3": b"<html><body>404 Not Found</body></html>",
    "utf16.mp3": "No sound, but text.".encode("utf-16") * 40,
    "zeros.wav": bytes(5000),
    "no-samples.wav": _NO_SOUND,
}
"""Name of a file → what is in it, which is no sound."""
