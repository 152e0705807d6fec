"""From logits to answers, with numbers that can be worked out on paper."""

import math

import numpy as np
import pytest

from voxtrait.labels import AGE_GROUPS, JOINT_CLASSES, YEARS
from voxtrait.recognize import decision

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


def test_years_add_up_to_their_groups() -> None:
    shares = np.zeros(100)
    shares[[9, 10, 19, 99]] = 0.1, 0.2, 0.3, 0.4
    assert decision.group_probabilities(shares, YEARS) == pytest.approx([0.1, 0.5, 0, 0, 0, 0, 0, 0, 0, 0.4])


def test_a_distribution_of_age_keeps_its_years() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(100), 3)
    np.testing.assert_array_equal(decision.age_shares(shares, YEARS), shares)
    assert decision.age_shares([0.3, 0.7], ["teens", "fifties"]).tolist() == [0, 0.3, 0, 0, 0, 0.7, 0, 0, 0, 0]


@pytest.mark.parametrize("level", [0.05, 0.1, 0.5, 0.77, 0.9])
def test_groups_and_years_of_the_same_ages_have_the_same_quantiles(level: float) -> None:
    groups = np.random.default_rng(1).dirichlet(np.ones(10), 20)
    years = np.repeat(groups / 10, 10, axis=1)  # uniform inside each decade
    np.testing.assert_allclose(decision.years_at(years, level), decision.years_at(groups, level))
    np.testing.assert_allclose(decision.expected_years(years), decision.expected_years(groups))


def test_a_year_of_age_is_a_year_wide() -> None:
    quarters = (np.eye(100)[30] + np.eye(100)[31] + np.eye(100)[50] + np.eye(100)[59]) / 4
    assert [float(decision.years_at(quarters, level)) for level in (0.125, 0.25, 0.5, 0.625)] == [30.5, 31, 32, 50.5]
    assert float(decision.expected_years(quarters)) == (30.5 + 31.5 + 50.5 + 59.5) / 4


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((4.0, 2.0), (None, 2.0), (16.0, 1.0), (1.0, 4.0), (0.7, 2 * 0.175**-0.5), (0.0, 2 * 0.175**-0.5)),
        *((30.0, 2 * 7.5**-0.5), (3600.0, 2 * 7.5**-0.5)),
    ],
)
def test_more_speech_makes_surer(seconds: float | None, expected: float) -> None:
    assert decision.temperature_at({"temperature": 2.0, "evidence": 0.5}, seconds) == pytest.approx(expected)
    assert decision.temperature_at({"temperature": 2.0, "evidence": 0.0}, seconds) == 2.0


def test_each_clip_has_its_own_temperature() -> None:
    temperatures = decision.temperature_at({"temperature": 1.0, "evidence": 0.5}, [4.0, 16.0])
    shares = decision.probabilities([[math.log(3), 0]] * 2, temperatures[:, None])
    np.testing.assert_allclose(shares, [[0.75, 0.25], [0.9, 0.1]])


@pytest.mark.parametrize(("childhood", "child"), [(0.0, 0.0), (10.0, 0.2), (15.0, 0.4), (20.0, 0.6), (100.0, 1.0)])
def test_a_childs_voice_presents_no_gender(childhood: float, child: float) -> None:
    groups = np.array([0.2, 0.4, 0.4, 0, 0, 0, 0, 0, 0, 0])
    for ages in (groups, np.repeat(groups / 10, 10)):
        assert float(decision.without_childhood(0.9, ages, childhood)) == pytest.approx(0.5 + 0.4 * (1 - child**2) ** 4)
    both = decision.without_childhood([0.9, 0.1], np.stack([groups, groups]), childhood)
    assert both.sum() == pytest.approx(1)


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


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_estimated_years_are_halfway_between_median_and_mean(scale: float) -> None:
    skewed = scale * (0.75 * np.eye(10)[2] + 0.25 * np.eye(10)[8])  # median 26.67, mean 40
    assert float(decision.estimated_years(skewed)) == pytest.approx((20 + 10 * 0.5 / 0.75 + 40) / 2)
    years = np.repeat(skewed / 10, 10)
    assert decision.estimated_years(np.stack([years, years[::-1]])).tolist() == pytest.approx([100 / 3, 200 / 3])


