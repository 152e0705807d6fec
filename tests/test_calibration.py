import numpy as np
import pytest

from voxtrait.recognize import decision
from voxtrait.recognize.decision import Tail
from voxtrait.training import calibration, intervals


def test_temperature_is_found_again():
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, (20_000, 2))
    truth = (chance.random(20_000) > decision.probabilities(logits)[:, 0]).astype(np.int64)
    found = calibration.temperature_of(3 * logits, truth, np.ones(20_000))
    assert found == pytest.approx(3.0, rel=0.05)


def test_the_band_is_empty_when_all_are_right():
    band = calibration.unsure_band(np.array([0.9, 0.6, 0.1]), np.array([True, True, False]), np.ones(3))
    assert band == (0.5, 0.5)


def test_the_band_covers_the_doubtful_wrong_ones():
    p = np.concatenate([np.full(97, 0.99), [0.52, 0.53, 0.54]])
    truth = np.concatenate([np.ones(97, bool), [False, False, True]])
    # 98 of 100 are right already: no band; with one more wrong the two most doubtful are given up
    assert calibration.unsure_band(p, truth, np.ones(100)) == (0.5, 0.5)
    truth[0] = False
    low, high = calibration.unsure_band(p, truth, np.ones(100))
    assert (low, high) == pytest.approx((0.47, 0.53))


def test_the_band_never_holds_more_than_its_share():
    chance = np.random.default_rng(1)
    p = chance.random(1000)
    low, high = calibration.unsure_band(p, chance.random(1000) < 0.5, np.ones(1000))
    assert 0.03 < ((p > low) & (p < high)).mean() <= calibration.UNSURE_SHARE


def test_the_interval_covers_eighty_percent_of_the_clips_it_was_fitted_on():
    chance = np.random.default_rng(2)
    groups = chance.dirichlet(np.ones(10), 2000)
    years = chance.uniform(10, 80, 2000)
    tail = intervals.tail_of(groups, years, np.ones(2000))
    inside = (decision.years_at(groups, tail) <= years) & (years <= decision.years_at(groups, 1 - tail))
    wider = (decision.years_at(groups, tail + 0.0025) <= years) & (years <= decision.years_at(groups, 0.9975 - tail))
    assert inside.mean() >= 0.8 > wider.mean()


AGES = (15.0, 25.0, 35.0, 45.0, 55.0, 65.0)


def drawn_to_the_middle(n: int, chance: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Distributions whose middle is nearer to 35 than the age is, as those of a weak estimator, and the truth: women
    are told to be 6 years younger than men of their age."""
    years = chance.choice(AGES, n)
    female = chance.random(n) < 0.5
    middle = 35 + 0.5 * (years - 35) - 6 * female + chance.normal(0, 6, n)
    shares = decision.probabilities(-0.5 * ((np.arange(100) + 0.5 - middle[:, None]) / 9) ** 2)
    p_female = np.where(female, 0.97, 0.03)
    return shares, p_female, years, female


def test_tails_by_group_cover_old_and_young_women_and_men_alike():
    shares, p_female, years, female = drawn_to_the_middle(8000, np.random.default_rng(4))
    tails = intervals.tails_of(shares, p_female, years, female, np.arange(8000))
    assert np.shape(tails) == (2, 10) and np.max(tails) <= intervals.LARGEST_TAIL
    shares, p_female, years, female = drawn_to_the_middle(8000, np.random.default_rng(5))  # other people
    one = intervals.tail_of(shares, years, np.ones(8000))

    def covered(tail: Tail) -> np.ndarray:
        low, high = decision.interval(shares, tail, p_female)
        inside = (low <= years) & (years <= high)
        return np.array([[inside[(years == age) & (female == kind)].mean() for age in AGES] for kind in (True, False)])

    assert covered(one).min() < 0.5 and covered(one).max() > 0.97
    held = np.isclose(np.array(tails)[:, 1:7], intervals.LARGEST_TAIL)
    assert not held.all()
    assert covered(tails)[~held] == pytest.approx(0.82, abs=0.06)
    assert covered(tails).min() > 0.78


def test_groups_of_few_speakers_share_a_tail():
    years = np.repeat([15.0, 25.0, 65.0, 75.0, 85.0], 60)
    female = np.tile([True, False], 150)
    shares = np.tile(decision.probabilities(-0.5 * ((np.arange(100) - 25) / 20) ** 2), (300, 1))
    speaker = np.concatenate([np.arange(180), np.arange(180, 195).repeat(4), np.full(60, 195)])
    women, men = intervals.tails_of(shares, np.full(300, 0.5), years, female, speaker)
    for tails in (women, men):
        assert tails[0] == tails[1]  # nobody under ten
        assert len(set(tails[2:6])) == 1  # nobody between
        assert len(set(tails[6:])) == 1  # 15 speakers in their seventies, 1 in the eighties
        assert tails[5] != tails[6]
    few = female | (speaker < 10)
    women, men = intervals.tails_of(shares[few], np.full(few.sum(), 0.5), years[few], female[few], speaker[few])
    assert women == men  # five men
    alone = intervals.tails_of(shares[:5], np.full(5, 0.5), years[:5], female[:5], speaker[:5])
    assert len(set(alone[0] + alone[1])) == 1


def test_talkative_speakers_weigh_no_more():
    logits = np.array([[2.0, 0.0]] * 9 + [[2.0, 0.0]])
    truth = np.array([0] * 9 + [1])
    alone = calibration.temperature_of(logits[8:], truth[8:], np.ones(2))
    weighted = calibration.temperature_of(logits, truth, np.array([1 / 9] * 9 + [1.0]))
    assert weighted == pytest.approx(alone, rel=1e-3)


def test_the_prior_comes_back_where_the_validation_speakers_follow_it():
    chance = np.random.default_rng(3)
    labels = ["male_twenties", "male_sixties"]
    truth = (chance.random(3000) < 0.1).astype(np.int64)
    logits = chance.normal(0, 0.5, (3000, 2))
    logits[np.arange(3000), truth] += 0.5  # balanced evidence, as class weights make it
    fitted = calibration.calibrate_age(logits, truth, np.ones(3000), labels, np.array([0.9, 0.1]), 25.0 + 40 * truth)
    assert set(fitted) == {"temperature", "evidence", "bias", "tail"}
    assert fitted["bias"][0] > fitted["bias"][1]
    shares = decision.probabilities(logits, fitted["temperature"], fitted["bias"])
    assert shares[:, 1].mean() == pytest.approx(0.1, abs=0.03)
