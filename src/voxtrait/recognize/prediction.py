"""Defines the prediction for one clip: fields, their order, and formatting."""

import dataclasses
import textwrap
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

from voxtrait import storage
from voxtrait.errors import printable
from voxtrait.labels import whole_years

BRIEF: Final = 100  # characters of a representation, without the path


@dataclasses.dataclass(frozen=True, repr=False)
class Prediction:
    """The prediction for one clip: how the voice presents, with uncertainty.

    ``status`` is ``ok``, ``no_speech``, ``too_short`` or ``error``. Unless it is ``ok``, the fields from ``gender`` to
    ``age_groups`` are ``None``, and ``message`` has the reason. With ``ok``, ``message`` is ``None`` or a note: several
    voices, or averaged channels with different people. A field that the bundle does not predict is ``None`` too. The
    fields after ``voices`` are for evaluation and are not printed.

    ``print`` shows the same line as the command line; a notebook shows a table.

    Examples:
        >>> sure = Prediction("a.mp3", "ok", None, 4.8, 3.9, "female", 0.973, 34.2, 24.0, 47.0, "thirties", None, "m")
        >>> print(sure)
        a.mp3  female (p 0.97)  34 years (24–47), thirties  3.9 s speech
        >>> sure
        <Prediction a.mp3: female (p 0.97), 34 years (24–47)>
        >>> silent = Prediction("a.mp3", "no_speech", "no speech was found", 2.5, 0.0, *[None] * 7, "voxtrait-base 1.0")
        >>> list(silent.to_dict())[:5]
        ['path', 'status', 'message', 'duration_s', 'speech_s']
    """

    #: File name or URL. None for bytes and signals, which have no name; the command line prints ``-``.
    path: str | None
    #: ``ok``, ``no_speech``, ``too_short`` or ``error``.
    status: str
    #: Reason for any status but ``ok``; with ``ok``, a note on several voices or on averaged channels. None if there
    #: is no note.
    message: str | None
    #: Duration of the clip, in seconds. None if the clip could not be read, or is an image.
    duration_s: float | None
    #: Duration of the speech in it, in seconds. None if the clip could not be read, or is an image.
    speech_s: float | None
    #: ``female``, ``male``, or ``unsure`` if the probability is inside the abstention band. None if not ``ok``.
    gender: str | None
    #: Calibrated probability of ``female``, from 0 to 1. None if not ``ok``.
    p_female: float | None
    #: Age in years, halfway between median and mean of the age distribution. None if not ``ok``.
    age_years: float | None
    #: Lower end of the calibrated 80 % interval, in years. None if not ``ok``.
    age_low: float | None
    #: Upper end of the 80 % interval, in years. None if not ``ok``.
    age_high: float | None
    #: Decade of ``age_years``, from ``under_ten`` to ``nineties``. None if not ``ok``.
    age_group: str | None
    #: Probability of each age group. The sum is 1. None if not ``ok``.
    age_groups: Mapping[str, float] | None
    #: Name and version of the bundle.
    model: str
    #: Whether the clip has ``one`` voice or ``several``. None if not examined.
    voices: str | None = None
    #: Likeliest class of gender and age group together. None if the bundle has no such classes.
    joint_class: str | None = None
    #: Level of the speech over the rest of the clip, in dB. None if one of them is shorter than 0.2 s.
    snr_db: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in their fixed order; probabilities have 4 digits, seconds and years 2."""
        values = {name: getattr(self, name) for name in FIELDS}
        for name in ("path", "message"):  # a name that is not UTF-8 could not be printed or stored
            if values[name] is not None:
                values[name] = storage.text_of(values[name])
        return rounded(values)

    def __str__(self) -> str:
        return text_line(self.to_dict())

    def __repr__(self) -> str:
        cells = (
            [self.status, storage.text_of(one_line(self.message or ""))]
            if self.status != "ok"
            else [_gender(self), _years(self)]
        )
        brief = textwrap.shorten(", ".join(filter(None, cells)) or "ok", BRIEF, placeholder=" …")
        return f"<Prediction {storage.text_of(self.path or '-')}: {brief}>"

    def _repr_html_(self) -> str:
        """Return a table with one row, for notebooks."""
        row = self.to_dict()
        cells = {"path": row["path"] or "-", "status": row["status"]}
        if self.status == "ok":
            cells |= {
                "gender": _gender(self),
                "age": ", ".join(filter(None, [_years(self), (self.age_group or "").replace("_", " ")])),
                "speech": "" if self.speech_s is None else f"{self.speech_s:.1f} s",
            }
        cells |= {"message": row["message"] or "", "model": row["model"]}
        import html

        shown = {name: html.escape(text) for name, text in cells.items() if text}
        head, body = (
            "".join(f'<{tag} style="text-align: left">{text}</{tag}>' for text in texts)
            for tag, texts in (("th", shown), ("td", shown.values()))
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"


def text_line(row: Mapping[str, Any], width: int = 0) -> str:
    """Format the fields of a prediction as the line that ``voxtrait FILE`` prints.

    Args:
        row: fields from :meth:`Prediction.to_dict`; a path of ``None`` is printed as ``-``.
        width: width of the column of paths in characters; 0 for a single line.

    Examples:
        >>> row = {"path": "clip.mp3", "status": "ok", "gender": "female", "p_female": 0.973, "age_years": 34.2,
        ...        "age_low": 24.0, "age_high": 47.0, "age_group": "thirties", "speech_s": 3.9}
        >>> text_line(row)
        'clip.mp3  female (p 0.97)  34 years (24–47), thirties  3.9 s speech'
        >>> text_line({"path": "clip.mp3", "status": "no_speech", "message": "no speech was found"})
        'clip.mp3  no_speech: no speech was found'
    """
    name = printable(one_line("-" if row["path"] is None else row["path"])).ljust(width)
    if row["status"] != "ok":
        return f"{name}  {row['status']}: {one_line(row['message'])}"
    found = SimpleNamespace(**row)
    cells = [name]
    if row["gender"] is not None:
        cells.append(_gender(found).ljust(22 if width else 0))
    if row["age_years"] is not None:
        cells.append(f"{_years(found)}, {row['age_group'].replace('_', ' ')}".ljust(28 if width else 0))
    if row["speech_s"] is not None:
        cells.append(f"{row['speech_s']:.1f} s speech")
    if row.get("message"):
        cells.append(one_line(row["message"]))
    return "  ".join(cells).rstrip()


def one_line(text: str) -> str:
    r"""Replace line breaks by spaces.

    Examples:
        >>> one_line("two\nlines")
        'two lines'
    """
    return " ".join(text.split("\n"))


def _gender(found: Any) -> str:
    if found.gender is None:
        return ""
    p = found.p_female if found.gender != "male" else 1 - found.p_female
    return f"{found.gender} ({'p_female' if found.gender == 'unsure' else 'p'} {p:.2f})"


def _years(found: Any) -> str:
    if found.age_years is None:
        return ""
    return f"{whole_years(found.age_years)} years ({found.age_low:.0f}–{found.age_high:.0f})"


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
