"""The licences of public corpora, by the ``corpus`` of a manifest, for bundles and reports to state."""

from typing import Final

UNKNOWN: Final = "unknown"
LICENCES: Final = {
    "common-voice": "CC0-1.0",
    "cv-6.1-en-more": "CC0-1.0",  # Common Voice clips that a course project kept
    "speechocean762": "CC-BY-4.0",
    "alnum": "MIT",
}


def licence_of(corpus: str | None) -> str:
    """Name the licence of a corpus, ``unknown`` where it is not one of the public ones known here.

    Examples:
        >>> licence_of("common-voice"), licence_of("my-recordings")
        ('CC0-1.0', 'unknown')
    """
    return LICENCES.get(corpus or "", UNKNOWN)
