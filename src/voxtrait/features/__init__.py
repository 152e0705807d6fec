"""Computes mel spectrograms and, from them, images or windows as inputs of a network: the only mel code.

:class:`~voxtrait.features.FrontEnd` has all parameters and is stored in the bundle, so that training and prediction
always use the same ones. Each step is public::

    signal (samples,) ── mel_power ──► (n_mels, frames) ── log_mel ──► dB
                                        │      └── windows ──► float32 (n, columns, n_mels)
                                        └── picture ──► uint8 (height, width) ── network_input ──► float32 (1, h, w)
                                                              └── encode_png / decode_png: PNG, lossless

:mod:`voxtrait.features.pitch` estimates the pitch of a voice.

Frame ``i`` of a spectrogram is centred on sample ``i × hop_length``, with zeros outside the signal, or starts at that
sample. Power is scaled so that a full-scale sine has 0 dB in its bin for every window. Mel scales: Slaney, "Auditory
Toolbox" (Interval TR 1998-010), and HTK (Young et al., The HTK Book): 2595 log10(1 + f/700).
"""

from voxtrait.features.drawing import Picture, decode_png, encode_png, greys, network_input, picture
from voxtrait.features.front_end import (
    FITS,
    PICTURE_FITS,
    PICTURE_SIZE,
    Fit,
    FrontEnd,
    kaldi_front_end,
    picture_front_end,
)
from voxtrait.features.pitch import pitch_contour
from voxtrait.features.spectrum import Array, band_of, filters, log_mel, mel_power, windows

__all__ = [
    "FITS",
    "PICTURE_FITS",
    "PICTURE_SIZE",
    "Array",
    "Fit",
    "FrontEnd",
    "Picture",
    "band_of",
    "decode_png",
    "encode_png",
    "filters",
    "greys",
    "kaldi_front_end",
    "log_mel",
    "mel_power",
    "network_input",
    "picture",
    "picture_front_end",
    "pitch_contour",
    "windows",
]
