"""Checks a manifest and its files: missing and broken files, contradictory labels, and leakage between splits.

``report`` defines a finding and its severity. ``tables`` checks the manifest alone, ``containers`` detects truncated
files by their bytes, ``examination`` opens every clip, ``recordings`` compares the clips with the manifest and with
each other, ``leaks`` finds what two sides share, and ``folders`` checks derived folders.
"""

from voxtrait.errors import require_corpus

require_corpus("checking corpora")

from voxtrait.integrity.checking import check
from voxtrait.integrity.containers import truncation
from voxtrait.integrity.leaks import Leakage, leakage
from voxtrait.integrity.report import FATAL, REPORTED, Problem, Report

__all__ = ["FATAL", "REPORTED", "Leakage", "Problem", "Report", "check", "leakage", "truncation"]
