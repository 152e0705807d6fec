"""What each exit status of each command means, for the documentation and its tests."""

from typing import Final

WELL: Final = "All well. `no_speech`, `too_short` and `unsure` are results, not failures."
FAILED: Final = "Some or all inputs failed. The rest was done, and each failure has its own row or line."
WRONG: Final = "Wrong usage, or nothing was found to do. One line on standard error names the reason."
STOPPED: Final = "Ctrl-C. What was done is kept, and nothing is half-written."
STOPPED_STATUS: Final = 130

OF_COMMANDS: Final[dict[str, tuple[str | None, str]]] = {
    "predict": (
        "A file could not be used, or a folder could not be read.",
        "No audio was found, or --out would replace another table.",
    ),
    "timeline": ("A recording could not be used, or a folder could not be read.", "No audio was found."),
    "listen": ("The input is not sound, or stops being sound.", "Nothing came from standard input."),
    "corpus import": (
        "A source or folder could not be read, or one source has a clip as `female` and as `male`.",
        "There is no row to import, or OUT is not a manifest.",
    ),
    "corpus check": (
        "A problem is fatal: a file that is missing, empty, truncated or not decodable; a speaker with both genders, "
        "or with decades more than one apart; speakers or file contents shared between splits.",
        "MANIFEST is not a manifest or a corpus.",
    ),
    "corpus split": (None, "There are no speaker ids, and no --allow-leak."),
    "corpus stats": ("A source of the corpus could not be read.", "MANIFEST is not a manifest or a corpus."),
    "corpus export": ("An audio file is missing or could not be read.", "OUT exists and holds something else."),
    "corpus audit": ("A clip could not be read.", "No clip has a label to check."),
    "corpus leakage": (
        "Speakers, clips, file contents or near-duplicates are shared.",
        "MANIFEST is not a manifest or a corpus.",
    ),
    "corpus funnel": (None, "The manifest carries no funnel."),
    "convert": ("A file could not be converted.", "No audio was found."),
    "images": ("An image could not be made.", "No audio was found."),
    "train": (None, "The recipe, the data or the run folder cannot be used."),
    "evaluate": (
        "A clip could not be read.",
        "No clip has a label of a task of the bundle, or speakers of the training are among the clips and there is no "
        "--allow-leak.",
    ),
    "serve": (None, "The port is in use, or another address than the loopback has no token."),
    "demo": ("The network trained here is worse than it must be.", "The folder cannot be used."),
    "models": (None, "There is no such bundle."),
}
"""Command → the meaning of exit status 1, ``None`` if it does not occur, and the usual reason of 2."""
