"""The vocabularies of gender and age, and their order, which is the class index everywhere.

Age groups are decades, as in Common Voice, with two reasons for their edges: ``under_ten`` exists because a child's
voice carries no reliable information about gender (the vocal tracts of girls and boys do not differ before puberty:
Fitch & Giedd, J. Acoust. Soc. Am. 106, 1999), and ``teens`` is 10 to 19 although Common Voice's interface once said
"< 19", because a 19-year-old is ambiguous there and the decade is what its users expect. ``eighties`` and
``nineties`` exist because they are in the tables, not because anyone has enough of them to train on.

Corpora's own spellings (``fourties``, ``male_masculine``) are translated in :mod:`voxtrait.corpora`, not here.
"""

from typing import Final

GENDERS: Final = ("female", "male")
"""The genders a voice presents as; the order is the class index."""

AGE_GROUPS: Final = (
    "under_ten",
    "teens",
    "twenties",
    "thirties",
    "forties",
    "fifties",
    "sixties",
    "seventies",
    "eighties",
    "nineties",
)
"""Decades of age; the order is the class index, and group ``i`` covers the years ``[10 i, 10 i + 10)``."""

AGE_MIDDLES: Final = tuple(10.0 * i + 5.0 for i in range(len(AGE_GROUPS)))
"""The middle of each age group in years."""

YEARS: Final = tuple(str(year) for year in range(100))
"""Completed years of age, ``"0"`` … ``"99"``; the order is the class index, and who is older counts as ``"99"``."""

JOINT_CLASSES: Final = tuple(f"{gender}_{group}" for gender in GENDERS for group in AGE_GROUPS)
"""Gender and age group together, ``female_under_ten`` … ``male_nineties``: the diary's classes of age."""

UNSURE: Final = "unsure"
"""The value of a prediction when the calibrated probability lies in the bundle's abstention band."""

SPLITS: Final = ("train", "validation", "test")

_UNKNOWN: Final = """
    nan -nan <na> na n/a n/a. n.a. n.a #n/a #na null none nat 1.#ind -1.#ind 1.#qnan -1.#qnan
    undefined nil \\n (null) na_character_ na_real_ na_integer_
    unknown unk missing - -- --- – — _ . ? ?? ???
    unbekannt inconnu inconnue desconocido desconocida sconosciuto desconhecido onbekend okänd nieznany
    неизвестно неизвестный невідомо neznámý bilinmiyor 未知 不明 不詳 不详 알수없음 미상
"""  # line by line: pandas ("NA values" of read_csv); JavaScript, Ruby, MySQL, R; people, HL7 FHIR; other languages
UNKNOWN_WORDS: Final = frozenset(
    [*_UNKNOWN.split(), "#n/a n/a", "not known", "not available", "no data", "keine angabe", "k. a.", "k.a."]
)
"""Words for "not known" as a gender or an age, lower-case: they are null everywhere.

Self-descriptions are not among them: ``other``, ``unspecified`` (the X of passports), ``prefer not to say``.
"""


def age_group_of(years: float) -> str:
    """Name the age group of an age.

    Args:
        years: age in years, 0 ≤ years < 130; 100 and over count as ``nineties``.

    Raises:
        ValueError: if ``years`` is negative, not finite, or no age of a person.

    Examples:
        >>> age_group_of(34.2)
        'thirties'
        >>> age_group_of(9.99), age_group_of(104)
        ('under_ten', 'nineties')
    """
    if not 0 <= years < 130:
        raise ValueError(f"got an age of {years}, expected years from 0 to 129")
    return AGE_GROUPS[min(int(years // 10), len(AGE_GROUPS) - 1)]


def age_middle(group: str) -> float:
    """Give the middle of an age group in years.

    Examples:
        >>> age_middle("thirties")
        35.0
    """
    return AGE_MIDDLES[AGE_GROUPS.index(group)]


def joint_class(gender: str, group: str) -> str:
    """Name the joint class of a gender and an age group.

    Examples:
        >>> joint_class("female", "fifties")
        'female_fifties'
    """
    return JOINT_CLASSES[GENDERS.index(gender) * len(AGE_GROUPS) + AGE_GROUPS.index(group)]


def parts_of(joint: str) -> tuple[str, str]:
    """Split a joint class into its gender and its age group.

    Raises:
        ValueError: if the name is not one of :data:`JOINT_CLASSES`.

    Examples:
        >>> parts_of("female_under_ten")
        ('female', 'under_ten')
    """
    if joint not in JOINT_CLASSES:
        raise ValueError(f"got the class {joint!r}, expected a gender and an age group such as 'female_fifties'")
    gender, _, group = joint.partition("_")
    return gender, group
