"""Notes on a recording that was processed, but holds more than its result can express."""

SEVERAL_NOTE = "More than one voice: `voxtrait timeline` describes each speaker."


def averaged_note(channels: int) -> str:
    """Return the note on a recording whose channels hold different people and were averaged.

    Examples:
        >>> averaged_note(2)
        'The 2 channels hold different people and were averaged: use --channel, or `voxtrait timeline --channels`.'
    """
    return (
        f"The {channels} channels hold different people and were averaged: use --channel, or "
        "`voxtrait timeline --channels`."
    )
