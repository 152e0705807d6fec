"""Finds who speaks when in a recording, and estimates gender and age of each speaker.

::

    file ─ audio.blocks ─► Tracks ─► Runs ─► Diarizer (encoder, Speakers) ─► Timeline ─► formats
                                                 turns from a file ─ given ─┘

:func:`timeline` does all steps for a file or a signal.
"""

from voxtrait.timelines.live import LiveDiarizer
from voxtrait.timelines.recording import timeline
from voxtrait.timelines.records import Segment, Speaker, Timeline
from voxtrait.timelines.turns import read_turns

__all__ = ["LiveDiarizer", "Segment", "Speaker", "Timeline", "read_turns", "timeline"]
