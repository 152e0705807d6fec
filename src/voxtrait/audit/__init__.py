"""Labels that a model doubts, ids that are several people, people with several ids, and a page to listen and decide.

::

    manifest ─ embedding ─► predictions, embeddings ─┬─ heads ─ doubt ─► doubts.csv, speakers.csv ─┐
                                                     └─ voices ────────► mixed.csv, same.csv ──────┴─ page ─► index.html
    index.html ─ a person ─► decisions.csv ─ corpora.decisions ─► the next manifest
"""

from voxtrait.audit.auditing import TOP, audit
from voxtrait.audit.findings import Audit

__all__ = ["TOP", "Audit", "audit"]
