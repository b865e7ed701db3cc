"""Fig. 3: how the error of a world model accumulates along rollouts, MAMBA's minus MAG's.

Each step has two errors: the learned error, as a model reward R_m hat estimates it, which the paper draws, and the true
error, between the imagined step and the simulator's step from the same state with the same actions.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mag.errors import UsageError
from mag.experiments import statistics
from mag.experiments.figures import COLOURS
from mag.experiments.records import Record
from mag.runs.folder import write_text

ERRORS = "errors.json"
KINDS = {"learned": "as the model reward estimates it", "true": "as the simulator measures it"}
"""Kinds of error, each with the title of its panel."""


class RolloutErrors(NamedTuple):
    """The mean error of each step of a run's rollouts."""

    env: str
    algo: str
    seed: int
    errors: dict[str, list[float | None]]
    """By kind, `learned` or `true`, a mean error for each step; a kind may be missing. From the step on before which
    every rollout's battle is over, there is none."""
    commit: str = ""
    """The commit of the program that trained the run; empty where it is not known."""


def measure(run: Record) -> RolloutErrors:
    """The errors of one seed of a run, from its folder. Raises UsageError where it cannot be measured."""
    from mag.reports.realism import rollout_errors  # imports JAX only when something is measured

    return RolloutErrors(run.env, run.algo, run.seed, rollout_errors(Path(run.origin), run.seed), run.commit)


def write_errors(folder: Path, measured: Sequence[RolloutErrors]) -> Path:
    """Add errors to those kept in a folder, one run per line; of a run measured again the new ones count."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {(each.env, each.algo, each.seed): each for each in (*read_errors(folder), *measured)}
    lines = ",\n ".join(json.dumps(each._asdict(), allow_nan=False) for each in runs.values())
    return write_text(folder / ERRORS, f"[{lines}]\n")


def read_errors(folder: Path) -> list[RolloutErrors]:
    """The errors kept in a folder, empty without a file. Raises UsageError for an invalid file."""
    path = folder / ERRORS
    if not path.exists():
        return []
    try:
        return [RolloutErrors(**each) for each in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} does not hold model errors ({error}); restore it, or delete it") from error


def accumulated(measured: Sequence[RolloutErrors], algo: str, kind: str) -> Any:
    """The accumulated errors of a method's runs, `[steps, seeds]`, up to the last step for which every run has one.

    None where no run has this kind of error.
    """
    runs = [each.errors[kind] for each in measured if each.algo == algo and kind in each.errors]
    known: list[list[Any]] = [errors[: errors.index(None)] if None in errors else errors for errors in runs]
    rows = [np.cumsum(errors) for errors in known if errors]
    if not rows:
        return None
    shortest = min(map(len, rows))
    return np.stack([row[:shortest] for row in rows], axis=-1)


def difference_table(measured: Sequence[RolloutErrors], first: str = "mamba", second: str = "mag") -> pd.DataFrame:
    """A row for each environment, kind and step: the accumulated error of the first method minus the second's, with
    its interval."""
    rows = []
    envs = dict.fromkeys(each.env for each in measured)
    for env, kind in itertools.product(envs, KINDS):
        there = [each for each in measured if each.env == env]
        x, y = (accumulated(there, algo, kind) for algo in (first, second))
        if x is None or y is None:
            continue
        steps = min(len(x), len(y))
        value, low, high = statistics.interval(gap, [x[:steps], y[:steps]])
        for step in range(steps):
            row = {"env": env, "error": kind, "step": step + 1, "difference": float(value[step])}
            rows.append(row | {"difference low": float(low[step]), "difference high": float(high[step])})
    return pd.DataFrame(rows)


def gap(x: Any, y: Any, axis: int) -> Any:
    """The difference of means over seeds."""
    return x.mean(axis=axis) - y.mean(axis=axis)


def difference_figure(table: pd.DataFrame, title: str) -> Any:
    """The difference over the steps of a rollout, a row of panels for each environment and a panel for each kind."""
    from matplotlib.figure import Figure

    envs, kinds = list(dict.fromkeys(table.env)), list(dict.fromkeys(table.error))
    figure = Figure(figsize=(4.2 * len(kinds), 3.2 * len(envs)), layout="constrained")
    panels = figure.subplots(len(envs), len(kinds), squeeze=False).flat
    for axes, (env, kind) in zip(panels, itertools.product(envs, kinds), strict=True):
        rows = table[(table.env == env) & (table.error == kind)]
        axes.plot(rows.step, rows.difference, color=COLOURS[0], marker=".")
        low, high = (rows[f"difference {side}"].fillna(rows.difference) for side in ("low", "high"))
        axes.fill_between(rows.step, low, high, color=COLOURS[0], alpha=0.18, linewidth=0)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_title(KINDS[kind] if len(envs) == 1 else f"{env}, {KINDS[kind]}", fontsize=9)
        axes.set_xlabel("step of the rollout", fontsize=9)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.tick_params(labelsize=8)
    figure.supylabel("accumulated error,\nMAMBA minus MAG", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure
