"""The one inference path: a signal, a file or many files to predictions, by a bundle's front end, graphs and decision.

::

    file ─ audio.blocks ─► Clip ─ speech ─► inputs ─► array ─ run ─► logits ─ decide ─► values ─► Prediction

A bundle of pictures gets one picture of the clip. A bundle of windows gets only the speech: its encoder computes a
summary of each window, and its heads get the mean of all summaries of the clip. Files are read block by block, in
memory that does not grow with their length.
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
