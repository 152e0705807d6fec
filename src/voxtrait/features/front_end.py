"""The parameters of a spectrogram, in one place, and the front ends of pictures and of the speaker encoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from voxtrait.errors import BundleError, OptionError

Fit = Literal["middle", "stretch"]

PICTURE_SIZE: Final = (432, 288)  # width, height in pixels: the diary's, 6 × 4 inches at 72 dots per inch
PICTURE_FITS: Final = ("middle", "stretch")
FITS: Final = (*PICTURE_FITS, "windows")
CHOICES: Final = {
    "fit": FITS,
    "scale": ("slaney", "htk"),
    "norm": ("peak", "area"),
    "compression": ("db", "log", "none"),
}


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
    columns: int = 432  # width of a picture in pixels, or frames of a window
    # middle: a column is one hop, and longer clips are cut to their middle; stretch: the whole clip fills the width;
    # windows: no picture, but as many windows of so many columns as cover the clip
    fit: Fit | Literal["windows"] = "middle"
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
        if self.fit == "windows" and self.shrink != 1:
            raise OptionError(f"got shrink {self.shrink} for windows, expected 1: only pictures are shrunk")
        if not self.floor_db < self.ceiling_db:
            raise OptionError(
                f"got a range of {self.floor_db} to {self.ceiling_db} dB, expected the floor below the ceiling"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one array that a network sees: ``(1, height, width)`` of a picture after shrinking, or ``(columns,
        n_mels)`` of a window."""
        if self.fit == "windows":
            return self.columns, self.n_mels
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
        OptionError: if a side is not between 8 and 4096 pixels, or ``fit`` is no way to draw a picture.
    """
    width, height = size
    if fit not in PICTURE_FITS:
        raise OptionError(f"got fit {fit!r}, expected one of {', '.join(PICTURE_FITS)}")
    if not (8 <= width <= 4096 and 8 <= height <= 4096):
        raise OptionError(f"got a size of {width}×{height}, expected a width and a height of 8 to 4096 pixels")
    base = base or FrontEnd()
    n_fft = base.n_fft
    while height > n_fft / 7:  # narrower bands than bins would leave rows empty
        n_fft *= 2
    return dataclasses.replace(base, columns=width, n_mels=height, n_fft=n_fft, fit=fit)


def encoder_front_end() -> FrontEnd:
    """Give the front end of a speaker encoder: windows of 1.6 s in 40 mel bands of linear power, at -30 dBFS.

    It is that of the GE2E encoder (Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018) as
    the Resemblyzer package computes it: librosa's mel power.

    Examples:
        >>> encoder_front_end().input_shape
        (160, 40)
    """
    return FrontEnd(
        n_fft=400,
        window_length=400,
        n_mels=40,
        norm="area",
        compression="none",
        scaled=False,
        level_db=-30.0,
        columns=160,
        fit="windows",
    )


def fast_encoder_front_end() -> FrontEnd:
    """Give the front end of the fast speaker encoder: the same windows, in half as many columns, and as logarithms.

    Its network was taught by the other encoder (``training/distillation.py``) and takes its steps more slowly.

    Examples:
        >>> fast_encoder_front_end().input_shape
        (80, 40)
    """
    return dataclasses.replace(encoder_front_end(), hop_length=320, columns=80, compression="log", floor=1e-6)
