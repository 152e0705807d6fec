"""A seeded cohort of made-up voices, for the demo and the tests: no recording of anybody, only published averages.

:mod:`~voxtrait.synthetic.voices` draws the voices, :mod:`~voxtrait.synthetic.synthesis` makes their speech, and
:mod:`~voxtrait.synthetic.release` writes that as a Common Voice release.

A pipeline that works on them works; the scores of a model trained on them do not carry over to real voices.
"""

from voxtrait.synthetic.release import client_id, write_common_voice
from voxtrait.synthetic.synthesis import speak
from voxtrait.synthetic.voices import Voice, cohort, draw_voice, typical_f0_hz, typical_tract_cm

__all__ = [
    "Voice",
    "client_id",
    "cohort",
    "draw_voice",
    "speak",
    "typical_f0_hz",
    "typical_tract_cm",
    "write_common_voice",
]
