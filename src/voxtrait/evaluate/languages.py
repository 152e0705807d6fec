"""Maps locales to language families, by which a report groups them.

A single locale often has only a few speakers. Languages of one family share sounds and melody. Source: Glottolog 5
(H. Hammarström et al., https://glottolog.org) with the usual names; Indo-European and Afro-Asiatic are divided into
their branches, because they are most of every corpus. Creoles and unlisted languages are "other". Codes are ISO 639-1,
or ISO 639-3 for languages without such a code: the language part of a locale (``fy`` of ``fy-NL``).
"""

import re
from typing import Final

OTHER: Final = "other"
"""The group of languages that are not in the table."""

_FAMILIES: Final = {
    "Germanic": "af da de en fo fy gsw is lb li nb nds nl nn no pdc sco sv yi",
    "Romance": "an ast ca co es ext fr frp fur gl it la lad lij lld lmo mwl nap oc pms pt rm ro rup sc scn vec wa",
    "Slavic": "be bg bs cs csb cu dsb hr hsb mk pl ru rue sh sk sl sr szl uk",
    "Baltic": "lt ltg lv sgs",
    "Celtic": "br cy ga gd gv kw",
    "Indo-Iranian": "as awa bho bn ckb dv fa glk gom gu hi hne kls kmr ks ku lrc mai mr mzn ne or os pa ps rom sa sd "
    "sdh si skr syl tg trw ur xnr zza",
    "Greek": "el grc",
    "Armenian": "hy hyw",
    "Albanian": "sq",
    "Uralic": "et fi fit fkv hu izh kpv koi liv mdf mhr mrj myv se sma smj udm vep vot vro yrk",
    "Turkic": "alt az azb ba chv crh cv gag kaa kjh kk krc kum ky nog sah slr tk tr tt tyv ug uz",
    "Mongolic": "bua bxm bxr mn xal",
    "Semitic": "am ar arc ary arz he mt sgw syr ti tig",
    "Berber": "kab rif shi tzm zgh",
    "Cushitic": "aa om sid so",
    "Chadic": "ha",
    "Atlantic-Congo": "ak bas bbj bem bum cgg dag dav ee ff fon fuc gaa ig ki kg kmb lg ln lua lue mos nd nr nso "
    "ny nyn rn rw sg sn ss st sw swc tn toi ts ttj tum tw umb ve vmw wo xh yo zu",
    "Mande": "bm dyu mnk nqo sus",
    "Nilotic": "din kdj kln laj luo mas nus pko teo",
    "Sino-Tibetan": "bo brx cdo cnh dz gan hak hsn lus lzh mni my nan new wuu yue zh",
    "Japonic": "ja ryu",
    "Koreanic": "ko",
    "Dravidian": "brh kn ml ta tcy te",
    "Tai-Kadai": "lo shn th za",
    "Austroasiatic": "kha km mnw sat vi",
    "Austronesian": "ace ban bcl bjn btk ceb ch fj haw hil id ilo jv mad mg mi min ms pag pam rap sm su tl to ty war",
    "Kartvelian": "ka lzz mxf sva xmf",
    "Northwest Caucasian": "ab abq ady kbd uby",
    "Northeast Caucasian": "av ce dar inh lbe lez",
    "Basque": "eu",
    "Mayan": "kek mam quc tzh tzo yua",
    "Quechuan": "qu quy quz qva qvi qxp",
    "Uto-Aztecan": "nah nch ncx nhe nhi nlv",
    "Tupian": "gn gug yrl",
    "Constructed": "eo ia ido ie io jbo lfn tok vo",
}
FAMILY: Final = {code: family for family, codes in _FAMILIES.items() for code in codes.split()}
"""The family of each language code."""


def family_of(locale: str) -> str:
    """Return the family of a locale's language, or :data:`OTHER` for an unlisted language.

    Args:
        locale: locale such as ``en``, ``fy-NL``, ``rm-sursilv`` or ``zh_CN``, in any case.

    Examples:
        >>> family_of("sv-SE"), family_of("lv"), family_of("zh_HK"), family_of("qaa")
        ('Germanic', 'Baltic', 'Sino-Tibetan', 'other')
    """
    return FAMILY.get(re.split("[-_]", locale.lower())[0], OTHER)
