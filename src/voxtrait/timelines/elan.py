"""Reads turns from ELAN annotations (.eaf)."""

from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.naming import is_speaker
from voxtrait.timelines.reading import Turn, problem, seconds, segment


class _Annotation(NamedTuple):
    line: int
    speaker: str
    start: str  # identifiers of time slots
    end: str


class _Document:
    """Collects the annotations while the file is parsed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: str | None = None
        self.units = "milliseconds"
        self.slots: dict[str, str | None] = {}
        self.speaker: str | None = None  # speaker of the current tier; None if the tier depends on another
        self.annotations: list[_Annotation] = []

    def start(self, parser: expat.XMLParserType, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        if name == "HEADER":
            self.units = attributes.get("TIME_UNITS") or self.units
        elif name == "TIME_SLOT":
            self.slots[attributes.get("TIME_SLOT_ID", "")] = attributes.get("TIME_VALUE")
        elif name == "TIER":
            who = (attributes.get("PARTICIPANT") or "").strip() or (attributes.get("TIER_ID") or "").strip()
            self.speaker = None if "PARENT_REF" in attributes else who
        elif name == "ALIGNABLE_ANNOTATION" and is_speaker(self.speaker):
            refs = (attributes.get("TIME_SLOT_REF1", ""), attributes.get("TIME_SLOT_REF2", ""))
            self.annotations.append(_Annotation(parser.CurrentLineNumber, str(self.speaker), *refs))

    def refuse(self, *_: object) -> None:
        raise OptionError(f"{self.file} has a document type declaration, which is refused. Export it from ELAN again.")

    def time(self, line: int, slot: str, what: str) -> float:
        value = self.slots.get(slot)
        if value is None:
            raise problem(
                self.file, f"line {line}", f"time slot {clipped(slot)} without a time", "a time slot of the file"
            )
        return seconds(self.file, f"line {line}", value, f"{what} in milliseconds") / 1000


def read(file: str, text: str) -> Iterator[Turn]:
    """Yield the turns of an ELAN file: the annotations with their own times.

    The speaker is the ``PARTICIPANT`` of the tier, or else its ``TIER_ID``. Tiers that depend on another tier
    (``PARENT_REF``, such as translations) are skipped. Document type declarations and entities are refused.

    Raises:
        OptionError: if the file is not well-formed XML, is not from ELAN, or lacks times.

    Examples:
        >>> eaf = '''<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="500"/>
        ... <TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="2000"/></TIME_ORDER><TIER TIER_ID="Anna"><ANNOTATION>
        ... <ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"/></ANNOTATION></TIER></ANNOTATION_DOCUMENT>'''
        >>> [turn.segment for turn in read("a.eaf", eaf)]
        [Segment(start_s=0.5, end_s=2.0, speaker='Anna', kind=None)]
    """
    document = _Document(file)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = document.refuse
    parser.EntityDeclHandler = document.refuse
    parser.StartElementHandler = lambda name, attributes: document.start(parser, name, attributes)
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise problem(file, f"line {error.lineno}", expat.ErrorString(error.code) or "damaged XML", "XML") from None
    if document.root != "ANNOTATION_DOCUMENT":
        raise OptionError(
            f"{file} is XML with the root element {clipped(document.root)}. Expected ANNOTATION_DOCUMENT (ELAN)."
        )
    if document.units != "milliseconds":
        raise OptionError(f"{file} has times in {clipped(document.units)}. Expected milliseconds.")
    for line, speaker, first, last in document.annotations:
        start, end = document.time(line, first, "start"), document.time(line, last, "end")
        turn = segment(file, f"line {line}", start, end, speaker)
        if turn is not None:
            yield Turn(turn)
