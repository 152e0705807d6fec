"""Reads any audio file or pipe as float32 samples in [-1, 1] at a given rate, and writes WAV files."""

from voxtrait.audio.files import at_rate, blocks, channel_count, load, readable_again, stated_s
from voxtrait.audio.folders import Found, audio_files, search
from voxtrait.audio.kinds import SUFFIXES
from voxtrait.audio.mixing import to_mono
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample, to_pcm16
from voxtrait.audio.writing import atomic_path, write_wav, write_wav_blocks

__all__ = [
    "SAMPLING_RATE",
    "SUFFIXES",
    "Found",
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
    "search",
    "stated_s",
    "to_mono",
    "to_pcm16",
    "write_wav",
    "write_wav_blocks",
]
