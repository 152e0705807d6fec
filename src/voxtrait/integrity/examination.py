"""Opens a clip once: state of the file, hash of its bytes, duration and acoustic fingerprint.

Every worker process imports this module, so it imports nothing that a worker does not need, such as Polars.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from voxtrait import audio, storage
from voxtrait.audio.arrays import LARGEST
from voxtrait.audio.mpeg import Data
from voxtrait.audio.opening import opened
from voxtrait.errors import AudioError, AudioMissingError, MissingExtraError, StorageError
from voxtrait.fingerprint import Fingerprint, fingerprint
from voxtrait.integrity.containers import flac_samples, truncation

if TYPE_CHECKING:
    from voxtrait.integrity.report import Severity

SILENCE: Final = 1e-4  # peak: -80 dBFS, a microphone that was off
DIGEST: Final = 16  # bytes of hash a file
_PART: Final = 2**20  # bytes of a large file that are hashed at a time
STATES: Final[dict[str, "Severity | None"]] = {
    "whole": None,
    "absent": "fatal",
    "empty": "fatal",
    "truncated": "fatal",
    "undecodable": "fatal",
    "silent": "reported",
    "not checked": "reported",  # an extra is not installed
}
UNHEARD: Final = ("absent", "empty", "undecodable", "not checked")
NOTHING: Final = Fingerprint(np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint16))


class State(NamedTuple):
    """Result for one file."""

    state: str
    path: str
    digest: bytes = bytes(DIGEST)
    seconds: float = 0.0
    reason: str = ""
    taken: Fingerprint = NOTHING


def examine(item: tuple[str], *, quick: bool = False) -> State:
    """Examine one file, ``(path,)``; ``quick`` takes no fingerprint."""
    (path,) = item
    if not storage.is_url(path):
        return _examine(path, storage.path_of(path), quick)
    try:
        with storage.fetched(path) as content:
            if isinstance(content, BytesIO) and not content.getbuffer().nbytes:
                return State("empty", storage.shown(path))
            return _examine(storage.shown(path), content, quick)
    except AudioMissingError:
        return State("absent", storage.shown(path))
    except StorageError as error:  # it may be broken, so the finding must be fatal
        return State("undecodable", storage.shown(path), reason=str(error))


def _examine(path: str, source: audio.Source, quick: bool) -> State:
    """Examine the file at ``source``, reported as ``path``."""
    digest, cut, declared, reason = bytes(DIGEST), None, None, ""
    samples, peak, rate, sound, state, taken = 0, 0.0, 1, True, "whole", NOTHING
    try:
        if not isinstance(source, BytesIO):
            file = Path(source)
            if not file.is_file():
                return State("absent", path)
            if not file.stat().st_size:
                return State("empty", path)
        with opened(source) as content:
            digest = _digest(content.data)
            cut, declared = truncation(content.data), flac_samples(content.data)
            for block, rate in audio.at_rate(content.blocks(), None, mono=False):
                low, high = float(block.min(initial=0)), float(block.max(initial=0))
                peak = max(peak, high, -low)
                # NaN is the minimum of what has NaN
                sound = sound and -LARGEST <= low <= high <= LARGEST
                if not samples and sound and not quick:
                    taken = fingerprint(block, rate)  # it uses the first block only, usually one minute
                samples += block.shape[-1]
    except MissingExtraError as error:
        state, reason = "not checked", str(error)
    except (AudioError, RuntimeError, MemoryError, OSError) as error:
        state, reason = "undecodable", str(error)
    if cut is None and declared and samples < declared:
        cut = f"the file has {samples} of {declared} samples"
    if cut is not None:
        state, reason = "truncated", cut
    elif state == "whole" and not samples:
        state, reason = "undecodable", "no samples"
    elif state == "whole" and not sound:
        state, reason = "undecodable", "the samples contain NaN, infinity or numbers over 32 bits"
    elif state == "whole" and peak < SILENCE:
        state, reason = "silent", f"peak {20 * np.log10(max(peak, 1e-10)):.0f} dBFS"
    return State(state, path, digest, samples / rate, reason, NOTHING if state in UNHEARD else taken)


def _digest(data: Data) -> bytes:
    found = hashlib.blake2b(digest_size=DIGEST)
    for at in range(0, len(data), _PART):
        found.update(data[at : at + _PART])
    return found.digest()
