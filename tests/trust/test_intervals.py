"""Intervals against SciPy and statsmodels, their coverage counted out exactly, and the bootstrap where it can break."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import bdtr, betainc

from sevensteps.errors import UsageError
from sevensteps.records.scores import Interval
from sevensteps.trust import intervals
from sevensteps.trust.intervals import (
    bca,
    bootstrap,
    clopper_pearson,
    distinct,
    linear_combination,
    mean,
    means_without_one,
    newcombe_area,
    wilson,
)
from sevensteps.trust.jackknife import MANY as JACKKNIFED

Counts = tuple[int, int]
COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVELS = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(COUNTS, LEVELS, st.sampled_from([(wilson, "wilson"), (clopper_pearson, "exact")]))
def test_an_interval_of_a_proportion_is_scipys(
    counts: Counts, level: float, method: tuple[Callable[..., Interval], str]
) -> None:
    ours, theirs = method
    interval, expected = ours(*counts, level), stats.binomtest(*counts).proportion_ci(level, theirs)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= interval.low <= counts[0] / counts[1] <= interval.high <= 1


@pytest.mark.slow
def test_an_interval_of_a_proportion_is_statsmodels_for_every_count_up_to_200() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for n in range(1, 201):
        for ours, theirs in ((wilson, "wilson"), (clopper_pearson, "beta")):
            expected = np.array([proportion.proportion_confint(k, n, method=theirs) for k in range(n + 1)])
            found = np.array([(ours(k, n).low, ours(k, n).high) for k in range(n + 1)])
            np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-9)


def of_every_count(method: Callable[..., Interval], n: int) -> np.ndarray:
    """The ends for 0 to n right, a row each."""
    return np.array([(found.low, found.high) for found in (method(correct, n) for correct in range(n + 1))])


def least_coverage(ends: np.ndarray) -> float:
    """The least probability, over every true share, that the interval includes it.

    Between two neighboring ends the same counts cover the truth, and their probability has one hump; so the least is
    at an end, counted from either side of it.
    """
    n = len(ends) - 1
    truths = np.unique(ends)
    least = 1.0
    for below, above in itertools.pairwise(truths):
        covering = np.flatnonzero((ends[:, 0] <= below) & (ends[:, 1] >= above))
        if not len(covering):
            return 0.0
        for truth in (below, above):
            under = bdtr(covering[0] - 1, n, truth) if covering[0] else 0.0
            least = min(least, float(bdtr(covering[-1], n, truth) - under))
    return least


def mean_coverage(ends: np.ndarray) -> float:
    """The mean over all true shares, in closed form: the integral of a binomial probability is a beta function's."""
    n, k = len(ends) - 1, np.arange(len(ends))
    covered = betainc(k + 1, n - k + 1, ends[:, 1]) - betainc(k + 1, n - k + 1, ends[:, 0])
    return float(covered.sum() / (n + 1))


def test_clopper_and_pearsons_interval_never_covers_less_than_95_percent() -> None:
    least = [least_coverage(of_every_count(clopper_pearson, n)) for n in range(1, 201)]
    assert min(least) >= 0.95 - 1e-9
    assert max(least[:3]) >= 0.95  # and the least is found: another level than 0.95 would show


def test_wilsons_interval_covers_95_percent_in_the_mean_and_its_least_is_the_known_one() -> None:
    ends = [of_every_count(wilson, n) for n in range(1, 201)]
    means = [mean_coverage(one) for one in ends]
    assert min(means[2:]) > 0.94
    assert max(means) < 0.96
    assert np.mean(means[4:]) == pytest.approx(0.952, abs=0.002)
    least = [least_coverage(one) for one in ends]
    # Near 0 the lower end for one right is x / n with x + 1 / x = z^2 + 2; under it only "none right" covers, whose
    # probability tends to exp(-x) (Agresti and Coull 1998 name 0.838).
    z2 = stats.norm.ppf(0.975) ** 2
    x = (z2 + 2 - math.sqrt((z2 + 2) ** 2 - 4)) / 2
    assert math.exp(-x) == pytest.approx(0.838, abs=0.0005)
    assert least[-1] == pytest.approx(math.exp(-x), abs=0.001)
    assert min(least) == least[0] == pytest.approx(1 - wilson(1, 1).low)


