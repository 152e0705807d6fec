"""Checks sampling rates, and describes wrong arguments for error messages."""

import numbers
import operator
from collections.abc import Mapping
from typing import Any

from voxtrait.audio.signals import HIGHEST_RATE, LOWEST_RATE
from voxtrait.errors import OptionError, OptionTypeError


def checked_rate(rate: Any) -> int:
    """Return a sampling rate in Hz as an integer.

    Raises:
        OptionTypeError: if it is not a number.
        OptionError: if it is not a whole number from 1000 to 1000000.

    Examples:
        >>> checked_rate(16000.0)
        16000
        >>> checked_rate("16000")
        Traceback (most recent call last):
        voxtrait.errors.OptionTypeError: Got sampling_rate '16000' (str). Expected a number in Hz, such as 16000.
    """
    try:
        if isinstance(rate, bool):
            raise TypeError
        hertz = int(rate) if isinstance(rate, float) and rate.is_integer() else operator.index(rate)
    except TypeError:
        if isinstance(rate, numbers.Real) and not isinstance(rate, bool):
            raise OptionError(f"Got sampling_rate {rate}. Expected a whole number in Hz, such as 16000.") from None
        got = f"{rate!r} ({type(rate).__name__})" if isinstance(rate, str | bool) else described(rate)
        raise OptionTypeError(f"Got sampling_rate {got}. Expected a number in Hz, such as 16000.") from None
    if not LOWEST_RATE <= hertz <= HIGHEST_RATE:
        raise OptionError(
            f"Got sampling_rate {hertz}. Expected a number in Hz, from {LOWEST_RATE} to {HIGHEST_RATE}, such as 16000."
        )
    return hertz


def described(thing: Any) -> str:
    """Return a short description of an argument that is not audio.

    Examples:
        >>> described(None), described(3.5), described(["a.mp3", "b.mp3"]), described({"text": "", "label": 0})
        ('None', '3.5 (float)', 'a list of str', 'a dict with the keys text, label')
    """
    kind = type(thing).__name__
    if thing is None:
        return "None"
    if isinstance(thing, numbers.Number | bool):
        return f"{thing!r} ({kind})"
    if isinstance(thing, Mapping):
        return f"a {kind} with the keys {', '.join(map(str, list(thing)[:6]))}" if thing else f"an empty {kind}"
    if isinstance(thing, list | tuple | set | frozenset):
        kinds = list(dict.fromkeys(type(one).__name__ for one in list(thing)[:6]))
        return f"a {kind} of {', '.join(kinds)}" if kinds else f"an empty {kind}"
    shape = getattr(thing, "shape", None)
    return f"an object of type {kind}" + (f" and shape {tuple(shape)}" if isinstance(shape, tuple) else "")
