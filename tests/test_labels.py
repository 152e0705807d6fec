"""The vocabularies and their order, which bundles store and classes are counted by: a change here breaks both."""

import math

import pytest

from voxtrait import labels
from voxtrait.labels import (
    AGE_GROUPS,
    GENDERS,
    JOINT_CLASSES,
    age_group_of,
    age_middle,
    joint_class,
    parts_of,
    whole_years,
)


def test_the_order_is_the_contracts() -> None:
    assert GENDERS == ("female", "male")
    assert (
        *("under_ten", "teens", "twenties", "thirties", "forties"),
        *("fifties", "sixties", "seventies", "eighties", "nineties"),
    ) == AGE_GROUPS
    assert labels.SPLITS == ("train", "validation", "test")
    assert labels.UNSURE not in GENDERS


@pytest.mark.parametrize(
    ("years", "group"),
    [
        *((0, "under_ten"), (9.99, "under_ten"), (10, "teens"), (19.999, "teens"), (20, "twenties")),
        *((55.5, "fifties"), (99, "nineties"), (100, "nineties"), (129.9, "nineties")),
    ],
)
def test_groups_are_decades(years: float, group: str) -> None:
    assert age_group_of(years) == group


@pytest.mark.parametrize("years", [-0.1, 130, math.nan, math.inf, -math.inf])
def test_what_is_no_age_is_refused(years: float) -> None:
    with pytest.raises(ValueError, match=r"years\. Expected 0 to 129\."):
        age_group_of(years)


def test_middles_lie_in_their_groups() -> None:
    assert labels.AGE_MIDDLES == (5, 15, 25, 35, 45, 55, 65, 75, 85, 95)
    assert [age_group_of(age_middle(group)) for group in AGE_GROUPS] == list(AGE_GROUPS)


def test_years_are_ten_to_a_group() -> None:
    assert labels.YEARS[:2] == ("0", "1") and labels.YEARS[-1] == "99"
    assert [age_group_of(int(year)) for year in labels.YEARS] == [group for group in AGE_GROUPS for _ in range(10)]


def test_joint_classes_are_named_and_taken_apart() -> None:
    assert len(JOINT_CLASSES) == len(set(JOINT_CLASSES)) == 20
    assert JOINT_CLASSES[:2] == ("female_under_ten", "female_teens")
    assert JOINT_CLASSES[-1] == "male_nineties"
    pairs = [(gender, group) for gender in GENDERS for group in AGE_GROUPS]
    assert [joint_class(*pair) for pair in pairs] == list(JOINT_CLASSES)
    assert [parts_of(name) for name in JOINT_CLASSES] == pairs


@pytest.mark.parametrize("name", ["female", "fifties", "female_fourties", "other_fifties", "", "female_fifties "])
def test_other_names_are_no_joint_classes(name: str) -> None:
    with pytest.raises(ValueError, match="Expected a gender and an age group"):
        parts_of(name)


@pytest.mark.parametrize("call", [lambda: age_middle("fourties"), lambda: joint_class("unsure", "teens")])
def test_unknown_words_are_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("age", "shown"), [(49.5, 49), (49.49, 49), (50.0, 50), (47.6, 48), (9.7, 9), (0.2, 0), (89.9, 89)]
)
def test_a_shown_age_is_in_the_decade_of_its_group(age: float, shown: int) -> None:
    assert whole_years(age) == shown
    assert age_group_of(whole_years(age)) == age_group_of(age)
