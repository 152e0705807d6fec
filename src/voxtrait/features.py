"""The only mel code: a signal becomes a spectrogram, a picture, and the array that a network sees.

``FrontEnd`` holds every parameter and travels inside a bundle, so that training and inference cannot drift apart.
The steps, each public::

    signal (samples,) ── mel_power ──► (n_mels, frames) ── log_mel ──► dB
                                             └── picture ──► uint8 (height, width) ── network_input ──► float32 (1,
                                             h, w)
                                                                   └── encode_png / decode_png: PNG, lossless

Frame ``i`` of a spectrogram is centred on sample ``i × hop_length``; outside the signal there are zeros. Power is
scaled so that a full-scale sine has 0 dB in its bin, whatever the window. Mel scales: Slaney, "Auditory Toolbox"
(Interval TR 1998-010), and HTK (Young et al., The HTK Book): 2595 log10(1 + f/700).
"""

import dataclasses
import functools
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse

from voxtrait.audio import Signal, check_signal, resample, to_mono
from voxtrait.errors import BundleError, DecodeError, OptionError

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Fit = Literal["middle", "stretch"]

PICTURE_SIZE: Final = (432, 288)  # width, height in pixels: the diary's, 6 × 4 inches at 72 dots per inch
FITS: Final = ("middle", "stretch")
CHOICES: Final = {
    "fit": FITS,
    "scale": ("slaney", "htk"),
    "norm": ("peak", "area"),
    "compression": ("db", "log", "none"),
}
FRAMES: Final = 64  # transformed at a time: they stay in the processor's cache, and memory does not grow with length


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Everything that decides how a signal becomes a spectrogram.

    The defaults are those of the diary's pictures: 64 ms windows resolve the harmonics of a low voice, and 432
    columns of 10 ms hold 4.3 s.
    """

    sampling_rate: int = 16_000  # Hz
    n_fft: int = 2048  # samples, of which window_length are not zero
    window_length: int = 1024  # samples, Hann
    hop_length: int = 160  # samples between columns
    n_mels: int = 288  # bands = rows of a picture
    f_min: float = 0.0  # Hz
    f_max: float = 8000.0  # Hz
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["peak", "area"] = "peak"  # triangles of height 1, or of area 1 (librosa's "slaney")
    compression: Literal["db", "log", "none"] = "db"  # 10 log10, natural log, or linear power
    scaled: bool = True  # power relative to a full-scale sine; False leaves the window's own gain in
    floor: float = 1e-10  # power below which everything counts as this
    level_db: float | None = None  # dBFS to which a quieter or louder signal is brought (RMS); None leaves it alone
    floor_db: float = -100.0  # dB: black in a picture
    ceiling_db: float = -10.0  # dB: white in a picture; real speech at full level reaches it
    columns: int = 432  # width of a picture in pixels
    # middle: a column is one hop, and longer clips are cut to their middle; stretch: the whole clip fills the width
    fit: Fit = "middle"
    shrink: int = 1  # pixels of a picture averaged into one of the network's input, in each direction

    def __post_init__(self) -> None:
        """Refuse parameters that make no spectrogram."""
        if not 0 < self.window_length <= self.n_fft or self.hop_length < 1 or self.n_mels < 1 or self.columns < 1:
            raise OptionError(
                f"got {self}, expected 0 < window_length <= n_fft and positive hop_length, n_mels, columns"
            )
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2:
            raise OptionError(
                f"got f_min {self.f_min} and f_max {self.f_max} Hz, expected 0 <= f_min < f_max <= half the rate"
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise OptionError(f"got {name} {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.shrink < 1 or self.n_mels % self.shrink or self.columns % self.shrink:
            raise OptionError(f"got shrink {self.shrink}, expected a divisor of {self.columns} and of {self.n_mels}")
        if not self.floor_db < self.ceiling_db:
            raise OptionError(
                f"got a range of {self.floor_db} to {self.ceiling_db} dB, expected the floor below the ceiling"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the array that a network sees: ``(1, height, width)`` after shrinking."""
        return 1, self.n_mels // self.shrink, self.columns // self.shrink

    def to_dict(self) -> dict[str, Any]:
        """Give the parameters as JSON-ready values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FrontEnd":
        """Rebuild a front end; a key too many or too few is an error, for a silent default would skew every prediction.

        Raises:
            BundleError: if the keys are not exactly the fields.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        if set(values) != fields:
            missing, unknown = sorted(fields - set(values)), sorted(set(values) - fields)
            raise BundleError(
                f"the front end lacks {missing} and has unknown {unknown}: expected exactly {sorted(fields)}"
            )
        return cls(**values)


