"""Files held against tables: what is missing, broken, contradictory, or on both sides of a split.

``report`` says what a finding is and how grave; ``tables`` looks at the table alone, ``containers`` tells a truncated
file by its bytes, ``recordings`` opens every clip, ``folders`` looks at what was derived.
"""

from voxtrait.integrity.checking import check
from voxtrait.integrity.containers import truncation
from voxtrait.integrity.report import FATAL, REPORTED, Problem, Report

__all__ = ["FATAL", "REPORTED", "Problem", "Report", "check", "truncation"]