def test_the_years_of_an_answer_are_inside_its_interval() -> None:
    skewed = 0.65 * np.eye(100)[20] + 0.35 * np.eye(100)[99]  # the mean is far above the interval of the middle 20 %
    for shares, end in ((skewed, "age_high"), (skewed[::-1], "age_low")):
        answer = decision.age_answer(shares, 0.4)
        assert answer["age_years"] == answer[end]
        assert answer["age_low"] <= answer["age_years"] <= answer["age_high"]
        assert answer["age_group"] == ("twenties" if end == "age_high" else "seventies")


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


def test_the_age_group_is_that_of_the_years_and_not_the_likeliest() -> None:
    shares = 0.4 * np.eye(100)[25] + 0.25 * np.eye(100)[35] + 0.35 * np.eye(100)[36]
    answer = decision.age_answer(shares, 0.1)
    assert (answer["age_group"], int(answer["age_years"] // 10)) == ("thirties", 3)
    assert decision.age_answer(np.eye(100)[99], 0.1)["age_group"] == "nineties"


def test_an_age_answer_from_years() -> None:
    answer = decision.age_answer(0.5 * np.eye(100)[29] + 0.3 * np.eye(100)[31] + 0.2 * np.eye(100)[32], 0.1)
    assert answer["age_group"] == "thirties"  # the group of the years
    assert answer["age_years"] == pytest.approx((30 + 30.7) / 2)
    assert (answer["age_low"], answer["age_high"]) == pytest.approx((29.2, 32.5))
    assert answer["age_groups"] == pytest.approx(dict.fromkeys(AGE_GROUPS, 0.0) | {"twenties": 0.5, "thirties": 0.5})


def test_an_interval_by_one_tail_is_cut_at_quantiles() -> None:
    shares = np.random.default_rng(0).dirichlet(np.full(100, 0.2), (3, 50))
    for tail in (0.03, 0.25, 0.49):
        low, high = decision.interval(shares, tail)
        np.testing.assert_allclose(low, decision.years_at(shares, tail), atol=1e-9)
        np.testing.assert_allclose(high, decision.years_at(shares, 1 - tail), atol=1e-9)
        same = decision.interval(shares, [[tail] * 10] * 2, 0.3)
        np.testing.assert_allclose(same, (low, high), atol=1e-9)


@pytest.mark.parametrize("bins", [10, 100])
@pytest.mark.parametrize("p_female", [1.0, 0.0, 0.25])
def test_an_interval_by_tails_holds_the_ages_that_fit(bins: int, p_female: float) -> None:
    women = [0.22, 0.03, 0.22, 0.1, 0.07, 0.04, 0.02, 0.02, 0.02, 0.02]
    men = [0.05, 0.2, 0.1, 0.1, 0.2, 0.2, 0.01, 0.01, 0.02, 0.03]
    shares = np.random.default_rng(1).dirichlet(np.full(bins, 0.3), 40)
    low, high = decision.interval(shares, [women, men], np.full(40, p_female))
    ages = np.linspace(0, 100, 10_001)
    middles = np.arange(5, 100, 10)
    tail = np.interp(ages, middles, np.log(women)) * p_female + np.interp(ages, middles, np.log(men)) * (1 - p_female)
    for row in range(40):
        below = np.interp(ages, np.linspace(0, 100, bins + 1), np.append(0, np.cumsum(shares[row])))
        fits = ages[(below >= np.exp(tail)) & (below <= 1 - np.exp(tail))]
        assert (low[row], high[row]) == pytest.approx((fits[0], fits[-1]), abs=0.05)
    assert ((low <= decision.years_at(shares, 0.5)) & (decision.years_at(shares, 0.5) <= high)).all()


def test_an_interval_of_one_certain_year() -> None:
    for year in (0, 50, 99):
        low, high = decision.interval(np.eye(100)[year], [[0.2] * 5 + [0.01] * 5] * 2)
        assert year < low < high < year + 1
