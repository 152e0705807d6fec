"""Licences and sources of public corpora, by the ``corpus`` of a manifest, for bundles and reports."""

from typing import Final

UNKNOWN: Final = "unknown"
LICENCES: Final = {
    "common-voice": "CC0-1.0",
    "cv-6.1-en-more": "CC0-1.0",  # Common Voice clips collected by a course project
    "speechocean762": "CC-BY-4.0",
    "alnum": "MIT",
    "librispeech": "CC-BY-4.0",
    "speech-accent-archive": "CC-BY-NC-SA-4.0",
    "audiomnist": "MIT",
    "crema-d": "ODbL-1.0",
    "voxceleb": "CC-BY-4.0",
    "timit": "LDC User Agreement",
    "vctk": "CC-BY-4.0",
    "agender": "BAS, for research",
}
SOURCES: Final = {
    "common-voice": "Mozilla Common Voice and its contributors, https://commonvoice.mozilla.org",
    "cv-6.1-en-more": "Mozilla Common Voice and its contributors, by way of rigved/rit-engl-682-spring-2021-project",
    "speechocean762": "Zhang et al., speechocean762, Interspeech 2021, https://www.openslr.org/101",
    "alnum": "Sakshee5/alphanumeric-audio-dataset",
    "librispeech": "Panayotov et al., LibriSpeech, ICASSP 2015, https://www.openslr.org/12",
    "speech-accent-archive": "Weinberger, Speech Accent Archive, George Mason University, https://accent.gmu.edu",
    "audiomnist": "Becker et al., AudioMNIST, J. Franklin Inst. 361, 2024, https://github.com/soerenab/AudioMNIST",
    "crema-d": "Cao et al., CREMA-D, IEEE Trans. Affective Computing 5, 2014",
    "voxceleb": "Nagrani, Chung and Zisserman, VoxCeleb, Interspeech 2017 and 2018",
    "timit": "Garofolo et al., TIMIT, Linguistic Data Consortium LDC93S1, 1993",
    "vctk": "Yamagishi, Veaux and MacDonald, CSTR VCTK Corpus, University of Edinburgh, 2019",
    "agender": "Burkhardt et al., aGender, LREC 2010, Bavarian Archive for Speech Signals",
}


def licence_of(corpus: str | None) -> str:
    """Return the licence of a public corpus, ``unknown`` for other corpora.

    Examples:
        >>> licence_of("common-voice"), licence_of("my-recordings")
        ('CC0-1.0', 'unknown')
    """
    return LICENCES.get(corpus or "", UNKNOWN)


def source_of(corpus: str | None) -> str:
    """Return the source of a public corpus, for attribution; ``unknown`` for other corpora.

    Examples:
        >>> source_of("alnum")
        'Sakshee5/alphanumeric-audio-dataset'
    """
    return SOURCES.get(corpus or "", UNKNOWN)
