"""Synthetic voices for the demo and the tests: a seeded cohort from published averages, without any recording.

:mod:`voxtrait.synthetic.voices` draws the voices, :mod:`voxtrait.synthetic.synthesis` synthesises their speech, and
:mod:`voxtrait.synthetic.release` writes it as a Common Voice release. Voices and speech need NumPy only, a release also
needs Polars, and :mod:`voxtrait.synthetic.sounds` and :mod:`voxtrait.synthetic.music` need SciPy.

Synthetic voices test the pipeline. The scores of a model trained on them do not apply to real voices.
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
