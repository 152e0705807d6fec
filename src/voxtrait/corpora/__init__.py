"""Where data comes from: one file a corpus layout, and the way from any of them to a manifest."""

from voxtrait.corpora.importing import Funnel, Import, duration_of, import_corpora
from voxtrait.corpora.licences import licence_of, source_of
from voxtrait.corpora.stats import COUNTED, check_picture, picture, stats

__all__ = [
    "COUNTED",
    "Funnel",
    "Import",
    "check_picture",
    "duration_of",
    "import_corpora",
    "licence_of",
    "picture",
    "source_of",
    "stats",
]
