"""Imports corpora into a manifest, counts its clips, and exports it to other formats; one module per corpus layout."""

from voxtrait.errors import require_corpus

require_corpus("working with corpora")

from voxtrait.corpora.archives import is_archive
from voxtrait.corpora.exporting import Export, export
from voxtrait.corpora.imported import Funnel, Import
from voxtrait.corpora.importing import duration_of, import_corpora
from voxtrait.corpora.licences import licence_of, source_of
from voxtrait.corpora.stats import COUNTED, picture, stats
from voxtrait.corpora.table import is_foreign

__all__ = [
    "COUNTED",
    "Export",
    "Funnel",
    "Import",
    "duration_of",
    "export",
    "import_corpora",
    "is_archive",
    "is_foreign",
    "licence_of",
    "picture",
    "source_of",
    "stats",
]
