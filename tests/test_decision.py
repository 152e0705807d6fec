"""From logits to answers, with numbers that can be worked out on paper."""

import math

import numpy as np
import pytest

from voxtrait import decision
from voxtrait.labels import AGE_GROUPS, JOINT_CLASSES

THIRTIES = np.eye(10)[3]


def test_probabilities_divide_by_the_temperature_after_the_bias() -> None:
    assert decision.probabilities([math.log(3), 0]).tolist() == pytest.approx([0.75, 0.25])
    assert decision.probabilities([math.log(9), 0], 2.0).tolist() == pytest.approx([0.75, 0.25])
    assert decision.probabilities([0, 0], 2.0, [math.log(9), 0]).tolist() == pytest.approx([0.75, 0.25])
    assert decision.probabilities([1e4, 0]).tolist() == [1, 0]  # no overflow


def test_joint_classes_add_up_to_their_groups() -> None:
    shares = np.full(20, 0.05)
    assert decision.group_probabilities(shares, JOINT_CLASSES) == pytest.approx([0.1] * 10)
    assert decision.group_probabilities([0.3, 0.7], ["teens", "fifties"]).tolist() == [0, 0.3, 0, 0, 0, 0.7, 0, 0, 0, 0]


def test_years_are_uniform_inside_a_group() -> None:
    assert [float(decision.years_at(THIRTIES, level)) for level in (0.1, 0.5, 0.9)] == pytest.approx([31, 35, 39])
    halves = (THIRTIES + np.eye(10)[6]) / 2
    assert float(decision.years_at(halves, 0.25)) == pytest.approx(35)
    assert float(decision.years_at(halves, 0.75)) == pytest.approx(65)
    assert decision.years_at(np.stack([THIRTIES, halves]), 0.25).tolist() == pytest.approx([32.5, 35])


def test_years_do_not_need_shares_that_sum_to_one() -> None:
    assert float(decision.years_at(0.2 * THIRTIES, 0.5)) == pytest.approx(35)
    assert float(decision.expected_years(0.2 * THIRTIES)) == pytest.approx(35)


def test_expected_years_is_the_mean_of_the_middles() -> None:
    assert float(decision.expected_years((THIRTIES + np.eye(10)[6]) / 2)) == pytest.approx(50)


@pytest.mark.parametrize(
    ("p_female", "name"), [(0.0, "male"), (0.3, "male"), (0.31, "unsure"), (0.69, "unsure"), (0.7, "female")]
)
def test_the_band_of_abstention(p_female: float, name: str) -> None:
    assert decision.describe_gender(p_female, [0.3, 0.7]) == name


def test_without_a_band_there_is_always_an_answer() -> None:
    assert decision.describe_gender(0.5, [0.5, 0.5]) == "female"
    assert decision.describe_gender(0.4999, [0.5, 0.5]) == "male"


def test_an_age_answer() -> None:
    answer = decision.age_answer(0.5 * THIRTIES + 0.3 * np.eye(10)[4] + 0.2 * np.eye(10)[2], 0.1)
    assert answer["age_group"] == "thirties"
    assert answer["age_years"] == pytest.approx(30 + 10 * 0.3 / 0.5)
    assert (answer["age_low"], answer["age_high"]) == pytest.approx((25, 40 + 10 * 0.2 / 0.3))
    assert list(answer["age_groups"]) == list(AGE_GROUPS)
    assert sum(answer["age_groups"].values()) == pytest.approx(1)
