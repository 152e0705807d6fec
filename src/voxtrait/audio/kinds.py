"""Recognises the kind of a file by its content, not by its name."""

import codecs
from collections.abc import Callable
from typing import Final, NamedTuple

from voxtrait.audio import mpeg

HEAD: Final = 4096  # bytes read to recognise a kind
UNKNOWN: Final = "of an unknown kind, or damaged"

SUFFIXES: Final = frozenset(
    f".{ending}"
    for endings in (
        "3g2 3gp aac ac3 aif aifc aiff amr ape asf au avi awb bwf caf dts eac3 ec3 f4a f4v flac flv m2ts m4a m4b m4r",
        "m4v mka mkv mov mp1 mp2 mp3 mp4 mpc mpeg mpg mpga mts nist nut oga ogg ogv ogx opus qcp ra rf64 rm rmvb sf",
        "snd sph spx tak ts tta vob voc w64 wav wave weba webm wma wmv wv wve",
    )
    for ending in endings.split()
)
"""File endings of audio, for the search of a folder."""


class Kind(NamedTuple):
    """A kind of audio file."""

    name: str
    demuxer: str | None = None  # FFmpeg's name for its reader
    sndfile: bool = False  # libsndfile usually reads it
    streams: bool = True  # decodable while it arrives through a pipe


EBML: Final = b"\x1aE\xdf\xa3"

MP3: Final = Kind("MPEG audio", "mp3", sndfile=True)
AAC: Final = Kind("ADTS AAC", "aac")
WAV: Final = Kind("WAV", "wav", sndfile=True)
OGG: Final = Kind("Ogg", "ogg", sndfile=True)
AU: Final = Kind("AU", "au", sndfile=True)
FLAC: Final = Kind("FLAC", "flac", sndfile=True)
AMR: Final = Kind("AMR", "amr")
MP4: Final = Kind("MP4", "mp4")
AIFF: Final = Kind("AIFF", "aiff", sndfile=True)
MATROSKA: Final = Kind("Matroska", "matroska")
_REAL: Final = Kind("RealMedia", "rm", streams=False)
_MPEG_TS: Final = Kind("MPEG transport stream", "mpegts")

_MAGIC: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, b"fLaC", FLAC),
    (0, b"OggS", OGG),
    (0, b".snd", AU),
    (0, b"dns.", AU),
    (0, b"caff", Kind("CAF", "caf", sndfile=True, streams=False)),
    (0, b"riff\x2e\x91\xcf\x11", Kind("Wave64", "w64", sndfile=True, streams=False)),
    (0, b"Creative Voice File\x1a", Kind("Creative Voice", "voc", sndfile=True, streams=False)),
    (0, b"NIST_1A", Kind("NIST SPHERE", "nistsphere", sndfile=True, streams=False)),
    (0, b"\x64\xa3", Kind("IRCAM", "ircam", sndfile=True, streams=False)),
    (0, b"\x00\x01\xa3\x64", Kind("IRCAM", "ircam", sndfile=True, streams=False)),
    (0, b" paf", Kind("PAF", "epaf", sndfile=True, streams=False)),
    (0, b"fap ", Kind("PAF", "epaf", sndfile=True, streams=False)),
    (0, b"PVF1\n", Kind("PVF", "pvf", sndfile=True, streams=False)),
    (0, b"2BIT", Kind("AVR", "avr", sndfile=True, streams=False)),
    (0, b"ALawSoundFile**", Kind("Psion WVE", None, sndfile=True, streams=False)),
    (0, b"MATLAB 5.0 MAT-file", Kind("MATLAB 5", None, sndfile=True, streams=False)),
    (4, b"ftyp", MP4),
    (4, b"moov", MP4),
    (4, b"mdat", MP4),
    (4, b"wide", MP4),
    (4, b"pnot", MP4),
    (0, EBML, MATROSKA),
    (0, b"#!AMR", AMR),
    (0, b"0&\xb2u\x8ef\xcf\x11", Kind("ASF", "asf")),
    (0, b"FLV\x01", Kind("FLV", "flv")),
    (0, b"\x00\x00\x01\xba", Kind("MPEG program stream", "mpeg")),
    (0, b"\x7f\xfe\x80\x01", Kind("DTS", "dts")),
    (0, b"wvpk", Kind("WavPack", "wv", streams=False)),
    (0, b"TTA1", Kind("True Audio", "tta")),
    (0, b"MAC ", Kind("Monkey's Audio", "ape", streams=False)),
    (0, b"MPCK", Kind("Musepack", "mpc8", streams=False)),
    (0, b"MP+", Kind("Musepack", "mpc", streams=False)),
    (0, b"tBaK", Kind("TAK", "tak", streams=False)),
    (0, b"DSD ", Kind("DSF", "dsf", streams=False)),
    (0, b"nut/multimedia container", Kind("NUT", "nut")),
    (0, b".RMF", _REAL),
    (0, b".ra\xfd", _REAL),
)
_RIFF: Final = {b"WAVE": WAV, b"AVI ": Kind("AVI", "avi"), b"QLCM": Kind("QCP", "qcp", streams=False)}
_FORM: Final = {
    b"AIFF": AIFF,
    b"AIFC": AIFF,
    b"8SVX": Kind("8SVX", "iff", sndfile=True, streams=False),
    b"16SV": Kind("16SV", "iff", sndfile=True, streams=False),
}