def test_the_count_of_coverage_sees_an_interval_that_is_too_short() -> None:
    assert least_coverage(of_every_count(lambda k, n: clopper_pearson(k, n, 0.94), 50)) < 0.95


@pytest.mark.parametrize("method", [wilson, clopper_pearson])
@pytest.mark.parametrize("n", [1, 2, 10, 2000])
def test_none_right_and_all_right_have_intervals_that_mirror_each_other(
    method: Callable[..., Interval], n: int
) -> None:
    none, every = method(0, n), method(n, n)
    assert none.low == 0 < none.high < 1
    assert every.high == 1 > every.low > 0
    assert every.low == pytest.approx(1 - none.high)


@pytest.mark.parametrize("method", [wilson, clopper_pearson])
@pytest.mark.parametrize(
    ("correct", "n", "level"), [(0, 0, 0.95), (-1, 9, 0.95), (10, 9, 0.95), (1, 9, 1.0), (1, 9, 0.0)]
)
def test_what_is_no_proportion_or_no_confidence_is_refused(
    method: Callable[..., Interval], correct: int, n: int, level: float
) -> None:
    with pytest.raises(UsageError, match=r"not a proportion|not between 0 and 1"):
        method(correct, n, level)


def resampled(monkeypatch: pytest.MonkeyPatch, *arguments: Any, **how: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """What `bootstrap` finds, and the resamples and leave-one-out values from which it does."""
    seen: list[tuple[Any, ...]] = []

    def watched(*given: Any) -> tuple[float, float]:
        seen.append(given)
        return bca(*given)

    monkeypatch.setattr(intervals, "bca", watched)
    found = bootstrap(*arguments, **how)
    _, drawn, without, counts, _ = seen[0]
    return found, drawn, np.repeat(without, counts.astype(int))


def deviation(values: np.ndarray) -> Callable[[np.ndarray], Any]:
    """A statistic that is no mean and has no formula for leaving one out."""

    def from_weights(weights: np.ndarray) -> Any:
        share = weights / weights.sum(1, keepdims=True)
        return np.sqrt(np.maximum(share @ values**2 - (share @ values) ** 2, 0))

    return from_weights


@pytest.mark.parametrize("statistic", [mean, deviation])
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans(), LEVELS)
def test_the_ends_are_scipys_for_the_same_resamples(
    statistic: Any, seed: int, n: int, whole: bool, level: float
) -> None:
    # Resamples that have the very value count by half, which SciPy sees in exact sums only: there are none of 20 rows.
    values = np.random.default_rng(seed).lognormal(size=n if statistic is mean else n + 20)
    if statistic is mean and (whole or n < 20):
        values = np.ceil(values)
    with pytest.MonkeyPatch.context() as patch:
        if len(np.unique(values)) == 1:
            return
        found, drawn, _ = resampled(patch, statistic, values, resamples=400, seed=seed, confidence=level)
    plain = {mean: np.mean, deviation: np.std}[statistic]
    had = stats._resampling.BootstrapResult(None, drawn, drawn.std(ddof=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stats.bootstrap(
            (values,), plain, n_resamples=0, bootstrap_result=had, confidence_level=level, method="BCa", vectorized=True
        ).confidence_interval
    if math.isnan(theirs.low) or math.isnan(theirs.high):  # all on one side of the value: ours is defined
        assert found.interval is not None
        return
    low, high = min(theirs.low, found.value), max(theirs.high, found.value)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_a_mean_has_the_interval_that_scipy_draws_itself() -> None:
    values = np.random.default_rng(1).lognormal(size=300)
    found = bootstrap(mean, values, seed=2)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, rng=3).confidence_interval
    error = (theirs.high - theirs.low) * 0.02  # of the 2.5 % point of 10,000 resamples, some three deviations
    assert found.interval.low == pytest.approx(theirs.low, abs=error)
    assert found.interval.high == pytest.approx(theirs.high, abs=error)


@pytest.mark.parametrize("kinds", [2, 30, 3000])
def test_resamples_are_of_all_rows_however_they_are_drawn(kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, kinds, 1000).astype(float)
    _, drawn, _ = resampled(monkeypatch, mean, values, seed=1)
    assert len(drawn) == 10_000
    spread = values.std() / math.sqrt(1000)
    assert drawn.mean() == pytest.approx(values.mean(), abs=4 * spread / 100)
    assert drawn.std() == pytest.approx(spread, rel=0.03)


def test_the_resamples_of_a_proportion_are_binomial(monkeypatch: pytest.MonkeyPatch) -> None:
    right = (np.arange(400) < 380).astype(np.float64)
    _, drawn, _ = resampled(monkeypatch, mean, right, seed=1)
    counts = np.bincount(np.rint(drawn * 400).astype(int), minlength=401)
    likely = np.flatnonzero(stats.binom.pmf(np.arange(401), 400, 0.95) > 0.002)
    expected = stats.binom.pmf(likely, 400, 0.95)
    test = stats.chisquare(counts[likely], expected / expected.sum() * counts[likely].sum())
    assert test.pvalue > 0.001


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(0, 3))
def test_leaving_one_out_is_what_it_says(seed: int, n: int, digits: int) -> None:
    values = np.random.default_rng(seed).normal(size=n).round(digits)
    for statistic, plain, how in ((mean, np.mean, means_without_one), (mean, np.mean, None), (deviation, np.std, None)):
        with pytest.MonkeyPatch.context() as patch:
            _, _, without = resampled(patch, statistic, values, resamples=100, leave_one_out=how)
        expected = [plain(np.delete(values, row)) for row in range(n)]
        np.testing.assert_allclose(np.sort(without), np.sort(expected), rtol=1e-9, atol=1e-7)


