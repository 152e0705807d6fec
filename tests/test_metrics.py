"""Figures of merit against numbers worked out by hand, and against torchmetrics."""

import math

import numpy as np
import pytest

from voxtrait.errors import OptionError
from voxtrait.evaluate import metrics
from voxtrait.evaluate.metrics import Interval, bootstrap, equal_error_rate

TRUTH = [0, 0, 0, 1, 1, 2]
ANSWERED = [0, 0, 1, 1, 0, 2]


def test_uar_is_the_mean_of_recalls() -> None:
    assert metrics.uar(TRUTH, ANSWERED).value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert [recall.value for recall in metrics.per_class_recall(TRUTH, ANSWERED, 3)] == pytest.approx([2 / 3, 0.5, 1])


def test_uar_of_a_constant_answer_is_one_over_the_classes_however_unequal_they_are() -> None:
    assert metrics.uar([0] * 97 + [1, 2, 2], [0] * 100).value == pytest.approx(1 / 3)


def test_clips_and_answers_outside_the_classes() -> None:
    assert metrics.uar([-1, 0, 1], [0, 0, -1]).value == 0.5  # the first does not count, the last is wrong
    assert math.isnan(metrics.per_class_recall([0], [0], 2)[1].value)


def test_accuracy_and_confusion() -> None:
    assert metrics.accuracy(TRUTH, ANSWERED).value == pytest.approx(4 / 6)
    assert metrics.confusion(TRUTH, ANSWERED, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_years() -> None:
    assert metrics.mae([20, 30, 40], [25, 30, 30]).value == 5
    assert metrics.interval_coverage([20, 30, 40], [20, 31, 30], [25, 35, 40]).value == pytest.approx(2 / 3)
    assert metrics.pearson([1, 2, 3], [2, 4, 7]).value == pytest.approx(np.corrcoef([1, 2, 3], [2, 4, 7])[0, 1])
    assert math.isnan(metrics.pearson([1, 2, 3], [5, 5, 5]).value)


def test_quantile_range_is_between_values_that_occur() -> None:
    ages = [15.0] * 5 + [25.0] * 60 + [35.0] * 25 + [55.0] * 10
    assert metrics.quantile_range(ages, 0.1, 0.9).value == 35 - 25
    assert metrics.quantile_range(ages, 0.05, 0.95).value == 55 - 15
    assert metrics.quantile_range(ages, 0.0, 1.0).value == 55 - 15
    assert math.isnan(metrics.quantile_range([], 0.1, 0.9).value)
    rng = np.random.default_rng(0)
    for n in (1, 7, 10, 30, 100):
        many = rng.integers(0, 100, n).astype(float)
        low, high = np.quantile(many, [0.1, 0.9], method="inverted_cdf")
        assert metrics.quantile_range(many, 0.1, 0.9).value == high - low


def test_quantile_range_drawn_is_that_of_the_drawn_speakers() -> None:
    figure = metrics.quantile_range([20.0, 20.0, 60.0], 0.1, 0.9)
    assert figure.of(np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 0.0]])).tolist()[:2] == [40.0, 0.0]
    assert bootstrap({"width": figure}, [0, 0, 1])["width"] == Interval(40.0, 0.0, 40.0)


def test_a_difference_is_drawn_together() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=100)
    apart = metrics.difference(metrics.mean(values + 1), metrics.mean(values))
    found = bootstrap({"difference": apart}, np.arange(100))["difference"]
    assert found == pytest.approx((1.0, 1.0, 1.0))
    assert metrics.difference(metrics.mean([0.0]), metrics.mean([2.0])).value == -2


def test_pearson_of_numbers_far_from_zero() -> None:
    x = np.random.default_rng(0).normal(size=50)
    assert metrics.pearson(1e7 + x, x).value == pytest.approx(1, abs=1e-6)


def test_calibration_error_by_hand() -> None:
    # bin 0.2: two clips said 0.25 on average, half of them female; bin 0.9: two said 0.95, both female
    assert metrics.ece([True, False, True, True], [0.24, 0.26, 0.93, 0.97]).value == pytest.approx(0.15)
    assert metrics.ece([True], [1.0]).value == 0
    assert metrics.calibration_bins([True, False], [0.24, 0.26])[:, 2].tolist() == [2, 0.5, 1]


