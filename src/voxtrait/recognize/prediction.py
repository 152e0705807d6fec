"""The prediction for one clip: the record, its fields and their order."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a voice presents as in one clip; the fields and their order are the contract's.

    ``status`` is ``ok``, ``no_speech``, ``too_short`` or ``error``; all but ``ok`` leave the fields from ``gender``
    to ``age_groups`` ``None`` and have the reason in ``message``. With ``ok``, ``message`` is ``None`` or a note:
    several voices, or averaged channels with different people. What a bundle does not predict is ``None`` too. The
    fields after ``voices`` are for evaluation, and not printed.

    Examples:
        >>> silent = Prediction("a.mp3", "no_speech", "no speech was found", 2.5, 0.0, *[None] * 7, "voxtrait-base 1.0")
        >>> list(silent.to_dict())[:5]
        ['path', 'status', 'message', 'duration_s', 'speech_s']
    """

    path: str | None
    status: str
    message: str | None
    duration_s: float | None  # seconds
    speech_s: float | None  # seconds
    gender: str | None  # female, male, or unsure
    p_female: float | None  # calibrated
    age_years: float | None
    age_low: float | None  # 80 % interval, years
    age_high: float | None
    age_group: str | None
    age_groups: Mapping[str, float] | None  # sums to 1
    model: str
    voices: str | None = None  # one, several, or None if not examined
    joint_class: str | None = None  # the class that an age network of joint classes names
    snr_db: float | None = None  # level of the speech over the rest of the clip, where there is enough of the rest

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in the contract's order, probabilities to 4 digits, seconds and years to 2."""
        values = {name: getattr(self, name) for name in FIELDS}
        if self.path is not None:  # a name that is not UTF-8 could not be printed or stored
            values["path"] = os.fsencode(self.path).decode("utf-8", "replace")
        return rounded(values)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Round fields for printing: probabilities to 4 digits, seconds and years to 2.

    Examples:
        >>> rounded({"speech_s": 4.216, "p_female": 0.97341, "age_groups": {"teens": 0.25001}})
        {'speech_s': 4.22, 'p_female': 0.9734, 'age_groups': {'teens': 0.25}}
    """
    found = dict(values)
    for name, value in values.items():
        if isinstance(value, float):
            found[name] = round(value, 4 if name == "p_female" else 2)
    if found.get("age_groups") is not None:
        found["age_groups"] = {group: round(share, 4) for group, share in found["age_groups"].items()}
    return found


UNPRINTED: Final = ("joint_class", "snr_db")
FIELDS: Final = tuple(field.name for field in dataclasses.fields(Prediction) if field.name not in UNPRINTED)
CSV_FIELDS: Final = tuple(name for name in FIELDS if name != "age_groups")
ANSWERS: Final = FIELDS[FIELDS.index("gender") : FIELDS.index("model")]
"""The fields with predicted values: ``None`` where the status is not ``ok``."""