def test_the_same_rows_and_seed_give_the_same_interval_however_much_memory_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).normal(size=500)
    first = bootstrap(mean, values, seed=3, resamples=999)
    assert bootstrap(mean, values[::-1].copy(), seed=3, resamples=999) == first
    assert bootstrap(mean, values, seed=4, resamples=999) != first
    monkeypatch.setattr(intervals, "AT_ONCE", 1700)
    small = bootstrap(mean, values, seed=3, resamples=999)
    assert (small.interval.low, small.interval.high) == pytest.approx((first.interval.low, first.interval.high))


def test_a_row_keeps_its_columns_together() -> None:
    """The mean of the second column where the first is 1: merging and reordering rows must not tear them apart."""
    random = np.random.default_rng(0)
    group, pair = random.integers(0, 2, 300), random.integers(0, 3, (300, 2)).astype(np.float32)

    def in_group(group: np.ndarray, pair: np.ndarray) -> Callable[[np.ndarray], Any]:
        return lambda weights: weights @ (pair[:, 1] * group) / (weights @ group)

    found = bootstrap(in_group, group, pair, resamples=500)
    assert found.value == pytest.approx(pair[group == 1, 1].mean())
    assert found.value in found.interval


def test_sums_that_differ_in_their_last_digit_alone_count_as_equal() -> None:
    drawn = np.concatenate([np.full(500, 0.3), np.full(500, 0.1 + 0.2), np.linspace(0.0, 0.6, 1000)])
    ends = [bca(value, drawn, np.array([0.1, 0.2, 0.3]), np.ones(3)) for value in (0.3, 0.1 + 0.2)]
    assert ends[0] == ends[1] == pytest.approx((0.03, 0.57), abs=0.002)


