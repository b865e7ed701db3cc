"""What the tables and figures of a report show: aligned curves, scores, comparisons."""

import itertools
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from mag.experiments import statistics
from mag.experiments.statistics import Interval

POINTS = 41
"""Greatest number of points of an aligned curve."""
FINAL = "final"
AREA = "area"
SCORES = {FINAL: "mean of the last three tests", AREA: "mean over the whole run (area under the curve / steps)"}
"""Scores of a run, each with its description."""
WIN_RATES = (0.3, 0.6, 0.9)
"""Win rates of which a report tells when they are reached."""
ROUNDING = 1e-9
"""By which a mean of three tests may lie below a win rate that it equals."""

Scores = dict[str, dict[str, Float[np.ndarray, " seeds"]]]
"""A score of every run: by curve, then by environment."""


class Aligned(NamedTuple):
    """The curves of several seeds at the same environment steps."""

    steps: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "seeds points"]


class Analysis:
    """Curves of one metric, grouped by panel and curve, up to each environment's budget."""

    def __init__(self, table: pd.DataFrame, metric: str) -> None:
        self.metric = metric
        known = table[table[metric].notna()]
        self.curves: list[str] = list(dict.fromkeys(known.curve))
        self.panels: list[str] = list(dict.fromkeys(known.panel))
        self.envs: list[str] = list(dict.fromkeys(known.env))
        self._runs: dict[tuple[str, str, str], list[pd.DataFrame]] = {}
        for (panel, curve, env, _, _), rows in known.groupby(["panel", "curve", "env", "seed", "run"], sort=False):
            self._runs.setdefault((panel, curve, env), []).append(rows.sort_values("env_steps"))
        last = known.groupby(["env", "curve", "seed", "run"]).env_steps.max()
        self.budgets: dict[str, int] = last.groupby("env").min().to_dict()
        """Environment steps that every run on an environment has reached; later steps are not compared."""
        self.scores: dict[str, Scores] = {kind: self._scores(kind) for kind in SCORES}
        """`final` and `area` of every run."""

    def aligned(self, panel: str, curve: str) -> Aligned | None:
        """The curves of all seeds in one panel; None where the panel has no such curve."""
        runs = [run for (p, c, _), each in self._runs.items() if (p, c) == (panel, curve) for run in each]
        return self._align(runs, min(self.budgets[run.env.iloc[0]] for run in runs)) if runs else None

    def _align(self, runs: list[pd.DataFrame], budget: int) -> Aligned:
        tests = int(np.median([len(run) for run in runs]))
        grid = np.linspace(0, budget, min(max(tests, 2), POINTS))
        values = [np.interp(grid, run.env_steps, run[self.metric]) for run in runs]
        return Aligned(grid, np.stack(values))

    def _scores(self, kind: str) -> Scores:
        found: dict[str, dict[str, list[float]]] = {curve: {} for curve in self.curves}
        for (_, curve, env), runs in self._runs.items():
            found[curve].setdefault(env, []).extend(self._score(run, env, kind) for run in runs)
        return {curve: {env: np.array(each) for env, each in envs.items()} for curve, envs in found.items()}

    def _score(self, run: pd.DataFrame, env: str, kind: str) -> float:
        if kind == AREA:
            steps, values = run.env_steps.to_numpy(float), run[self.metric].to_numpy(float)
            return statistics.area(steps, values, self.budgets[env])
        return statistics.final(self._compared(run, env)[self.metric].to_numpy(float))

    def _compared(self, run: pd.DataFrame, env: str) -> pd.DataFrame:
        """The tests of a run that count, up to the one nearest to the budget: it comes up to an iteration before or
        after it."""
        return run.iloc[: int((run.env_steps - self.budgets[env]).abs().to_numpy().argmin()) + 1]

    def shared_envs(self, curves: list[str]) -> list[str]:
        """Environments on which every one of these curves has runs."""
        scores = self.scores[FINAL]
        return [env for env in self.envs if all(env in scores[curve] for curve in curves)]

    def score_table(self, kind: str) -> pd.DataFrame:
        """A row for each environment and curve: seeds, mean, standard deviation, IQM and its interval, each seed."""
        rows = []
        for curve, envs in self.scores[kind].items():
            for env, scores in envs.items():
                rows.append({"env": env, "curve": curve} | summary(scores) | {"by seed": sorted_text(scores)})
        order = {env: index for index, env in enumerate(self.envs)}
        frame = pd.DataFrame(rows)
        return frame.sort_values("env", key=lambda column: column.map(order), kind="stable", ignore_index=True)

    def main_table(self, kind: str) -> pd.DataFrame:
        """A row for each environment, and in each curve's column the mean and standard deviation over its seeds."""
        scores = self.scores[kind]
        rows = [{"env": env} | {c: mean_and_std(scores[c].get(env)) for c in self.curves} for env in self.envs]
        return pd.DataFrame(rows)

    def reach_table(self) -> pd.DataFrame:
        """A row for each environment, curve and win rate that a seed reaches within the budget: how many do, and the
        median over all seeds of the environment steps and minutes, unknown where the median seed does not reach it.

        A win rate is reached by the mean of three tests in a row. Minutes are those of the whole run, other seeds of
        the same process included. The table is empty for other metrics.
        """
        rows = []
        for (_, curve, env), runs in sorted(self._runs.items(), key=lambda item: self.envs.index(item[0][2])):
            compared = [self._compared(run, env) for run in runs]
            for rate in WIN_RATES if self.metric.endswith("/win_rate") else ():
                steps, seconds = np.transpose([reached(run, self.metric, rate) for run in compared])
                if np.isfinite(steps).any():
                    count = {"win rate": rate, "reached by": f"{np.isfinite(steps).sum()} of {len(runs)}"}
                    medians = {"environment steps": np.median(steps), "minutes": np.median(seconds) / 60}
                    rows.append({"env": env, "curve": curve} | count | medians)
        return pd.DataFrame(rows).replace(np.inf, np.nan)

    def commit_table(self) -> pd.DataFrame:
        """A row for each environment and curve: the commits of the program that trained its runs, each with the number
        of its runs. The table is empty where no commit is known.
        """
        rows = []
        for (_, curve, env), runs in sorted(self._runs.items(), key=lambda item: self.envs.index(item[0][2])):
            counts = Counter(run.commit.iloc[0] for run in runs)
            named = ", ".join(f"{commit or 'unknown'} ({count})" for commit, count in sorted(counts.items()))
            rows.append({"env": env, "curve": curve, "commit (runs)": named})
        known = any(run.commit.iloc[0] for runs in self._runs.values() for run in runs)
        return pd.DataFrame(rows) if known else pd.DataFrame()

    def overall_table(self, kind: str) -> pd.DataFrame:
        """A row for each curve: the statistics over the environments that all curves share."""
        envs, scores = self.shared_envs(self.curves), self.scores[kind]
        if not envs:
            return pd.DataFrame()
        return pd.DataFrame([{"curve": c} | overall([scores[c][e] for e in envs]) for c in self.curves])

    def improvement_table(self, kind: str) -> pd.DataFrame:
        """A row for each pair of curves: probability of improvement, difference of means, p value, over the
        environments that both share."""
        rows = []
        for first, second in itertools.combinations(self.curves, 2):
            if envs := self.shared_envs([first, second]):
                found = self.compared((first, second), envs, kind)
                rows.append({"first": first, "second": second, "envs": len(envs)} | found)
        return pd.DataFrame(rows)

    def improvement_on_each(self, kind: str) -> pd.DataFrame:
        """`improvement_table` for each environment by itself; empty where there is only one."""
        if len(self.envs) == 1:
            return pd.DataFrame()
        rows = [
            {"env": env, "first": first, "second": second} | self.compared((first, second), [env], kind)
            for env in self.envs
            for first, second in itertools.combinations(self.curves, 2)
            if env in self.shared_envs([first, second])
        ]
        return pd.DataFrame(rows)

    def compared(self, pair: tuple[str, str], envs: list[str], kind: str) -> dict[str, Any]:
        """How the first of two curves does against the second on some environments, as columns of a table."""
        scores = self.scores[kind]
        x, y = ([scores[curve][env] for env in envs] for curve in pair)
        gap, p = statistics.difference(x, y)
        better = columns("P(first > second)", statistics.improvement(x, y))
        return better | columns("difference", gap) | {"p": p}

    def efficiency(self, curve: str) -> tuple[Any, Any, Any, Any] | None:
        """IQM over shared environments and all seeds against the share of the budget: shares, IQM, low, high.

        None where the curves share no environment.
        """
        envs = self.shared_envs(self.curves)
        grid = np.linspace(0, 1, POINTS)
        samples = []
        for env in envs:
            runs = [run for (_, c, e), each in self._runs.items() if (c, e) == (curve, env) for run in each]
            values = [np.interp(grid * self.budgets[env], run.env_steps, run[self.metric]) for run in runs]
            samples.append(np.stack(values, axis=-1))
        if not samples:
            return None
        return grid, *statistics.interval(statistics.joined(statistics.iqm), samples)


