"""Defines the labels of gender and age, and their order, which is the class index everywhere.

Age groups are decades, as in Common Voice. ``under_ten`` exists because a child's voice carries no reliable information
about gender: the vocal tracts of girls and boys do not differ before puberty (Fitch & Giedd, J. Acoust. Soc. Am. 106,
1999). ``teens`` is 10 to 19. Common Voice's interface once had "< 19" instead, which leaves the age of 19 open; its
users expect the decade. ``eighties`` and ``nineties`` exist because the tables have them; there are too few of these
voices to train on.

:mod:`voxtrait.corpora` translates the spellings of corpora (``fourties``, ``male_masculine``).
"""

from typing import Final

GENDERS: Final = ("female", "male")
"""The genders that a voice can present as. The order is the class index."""

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
"""Decades of age. The order is the class index; group ``i`` covers the years ``[10 i, 10 i + 10)``."""

AGE_MIDDLES: Final = tuple(10.0 * i + 5.0 for i in range(len(AGE_GROUPS)))
"""The middle of each age group in years."""

YEARS: Final = tuple(str(year) for year in range(100))
"""Completed years of age, ``"0"`` … ``"99"``. The order is the class index; ages over 99 count as ``"99"``."""

JOINT_CLASSES: Final = tuple(f"{gender}_{group}" for gender in GENDERS for group in AGE_GROUPS)
"""Gender and age group combined, ``female_under_ten`` … ``male_nineties``: the age classes of the spectrogram CNN."""

UNSURE: Final = "unsure"
"""Gender of a prediction whose calibrated probability is inside the abstention band of the bundle."""

SPLITS: Final = ("train", "validation", "test")
"""The splits of a manifest."""

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
"""Words for "not known" as a gender or an age, in lower case. They are read as null.

Self-descriptions are not among them: ``other``, ``unspecified`` (the X of passports), ``prefer not to say``.
"""


def age_group_of(years: float) -> str:
    """Return the age group of an age.

    Args:
        years: age in years, 0 ≤ years < 130; 100 and over count as ``nineties``.

    Raises:
        ValueError: if ``years`` is not in this range.

    Examples:
        >>> age_group_of(34.2)
        'thirties'
        >>> age_group_of(9.99), age_group_of(104)
        ('under_ten', 'nineties')
    """
    if not 0 <= years < 130:
        raise ValueError(f"Got an age of {years} years. Expected 0 to 129.")
    return AGE_GROUPS[min(int(years // 10), len(AGE_GROUPS) - 1)]


def age_middle(group: str) -> float:
    """Return the middle of an age group in years.

    Examples:
        >>> age_middle("thirties")
        35.0
    """
    return AGE_MIDDLES[AGE_GROUPS.index(group)]


def joint_class(gender: str, group: str) -> str:
    """Return the joint class of a gender and an age group.

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
        raise ValueError(f"Got the class {joint!r}. Expected a gender and an age group, such as 'female_fifties'.")
    gender, _, group = joint.partition("_")
    return gender, group


def whole_years(age: float) -> int:
    """Return an age as the nearest whole year in the same decade, so that it does not contradict its age group.

    Examples:
        >>> whole_years(47.6), whole_years(49.6), whole_years(50.2)
        (48, 49, 50)
    """
    return min(round(age), int(age) // 10 * 10 + 9)