def test_resamples_without_a_value_are_left_out_and_counted() -> None:
    rare = np.array([1.0] + [0.0] * 29)

    def share_of_rare(values: np.ndarray) -> Callable[[np.ndarray], Any]:
        return lambda weights: (weights @ values) / (weights @ values)

    found = bootstrap(share_of_rare, rare, resamples=2000)
    assert found.value == 1
    assert found.resamples + found.excluded == 2000
    assert found.excluded / 2000 == pytest.approx((29 / 30) ** 30, abs=0.04)
    assert found.interval == Interval(1.0, 1.0)


def test_too_few_resamples_with_a_value_give_no_interval_and_say_so() -> None:
    def first_alone(values: np.ndarray) -> Callable[[np.ndarray], Any]:
        return lambda weights: np.where((weights > 0).all(1), 1.0, math.nan)

    found = bootstrap(first_alone, np.arange(8.0), resamples=1000)
    assert (found.value, found.interval) == (1, None)
    assert found.reason == f"only {found.resamples} of 1,000 resamples have a value"
    assert found.excluded + found.resamples == 1000


def test_one_row_no_value_and_equal_rows_are_defined() -> None:
    one = bootstrap(mean, np.array([3.0]))
    assert (one.value, one.interval) == (3, None)
    assert "one row" in one.reason
    nothing = bootstrap(lambda values: lambda weights: np.full(len(weights), math.nan), np.arange(5.0))
    assert (nothing.value, nothing.interval) == (None, None)
    assert "no value" in nothing.reason
    assert bootstrap(mean, np.full(7, 0.25)).interval == Interval(0.25, 0.25)


def test_an_interval_is_clipped_to_the_statistics_range_and_includes_the_value() -> None:
    values = np.array([0.0, 0.0, 0.1, 0.9])
    assert bootstrap(mean, values, within=(0.2, 0.3)).interval == Interval(0.2, 0.3)

    def different(values: np.ndarray) -> Callable[[np.ndarray], Any]:
        return lambda weights: (weights > 0).sum(1)

    found = bootstrap(different, np.random.default_rng(0).normal(size=40))
    assert found.value == 40  # which no resample reaches
    assert found.interval.low < 40 == found.interval.high


def test_resamples_all_on_one_side_and_a_large_acceleration_give_ends() -> None:
    drawn = np.linspace(1, 2, 1000)
    counts = np.ones(3)
    for value in (0.0, 5.0):
        low, high = bca(value, drawn, np.zeros(3), counts)
        assert 1 <= low <= high <= 2
    one = np.append(np.zeros(99), 9.0)
    for skewed in (one, -one, np.full(100, math.nan)):
        for value in (1.0001, 1.5, 1.9999):
            low, high = bca(value, drawn, skewed, np.ones(100), 0.9999)
            assert 1 <= low < high <= 2