_OTHER: Final = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive or an Office document"),
    (0, b"\x1f\x8b", "a gzip archive, which must be unpacked first"),
    (0, b"7z\xbc\xaf", "a 7z archive, which must be unpacked first"),
    (0, b"Rar!", "a RAR archive, which must be unpacked first"),
    (257, b"ustar", "a tar archive, which must be unpacked first"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"MThd", "a MIDI file, which has notes but no audio"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)


def kind_of(head: bytes) -> Kind | None:
    """Recognise the kind of an audio file.

    Args:
        head: first bytes of the file after ID3 tags, at most ``HEAD``.

    Returns:
        The kind, or ``None`` if it is not recognised. libsndfile may still read the file, because some kinds have no
        mark.

    Examples:
        >>> kind_of(b"RIFF\\0\\0\\0\\0WAVEfmt ").name
        'WAV'
        >>> kind_of(b"It was a dark and stormy night") is None
        True
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM":
        return _FORM.get(head[8:12])
    for at, magic, kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind
    return next((kind for test, kind in _SYNCHRONISED if test(head)), None)


def _is_mpeg(head: bytes) -> bool:
    return mpeg.is_chain(head, short=True)


def _is_ac3(head: bytes) -> bool:
    return head[:2] == b"\x0b\x77" and len(head) > 5 and head[5] >> 3 <= 10


def _is_eac3(head: bytes) -> bool:
    return head[:2] == b"\x0b\x77" and len(head) > 5 and 10 < head[5] >> 3 <= 16


def _is_mpeg_ts(head: bytes) -> bool:
    for size, at in ((188, 0), (192, 4), (204, 0)):  # plain packets, Blu-ray packets, packets with parity
        places = range(at, min(len(head), 5 * size), size)
        if len(places) >= 3 and all(head[place] == 0x47 for place in places):
            return True
    return False


_SYNCHRONISED: Final[tuple[tuple[Callable[[bytes], bool], Kind], ...]] = (
    (mpeg.is_adts, AAC),
    (_is_mpeg, MP3),
    (_is_ac3, Kind("AC-3", "ac3")),
    (_is_eac3, Kind("E-AC-3", "eac3")),
    (_is_mpeg_ts, _MPEG_TS),
)


def described(head: bytes) -> str:
    """Return the description of a file that is not audio, from its first bytes.

    Examples:
        >>> described(b"%PDF-1.7"), described(b"Dear all,"), described(bytes(8))
        ('a PDF document', 'a text file', 'of an unknown kind, or damaged')
    """
    for at, magic, name in _OTHER:
        if head[at : at + len(magic)] == magic:
            return name
    try:
        # the last character may be cut
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        text = "\0"
    is_text = all(sign.isprintable() or sign in "\t\r\n\f\ufeff" for sign in text)
    return "a text file" if is_text else UNKNOWN
