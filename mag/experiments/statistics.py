"""Statistics of learning curves over seeds and environments.

Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice* (2021): interquartile means,
stratified bootstrap intervals (seeds are drawn anew within each environment), probability of improvement, performance
profiles. Seeds are the last axis of every array.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

RESAMPLES = 2000
CONFIDENCE = 0.95
Scores = Sequence[Float[np.ndarray, "... _seeds"]]
"""One method's scores: an array `[seeds]` for each environment; the number of seeds may differ."""
Statistic = Callable[..., Any]


class Interval(NamedTuple):
    """A number and its 95 % interval, NaN where a method has a single seed on an environment."""

    value: float
    low: float
    high: float


def iqm(scores: Float[np.ndarray, "*batch scores"], axis: int = -1) -> Any:
    """Interquartile mean: the mean without the lowest and the highest quarter."""
    return stats.trim_mean(scores, 0.25, axis=axis)


def joined(statistic: Statistic) -> Statistic:
    """The statistic of all environments' scores pooled."""

    def of_all(*scores: Any, axis: int = -1) -> Any:
        return statistic(np.concatenate(scores, axis=axis), axis=axis)

    return of_all


def interval(statistic: Statistic, samples: Scores, *, resamples: int = RESAMPLES) -> tuple[Any, Any, Any]:
    """A statistic of several samples and the ends of its stratified bootstrap interval: value, low, high.

    Each sample is resampled by itself, along its last axis, the seeds. Low and high are NaN where a sample has a single
    seed: it would stand still, and the interval would tell of the other samples only.
    """
    value = np.asarray(statistic(*samples, axis=-1), float)
    if any(np.shape(sample)[-1] < 2 for sample in samples):
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    found = stats.bootstrap(
        [np.asarray(sample) for sample in samples],
        statistic,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        axis=-1,
        vectorized=True,
        batch=1000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return value, np.asarray(found.low), np.asarray(found.high)


def iqm_interval(scores: Scores) -> Interval:
    """The interquartile mean over all environments and seeds, with its interval."""
    return Interval(*(float(each) for each in interval(joined(iqm), scores)))


def mean_interval(scores: Scores) -> Interval:
    """The mean over environments of the means over seeds, with its interval."""

    def mean(*samples: Any, axis: int = -1) -> Any:
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    return Interval(*(float(each) for each in interval(mean, scores)))


def improvement(first: Scores, second: Scores) -> Interval:
    """Probability that a run of the first method scores higher than one of the second, mean over environments.

    On one environment it is the share of pairs of runs in which the first method's run scores higher.
    """
    count = len(first)

    def probability(*scores: Any, axis: int = -1) -> Any:
        pairs = zip(scores[:count], scores[count:], strict=True)
        return np.mean([superiority(x, y) for x, y in pairs], axis=0)

    return Interval(*(float(each) for each in interval(probability, [*first, *second])))


def superiority(x: Float[np.ndarray, "... _n"], y: Float[np.ndarray, "... _m"]) -> Any:
    """Share of pairs with x above y, ties counted half: Mann-Whitney's U divided by the number of pairs."""
    x, y = x[..., :, None], y[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))


def difference(first: Scores, second: Scores) -> tuple[Interval, float]:
    """The difference of the methods' means, mean over environments, and the permutation test's p value (two-sided).

    The test exchanges seeds between methods only within an environment.
    """
    count = len(first)

    def gap(*scores: Any, axis: int = -1) -> Any:
        pairs = zip(scores[:count], scores[count:], strict=True)
        return np.mean([x.mean(axis=axis) - y.mean(axis=axis) for x, y in pairs], axis=0)

    value = Interval(*(float(each) for each in interval(gap, [*first, *second])))
    return value, permutation_p(first, second)


def permutation_p(first: Scores, second: Scores, *, resamples: int = 10_000) -> float:
    """The p value of the difference of means: the share of exchanges of seeds between the methods, within each
    environment, whose absolute difference is at least the observed one.

    Exact for one environment with few seeds, else by random exchanges. NaN where a method has a single seed on an
    environment.
    """
    if min(len(scores) for scores in (*first, *second)) < 2:
        return float("nan")
    if len(first) == 1:
        result = stats.permutation_test(
            (first[0], second[0]),
            lambda x, y, axis: np.abs(x.mean(axis=axis) - y.mean(axis=axis)),
            n_resamples=resamples,
            alternative="greater",
            vectorized=True,
            rng=np.random.default_rng(0),
        )
        return float(result.pvalue)
    rng = np.random.default_rng(0)
    gaps = np.zeros(resamples)
    observed = 0.0
    for x, y in zip(first, second, strict=True):
        observed += (x.mean() - y.mean()) / len(first)
        exchanged = rng.permuted(np.tile(np.concatenate([x, y]), (resamples, 1)), axis=1)
        gaps += (exchanged[:, : len(x)].mean(axis=1) - exchanged[:, len(x) :].mean(axis=1)) / len(first)
    beyond = np.sum(np.abs(gaps) >= abs(observed) * (1 - 1e-12) - 1e-12)
    return float((beyond + 1) / (resamples + 1))


def profile(scores: Scores, thresholds: Float[np.ndarray, " taus"]) -> tuple[Any, Any, Any]:
    """Performance profile with its band: for each threshold the share of runs that score above it, mean over
    environments."""
    above = [(np.asarray(runs)[None, :] > thresholds[:, None]).astype(float) for runs in scores]
    return interval(lambda *each, axis=-1: np.mean([runs.mean(axis=axis) for runs in each], axis=0), above)


def area(steps: Float[np.ndarray, " tests"], values: Float[np.ndarray, " tests"], budget: int | float) -> float:
    """Area under a curve up to a budget of steps, divided by the budget: the curve's mean height."""
    inside = steps < budget
    x = np.append(steps[inside], budget)
    y = np.append(values[inside], np.interp(budget, steps, values))
    if x[0] > 0:
        x, y = np.insert(x, 0, 0.0), np.insert(y, 0, y[0])
    return float(np.trapezoid(y, x) / budget)


def final(values: Float[np.ndarray, " tests"], tests: int = 3) -> float:
    """Mean of the last `tests` tests of a curve, because a single test is noisy."""
    return float(np.mean(values[-tests:]))
