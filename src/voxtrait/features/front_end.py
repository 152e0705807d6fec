"""Parameters of a spectrogram, and the front ends of spectrogram images and of the speaker encoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from voxtrait.errors import BundleError, OptionError

Fit = Literal["middle", "stretch"]

PICTURE_SIZE: Final = (432, 288)  # width, height in pixels: 6 × 4 inches at 72 dots per inch
LONGEST_SIDE: Final = 4096  # pixels of an image
PICTURE_FITS: Final = ("middle", "stretch")
FITS: Final = (*PICTURE_FITS, "windows")
CHOICES: Final = {
    "fit": FITS,
    "scale": ("slaney", "htk"),
    "norm": ("peak", "area"),
    "compression": ("db", "log", "none"),
    "window": ("hann", "povey"),
    "triangles": ("hz", "mel"),
    "frames": ("centred", "inside"),
}
SWITCHES: Final = ("dc_removed", "scaled", "mean_removed")
LARGEST_SIDE: Final = 4096  # pixels of an image
LIMITS: Final[dict[str, tuple[float, float]]] = {
    "sampling_rate": (1000, 768_000), "n_fft": (2, 2**15), "window_length": (1, 2**15), "hop_length": (1, 2**15),
    "n_mels": (1, LARGEST_SIDE), "columns": (1, 1_000_000), "chosen_from": (0, 1_000_000), "shrink": (1, LARGEST_SIDE),
    "f_min": (0.0, 384_000.0), "f_max": (0.0, 384_000.0), "pre_emphasis": (0.0, 1.0), "floor": (1e-30, 1.0),
    "level_db": (-200.0, 50.0), "floor_db": (-500.0, 500.0), "ceiling_db": (-500.0, 500.0),
}  # fmt: skip
"""Parameter → lowest and highest value; whole numbers have whole limits. A front end comes from a file of somebody, and
takes memory in proportion to these values."""
ADDED: Final = (("window", "triangles", "frames", "dc_removed", "pre_emphasis", "mean_removed"), ("chosen_from",))
"""Keys that older front ends lack, in the order of their addition: front ends of format 2 lack both groups, that of
voxtrait-base 2.0 lacks the last one. The defaults match those front ends."""


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """All parameters that determine how a signal becomes a spectrogram.

    The defaults are those of the spectrogram images: 64 ms windows resolve the harmonics of a low voice, and 432
    columns of 10 ms cover 4.3 s.

    Raises:
        OptionError: if a value is out of range.

    Examples:
        >>> FrontEnd(shrink=3).input_shape
        (1, 96, 144)
    """

    #: Sampling rate, in Hz.
    sampling_rate: int = 16_000
    #: Length of the Fourier transform, in samples. Samples after ``window_length`` are zero.
    n_fft: int = 2048
    #: Length of a frame, in samples.
    window_length: int = 1024
    #: Window function. ``povey`` (Kaldi) is a symmetric Hann window to the power of 0.85.
    window: Literal["hann", "povey"] = "hann"
    #: Distance between columns, in samples.
    hop_length: int = 160
    #: Number of mel bands, which are the rows of an image.
    n_mels: int = 288
    #: Lowest frequency, in Hz.
    f_min: float = 0.0
    #: Highest frequency, in Hz.
    f_max: float = 8000.0
    #: Mel scale.
    scale: Literal["slaney", "htk"] = "slaney"
    #: Triangles of height 1 (``peak``) or of area 1 (``area``; librosa calls it "slaney").
    norm: Literal["peak", "area"] = "peak"
    #: Scale on which the sides of a triangle are straight.
    triangles: Literal["hz", "mel"] = "hz"
    #: With ``centred``, sample i × hop_length is in the middle of frame i, with zeros outside the signal. With
    #: ``inside``, frame i starts at that sample, and no frame reaches beyond the end (Kaldi's snip_edges).
    frames: Literal["centred", "inside"] = "centred"
    #: Subtract the mean of each frame.
    dc_removed: bool = False
    #: Factor p of x[n] - p · x[n - 1] in each frame, after its mean is removed.
    pre_emphasis: float = 0.0
    #: 10 log10 (``db``), natural logarithm (``log``), or linear power (``none``).
    compression: Literal["db", "log", "none"] = "db"
    #: Power relative to a full-scale sine. False leaves the gain of the window in.
    scaled: bool = True
    #: Smallest power. Lower values are raised to it.
    floor: float = 1e-10
    #: Subtract from each band, after compression, its mean over the signal, or with ``chosen_from`` over each window.
    mean_removed: bool = False
    #: Level (RMS) to which each signal is brought, in dBFS. None leaves the level as it is.
    level_db: float | None = None
    #: Level that is black in an image, in dB.
    floor_db: float = -100.0
    #: Level that is white in an image, in dB. Real speech at full level reaches it.
    ceiling_db: float = -10.0
    #: Width of an image in pixels, or most frames of a window.
    columns: int = 432
    #: With ``middle``, a column is one hop, and longer clips are cut to their middle. With ``stretch``, the whole clip
    #: fills the width. ``windows`` makes no image, but windows of at most ``columns`` frames.
    fit: Fit | Literal["windows"] = "middle"
    #: Most frames of a part of the speech, whose loudest ``columns`` frames are its window. With 0, windows follow one
    #: another.
    chosen_from: int = 0
    #: Pixels of an image averaged into one pixel of the network's input, in each direction.
    shrink: int = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            is_number = isinstance(value, int if isinstance(low, int) else int | float) and not isinstance(value, bool)
            if not (is_number and low <= value <= high) and not (name == "level_db" and value is None):
                kind = "a whole number" if isinstance(low, int) else "a number"
                raise OptionError(f"Got {name} {value!r}. Expected {kind} from {low} to {high}.")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"Got {name} {getattr(self, name)!r}. Expected true or false.")
        if self.fit != "windows" and self.columns > LARGEST_SIDE:
            raise OptionError(f"Got columns {self.columns} of an image. Expected at most {LARGEST_SIDE}.")
        if self.window_length > self.n_fft:
            raise OptionError(
                f"Got window_length {self.window_length} and n_fft {self.n_fft}. Expected window_length <= n_fft."
            )
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2:
            raise OptionError(
                f"Got f_min {self.f_min} and f_max {self.f_max} Hz. Expected 0 <= f_min < f_max <= half the rate."
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise OptionError(f"Got {name} {getattr(self, name)!r}. Expected one of {', '.join(known)}.")
        if not 0 <= self.pre_emphasis < 1:
            raise OptionError(f"Got pre_emphasis {self.pre_emphasis}. Expected 0 or more and less than 1.")
        if self.shrink < 1 or self.n_mels % self.shrink or self.columns % self.shrink:
            raise OptionError(f"Got shrink {self.shrink}. Expected a divisor of {self.columns} and of {self.n_mels}.")
        if self.fit == "windows" and self.shrink != 1:
            raise OptionError(f"Got shrink {self.shrink} for windows. Expected 1: only images are shrunk.")
        if self.chosen_from and (self.fit != "windows" or self.chosen_from < self.columns):
            raise OptionError(
                f"Got chosen_from {self.chosen_from} with {self.columns} columns and fit {self.fit!r}. Expected 0, or "
                "for windows at least as many frames as columns."
            )
        if not self.floor_db < self.ceiling_db:
            raise OptionError(
                f"Got a range of {self.floor_db} to {self.ceiling_db} dB. Expected the floor below the ceiling."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of a network, ``(1, height, width)`` of an image or ``(columns, n_mels)`` of a window."""
        if self.fit == "windows":
            return self.columns, self.n_mels
        return 1, self.n_mels // self.shrink, self.columns // self.shrink

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as values that JSON can store."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FrontEnd":
        """Rebuild a front end from the result of :meth:`to_dict`.

        A missing or unknown key is an error, because a silent default would make every prediction wrong. A front end
        that lacks all keys of a later group (``ADDED``) gets their defaults.

        Raises:
            BundleError: if a key is missing or unknown.

        Examples:
            >>> FrontEnd.from_dict(FrontEnd().to_dict()) == FrontEnd()
            True
        """
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        fields = set(defaults)
        for group in ADDED:
            if not set(group) & set(values):
                values = {**{name: defaults[name] for name in group}, **values}
        if set(values) != fields:
            missing, unknown = sorted(fields - set(values)), sorted(set(values) - fields)
            raise BundleError(
                f"The front end lacks the keys {missing} and has the unknown keys {unknown}. Expected {sorted(fields)}."
            )
        return cls(**values)


