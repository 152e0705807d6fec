"""Everything voxtrait raises on purpose, as one tree.

::

    VoxtraitError
    ├── OptionError (ValueError)         an argument or option out of its range
    │   └── OptionTypeError (TypeError)  … or of another type
    ├── AudioError (ValueError)          audio that cannot be used
    │   ├── AudioMissingError (FileNotFoundError)   no such file
    │   ├── DecodeError                  a file that is empty, damaged or not audio
    │   │   └── NotAudioError            … whose content does not look like audio
    │   ├── SignalError                  an array that is not a signal
    │   └── SourceError (TypeError)      an object that is neither a file nor a signal
    ├── ManifestError (ValueError)       a table that is not a manifest
    │   └── LeakageError                 a split or a use that would share speakers
    ├── CorpusError (ValueError)         a folder in no known layout
    ├── BundleError (ValueError)         a model folder that cannot be trusted
    ├── RecipeError (ValueError)         a recipe with unknown or ill-typed keys
    ├── NothingToDoError (LookupError)   no input was found
    ├── StorageError (OSError)           a place behind a URL that cannot be reached, or refuses
    ├── OutputError (OSError)            what was made cannot be written
    │   └── DiskFullError                … because the disk is full
    ├── WorkerError (RuntimeError)       no process could be started to work in, no cluster responds
    ├── MissingExtraError (ImportError)  an optional dependency is not installed
    └── PretrainedMissingError (ImportError)    … or the package with pretrained weights, which only training needs

Each class also subclasses the built-in exception that fits, so callers may catch either. A message states what
was got, what was expected and what to do.
"""

import importlib.metadata
import importlib.util
import json
import os
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit


class VoxtraitError(Exception):
    """Root of the tree: catch this to catch everything voxtrait raises on purpose."""


class OptionError(VoxtraitError, ValueError):
    """An argument or option has a value outside its range."""


class OptionTypeError(OptionError, TypeError):
    """An argument has a value of another type than expected."""


class AudioError(VoxtraitError, ValueError):
    """Audio that cannot be used."""


class AudioMissingError(AudioError, FileNotFoundError):
    """There is no such audio file."""

    def __str__(self) -> str:
        # FileNotFoundError would print "[Errno …]"; the message alone is meant for people.
        return str(self.args[0]) if self.args else ""


class DecodeError(AudioError):
    """A file is empty, damaged, or not audio at all."""


class NotAudioError(DecodeError):
    """A file is of no kind that holds sound."""


class SignalError(AudioError):
    """An array is not a signal: wrong type, wrong shape, or not finite."""


class SourceError(AudioError, TypeError):
    """An object is neither a file with sound nor a signal."""


class ManifestError(VoxtraitError, ValueError):
    """A table is not a manifest."""


class LeakageError(ManifestError):
    """A split, or the use of one, would put the same speaker on both sides."""


class CorpusError(VoxtraitError, ValueError):
    """A folder is in no layout that is known."""


class BundleError(VoxtraitError, ValueError):
    """A model folder is incomplete, changed, or made for another version."""


class RecipeError(VoxtraitError, ValueError):
    """A recipe has unknown keys, or values of the wrong type."""


class NothingToDoError(VoxtraitError, LookupError):
    """No input was found to work on."""


class StorageError(VoxtraitError, OSError):
    """A place behind a URL cannot be reached, or refuses."""


class OutputError(VoxtraitError, OSError):
    """What was made cannot be written: a full disk, a name that is too long, a folder without permission."""


class DiskFullError(OutputError):
    """The disk is full, so nothing more can be written to it."""


class WorkerError(VoxtraitError, RuntimeError):
    """No worker process could start, or no cluster responds."""


class MissingExtraError(VoxtraitError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra [{extra}]: {install_line(extra)}")


class PretrainedMissingError(VoxtraitError, ImportError):
    """The package that carries pretrained weights is not installed; only training needs it."""


def require(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        what: the feature that needs them, as the error names it.
        extra: name of the extra.
        packages: names of the modules that are imported.

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
    """Return the command that adds an extra to this installation, from where it was installed.

    voxtrait may not be on a package index. So the command names the checkout, the wheel or the repository.

    Examples:
        >>> install_line("media").startswith("pip install "), install_line("media").endswith("[media]'")
        (True, True)
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():  # installed with -e, or not at all
        return f"pip install -e {_quoted(_place(checkout), extra)}"
    try:
        origin = json.loads(importlib.metadata.distribution("voxtrait").read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        origin = {}
    url = str(origin.get("url", ""))
    if "dir_info" in origin and url.startswith("file:"):
        return f"pip install {_quoted(_place(Path(urllib.request.url2pathname(urlsplit(url).path))), extra)}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}"
    return f"pip install {_quoted('voxtrait', extra, f' @ {url}' if url else '')}"


def _place(folder: Path) -> str:
    return "." if folder == Path.cwd() else str(folder)


def _quoted(place: str, extra: str, source: str = "") -> str:
    mark = '"' if os.name == "nt" else "'"  # square brackets are patterns to a shell
    return f"{mark}{place}[{extra}]{source}{mark}"
