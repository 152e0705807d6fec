"""Divides an Ogg stream from a pipe where one logical stream ends and the next begins (RFC 3533, section 4).

FFmpeg loses the audio of a short Opus stream after another one, and stops if the codec, rate or number of channels
changes. So each chained stream is decoded alone, as :mod:`voxtrait.audio.pieces` does for a file.
"""

from typing import Final

from voxtrait.audio.pipes import Pipe

MARK: Final = b"OggS"
HEAD: Final = 27  # bytes of a page before its segment table
BEGINS: Final = 2  # flag of the first page of a stream


class Link:
    """The next logical streams in a pipe that begin together, as a readable file.

    Args:
        source: pipe, at the first byte of a page.

    Examples:
        >>> from io import BytesIO
        >>> first, later = (MARK + bytes([0, flags]) + bytes(20) + b"\\1" for flags in (BEGINS, 0))
        >>> pipe = Pipe(BytesIO(first + b"\\1a" + later + b"\\1b" + first + b"\\1c"))
        >>> link = Link(pipe)
        >>> b"".join(iter(lambda: link.read(100), b"")) == first + b"\\1a" + later + b"\\1b"
        True
        >>> pipe.look(100) == first + b"\\1c"
        True
    """

    name = Pipe.name  # PyAV needs one

    def __init__(self, source: Pipe) -> None:
        self._source = source
        self._left = 0  # bytes of this page that were not read
        self._inside = False  # whether a page after the first ones was read
        self._lost = False  # whether something else than a page follows: nothing more is divided

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes as soon as some arrive, or no bytes at the end of the streams."""
        if not self._left and not self._lost and not self._next():
            return b""
        found = self._source.read(size if self._lost else min(size, self._left))
        self._left -= min(len(found), self._left)
        return found

    def _next(self) -> bool:
        """Look at the header of the next page; return whether it belongs to these streams."""
        head = self._source.look(HEAD)
        if len(head) < HEAD or head[:4] != MARK:
            self._lost = True
            return True
        begins = bool(head[5] & BEGINS)
        if begins and self._inside:
            return False
        self._inside = not begins
        table = self._source.look(HEAD + head[26])[HEAD:]
        self._left = HEAD + len(table) + sum(table)
        return True
