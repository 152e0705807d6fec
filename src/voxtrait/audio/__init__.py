"""Sound from files and from pipes: any file → float32 in [-1, 1] at a rate, and back to WAV."""

from voxtrait.audio.files import (
    CONTAINED,
    SUFFIXES,
    Source,
    at_rate,
    audio_files,
    blocks,
    channel_count,
    load,
    readable_again,
    stated_s,
)
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample, to_mono, to_pcm16
from voxtrait.audio.writing import atomic_path, write_wav, write_wav_blocks

__all__ = [
    "CONTAINED",
    "SAMPLING_RATE",
    "SUFFIXES",
    "Signal",
    "Source",
    "at_rate",
    "atomic_path",
    "audio_files",
    "blocks",
    "channel_count",
    "check_signal",
    "load",
    "readable_again",
    "resample",
    "stated_s",
    "to_mono",
    "to_pcm16",
    "write_wav",
    "write_wav_blocks",
]
