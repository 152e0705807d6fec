"""Files held against tables: what is missing, broken, contradictory, or on both sides of a split.

``report`` defines a finding and its severity; ``tables`` looks at the table alone, ``containers`` detects a truncated
file by its bytes, ``examination`` opens every clip, ``recordings`` compares them with the table and each other,
``leaks`` looks at what two sides share, ``folders`` at what was derived.
"""

from voxtrait.integrity.checking import check
from voxtrait.integrity.containers import truncation
from voxtrait.integrity.leaks import Leakage, leakage
from voxtrait.integrity.report import FATAL, REPORTED, Problem, Report

__all__ = ["FATAL", "REPORTED", "Leakage", "Problem", "Report", "check", "leakage", "truncation"]