def reached(run: pd.DataFrame, metric: str, value: float) -> tuple[float, float]:
    """Environment steps and seconds at which the mean of three tests in a row reaches a value; infinite if never."""
    there = run[run[metric].rolling(3).mean() >= value - ROUNDING]
    if there.empty:
        return np.inf, np.inf
    return float(there.env_steps.iloc[0]), float(there["time/elapsed"].iloc[0])


def columns(name: str, interval: Interval) -> dict[str, Any]:
    """An interval as three columns of a table."""
    return {name: interval.value, f"{name} low": interval.low, f"{name} high": interval.high}


def summary(scores: Any) -> dict[str, int | float]:
    """Statistics of the runs on one environment: mean and standard deviation, IQM with its interval."""
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")
    return {"seeds": len(scores), "mean": float(scores.mean()), "std": spread} | columns(
        "IQM", statistics.iqm_interval([scores])
    )


def overall(scores: list[Any]) -> dict[str, Any]:
    """Statistics over environments, with stratified intervals; every run has the same weight in the IQM."""
    fewest, most = (choose(len(each) for each in scores) for choose in (min, max))
    seeds = str(most) if fewest == most else f"{fewest} to {most}"
    mean = columns("mean", statistics.mean_interval(scores))
    return {"envs": len(scores), "seeds": seeds} | mean | columns("IQM", statistics.iqm_interval(scores))


def mean_and_std(scores: Any) -> str:
    """`0.64 ± 0.20`; empty without runs, the mean alone for a single run."""
    if scores is None:
        return ""
    return f"{scores.mean():.2f}" + (f" ± {scores.std(ddof=1):.2f}" if len(scores) > 1 else "")


def sorted_text(scores: Any) -> str:
    """The scores of all seeds, the lowest first."""
    return " ".join(f"{score:.2f}" for score in sorted(scores))
