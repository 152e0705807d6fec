"""Audits a manifest: finds labels and speaker ids that look wrong, and writes a page for review.

::

    manifest ─ embedding ─► predictions, embeddings ─┬─ heads ─ doubt ─► doubts.csv, speakers.csv ─┐
                                                     └─ voices ────────► mixed.csv, same.csv ──────┴─ page ─► index.html
    index.html ─ reviewer ─► decisions.csv ─ corpora.decisions ─► the next manifest
"""

from voxtrait.errors import CORPUS, require

require("the audit", "audit", "sklearn", *CORPUS)

from voxtrait.audit.auditing import TOP, audit
from voxtrait.audit.findings import Audit

__all__ = ["TOP", "Audit", "audit"]