def test_weights_make_speakers_count_the_same() -> None:
    assert metrics.accuracy([0, 0, 0], [0, 0, 1]).weighted([0.5, 0.5, 1]).value == 0.5


def test_nothing_to_measure_is_none() -> None:
    figures = {"uar": metrics.uar([], []), "mae": metrics.mae([], []), "r": metrics.pearson([], [])}
    assert set(bootstrap(figures, []).values()) == {Interval(None, None, None)}


def test_one_speaker_has_no_interval() -> None:
    assert bootstrap({"mae": metrics.mean([1.0, 3.0])}, [7, 7])["mae"] == Interval(2.0, None, None)


def test_bootstrap_draws_speakers_and_not_clips() -> None:
    values = np.repeat([0.0, 1.0], 500)  # two speakers of 500 clips: a draw is all 0, all 1, or the half
    assert bootstrap({"share": metrics.mean(values)}, np.repeat(["a", "b"], 500))["share"] == Interval(0.5, 0.0, 1.0)


def test_bootstrap_is_as_wide_as_the_theory_of_means_says_and_repeats() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap({"mean": metrics.mean(values)}, np.arange(400))["mean"]
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
    assert found == bootstrap({"mean": metrics.mean(values)}, np.arange(400))["mean"]
    assert found != bootstrap({"mean": metrics.mean(values)}, np.arange(400), seed=1)["mean"]


def test_bootstrap_in_small_pieces_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"uar": metrics.uar(TRUTH, ANSWERED), "accuracy": metrics.accuracy(TRUTH, ANSWERED)}
    whole = bootstrap(figures, [0, 0, 1, 1, 2, 2])
    monkeypatch.setattr(metrics, "_CHUNK", 3 * 7)
    assert bootstrap(figures, [0, 0, 1, 1, 2, 2]) == whole


def test_draws_without_a_class_do_not_count() -> None:
    # the only speaker of class 1 is missing from a quarter of the draws; where both are drawn, UAR is 0.5
    assert bootstrap({"uar": metrics.uar([0, 1], [0, 0])}, [0, 1])["uar"] == Interval(0.5, 0.5, 0.5)


def test_interval_holds_the_value_even_where_resampling_is_biased() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(2000)
    found = bootstrap({"ece": metrics.ece(rng.random(2000) < p, p)}, np.arange(2000))["ece"]
    assert found.low is not None and found.value is not None and found.high is not None
    assert found.low <= found.value < found.high


def test_torchmetrics_agrees() -> None:
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torchmetrics.functional")
    rng = np.random.default_rng(0)
    truth, answered, p = rng.integers(0, 7, 500), rng.integers(0, 7, 500), rng.random(500)
    female = rng.random(500) < p**2
    t, a = torch.tensor(truth), torch.tensor(answered)
    recall = oracle.classification.multiclass_recall(a, t, 7, average="macro")
    assert metrics.uar(truth, answered).value == pytest.approx(recall.item(), abs=1e-6)
    matrix = oracle.classification.multiclass_confusion_matrix(a, t, 7)
    assert metrics.confusion(truth, answered, 7).tolist() == matrix.tolist()
    error = oracle.classification.binary_calibration_error(torch.tensor(p), torch.tensor(female).int(), n_bins=10)
    assert metrics.ece(female, p).value == pytest.approx(error.item(), abs=1e-6)
    r = oracle.pearson_corrcoef(torch.tensor(p), torch.tensor(female, dtype=torch.float64))
    assert metrics.pearson(female, p).value == pytest.approx(r.item(), abs=1e-6)


# --- equal error rate


def test_equal_error_rate_of_separated_scores() -> None:
    # any threshold above 0.2 and up to 0.8 makes no error: the middle of that range is returned
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2]) == pytest.approx((0.0, 0.5))
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == pytest.approx((1.0, 0.5))
    assert equal_error_rate([1.0], [-1.0]) == (0.0, 0.0)


def test_equal_error_rate_of_identical_distributions_is_one_half() -> None:
    scores = np.random.default_rng(0).normal(size=1001)
    assert equal_error_rate(scores, scores).rate == pytest.approx(0.5)
    assert equal_error_rate([0.3], [0.3]) == (0.5, 0.3)
    assert equal_error_rate([0.3] * 7, [0.3] * 2).rate == 0.5