def picture_front_end(
    size: tuple[int, int] = PICTURE_SIZE, *, fit: Fit = "middle", base: FrontEnd | None = None
) -> FrontEnd:
    """Give the front end of pictures of a size: a row is a mel band, a column one hop.

    Args:
        size: width and height in pixels.
        fit: see :class:`FrontEnd`.
        base: the front end whose other parameters are kept.

    Raises:
        OptionError: if a side is not between 8 and 4096 pixels.
    """
    width, height = size
    if not (8 <= width <= 4096 and 8 <= height <= 4096):
        raise OptionError(f"got a size of {width}×{height}, expected a width and a height of 8 to 4096 pixels")
    base = base or FrontEnd()
    n_fft = base.n_fft
    while height > n_fft / 7:  # narrower bands than bins would leave rows empty
        n_fft *= 2
    return dataclasses.replace(base, columns=width, n_mels=height, n_fft=n_fft, fit=fit)


def mel_power(signal: Signal, front_end: FrontEnd, centres: npt.NDArray[np.int64] | None = None) -> Array:
    """Compute mel band powers.

    Args:
        signal: mono, ``(samples,)``, at the front end's rate.
        front_end: the parameters.
        centres: the samples that columns are centred on; ``None`` means every hop from 0 to the end.

    Returns:
        ``(n_mels, frames)``, linear power, lowest band first.

    Examples:
        >>> import numpy as np
        >>> sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
        >>> power = mel_power(sine, FrontEnd())
        >>> power.shape, bool(power[:, 50].max() > 0.9)
        ((288, 101), True)
    """
    if centres is None:
        centres = np.arange(0, len(signal) + 1, front_end.hop_length)
    if front_end.level_db is not None:
        rms = float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if len(signal) else 0.0
        if rms > 0:
            signal = signal * np.float32(10 ** (front_end.level_db / 20) / rms)
    window, bank = _window(front_end), _bank(front_end)
    half = front_end.window_length // 2
    # only the stretch that the frames touch is padded and cut into frames, however long the signal is
    start, stop = int(centres[0]) - half, int(centres[-1]) - half + front_end.window_length
    inside = signal[max(start, 0) : max(stop, 0)]
    padded = np.pad(inside, (max(-start, 0), max(stop - max(start, 0) - len(inside), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, front_end.window_length)
    first = centres - half - start
    out = np.empty((front_end.n_mels, len(first)), dtype=np.float32)
    frames = np.zeros((min(FRAMES, len(first)), front_end.n_fft), dtype=np.float32)
    for at in range(0, len(first), FRAMES):
        some = first[at : at + FRAMES]
        np.multiply(windows[some], window, out=frames[: len(some), : front_end.window_length])
        spectrum = scipy.fft.rfft(frames[: len(some)], axis=1)
        squares = spectrum.view(np.float32)  # real and imaginary parts in turn
        squares *= squares
        power = np.add(squares[:, ::2].T, squares[:, 1::2].T, order="C")  # bins before frames, as the product reads it
        out[:, at : at + len(some)] = bank @ power
    return out


def log_mel(signal: npt.ArrayLike, sampling_rate: int = 16_000, *, front_end: FrontEnd | None = None) -> Array:
    """Compute a mel spectrogram with the front end's compression, of any signal.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, in [-1, 1].
        sampling_rate: of the signal, in Hz; another rate than the front end's is resampled.
        front_end: the parameters; by default those of the diary's pictures.

    Returns:
        ``(n_mels, frames)`` in dB relative to a full-scale sine (or as ``compression`` says), lowest band first.

    Raises:
        SignalError: if the array is no signal.

    Examples:
        >>> import numpy as np
        >>> log_mel(np.zeros(16000, np.float32)).shape
        (288, 101)
    """
    front_end = front_end or FrontEnd()
    mono = to_mono(check_signal(signal))
    return _compress(mel_power(resample(mono, sampling_rate, front_end.sampling_rate), front_end), front_end)


def picture(
    signal: npt.ArrayLike,
    sampling_rate: int = 16_000,
    *,
    size: tuple[int, int] = PICTURE_SIZE,
    fit: Fit = "middle",
    front_end: FrontEnd | None = None,
) -> Picture:
    """Draw a mel spectrogram: grey, no axes, no scale, not one pixel of border, low frequencies at the bottom.

    Louder is brighter: black is ``floor_db`` and white ``ceiling_db`` in every picture, so two pictures compare. One
    column is one hop: a longer clip is cut to its middle and a shorter one stands in the middle of black, so that no
    duration shows; ``fit="stretch"`` makes the whole clip fill the width, as the diary did.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, in [-1, 1].
        sampling_rate: of the signal, in Hz.
        size: width and height in pixels.
        fit: ``middle`` or ``stretch``.
        front_end: all parameters at once, instead of ``size`` and ``fit``.

    Returns:
        ``(height, width)``, uint8; row 0 is the highest band.

    Examples:
        >>> import numpy as np
        >>> drawn = picture(0.1 * np.random.default_rng(0).standard_normal(16000))
        >>> drawn.shape, drawn.dtype.name, int(drawn[:, 0].max())  # one second, padded on both sides
        ((288, 432), 'uint8', 0)
    """
    front_end = front_end or picture_front_end(size, fit=fit)
    mono = resample(to_mono(check_signal(signal)), sampling_rate, front_end.sampling_rate)
    columns, hop = front_end.columns, front_end.hop_length
    if front_end.fit == "stretch":
        centres = np.linspace(0, len(mono), columns, dtype=np.int64)
        inside = np.ones(columns, dtype=bool)
    else:
        first = len(mono) // 2 - (columns - 1) * hop // 2
        centres = first + hop * np.arange(columns)
        inside = (centres >= 0) & (centres <= len(mono))
    drawn = np.zeros((front_end.n_mels, columns), dtype=np.uint8)
    if inside.any():
        decibels = 10 * np.log10(np.maximum(mel_power(mono, front_end, centres[inside]), front_end.floor))
        unit = (decibels - front_end.floor_db) / (front_end.ceiling_db - front_end.floor_db)
        drawn[:, inside] = np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
    return drawn[::-1].copy()


def network_input(drawn: Picture, front_end: FrontEnd) -> Array:
    """Turn a picture into the array that a network sees.

    Args:
        drawn: ``(height, width)``, uint8, as :func:`picture` or :func:`decode_png` give it.
        front_end: says the size expected and how much to shrink.

    Returns:
        ``(1, height / shrink, width / shrink)``, float32 in [0, 1]; each value is the mean of ``shrink × shrink``
        pixels.

    Raises:
        OptionError: if the picture has another size than the front end's.

    Examples:
        >>> import numpy as np
        >>> front_end = FrontEnd(shrink=3)
        >>> network_input(np.full((288, 432), 255, np.uint8), front_end).shape
        (1, 96, 144)
    """
    height, width = front_end.n_mels, front_end.columns
    if drawn.shape != (height, width) or drawn.dtype != np.uint8:
        raise OptionError(f"got a picture of {drawn.shape} {drawn.dtype}, expected ({height}, {width}) uint8")
    s = front_end.shrink
    small: Array = drawn.reshape(height // s, s, width // s, s).mean(axis=(1, 3), dtype=np.float32)
    return small[None] / np.float32(255)


def encode_png(drawn: Picture) -> bytes:
    """Write a picture as a grey 8-bit PNG (ISO/IEC 15948); the same picture gives the same bytes.

    Examples:
        >>> import numpy as np
        >>> drawn = np.arange(6, dtype=np.uint8).reshape(2, 3)
        >>> decode_png(encode_png(drawn)).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    # not Pillow, whose search for the best filter of each row takes as long as all the rest of a picture; differences
    # to the row above (filter 2) in run lengths are a third as slow and 10 % larger, measured on pictures of speech
    height, width = drawn.shape
    rows = np.full((height, 1 + width), 2, dtype=np.uint8)
    rows[0, 1:] = drawn[0]
    np.subtract(drawn[1:], drawn[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed = packer.compress(rows.tobytes()) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey, no interlacing
    chunks = [(b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decode_png(data: bytes) -> Picture:
    """Read a picture back from a PNG of any colour type: ``(height, width)``, uint8.

    Raises:
        DecodeError: if the bytes are no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DecodeError(f"not a picture that can be read: {error}") from None


def _compress(power: Array, front_end: FrontEnd) -> Array:
    match front_end.compression:
        case "db":
            return np.asarray(10 * np.log10(np.maximum(power, front_end.floor)), dtype=np.float32)
        case "log":
            return np.asarray(np.log(np.maximum(power, front_end.floor)), dtype=np.float32)
        case _:
            return power


@functools.lru_cache(maxsize=8)
def _window(front_end: FrontEnd) -> Array:
    n = front_end.window_length
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype(np.float32)  # periodic Hann
    return np.asarray(window / (window.sum() / 2), dtype=np.float32) if front_end.scaled else window


@functools.lru_cache(maxsize=8)
def _bank(front_end: FrontEnd) -> scipy.sparse.csr_array:
    """Triangular filters, ``(n_mels, n_fft / 2 + 1)``; sparse, for most of a dense bank is zeros."""
    edges = _to_hz(
        np.linspace(
            _to_mel(front_end.f_min, front_end.scale), _to_mel(front_end.f_max, front_end.scale), front_end.n_mels + 2
        ),
        front_end.scale,
    )
    bins = np.fft.rfftfreq(front_end.n_fft, 1 / front_end.sampling_rate)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    if front_end.norm == "area":
        bank *= 2 / (high - low)
    return scipy.sparse.csr_array(bank.astype(np.float32))


def _to_mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return float(2595 * np.log10(1 + hz / 700))
    return hz / (200 / 3) if hz < 1000 else 15 + 27 * float(np.log(hz / 1000) / np.log(6.4))


def _to_hz(mel: npt.NDArray[np.float64], scale: str) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    return np.where(mel < 15, mel * (200 / 3), 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
