"""Statistics against numbers worked out by hand and the definitions of Agarwal et al. (2021)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mag.experiments import statistics

SCORE = st.integers(0, 32).map(lambda wins: wins / 32)
SEEDS = st.lists(SCORE, min_size=2, max_size=6).map(np.array)


def test_the_interquartile_mean_leaves_out_the_lowest_and_the_highest_quarter():
    # Eight scores: the quarters {0, 1} and {8, 100} go, (2 + 3 + 5 + 6) / 4 = 4 stays.
    assert statistics.iqm(np.array([100, 2.0, 3, 0, 1, 6, 5, 8])) == 4.0
    # Of three a quarter is less than one score: nothing goes.
    assert statistics.iqm(np.array([0.0, 0.5, 1.0])) == 0.5


def test_the_interquartile_mean_is_over_all_environments_together():
    # {0, 0, 1, 1} of one and {1, 1, 1, 1} of the other: without {0, 0} and two ones, all are 1. Means of each: 0.5, 1.
    scores = [np.array([0.0, 0, 1, 1]), np.ones(4)]
    assert statistics.iqm_interval(scores).value == 1.0
    assert statistics.mean_interval(scores).value == 0.75


def test_superiority_is_the_share_of_pairs_won_and_a_tie_is_half():
    # Pairs: 1 > 0, 1 = 1, 3 > 0, 3 > 1: three and a half of four.
    assert statistics.superiority(np.array([1.0, 3.0]), np.array([0.0, 1.0])) == 3.5 / 4


def test_probability_of_improvement_is_the_mean_over_environments():
    # First environment: all four pairs won; second: none.
    first = [np.array([2.0, 3.0]), np.array([0.0, 0.0])]
    second = [np.array([0.0, 1.0]), np.array([1.0, 1.0])]
    result = statistics.improvement(first, second)
    assert result == (0.5, 0.5, 0.5)  # nor does any resample differ


@given(SEEDS, SEEDS)
def test_either_one_improves_or_the_other(x, y):
    assert statistics.superiority(x, y) + statistics.superiority(y, x) == pytest.approx(1)
    assert statistics.superiority(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / (len(x) * len(y)))


def test_the_bootstrap_interval_of_a_mean_is_that_of_its_exact_distribution():
    # Of four seeds {0, 0, 1, 1} a resample has k ones with probability C(4, k) / 16. Below 1/4: 1/16 = 0.0625 > 0.025,
    # so that the 2.5 % quantile of the mean is 0, and the 97.5 % quantile 1.
    assert statistics.mean_interval([np.array([0.0, 0, 1, 1])]) == (0.5, 0.0, 1.0)
    # Sixteen seeds, half of them 1: standard error sqrt(0.25 / 16) = 0.125, normal interval 0.5 +- 1.96 * 0.125.
    result = statistics.mean_interval([np.repeat([0.0, 1.0], 8)])
    assert result.low == pytest.approx(0.255, abs=0.0626) and result.high == pytest.approx(0.745, abs=0.0626)


def test_the_bootstrap_keeps_environments_apart():
    # Each environment's seeds are equal: whatever is drawn anew within an environment, the mean stays. Over all
    # runs together it would swing between 0 and 1.
    assert statistics.mean_interval([np.zeros(5), np.ones(5)]) == (0.5, 0.5, 0.5)


def test_one_seed_has_no_interval():
    value, low, high = statistics.iqm_interval([np.array([0.7]), np.array([0.9])])
    assert value == pytest.approx(0.8) and np.isnan([low, high]).all()


def test_there_is_no_interval_where_any_sample_has_one_seed():
    # The single seed would stand still: an interval of [0.5, 1] for a difference whose one side is one run.
    several, one = [np.array([0.0, 0.5])], [np.array([1.0])]
    for interval in (
        statistics.difference(one, several)[0],
        statistics.difference(several, one)[0],
        statistics.improvement(one, several),
        statistics.mean_interval([*several, *one]),
        statistics.iqm_interval([*several, *one]),
    ):
        assert np.isfinite(interval.value) and np.isnan([interval.low, interval.high]).all()
    # The values stay: 1 - 0.25, and over environments (0.25 + 1) / 2.
    assert statistics.difference(one, several)[0].value == 0.75
    assert statistics.mean_interval([*several, *one]).value == 0.625


def test_a_performance_profile_is_the_share_of_runs_above_each_threshold():
    # Above 0.5: two of four, and one of one environment's two; above 0.9: one of four, none.
    value, low, high = statistics.profile([np.array([0.1, 0.4, 0.6, 1.0]), np.array([0.5, 0.8])], np.array([0.5, 0.9]))
    assert value == pytest.approx([(2 / 4 + 1 / 2) / 2, (1 / 4 + 0) / 2])
    assert (low <= value).all() and (value <= high).all()


def test_the_area_under_a_curve():
    # Triangle to 10 (area 5), then flat at 1 to 20 (area 10): 15 of 20.
    steps, values = np.array([0.0, 10, 20]), np.array([0.0, 1, 1])
    assert statistics.area(steps, values, 20) == 0.75
    # Up to 5 the triangle has the area 2.5 / 2 = 1.25, over 5 steps.
    assert statistics.area(steps, values, 5) == 0.25
    # A curve that begins late had its first value before.
    assert statistics.area(np.array([10.0, 20]), np.array([1.0, 1]), 20) == 1.0


def test_the_final_score_is_the_mean_of_the_last_three_tests():
    assert statistics.final(np.array([9.0, 1, 2, 3])) == 2.0
    assert statistics.final(np.array([4.0])) == 4.0


def test_the_permutation_test_of_one_environment_is_exact():
    # Six seeds, three of each method, parted completely: of the C(6, 3) = 20 ways to part them 2 are as far apart.
    first, second = [np.array([4.0, 5, 6])], [np.array([1.0, 2, 3])]
    gap, p = statistics.difference(first, second)
    assert gap.value == 3.0 and p == pytest.approx(2 / 20)


def test_p_counts_absolute_differences_also_where_seeds_are_unequal_in_number():
    # Of the C(5, 3) = 10 ways to part the five scores three differ as much, to either side.
    assert statistics.permutation_p([np.array([1.0, 0.9, 0.2])], [np.array([0.1, 0.3])]) == pytest.approx(0.3)
    first, second = np.array([0.28125, 0.15625]), np.array([0.3125, 0.71875, 0.3125])
    alone = statistics.permutation_p([first], [second])
    assert alone == pytest.approx(0.4)
    # An environment on which all runs score the same changes nothing.
    beside = statistics.permutation_p([first, np.full(2, 0.5)], [second, np.full(3, 0.5)])
    assert beside == pytest.approx(alone, abs=0.02)


def test_the_interval_of_the_iqm_is_that_of_the_resamples():
    # Of four resampled scores k are 1 with probability C(4, k) / 16; the IQM of k = 0, 1, 2, 3, 4 is 0, 0, 1/2, 1, 1: 0
    # in 5 of 16 and 1 in as many.
    assert statistics.iqm_interval([np.array([0.0, 0.0, 1.0, 1.0])]) == (0.5, 0.0, 1.0)


def test_one_seed_has_no_p_value():
    gap, p = statistics.difference([np.array([1.0])], [np.array([0.0, 0.5])])
    assert gap.value == 0.75 and np.isnan(p)


def test_the_permutation_test_of_two_environments_exchanges_within_each():
    # Two environments parted completely, three seeds each: (2 / 20) * (2 / 20), and both must point the same way:
    # of the 400 ways 2 are as far apart.
    first, second = [np.array([4.0, 5, 6])] * 2, [np.array([1.0, 2, 3])] * 2
    assert statistics.permutation_p(first, second) == pytest.approx(2 / 400, abs=0.0025)


@given(st.lists(SEEDS, min_size=1, max_size=3))
def test_intervals_hold_the_value_between_extremes(scores):
    value, low, high = statistics.interval(statistics.joined(statistics.iqm), scores, resamples=50)
    least, most = min(map(np.min, scores)), max(map(np.max, scores))
    assert least - 1e-12 <= low <= high + 1e-12 and high <= most + 1e-12 and least - 1e-12 <= value <= most + 1e-12
