"""Defines what each exit status of each command means, for the documentation and its tests."""

from typing import Final

WELL: Final = "Success. `no_speech`, `too_short` and `unsure` are results, not failures."
FAILED: Final = "Some or all inputs failed. All others were processed, and each failure has its own row or line."
WRONG: Final = "Wrong usage, or nothing to do. One line on standard error states the reason."
STOPPED: Final = "Interrupted by Ctrl-C. No file is incomplete. The message states how to resume, if the command can."
STOPPED_STATUS: Final = 130  # 128 and the number of the signal, as in a shell
ENDED: Final = "Stopped by a closed terminal (SIGHUP, 129) or another program (SIGTERM, 143), otherwise as by Ctrl-C."
ENDED_STATUSES: Final = "129, 143"

OF_COMMANDS: Final[dict[str, tuple[str | None, str]]] = {
    "predict": (
        "A file could not be used, or a folder could not be read.",
        "No audio was found, or --out would replace a different table.",
    ),
    "timeline": ("A recording could not be used, or a folder could not be read.", "No audio was found."),
    "listen": ("The input is not audio, or is damaged.", "Standard input is empty."),
    "corpus import": (
        "A source or folder could not be read, or a source labels one clip both `female` and `male`.",
        "There are no rows to import, or OUT is not a manifest.",
    ),
    "corpus check": (
        "A problem is fatal: a file that is missing, empty, truncated or not decodable; a speaker with both genders, "
        "or with decades more than one apart; speakers or file contents shared between splits.",
        "MANIFEST is not a manifest or a corpus.",
    ),
    "corpus split": (None, "Clips have no speaker id, and --allow-leak is not given."),
    "corpus stats": ("A source of the corpus could not be read.", "MANIFEST is not a manifest or a corpus."),
    "corpus export": ("An audio file is missing or could not be read.", "OUT exists and contains something else."),
    "corpus audit": ("A clip could not be read.", "The manifest is empty."),
    "corpus leakage": (
        "Speakers, clips, file contents or near-duplicates are shared.",
        "MANIFEST is not a manifest or a corpus.",
    ),
    "corpus funnel": (None, "The manifest has no funnel."),
    "convert": ("A file could not be converted.", "No audio was found."),
    "images": ("An image could not be drawn.", "No audio was found."),
    "train": (None, "The recipe, the data or the run folder cannot be used."),
    "evaluate": (
        "A clip could not be read.",
        "No clip has a label for a task of the bundle, or clips are of training speakers and --allow-leak is not "
        "given.",
    ),
    "serve": (None, "The port is in use, or an address other than loopback has no token."),
    "demo": ("The gender UAR of the trained network is under the required value.", "The folder cannot be used."),
    "models": (None, "There is no such bundle."),
    "site": (None, "The bundle has no speaker encoder, OUT is not empty, or onnxruntime-web is missing."),
    "bundle export": (None, "There is no such bundle, it has no speaker encoder, or OUT is not empty."),
}
"""Command → meaning of exit status 1 (``None`` if it does not occur), and the usual reason for 2."""
