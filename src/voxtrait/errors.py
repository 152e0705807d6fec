"""Defines the exceptions of voxtrait, as one tree.

::

    VoxtraitError
    ├── OptionError (ValueError)         invalid value of an argument or option
    │   └── OptionTypeError (TypeError)  argument of the wrong type
    ├── AudioError (ValueError)          audio that cannot be used
    │   ├── AudioMissingError (FileNotFoundError)   audio file that does not exist
    │   ├── DecodeError                  file that is empty, damaged or not audio
    │   │   └── NotAudioError            file whose content is not audio
    │   ├── SignalError                  array that is not a signal
    │   └── SourceError (TypeError)      object that is neither a file nor a signal
    ├── ManifestError (ValueError)       table that is not a manifest
    │   └── LeakageError                 speakers shared between splits, or between training and evaluation
    ├── CorpusError (ValueError)         folder whose layout is unknown
    ├── BundleError (ValueError)         model folder that is missing, incomplete or changed
    ├── RecipeError (ValueError)         recipe with unknown keys or values of the wrong type
    ├── NothingToDoError (LookupError)   no input found
    ├── StorageError (OSError)           URL that cannot be reached or refuses access
    ├── OutputError (OSError)            output that cannot be written
    │   └── DiskFullError                full disk
    ├── WorkerError (RuntimeError)       no worker process started, or no cluster responds
    ├── MissingExtraError (ImportError)  optional dependency that is not installed
    └── PretrainedMissingError (ImportError)    pretrained weights, needed only for training, not installed

Each class is also a subclass of the built-in exception in parentheses, so callers can catch either. A message states
what is wrong, what was expected, and what to do.
"""

import importlib.util
import os
from pathlib import Path
from typing import Final

LONGEST: Final = 2000  # maximum characters of a message


class VoxtraitError(Exception):
    """Base class of all exceptions that voxtrait raises deliberately.

    A message may quote a file or a name of somebody else. So its control characters are escaped, because a terminal
    would follow them, and the middle of a very long message is left out.

    Examples:
        >>> import voxtrait
        >>> try:
        ...     voxtrait.load("no-such-bundle")
        ... except voxtrait.VoxtraitError as error:
        ...     print(type(error).__name__)
        BundleError
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(shortened(one) if isinstance(one, str) else one for one in args))


class OptionError(VoxtraitError, ValueError):
    """An argument or option has an invalid value."""


class OptionTypeError(OptionError, TypeError):
    """An argument has the wrong type."""


class AudioError(VoxtraitError, ValueError):
    """Audio that cannot be used."""


class AudioMissingError(AudioError, FileNotFoundError):
    """An audio file does not exist."""

    def __str__(self) -> str:
        # FileNotFoundError would print "[Errno …]" before the message
        return str(self.args[0]) if self.args else ""


class DecodeError(AudioError):
    """A file is empty, damaged, or not audio."""


class NotAudioError(DecodeError):
    """The content of a file is not audio."""


class SignalError(AudioError):
    """An array is not a signal: wrong type, wrong shape, or not finite."""


class SourceError(AudioError, TypeError):
    """An object is neither an audio file nor a signal."""


class ManifestError(VoxtraitError, ValueError):
    """A table is not a manifest."""


class LeakageError(ManifestError):
    """A split shares speakers, or an evaluation would use speakers from training."""


class CorpusError(VoxtraitError, ValueError):
    """The layout of a folder is unknown."""


class BundleError(VoxtraitError, ValueError):
    """A model folder is missing, incomplete, changed, or made for another version."""


class RecipeError(VoxtraitError, ValueError):
    """A recipe has unknown keys, or values of the wrong type."""


class NothingToDoError(VoxtraitError, LookupError):
    """No input was found."""


class StorageError(VoxtraitError, OSError):
    """A URL cannot be reached, or refuses access."""


class OutputError(VoxtraitError, OSError):
    """Output cannot be written: the disk is full, the name is too long, or permission is missing."""


class DiskFullError(OutputError):
    """The disk is full."""


class WorkerError(VoxtraitError, RuntimeError):
    """No worker process started, or no cluster responds."""


class MissingExtraError(VoxtraitError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra [{extra}]: {install_line(extra)}")


class PretrainedMissingError(VoxtraitError, ImportError):
    """The package with pretrained weights is not installed. Only training needs it."""


def require(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        what: name of the feature that needs them, for the error message.
        extra: name of the extra.
        packages: names of the modules that the feature imports.

    Raises:
        MissingExtraError: if one of them is missing.

    Examples:
        >>> require("reading text", "media", "json")
    """
    for package in packages:
        try:
            missing = importlib.util.find_spec(package) is None
        except ValueError:  # a loaded module without a spec
            missing = False
        if missing:
            raise MissingExtraError(what, extra)


CORPUS: Final = ("jinja2", "matplotlib", "PIL", "polars", "scipy")
"""Modules of the extra ``[corpus]``, which ``[train]`` and ``[audit]`` include."""


def require_corpus(what: str) -> None:
    """Check that the packages of the extra ``[corpus]`` are installed, without importing them.

    Args:
        what: name of the feature that needs them, for the error message.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require(what, "corpus", *CORPUS)


def printable(text: str) -> str:
    r"""Return a text with the characters escaped that a terminal does not print, except line feeds.

    Examples:
        >>> printable("clip\x1b[2J.mp3\n"), printable("café 语")
        ('clip\\x1b[2J.mp3\n', 'café 语')
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text)


def clipped(text: object) -> str:
    """Return a value for an error message, with at most 60 characters.

    Examples:
        >>> clipped("abc")
        "'abc'"
    """
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun in the singular or plural, for messages.

    Args:
        number: the number.
        noun: the noun in the singular.
        plural: the noun in the plural; ``None`` adds an s to the singular.

    Examples:
        >>> counted(1, "clip"), counted(1324, "clip"), counted(2, "row has", "rows have")
        ('1 clip', '1,324 clips', '2 rows have')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def install_line(extra: str) -> str:
    """Return the command that adds an extra to this installation.

    voxtrait may not be on a package index, so the command names the checkout, wheel or repository that it was
    installed from.

    Examples:
        >>> install_line("media").startswith("pip install "), "[media]" in install_line("media")
        (True, True)
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():  # installed with -e, or not at all
        return f"pip install -e {_quoted(_place(checkout), extra)}"
    import importlib.metadata  # here, because this module is on the way to every answer
    import json
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        origin = json.loads(importlib.metadata.distribution("voxtrait").read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        origin = {}
    url = str(origin.get("url", ""))
    if "dir_info" in origin and url.startswith("file:"):
        return f"pip install {_quoted(_place(Path(url2pathname(urlsplit(url).path))), extra)}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}"
    return f"pip install {_quoted('voxtrait', extra, f' @ {url}' if url else '')}"


def shortened(text: str) -> str:
    """Return a message as people get it: printable, and at most ``LONGEST`` characters of it.

    Examples:
        >>> shortened("no such file: a.mp3")
        'no such file: a.mp3'
    """
    half = LONGEST // 2 - 2
    return printable(text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}")


def _place(folder: Path) -> str:
    return "." if folder == Path.cwd() else str(folder)


def _quoted(place: str, extra: str, source: str = "") -> str:
    mark = '"' if os.name == "nt" else "'"  # a shell reads square brackets as a pattern
    return f"{mark}{place}[{extra}]{source}{mark}"
