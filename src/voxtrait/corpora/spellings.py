"""Translates the spellings of gender, age and split in tables and folder names to those of :mod:`voxtrait.labels`.

Only spellings are translated. ``transgender``, ``non-binary``, ``do_not_wish_to_say``, ``other`` and all other
self-descriptions are kept as written, and are never used as ``female`` or ``male``.

Sources of the words: Common Voice and the public corpora of :mod:`voxtrait.corpora.layouts`; HL7 FHIR's
AdministrativeGender (``female``, ``male``); Wikidata's labels of Q6581072 and Q6581097 (female, male), Q467 and Q8441
(woman, man), Q3031 and Q3010 (girl, boy) in each language, with the forms of both grammatical genders. Omitted are
words that have another meaning in another language of the list or in a folder name, namely ``h`` and ``home`` (man in
Spanish and Catalan), ``v`` and ``k`` (woman in Dutch and Polish), ``dona`` and ``nino``, and words that are also
self-descriptions, such as ``fem`` and ``masc``.
"""

import unicodedata
from typing import Final

import polars as pl

from voxtrait.labels import AGE_GROUPS, UNKNOWN_WORDS
from voxtrait.manifest.table import known

_FEMALE: Final = """
    f female females feminine female_feminine famale woman women girl girls lady ladies
    w weiblich weibl. weibl frau frauen mädchen maedchen
    féminin féminine femme femmes fille filles
    femenino femenina mujer mujeres niña niñas chica
    femmina femmine femminile donna donne ragazza
    feminino feminina mulher mulheres menina
    vrouw vrouwen vrouwelijk meisje
    kvinna kvinnlig kvinde kvinne kvindelig kvinnelig flicka pige jente
    nainen naispuolinen tyttö
    kobieta kobiety żeńska żeński dziewczyna
    žena ženy ženské ženský
    ж жен жен. женский женская женщина женщины девочка девушка
    жінка жіноча жіночий дівчина жена женски
    femeie femeiesc γυναίκα θηλυκό nő női kadın kadin kız
    أنثى امرأة مؤنث زن مونث נקבה אישה אשה महिला स्त्री মহিলা
    perempuan wanita nữ หญิง ผู้หญิง
    女 女性 女声 女聲 女生 여 여성 여자
"""
_MALE: Final = """
    m male males masculine male_masculine man men boy boys gentleman gentlemen
    männlich maennlich männl. männl mann männer maenner junge
    masculin masculine homme hommes garçon garçons
    masculino masculina hombre hombres niño niños chico varón
    maschio maschi maschile uomo uomini ragazzo
    homem homens menino
    mannen mannelijk jongen
    manlig mand mandlig mannlig pojke dreng gutt
    mies miespuolinen poika
    mężczyzna mężczyźni męska męski chłopak
    muž muži mužské mužský
    м муж муж. мужской мужская мужчина мужчины мальчик юноша
    чоловік чоловіча чоловічий хлопець мъж мъжки
    bărbat bărbătesc άνδρας άντρας αρσενικό férfi erkek
    ذكر رجل مذكر مرد מזכר זכר גבר איש पुरुष পুরুষ
    laki-laki pria nam ชาย ผู้ชาย
    男 男性 男声 男聲 男生 남 남성 남자
"""


def word(text: str) -> str:
    """Return a label in lower case with composed letters, as in the tables here; macOS decomposes file names.

    Examples:
        >>> word(" Fe\u0301minin ")
        'féminin'
    """
    return unicodedata.normalize("NFC", text).strip().lower()


def _spellings(words: str, label: str) -> dict[str, str]:
    """Return each word, also without its diacritics: ``feminin``, ``garcon``."""
    found = dict.fromkeys(map(word, words.split()), label)
    plain = [unicodedata.normalize("NFD", one).encode("ascii", "ignore").decode() for one in found]
    marked = zip(found, plain, strict=True)
    kept = [bare for one, bare in marked if len(bare) == len(one) > 4 and bare != "manner"]  # nor "nino"
    return found | dict.fromkeys(kept, label)


GENDER_SPELLINGS: Final = {
    **_spellings(_FEMALE, "female"),
    **_spellings(_MALE, "male"),
    "phụ nữ": "female",
    "đàn ông": "male",
}
"""Lower-case spelling → gender. Other words are self-descriptions and are kept."""