def test_equal_error_rate_between_two_observed_thresholds() -> None:
    # at 0.5 FMR is 1/3 (0.6) and FNMR 0, above it FNMR is 1/2: the line between these points meets FMR = FNMR at 1/3
    assert equal_error_rate([0.5, 0.9], [0.1, 0.2, 0.6]) == pytest.approx((1 / 3, 0.5))
    # at 0.4 FMR is 2/3 and FNMR 1/4, at 0.5 FMR is 1/3 and FNMR 1/4, at 0.6 FMR is 0 and FNMR 1/4: the curve falls
    # from (1/3, 1/4) to (0, 1/4), and FMR = FNMR at 1/4
    assert equal_error_rate([0.3, 0.6, 0.7, 0.8], [0.1, 0.4, 0.5]) == pytest.approx((1 / 4, 0.5))
    # both errors are 1/4 for thresholds above 0.4 and up to 0.5
    assert equal_error_rate([0.4, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.5]) == pytest.approx((1 / 4, 0.45))


def test_equal_error_rate_of_ties_is_on_the_straight_line() -> None:
    # at 0.5: FMR 1/2, FNMR 0; above it FMR 0, FNMR 1/2: the middle of the line between these points
    assert equal_error_rate([0.5, 0.9], [0.1, 0.5]) == (0.25, 0.5)
    # at 0.5: FMR 1, FNMR 0; above it FMR 0, FNMR 1/4: x = (1 - x) / 4, and x = 1/5
    assert equal_error_rate([0.5, 0.6, 0.7, 0.8], [0.5]) == pytest.approx((1 / 5, 0.5))


def test_equal_error_rate_of_two_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    found = equal_error_rate(rng.normal(2.0, 1.0, 100_000), rng.normal(0.0, 1.0, 200_000))
    assert found.rate == pytest.approx(0.15866, abs=0.003)  # the normal distribution's share below -1
    assert found.threshold == pytest.approx(1.0, abs=0.02)


def test_equal_error_rate_with_weights_is_that_of_repeated_pairs() -> None:
    rng = np.random.default_rng(1)
    same, different = rng.normal(1, 1, 30).round(1), rng.normal(0, 1, 50).round(1)
    times, others = rng.integers(0, 4, 30), rng.integers(0, 4, 50)
    weighted = equal_error_rate(same, different, times, others / 7)
    assert weighted == pytest.approx(equal_error_rate(np.repeat(same, times), np.repeat(different, others)))
    assert weighted != equal_error_rate(same, different)
    # 0.1 + 0.1 + 0.1 is not quite 0.3: both errors still count as equal above 0.2 and up to 0.8
    tenths = equal_error_rate([0.1, 0.15, 0.2, 0.9], [0.0, 0.8], [0.1, 0.1, 0.1, 0.7], [0.7, 0.3])
    assert tenths == pytest.approx((0.3, 0.5))
    # a pair with the weight 0 does not count, and neither does its score
    assert equal_error_rate([0.8, -5.0], [0.1, 5.0], [2, 0], [3, 0]) == pytest.approx((0.0, 0.45))


def test_equal_error_rate_depends_on_the_order_of_scores_alone() -> None:
    rng = np.random.default_rng(2)
    same, different = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    rate = equal_error_rate(same, different).rate
    assert equal_error_rate(np.exp(same), np.exp(different)).rate == rate
    assert equal_error_rate(-different, -same).rate == pytest.approx(rate)  # both kinds of error change places


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [0.1]), r"same-speaker scores of shape \(0,\)"),
        (([0.1], []), r"different-speaker scores of shape \(0,\)"),
        (([[0.1]], [0.1]), r"shape \(1, 1\)"),
        (([0.1, math.nan], [0.1]), "1 same-speaker scores that are not finite"),
        (([0.1], [math.inf, 0.2, math.nan]), "2 different-speaker scores that are not finite"),
        (([0.1, 0.2], [0.1], [1.0]), r"weights of shape \(1,\)"),
        (([0.1], [0.1], [-1.0]), "same-speaker weights that are negative"),
        (([0.1], [0.1], None, [0.0]), "different-speaker weights that are negative, not finite or all 0"),
        (([0.1], [0.1], [math.nan]), "same-speaker weights"),
    ],
)
def test_equal_error_rate_refuses_what_has_none(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        equal_error_rate(*arguments)  # type: ignore[arg-type]
