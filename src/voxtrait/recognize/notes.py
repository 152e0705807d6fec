"""Defines the notes in ``message`` of a usable recording: several voices, or averaged channels."""

from typing import Final

from voxtrait.audio.channels import Comparison

SEVERAL_NOTE: Final = (
    "Several voices; the estimates are for all of them together. Run `voxtrait timeline` for each speaker."
)
AVERAGED_NOTE: Final = (
    "The {channels} channels hold different people and were averaged. Run `voxtrait timeline --channels`."
)


def note_on(compared: Comparison | None) -> str | None:
    """Return the note on channels that were averaged, if they hold different people."""
    return averaged_note(compared.channels) if compared is not None and compared.differ else None


def averaged_note(channels: int) -> str:
    """Return the note on a recording whose channels hold different people and were averaged.

    Examples:
        >>> averaged_note(2)
        'The 2 channels hold different people and were averaged. Run `voxtrait timeline --channels`.'
    """
    return AVERAGED_NOTE.format(channels=channels)