def picture_front_end(
    size: tuple[int, int] = PICTURE_SIZE, *, fit: Fit = "middle", base: FrontEnd | None = None
) -> FrontEnd:
    """Return the front end of images of a size: a row is a mel band, a column is one hop.

    Args:
        size: width and height in pixels.
        fit: ``middle`` or ``stretch``; see :class:`FrontEnd`.
        base: front end that gives all other parameters; ``None`` for the defaults.

    Raises:
        OptionError: if a side is not between 8 and 4096 pixels, or ``fit`` is unknown.

    Examples:
        >>> picture_front_end((216, 144)).input_shape
        (1, 144, 216)
    """
    width, height = size
    if fit not in PICTURE_FITS:
        raise OptionError(f"Got fit {fit!r}. Expected one of {', '.join(PICTURE_FITS)}.")
    if not (8 <= width <= LONGEST_SIDE and 8 <= height <= LONGEST_SIDE):
        raise OptionError(
            f"Got a size of {width}×{height}. Expected a width and a height of 8 to {LONGEST_SIDE} pixels."
        )
    base = base or FrontEnd()
    n_fft = base.n_fft
    while height > n_fft / 7:  # bands narrower than bins would make empty rows
        n_fft *= 2
    return dataclasses.replace(base, columns=width, n_mels=height, n_fft=n_fft, fit=fit)


def kaldi_front_end(columns: int, *, chosen_from: int = 0, hop_length: int = 160) -> FrontEnd:
    """Return the front end of CAM++: Kaldi's filter bank of 80 bands, in windows of at most ``columns`` frames.

    It is ``fbank`` of Kaldi (Povey et al., "The Kaldi speech recognition toolkit", ASRU 2011) without dither. The
    signal is first scaled to -25 dBFS. At the end, the mean of each band is subtracted: over the signal, or with
    ``chosen_from`` over each window.

    Args:
        columns: maximum frames of a window.
        chosen_from: see :class:`FrontEnd`.
        hop_length: samples between frames, at 16 kHz; 160 is Kaldi's.

    Examples:
        >>> kaldi_front_end(300).input_shape
        (300, 80)
    """
    return FrontEnd(
        n_fft=512,
        window_length=400,
        window="povey",
        hop_length=hop_length,
        n_mels=80,
        f_min=20.0,
        scale="htk",
        triangles="mel",
        frames="inside",
        dc_removed=True,
        pre_emphasis=0.97,
        compression="log",
        scaled=False,
        floor=1.1920929e-07,
        mean_removed=True,
        level_db=-25.0,
        columns=columns,
        fit="windows",
        chosen_from=chosen_from,
    )
