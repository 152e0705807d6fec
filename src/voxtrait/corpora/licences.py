"""The licences and makers of public corpora, by the ``corpus`` of a manifest, for bundles and reports to state."""

from typing import Final

UNKNOWN: Final = "unknown"
LICENCES: Final = {
    "common-voice": "CC0-1.0",
    "cv-6.1-en-more": "CC0-1.0",  # Common Voice clips that a course project kept
    "speechocean762": "CC-BY-4.0",
    "alnum": "MIT",
}
SOURCES: Final = {
    "common-voice": "Mozilla Common Voice and its contributors, https://commonvoice.mozilla.org",
    "cv-6.1-en-more": "Mozilla Common Voice and its contributors, by way of rigved/rit-engl-682-spring-2021-project",
    "speechocean762": "Zhang et al., speechocean762, Interspeech 2021, https://www.openslr.org/101",
    "alnum": "Sakshee5/alphanumeric-audio-dataset",
}


def licence_of(corpus: str | None) -> str:
    """Name the licence of a corpus, ``unknown`` where it is not one of the public ones known here.

    Examples:
        >>> licence_of("common-voice"), licence_of("my-recordings")
        ('CC0-1.0', 'unknown')
    """
    return LICENCES.get(corpus or "", UNKNOWN)


def source_of(corpus: str | None) -> str:
    """Name the makers of a corpus, whom some licences want named, ``unknown`` where it is none of those known here.

    Examples:
        >>> source_of("alnum")
        'Sakshee5/alphanumeric-audio-dataset'
    """
    return SOURCES.get(corpus or "", UNKNOWN)
