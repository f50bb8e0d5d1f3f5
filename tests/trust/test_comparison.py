"""Comparing models: the test, the interval and number of pictures against SciPy and statsmodels, and by counting."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from tables import answering, pair, rows_of, table

from sevensteps.errors import DataError, UsageError
from sevensteps.records.scores import Interval
from sevensteps.trust.comparison import compare, compare_all, holm, mid_p, mid_ps, over_seeds, pictures_needed, tango
from sevensteps.trust.intervals import wilson

Z = stats.norm.ppf(0.975)
ALONE = st.tuples(st.integers(0, 400), st.integers(0, 400))


@settings(max_examples=500, deadline=None)
@given(st.tuples(st.integers(0, 5000), st.integers(0, 5000)) | ALONE)
def test_mid_p_is_scipys_exact_p_less_half_of_what_was_seen_on_either_side(alone: tuple[int, int]) -> None:
    n = sum(alone)
    if alone[0] == alone[1]:
        assert mid_p(*alone) == pytest.approx(1, abs=1e-9)
    else:
        exact = stats.binomtest(alone[0], n, 0.5).pvalue
        expected = exact - stats.binom.pmf(alone[0], n, 0.5)
        assert mid_p(*alone) == pytest.approx(expected, abs=1e-9)
    assert mid_p(*alone) == mid_p(*alone[::-1])


@pytest.mark.slow
def test_mid_p_is_from_statsmodels_exact_test_for_every_count_up_to_60() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for a in range(61):
        for b in range(a):
            exact = tables.mcnemar([[5, a], [b, 7]], exact=True).pvalue
            assert mid_p(a, b) == pytest.approx(exact - stats.binom.pmf(a, a + b, 0.5), abs=1e-9)


def test_the_published_example_has_the_published_figures() -> None:
    """Airway hyper-responsiveness of 21 children before and after (Fagerland, Lydersen and Laake 2013 and 2014)."""
    assert mid_p(7, 1) == pytest.approx(0.0391, abs=5e-5)
    found = tango(7, 1, 21)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def score_statistic(difference: float, only_a: int, only_b: int, n: int) -> float:
    """The score statistic of a difference, whose nuisance parameter maximizes the likelihood, found by search."""
    lowest, highest = max(0.0, -difference), (1 - difference) / 2

    def slope(alone: float) -> float:
        rest = n - only_a - only_b
        return only_a / alone + only_b / (alone + difference) - 2 * rest / (1 - 2 * alone - difference)

    inner = (lowest + 1e-13, highest - 1e-13)
    if only_a + only_b == 0 or slope(inner[0]) <= 0:
        alone = lowest
    elif only_a + only_b == n or slope(inner[1]) >= 0:
        alone = highest
    else:
        alone = optimize.brentq(slope, *inner, xtol=1e-16)
    variance = (2 * alone + difference - difference**2) / n
    return ((only_b - only_a) / n - difference) / math.sqrt(variance) if variance > 0 else math.inf


@settings(max_examples=200, deadline=None)
@given(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000)).filter(any))
def test_the_interval_ends_where_the_score_test_rejects(counts: tuple[int, int, int]) -> None:
    only_a, only_b, rest = counts
    n = only_a + only_b + rest
    found = tango(only_a, only_b, n)
    seen = (only_b - only_a) / n
    assert -1 <= found.low <= seen <= found.high <= 1
    for end, limit in ((found.low, -1.0), (found.high, 1.0)):
        if abs(end - limit) < 1e-9:
            continue
        root = optimize.brentq(
            lambda truth: abs(score_statistic(truth, only_a, only_b, n)) - Z,
            seen + (limit - seen) * 1e-12,
            limit * (1 - 1e-9),
            xtol=1e-14,
        )
        assert end == pytest.approx(root, abs=1e-9)


def test_models_that_never_differ_may_still_differ_a_little() -> None:
    found = tango(0, 0, 2000)
    assert (-found.low, found.high) == pytest.approx([Z**2 / (2000 + Z**2)] * 2)


@given(ALONE, st.integers(0, 5000))
def test_the_interval_of_the_other_way_round_is_the_negative(alone: tuple[int, int], rest: int) -> None:
    n = sum(alone) + rest + 1
    one, other = tango(*alone, n), tango(*alone[::-1], n)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)


def test_what_the_test_tells_apart_the_interval_does_and_hardly_ever_the_other_way() -> None:
    disagree = []
    for n_alone in range(1, 301):
        fewer = np.arange(n_alone // 2 + 1)
        for a, p in zip(fewer.tolist(), mid_ps(fewer, n_alone - fewer).tolist(), strict=True):
            if 0.02 < p < 0.1 and (p < 0.05) != (0.0 not in tango(a, n_alone - a, 1000)):
                disagree.append((a, n_alone - a, p))
    assert all(p >= 0.05 for *_, p in disagree)
    assert len(disagree) <= 12  # of some 2,000, all with p up to 0.0525 but 0 against 4
    assert max(p for a, b, p in disagree if (a, b) != (0, 4)) < 0.053


def rejections(n_alone: np.ndarray, share: float, level: float = 0.05) -> np.ndarray:
    """The probability that the test rejects, for each number of pictures that one model has right alone."""
    found = []
    for n in n_alone.tolist():
        a = np.arange(n + 1)
        found.append(float(stats.binom.pmf(a, n, share)[mid_ps(a, n - a) < level].sum()))
    return np.array(found)


def test_equal_models_are_told_apart_in_5_percent_counted_exactly() -> None:
    """Over the number of pictures that differ and every share of them: fails at a level of 4.35 or 5.65 percent."""
    counts = np.arange(0, 401)
    of_count = rejections(counts, 0.5)
    for n in (100, 500, 2000, 10_000):
        for expected in [*range(1, 40), *range(40, 160, 10)]:
            if expected <= 0.4 * n:
                level = float(stats.binom.pmf(counts, n, expected / n) @ of_count)
                assert level <= 0.0565
                if expected >= 40:
                    assert level >= 0.0435


def test_equal_models_are_told_apart_in_5_percent_of_10000_simulated_pairs() -> None:
    """One standard error is 0.22 points: a level under 4.35 or over 5.65 percent fails, and so does the exact test,
    which rejects in some 3.5 percent of the pairs that differ in 40 pictures."""
    random = np.random.default_rng(5)
    for n, expected in ((2000, 4), (2000, 12), (500, 25), (2000, 40), (10_000, 60), (2000, 200), (1000, 400)):
        share = expected / n / 2
        alone = random.multinomial(n, [share, share, 1 - 2 * share], 10_000)
        rate = float((mid_ps(alone[:, 0], alone[:, 1]) < 0.05).mean())
        assert rate <= 0.0565, (n, expected)
        if expected >= 40:
            assert rate >= 0.0435, (n, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("expected", "least"), [(10, 0.0), (50, 0.0435)])
def test_compare_tells_10000_equal_pairs_apart_in_5_percent(expected: int, least: float) -> None:
    """The same through `compare` itself, on tables of 200 pictures."""
    random = np.random.default_rng(expected)
    labels = np.arange(200) % 2
    told = 0
    for _ in range(10_000):
        kind = random.random(200) * 200
        a = np.where(kind < expected / 2, 1 - labels, labels)
        b = np.where((kind >= expected / 2) & (kind < expected), 1 - labels, labels)
        told += compare(answering(labels, a), answering(labels, b)).is_told
    assert least <= told / 10_000 <= 0.0565


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(20, 30, 1000), (5, 12, 2000), (40, 55, 10_000), (200, 230, 2000)])
def test_as_many_pictures_as_it_says_tell_in_80_percent(only_a: int, only_b: int, n: int) -> None:
    needed = pictures_needed(only_a, only_b, n)
    assert needed is not None
    discordant = (only_a + only_b) / n
    counts = np.arange(*stats.binom.interval(1 - 1e-6, needed, discordant), dtype=int)
    power = stats.binom.pmf(counts, needed, discordant) @ rejections(counts, only_b / (only_a + only_b))
    assert 0.78 < power < 0.83
    assert pictures_needed(only_b, only_a, n) == needed
    assert pictures_needed(only_a, only_b, n, 0.01) > needed


def test_no_number_of_pictures_tells_models_apart_that_do_not_differ() -> None:
    assert pictures_needed(0, 0, 100) is pictures_needed(7, 7, 100) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_is_its_definition(p_values: list[float]) -> None:
    found = holm(p_values)
    m = len(p_values)
    ranked = sorted(p_values)
    for p, corrected in zip(p_values, found, strict=True):
        expected = min(1.0, max((m - rank) * other for rank, other in enumerate(ranked) if other <= p))
        assert corrected == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_holms_correction_is_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    random = np.random.default_rng(0)
    for count in range(1, 60):  # its function takes 50 ms
        p_values = (random.random(count) ** 3).round(2).tolist()
        np.testing.assert_allclose(holm(p_values), multitest.multipletests(p_values, method="holm")[1], atol=1e-9)


def test_a_comparison_counts_what_each_has_right_alone() -> None:
    found = compare(*pair(900, 20, 60, 20), names=("linear", "cnn"))
    assert (found.only_a, found.only_b, found.n, found.correct) == (20, 60, 1000, (920, 960))
    assert found.difference == pytest.approx(0.04)
    assert found.interval == tango(20, 60, 1000)
    assert found.p_value == found.adjusted_p_value == mid_p(20, 60) < 0.001
    assert found.is_told
    assert found.more_pictures is None
    low, high = (f"{end * 100:.2f}" for end in (found.interval.low, found.interval.high))
    assert found.verdict == (
        f"cnn is better than linear by 4.00 points (95 % interval {low} to {high}; p < 0.0001): 96.00% against 92.00% "
        "right of the same 1,000 test pictures."
    )
    worse = compare(*pair(900, 60, 20, 20), names=("cnn", "linear"))
    assert worse.difference == pytest.approx(-0.04)
    assert worse.verdict == found.verdict


def test_a_comparison_that_cannot_tell_says_how_many_more_pictures_would() -> None:
    found = compare(*pair(900, 20, 30, 50))
    assert not found.is_told
    assert 0.0 in found.interval
    assert found.more_pictures == 2923
    assert found.verdict.startswith("B and A cannot be told apart: B is 1.00 points higher (95 % interval -0.4")
    assert found.verdict.endswith("About 2,923 more pictures would be needed to show a difference this small.")


def test_a_run_compared_with_itself_does_not_differ() -> None:
    one = table(300)
    found = compare(one, one, ("run", "run"))
    assert (found.difference, found.p_value, found.only_a, found.only_b) == (0, 1, 0, 0)
    assert (found.is_told, found.more_pictures) == (False, None)
    assert 0.0 in found.interval
    assert found.verdict.startswith("No difference between run and run again: they get the same pictures right")
    json.dumps(found.as_json(), allow_nan=False)


def test_as_many_right_alone_on_either_side_is_no_difference() -> None:
    found = compare(*pair(80, 10, 10, 0))
    assert (found.difference, found.p_value) == (0, 1)
    assert "they each get 10 right that the other does not" in found.verdict


@pytest.mark.parametrize("counts", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_one_picture_gives_defined_figures(counts: tuple[int, int, int, int]) -> None:
    found = compare(*pair(*counts))
    assert not found.is_told
    assert -1 <= found.interval.low <= found.difference <= found.interval.high <= 1
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["p_value"] >= 0.5


def test_the_promised_keys_are_there() -> None:
    keys = ["difference", "low", "high", "p_value", "only_a", "only_b", "n", "verdict"]
    assert list(compare(*pair(5, 1, 2, 3)).as_json())[: len(keys)] == keys


def test_neither_the_order_of_rows_nor_of_classes_matters() -> None:
    a, b = table(200, 3), table(200, 3, seed=1)
    b = dataclasses.replace(b, labels=a.labels)
    expected = compare(a, b)
    shuffled = rows_of(b, np.random.default_rng(0).permutation(200))
    order = np.array([2, 0, 1])
    turned = dataclasses.replace(
        shuffled,
        classes=tuple(shuffled.classes[label] for label in order),
        labels=np.argsort(order)[shuffled.labels],
        logits=shuffled.logits[:, order],
        probabilities=shuffled.probabilities[:, order],
    )
    assert compare(a, turned) == expected
    assert compare(turned, a).difference == -expected.difference


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (table(100, split="valid"), "A was judged on test pictures and B on validation pictures"),
        (table(99), "100 pictures and B on 99, and they differ: only A has test/99"),
        (
            dataclasses.replace(table(100), ids=[f"other/{row}" for row in range(100)]),
            "they differ: only B has other/0",
        ),
        (
            dataclasses.replace(table(100), classes=("class 0", "Dress")),
            r"test/\d+ is class 1 for A and Dress for B \(\d+ of 100 labels differ\)",
        ),
        (dataclasses.replace(table(100), labels=1 - table(100).labels), "100 of 100 labels differ"),
    ],
)
def test_runs_that_were_judged_on_other_pictures_are_refused(other: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        compare(table(100), other)


@pytest.mark.usefixtures("without_shape_checks")
def test_a_damaged_table_is_not_compared() -> None:
    one = table(5)
    with pytest.raises(DataError, match="nan"):
        compare(one, dataclasses.replace(one, probabilities=one.probabilities * np.nan))


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="not valid counts"):
        tango(*counts)
    with pytest.raises(UsageError, match="not a valid count"):
        mid_p(-1, 3)
    with pytest.raises(UsageError, match="not between"):
        tango(1, 2, 5, 1.5)


def noisy(one: Any, share: float, seed: int) -> Any:
    """The table with the answers of a share of its pictures turned round."""
    turned = np.random.default_rng(seed).random(len(one)) < share
    shares = np.where(turned[:, None], one.probabilities[:, ::-1], one.probabilities)
    return dataclasses.replace(one, probabilities=shares)


def test_several_runs_are_compared_in_pairs_with_corrected_p_values() -> None:
    one = table(1000)
    tables = {"a": one, "b": noisy(one, 0.01, 1), "c": noisy(one, 0.02, 2)}
    found = compare_all(tables)
    assert [pair.names for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.adjusted_p_value for pair in found] == holm([pair.p_value for pair in found])
    for pair_ in found:
        alone = compare(tables[pair_.names[0]], tables[pair_.names[1]], pair_.names)
        assert (alone.p_value, alone.interval, alone.comparisons) == (pair_.p_value, pair_.interval, 1)
        assert pair_.comparisons == 3
        assert "corrected for 3 comparisons (Holm)" in pair_.verdict
        assert pair_.is_told == (pair_.adjusted_p_value < 0.05)


def test_correction_takes_back_what_one_comparison_alone_would_say() -> None:
    tables = dict(zip("ab", pair(900, 20, 36, 44), strict=True))
    assert compare(*tables.values()).is_told
    found = compare_all({**tables, "c": tables["a"], "d": tables["a"]})[0]
    assert found.p_value < 0.05 < found.adjusted_p_value
    assert not found.is_told
    assert found.more_pictures > 0


def test_nothing_to_compare_with_is_refused() -> None:
    with pytest.raises(UsageError, match="needs two models"):
        compare_all({"a": table(5)})
    with pytest.raises(UsageError, match="no runs"):
        over_seeds([])


def test_the_spread_over_seeds_is_apart_from_the_spread_over_pictures() -> None:
    one = table(2000)
    runs = [noisy(one, 0.02, seed) for seed in range(6)]
    found = over_seeds(runs)
    accuracies = [run.score.accuracy for run in runs]
    assert found.accuracies == pytest.approx(accuracies)
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.deviation == pytest.approx(np.std(accuracies, ddof=1))
    each = np.mean([run.right for run in runs], axis=0)
    half = 1.96 * each.std() / math.sqrt(2000)
    assert found.method == "bootstrap"
    assert found.pictures.high - found.pictures.low == pytest.approx(2 * half, rel=0.06)
    assert found.mean in found.pictures
    assert json.loads(json.dumps(found.as_json()))["over_seeds"] == {"deviation": found.deviation}
    assert f"{found.deviation * 100:.2f} points over 6 seeds" in found.line


def test_seeds_that_agree_have_no_spread_and_pictures_still_do() -> None:
    one = table(500)
    found = over_seeds([one, one, one])
    assert found.deviation == 0
    right = int(one.right.sum())
    assert found.pictures.low == pytest.approx(wilson(right, 500).low, abs=0.006)
    perfect = answering(np.arange(50) % 2, np.arange(50) % 2)
    assert (over_seeds([perfect] * 3).method, over_seeds([perfect] * 3).pictures) == ("wilson", wilson(50, 50))


def test_one_seed_has_no_deviation() -> None:
    one = table(500)
    found = over_seeds([one])
    assert (found.deviation, found.method) == (None, "wilson")
    assert found.pictures == wilson(int(one.right.sum()), 500)
    assert "not known from one run" in found.line


def test_seeds_that_were_judged_on_other_pictures_have_one_spread_of_both() -> None:
    one, other = table(50, split="valid"), table(50, seed=1, split="valid")
    other = dataclasses.replace(other, ids=[f"train/{row}" for row in range(50)])
    found = over_seeds([one, other])
    assert found.pictures is None
    assert found.deviation == pytest.approx(np.std([one.score.accuracy, other.score.accuracy], ddof=1))
    assert "other held-out pictures (50 of valid)" in found.line
    assert json.loads(json.dumps(found.as_json()))["over_pictures"] is None


def test_more_disagreement_means_a_wider_interval() -> None:
    widths = [tango(alone, alone, 1000) for alone in (0, 1, 5, 20, 100, 400)]
    for one, other in pairwise(widths):
        assert Interval(other.low, other.high).low < one.low < one.high < other.high
