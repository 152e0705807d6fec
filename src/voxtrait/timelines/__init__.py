"""Timelines of recordings: who speaks when, and what each voice presents as.

::

    file ─ audio.blocks ─► Tracks ─► Runs ─► Diarizer (encoder, Speakers) ─► Timeline ─► formats
                                             turns of somebody else ─ given ─┘

:func:`timeline` does all of it for a file or a signal.
"""

from voxtrait.timelines.live import LiveDiarizer
from voxtrait.timelines.recording import timeline
from voxtrait.timelines.records import Segment, Speaker, Timeline
from voxtrait.timelines.turns import read_turns

__all__ = ["LiveDiarizer", "Segment", "Speaker", "Timeline", "read_turns", "timeline"]