@pytest.mark.parametrize(
    ("columns", "how", "says"),
    [
        ((), {}, "no rows"),
        ((np.zeros(0),), {}, "no rows"),
        ((np.zeros(3), np.zeros(4)), {}, "3, 4"),
        ((np.zeros(3),), {"resamples": 99}, "99 resamples"),
        ((np.zeros(3),), {"confidence": 95}, "95 is not between"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_cannot_be_resampled_is_refused(columns: Any, how: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bootstrap(mean, *columns, **how)


def test_a_difference_of_proportions_has_newcombes_interval() -> None:
    """His example: 56 of 70 against 48 of 80, method 10: 0.0524 to 0.3339."""
    one, other = wilson(56, 70), wilson(48, 80)
    found = linear_combination(
        np.array([56 / 70, -48 / 80]),
        np.array([one.low, -other.high]),
        np.array([one.high, -other.low]),
        np.ones(2),
    )
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(COUNTS, COUNTS)
def test_a_difference_of_proportions_is_statsmodels(one: Counts, other: Counts) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    first, second = wilson(*one), wilson(*other)
    found = linear_combination(
        np.array([one[0] / one[1], other[0] / other[1]]),
        np.array([first.low, second.low]),
        np.array([first.high, second.high]),
        np.array([1.0, 1.0]),
    )
    low, high = proportion.confint_proportions_2indep(*one, other[1] - other[0], other[1], method="newcomb")
    # A sum of shares is a difference from the other's wrong answers, and one more.
    assert (found.low - 1, found.high - 1) == pytest.approx((low, high), abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_the_interval_of_an_area_ends_where_the_score_test_rejects(area: float, positives: int, negatives: int) -> None:
    found = newcombe_area(area, positives, negatives)
    z = stats.norm.ppf(0.975)
    more = (positives + negatives) / 2 - 1

    def distance(truth: float) -> float:
        first, second = truth / (2 - truth), 2 * truth**2 / (1 + truth)
        same = truth * (1 - truth) + more * (first - truth**2) + more * (second - truth**2)
        return abs(area - truth) / math.sqrt(same / (positives * negatives)) - z

    assert 0 <= found.low <= area <= found.high <= 1
    for end, limit in ((found.low, 0.0), (found.high, 1.0)):
        if 1e-6 < end < 1 - 1e-6:
            assert distance(end) == pytest.approx(0, abs=1e-6)
        else:
            assert end == pytest.approx(limit, abs=1e-6) or end == pytest.approx(area, abs=1e-6)


def test_classes_that_do_not_overlap_have_an_interval_that_shrinks_with_the_pictures() -> None:
    few, many = newcombe_area(1.0, 5, 5), newcombe_area(1.0, 1000, 1000)
    assert few.high == many.high == 1
    assert few.low < 0.75 < 0.99 < many.low < 1


@pytest.mark.parametrize("arguments", [(0.5, 0, 3), (0.5, 3, 0), (1.1, 3, 3), (-0.1, 3, 3), (0.5, 3, 3, 2.0)])
def test_an_area_of_one_class_is_refused(arguments: Any) -> None:
    with pytest.raises(UsageError):
        newcombe_area(*arguments)


def test_the_jackknife_gives_the_interval_of_many_rows_that_resampling_gives() -> None:
    losses = np.random.default_rng(0).exponential(size=JACKKNIFED + 1)
    found = bootstrap(mean, losses, leave_one_out=means_without_one)
    resampled = bootstrap(mean, losses[:-1], resamples=2000, leave_one_out=means_without_one)
    assert (found.method, resampled.method) == ("jackknife", "bootstrap")
    assert found.value == pytest.approx(losses.mean())
    assert found.interval is not None
    assert resampled.interval is not None
    error = losses.std(ddof=1) / math.sqrt(len(losses))
    assert found.interval.low == pytest.approx(losses.mean() - 1.959964 * error)
    assert found.interval.high == pytest.approx(losses.mean() + 1.959964 * error)
    assert resampled.interval.low == pytest.approx(found.interval.low, abs=0.25 * error)
    assert resampled.interval.high == pytest.approx(found.interval.high, abs=0.25 * error)


def test_many_rows_of_few_kinds_are_resampled_as_ever_and_merged_as_few_rows_are() -> None:
    random = np.random.default_rng(0)
    labels, shares = random.integers(0, 3, JACKKNIFED + 1), random.integers(0, 4, (JACKKNIFED + 1, 2)) / 4 - 0.5
    counts, (label, share) = distinct((labels, shares))
    rows, times = np.unique(np.column_stack([labels, shares]), axis=0, return_counts=True)
    np.testing.assert_array_equal(np.column_stack([label, share]), rows)
    np.testing.assert_array_equal(counts, times)
    assert bootstrap(mean, labels.astype(np.float64), leave_one_out=means_without_one).method == "bootstrap"
