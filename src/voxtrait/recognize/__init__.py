"""Predicts gender and age for signals, files and streams with a bundle: the only inference code.

::

    file ─ audio.blocks ─► Clip ─ speech ─► inputs ─► array ─ run ─► logits ─ decide ─► values ─► Prediction

A spectrogram CNN gets one image of the clip. An encoder bundle gets only the speech: the encoder computes a summary of
each window, and the heads get the mean of all summaries of the clip. Files are read block by block, so memory does not
grow with their length.
"""

from voxtrait.recognize.clip import SHORTEST_S, Clip
from voxtrait.recognize.frames import to_frame
from voxtrait.recognize.listening import Estimate, Listening
from voxtrait.recognize.prediction import CSV_FIELDS, FIELDS, Prediction
from voxtrait.recognize.recognizer import Recognizer, load
from voxtrait.recognize.table import TABLE_SUFFIXES, check_replaceable, check_table_name, table_schema, write_table

__all__ = [
    "CSV_FIELDS",
    "FIELDS",
    "SHORTEST_S",
    "TABLE_SUFFIXES",
    "Clip",
    "Estimate",
    "Listening",
    "Prediction",
    "Recognizer",
    "check_replaceable",
    "check_table_name",
    "load",
    "table_schema",
    "to_frame",
    "write_table",
]
