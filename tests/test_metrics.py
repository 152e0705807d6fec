"""Figures of merit against numbers worked out by hand, and against torchmetrics."""

import math

import numpy as np
import pytest

from voxtrait import metrics
from voxtrait.metrics import Interval, bootstrap

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
