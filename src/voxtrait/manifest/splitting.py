"""Splits a manifest by speaker, and checks a manifest's splits for shared speakers and sentences.

The unit of a split is the speaker: clips of the same person in training and test are how reported age accuracies reach
99 %. Where a corpus has no speaker ids, a split by clip requires ``allow_leak``, and every row of it is marked.
"""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

import polars as pl

from voxtrait import manifest
from voxtrait.errors import LeakageError, OptionError, counted
from voxtrait.labels import AGE_GROUPS, GENDERS, SPLITS
from voxtrait.manifest.table import SPLIT_UNIT

LOOKED_AT: Final = ("clip_id", "speaker_id", "gender", "age_group", "split")
"""The columns that :func:`split` and :func:`summary` use."""

SIZES: Final = (80.0, 10.0, 10.0)  # per cent of the speakers in train, validation and test
NO_LEAK: Final = "none"
NO_SPLIT: Final = "no split"
UNKNOWN_LEAK: Final = "unknown: no speaker ids"

_CLIP: Final = "\0"  # prefix of a clip_id that replaces a missing speaker_id
_OTHER: Final = "other"  # all self-descriptions together: each alone has too few speakers to stratify by


class Leakage(TypedDict):
    """Result of :func:`leakage`: a verdict, and the counts behind it."""

    verdict: str
    n_shared_speakers: int
    n_shared_sentences: int
    n_without_speaker: int


def parse_sizes(text: str) -> tuple[float, float, float]:
    """Parse sizes such as ``80/10/10``: the shares of train, validation and test, in any unit.

    Returns:
        The three shares; they sum to 1.

    Raises:
        OptionError: if the text is not three numbers, one of them is negative, or the share of train is 0.

    Examples:
        >>> parse_sizes("80/10/10")
        (0.8, 0.1, 0.1)
    """
    try:
        train, validation, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise OptionError(f"Got the sizes {text!r}. Expected three numbers such as 80/10/10.") from None
    total = train + validation + test
    if not (train > 0 and validation >= 0 and test >= 0 and total < float("inf")):
        raise OptionError(f"Got the sizes {text!r}. Expected three numbers such as 80/10/10, train above 0.")
    return train / total, validation / total, test / total


def split(
    table: pl.DataFrame,
    sizes: Sequence[float] = SIZES,
    *,
    seed: int = 0,
    allow_leak: bool = False,
) -> pl.DataFrame:
    """Split a manifest so that no speaker is in two splits.

    Speakers are assigned within each class. The class of a speaker is the gender and the age group of most of the
    speaker's labelled clips; ties go to the first gender in alphabetical order and to the younger group. A gender, an
    age group, or a gender within an age group that has at least 3 speakers is in every split with a share above 0. In a
    smaller class, the first speaker goes to train and the second to test.

    Args:
        table: a manifest; its column ``split`` is replaced.
        sizes: shares of the speakers in train, validation and test, in any unit.
        seed: random seed. The same seed gives the same split on every machine, in any order of the rows.
        allow_leak: split rows without a speaker id clip by clip, and add the column ``split_unit``, which is ``clip``
            for these rows and ``speaker`` for the others.

    Returns:
        The manifest with its new ``split``.

    Raises:
        LeakageError: if rows have no speaker id and ``allow_leak`` is false.
        OptionError: if the sizes are not valid.

    Examples:
        >>> speakers = {"clip_id": ["a", "b"], "speaker_id": ["x", "x"], "gender": ["male"] * 2}
        >>> table = pl.DataFrame(speakers | {"age_group": [None, "teens"]})
        >>> split(table)["split"].to_list()
        ['train', 'train']
    """
    shares = parse_sizes("/".join(map(str, sizes)))
    nameless = table["speaker_id"].null_count()
    if nameless and not allow_leak:
        hint = " If this is a table of a corpus, run 'voxtrait corpus import' first." if nameless == len(table) else ""
        raise LeakageError(
            f"{nameless} of {counted(table.height, 'clip')} {'has' if nameless == 1 else 'have'} no speaker id, so two "
            "splits could share a speaker. Remove these clips, or pass --allow-leak, which marks the split and its "
            f"results.{hint}"
        )
    is_clip = pl.col("speaker_id").is_null()
    key = pl.coalesce("speaker_id", _CLIP + pl.col("clip_id")) if nameless else pl.col("speaker_id")
    rows = table.select("gender", "age_group", _key=key)
    assigned = _assign(_units(rows), shares, seed)
    table = table.with_columns(manifest.lookup(rows, assigned, "_key", "split")).drop(SPLIT_UNIT, strict=False)
    if allow_leak:
        table = table.with_columns(pl.when(is_clip).then(pl.lit("clip")).otherwise(pl.lit("speaker")).alias(SPLIT_UNIT))
    return table