AGE_SPELLINGS: Final = {
    **{group: group for group in AGE_GROUPS},
    **{f"{10 * i}s": group for i, group in enumerate(AGE_GROUPS) if i},
    **{f"{10 * i}-{10 * i + 9}": group for i, group in enumerate(AGE_GROUPS)},
    "fourties": "forties",  # in all releases of Common Voice so far
    "under ten": "under_ten",
}
"""Lower-case spelling of a decade → age group."""

SPLIT_SPELLINGS: Final = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Lower-case spelling in tables and folder names → split."""


def gender(column: str) -> pl.Expr:
    """Translate a column of genders.

    Self-descriptions are kept as written; blanks and words for "unknown" become null.

    Examples:
        >>> table = pl.DataFrame({"g": ["male_masculine", "F", "Weiblich", "Non-binary", " ", "N/A"]})
        >>> table.select(gender("g"))["g"].to_list()
        ['male', 'female', 'female', 'Non-binary', None, None]
    """
    clean = pl.col(column).str.normalize("NFC").str.strip_chars().str.to_lowercase()
    written = pl.when(clean != "").then(known(column))
    return clean.replace_strict(GENDER_SPELLINGS, default=written, return_dtype=pl.String).alias(column)


def age_years(column: str) -> pl.Expr:
    """Convert a column of ages to years, Float64.

    Decades, and numbers below 0 or from 130 up, become null.

    Examples:
        >>> pl.DataFrame({"a": ["34", "fourties", "400"]}).select(age_years("a"))["a"].to_list()
        [34.0, None, None]
    """
    years = _clean(column).cast(pl.Float64, strict=False)
    return pl.when((years >= 0) & (years < 130)).then(years).alias(column)


def age_group(column: str) -> pl.Expr:
    """Translate a column of ages, in decades or years, to age groups; other values become null.

    Examples:
        >>> pl.DataFrame({"a": ["34", "fourties", "104", "old"]}).select(age_group("a"))["a"].to_list()
        ['thirties', 'forties', 'nineties', None]
    """
    decade = (age_years(column) // 10).clip(0, len(AGE_GROUPS) - 1).cast(pl.Int64)
    from_years = decade.replace_strict(dict(enumerate(AGE_GROUPS)), default=None, return_dtype=pl.String)
    from_words = _clean(column).replace_strict(AGE_SPELLINGS, default=None, return_dtype=pl.String)
    return pl.coalesce(from_words, from_years).alias(column)


def split(column: str) -> pl.Expr:
    """Translate a column of split names; other values become null.

    Examples:
        >>> pl.DataFrame({"s": ["dev", "Train", "holdout"]}).select(split("s"))["s"].to_list()
        ['validation', 'train', None]
    """
    return _clean(column).replace_strict(SPLIT_SPELLINGS, default=None, return_dtype=pl.String).alias(column)


def class_of(name: str) -> tuple[str | None, str | None] | None:
    """Return the gender and the age group in a folder name, each ``None`` if unknown.

    Args:
        name: a gender, an age group, or both separated by ``_``, ``-`` or a blank, in any spelling; or a word for
            "unknown".

    Returns:
        The gender and the age group; ``None`` if the name is not that of a class.

    Examples:
        >>> class_of("female_fourties"), class_of("Männer"), class_of("Teens"), class_of("unknown"), class_of("music")
        (('female', 'forties'), ('male', None), (None, 'teens'), (None, None), None)
    """
    text = word(name)
    if (found := _labels(text)) is not None:
        return found
    for at, letter in enumerate(text):
        if letter in "_- ":
            first, second = _labels(text[:at]), _labels(text[at + 1 :])
            if first is not None and second is not None and first[0] and not second[0]:
                return first[0], second[1]
    return None


def _labels(text: str) -> tuple[str | None, str | None] | None:
    if text in GENDER_SPELLINGS or text in AGE_SPELLINGS:
        return GENDER_SPELLINGS.get(text), AGE_SPELLINGS.get(text)
    return (None, None) if text in UNKNOWN_WORDS else None


def _clean(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().str.to_lowercase()