def replaced(table: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Return a manifest, sorted by ``clip_id``, with the split of another table.

    Both tables have the same rows in the same order.
    """
    table = table.drop(SPLIT_UNIT, strict=False)
    # with chunks of other lengths, Polars would copy the whole table to make them equal
    ends = list(itertools.accumulate(table["clip_id"].chunk_lengths(), initial=0))
    made = pl.concat([made[start:end] for start, end in itertools.pairwise(ends)], rechunk=False)
    return manifest.sorted_by_id(table.with_columns(made.get_columns()))


def leakage(table: pl.DataFrame) -> Leakage:
    """Count the speakers and sentences that the splits of a manifest share.

    Args:
        table: ``speaker_id``, ``split``, and ``sentence``, without which no sentence is shared.

    Returns:
        The counts, and a ``verdict``. The verdict is ``"none"``, ``"unknown: no speaker ids"`` (some clips in a split
        have none), ``"3 speakers in more than one split"``, or ``"no split"``. Shared sentences do not affect it.

    Examples:
        >>> table = pl.DataFrame({"speaker_id": ["a", "a"], "sentence": ["x", None], "split": ["train", "test"]})
        >>> leakage(table)["verdict"]
        '1 speaker in more than one split'
    """
    rows = table.select("speaker_id", "split").filter(pl.col("split").is_not_null())
    speakers = _shared(table, "speaker_id")
    sentences = _shared(table, "sentence") if "sentence" in table.columns else 0
    nameless = rows["speaker_id"].null_count()
    if not rows.height:
        verdict = NO_SPLIT
    elif speakers:
        verdict = f"{speakers} speaker{'s' if speakers > 1 else ''} in more than one split"
    else:
        verdict = UNKNOWN_LEAK if nameless else NO_LEAK
    return Leakage(
        verdict=verdict, n_shared_speakers=speakers, n_shared_sentences=sentences, n_without_speaker=nameless
    )


def summary(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the clips and speakers of each split: in total, by gender, and by gender and age group.

    Returns:
        One row per class, with ``class``, ``train_clips``, ``train_speakers``, ``validation_clips`` … The first row is
        the total, followed by genders, then genders with age groups. Labels are those of the clips, not the speaker's
        most frequent ones. Speakers are ``None`` if no clip has a speaker id.
    """
    gender = pl.col("gender").fill_null("unknown")
    joint = pl.when(pl.col("age_group").is_not_null()).then(pl.concat_str(gender, pl.col("age_group"), separator="_"))
    known = table["speaker_id"].count() > 0
    numbers = pl.col("speaker_id").cast(pl.Categorical).to_physical()  # long ids are slow to count three times
    table = table.select("gender", "age_group", "split", numbers)
    out: list[dict[str, Any]] = []
    for rank, name in enumerate((pl.lit("all"), gender, joint)):
        counts = table.with_columns(name.alias("class")).filter(
            pl.col("class").is_not_null() & pl.col("split").is_not_null()
        )
        counts = counts.group_by("class", "split").agg(
            clips=pl.len(), speakers=pl.col("speaker_id").drop_nulls().n_unique()
        )
        rows: dict[str, dict[str, Any]] = defaultdict(
            lambda: {f"{s}_{what}": 0 for s in SPLITS for what in ("clips", "speakers")}
        )
        for row in counts.iter_rows(named=True):
            rows[row["class"]] |= {
                f"{row['split']}_clips": row["clips"],
                f"{row['split']}_speakers": row["speakers"] if known else None,
            }
        order = sorted(rows, key=_class_order) if rank else list(rows)
        out += [{"class": value, **rows[value]} for value in order]
    return out


def _class_order(name: str) -> tuple[int, str, int]:
    gender = next((g for g in GENDERS if name == g or name.startswith(f"{g}_")), None)
    if gender is not None:
        group = name[len(gender) + 1 :]
        return 0, gender, AGE_GROUPS.index(group) if group in AGE_GROUPS else -1
    group = next((g for g in AGE_GROUPS if name.endswith(f"_{g}")), "")
    return 1, name.removesuffix(f"_{group}"), AGE_GROUPS.index(group) if group else -1


def _shared(table: pl.DataFrame, column: str) -> int:
    splits = table.select(column, "split").drop_nulls().group_by(column)
    return int(splits.agg((pl.col("split").min() != pl.col("split").max()).alias("shared"))["shared"].sum())


def _units(table: pl.DataFrame) -> pl.DataFrame:
    """Find the gender and the age group of most labelled clips of each unit.

    Args:
        table: ``_key`` (a speaker id, or a prefixed clip_id), ``gender``, ``age_group``.

    Returns:
        ``_key``, ``_unit`` (its name in the seeded order), ``gender``, ``age_group``.
    """
    gender = pl.col("gender")
    known = pl.when(gender.is_null() | gender.is_in(GENDERS)).then(gender).otherwise(pl.lit(_OTHER))
    is_clip = pl.col("_key").str.starts_with(_CLIP)
    unit = (
        pl.when(is_clip).then("clip:" + pl.col("_key").str.strip_prefix(_CLIP)).otherwise("speaker:" + pl.col("_key"))
    )
    units = table.select("_key").unique().with_columns(_unit=unit).sort("_unit").with_row_index("_at")
    at = manifest.lookup(table, units, "_key", "_at")  # grouping by long ids is slow
    for column, label in (("gender", known), ("age_group", pl.col("age_group").cast(pl.Enum(AGE_GROUPS)))):
        votes = table.select(at, label.alias(column)).drop_nulls().group_by("_at", column).len()
        most = votes.sort("_at", "len", column, descending=[False, True, False])
        most = most.filter(pl.col("_at").is_first_distinct()).with_columns(pl.col(column).cast(pl.String))
        units = units.with_columns(manifest.lookup(units, most, "_at", column))
    return units


def _assign(units: pl.DataFrame, shares: Sequence[float], seed: int) -> pl.DataFrame:
    """Assign the units to splits: the smallest classes first, then each class by its quota.

    Quotas are rounded in favour of the splits that are furthest below their share of all units so far.
    """
    names = units["_unit"].to_list()
    order = sorted(names, key=lambda name: hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest())
    label = dict(zip(names, zip(units["gender"], units["age_group"], strict=True), strict=True))
    classes: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for name in order:
        classes[label[name]].append(name)
    active = [at for at, share in enumerate(shares) if share > 0]
    small = {key: members for key, members in classes.items() if len(members) < 3}
    where = _assign_small(small, classes, active)
    used = Counter(where.values())
    done = len(where)
    for key in sorted(classes.keys() - small.keys(), key=lambda key: (len(classes[key]), str(key))):
        members = classes[key]
        done += len(members)
        counts = _quota(len(members), shares, active, [share * done - used[at] for at, share in enumerate(shares)])
        at_member = 0
        for at, count in enumerate(counts):
            where |= dict.fromkeys(members[at_member : at_member + count], at)
            at_member += count
            used[at] += count
    return units.select("_key", split=pl.Series([SPLITS[where[name]] for name in names], dtype=pl.String))


def _quota(n: int, shares: Sequence[float], active: Sequence[int], lacking: Sequence[float]) -> list[int]:
    """Round ``n`` times the shares to whole numbers, at least 1 in each active split.

    The remainder goes to the splits that lack most.
    """
    counts = [int(n * share + 1e-9) for share in shares]
    uneven = [at for at in active if n * shares[at] - counts[at] > 1e-9]
    for at in sorted(uneven, key=lambda at: (counts[at] - lacking[at], at))[: n - sum(counts)]:
        counts[at] += 1
    counts[active[0]] += n - sum(counts)  # 0, unless shares such as 1/3 round badly
    for at in active:
        while counts[at] < 1:
            counts[at] += 1
            counts[counts.index(max(counts))] -= 1
    return counts


def _assign_small(
    small: Mapping[tuple[str | None, str | None], list[str]],
    classes: Mapping[tuple[str | None, str | None], list[str]],
    active: Sequence[int],
) -> dict[str, int]:
    """Assign the speakers of classes with one or two speakers.

    Each speaker is an edge between a gender and an age group; a split is a colour. A gender or an age group must be in
    every split if it has at least 3 speakers. Unless a class with 3 speakers ensures that, it takes as many of its
    edges as there are splits, and they need different colours. A bipartite graph whose vertices have at most k edges
    can be coloured so with k colours (Kőnig 1916).
    """
    speakers = [(name, key) for key, members in sorted(small.items(), key=str) for name in members]
    safe = {(side, key[side]) for key, members in classes.items() if len(members) >= 3 for side in (0, 1)}
    degree = Counter((side, key[side]) for _, key in speakers for side in (0, 1))
    taken: Counter[tuple[int, str | None]] = Counter()
    edges: dict[str, tuple[Any, Any]] = {}
    for name, key in speakers:
        ends = []
        for side in (0, 1):
            vertex = (side, key[side])
            needs = key[side] is not None and vertex not in safe and degree[vertex] >= 3 and taken[vertex] < len(active)
            taken[vertex] += needs
            ends.append(vertex if needs else (side, name))  # not needed there: its own end
        edges[name] = (ends[0], ends[1])
    first_second = {
        name: active[0] if at == 0 else active[-1] for members in small.values() for at, name in enumerate(members)
    }
    coloured = _colour({name: edge for name, edge in edges.items() if edge != ((0, name), (1, name))}, active)
    return first_second | coloured


def _colour(edges: Mapping[str, tuple[Any, Any]], colours: Sequence[int]) -> dict[str, int]:
    """Colour the edges of a bipartite graph so that the edges at a vertex differ, by alternating paths."""
    at: dict[Any, dict[int, str]] = defaultdict(dict)  # vertex → colour → edge
    for name, (left, right) in edges.items():
        free_left = next(colour for colour in colours if colour not in at[left])
        free_right = next(colour for colour in colours if colour not in at[right])
        if (
            free_left != free_right
        ):  # free free_left at the right end too: swap both colours along the path that starts there
            path, vertex, colour = [], right, free_left
            while (edge := at[vertex].get(colour)) is not None:
                path.append((edge, colour))
                vertex = edges[edge][0] if edges[edge][1] == vertex else edges[edge][1]
                colour = free_right if colour == free_left else free_left
            for edge, colour in path:
                for end in edges[edge]:
                    if at[end].get(colour) == edge:
                        del at[end][colour]
            for edge, colour in path:
                for end in edges[edge]:
                    at[end][free_right if colour == free_left else free_left] = edge
        at[left][free_left] = at[right][free_left] = name
    return {edge: colour for by_colour in at.values() for colour, edge in by_colour.items()}
