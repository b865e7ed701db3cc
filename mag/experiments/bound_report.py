"""`mag bound`: Theorem 1 in tables and a picture, and how often each inequality of its proof holds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mag.errors import UsageError
from mag.experiments import tabular
from mag.experiments.bound import Case, Inequality, Quantities, counterexamples, inequalities, quantities
from mag.experiments.export import as_markdown
from mag.experiments.figures import COLOURS
from mag.experiments.tabular import Sizes

MOST_JOINT = 64
"""Greatest number of joint observations, and of joint actions, for which a task is computed."""
SHOWN_STEPS = 8
CURVES = {
    "gap": "gap of returns",
    "bound": "Theorem 1",
    "bound, maximum": "with the maximum over steps",
    "bound, no policy term": "Theorem 1 without its policy term",
}


class Setting(NamedTuple):
    """Options of `mag bound`: the task, and the errors and horizons to compute."""

    sizes: Sizes
    seed: int
    errors: tuple[float, ...]
    """Shares, 0 to 1, of random distributions in the local models' predictions."""
    horizons: tuple[float, ...]
    """Effective horizons, 1 / (1 - gamma)."""
    shift: float
    """Share, 0 to 1, of another policy that is mixed into pi but not into pi_D."""
    dependence: float
    """Share, 0 to 1, of dynamics in which agents' next observations depend on each other."""


def make_case(setting: Setting, error: float, horizon: float) -> Case:
    """The case of a setting's task with one error of the models and one horizon."""
    rng = np.random.default_rng(setting.seed)
    sizes = setting.sizes
    task = tabular.random_task(rng, sizes, signed=False, dependence=setting.dependence)
    # Every episode begins with the same joint observation, as battles do.
    start = np.zeros(sizes.joint_observations)
    start[0] = 1.0
    old, other = (tabular.random_policy(rng, sizes) for _ in range(2))
    models = tabular.wrong_models(rng, task, sizes, error)
    policy = tabular.independent(tabular.mixed(old, other, setting.shift), sizes)
    return Case(task._replace(start=start), models, policy, tabular.independent(old, sizes), 1 - 1 / horizon)


def check_setting(setting: Setting) -> None:
    """Raise UsageError for a task that is too large, or for errors or horizons out of bounds."""
    sizes = setting.sizes
    if max(sizes.joint_observations, sizes.joint_actions) > MOST_JOINT:
        raise UsageError(
            f"{sizes.agents} agents with {sizes.observations} observations and {sizes.actions} actions each make "
            f"{sizes.joint_observations} joint observations and {sizes.joint_actions} joint actions; "
            f"at most {MOST_JOINT} are computed exactly"
        )
    for error in setting.errors:
        if not 0 <= error <= 1:
            raise UsageError(f"--errors holds {error}; an error is a share between 0 and 1")
    for horizon in setting.horizons:
        if not (horizon > 1 and 1 - 1 / horizon < 1):
            raise UsageError(f"--horizons holds {horizon}; a horizon is 1 / (1 - gamma), above 1 and finite")


def error_table(setting: Setting) -> pd.DataFrame:
    """A row for each error of the models and each horizon."""
    rows = []
    for horizon in setting.horizons:
        for error in setting.errors:
            q = quantities(make_case(setting, error, horizon))
            rows.append({"horizon": horizon, "error": error} | row_of(q))
    return pd.DataFrame(rows)


def row_of(q: Quantities) -> dict[str, float]:
    """The quantities of a case as a row of the table."""
    return {
        "J(pi)": q.j_env,
        "J^(pi)": q.j_model,
        "gap": q.gap,
        "eps_pi": q.epsilon_policy,
        "sum gamma^t eps_m_t": q.discounted,
        "max eps_m_t": q.greatest_error,
        "bound": q.theorem,
        "bound, maximum": q.maximum_bound,
        "bound, no policy term": q.theorem_direct,
        "Eq. 20 as printed": q.maximum_bound_as_printed,
    }


def step_table(setting: Setting) -> pd.DataFrame:
    """epsilon_m_t of the first steps, a row for each error of the models (it does not depend on the horizon)."""
    rows = []
    for error in setting.errors:
        q = quantities(make_case(setting, error, setting.horizons[0]))
        # Once the distributions no longer change, neither does the error.
        padded = np.append(q.epsilon_model, np.full(SHOWN_STEPS, q.epsilon_model[-1]))
        rows.append({"error": error} | {f"t = {t}": padded[t - 1] for t in range(1, SHOWN_STEPS + 1)})
    return pd.DataFrame(rows)


def random_cases(count: int, seed: int) -> Iterator[Case]:
    """Cases of one to three agents that differ in rewards' signs, randomness, errors, policies and horizon."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        sizes = Sizes(int(rng.integers(1, 4)), 2, 2)
        sharpness = float(rng.choice([0.05, 0.3, 1.0]))
        signed, dependence = bool(rng.integers(2)), float(rng.choice([0.0, 0.1, 1.0]))
        task = tabular.random_task(rng, sizes, signed=signed, dependence=dependence, sharpness=sharpness)
        old, other = (tabular.random_policy(rng, sizes, sharpness) for _ in range(2))
        share, error = (float(value) for value in rng.uniform(size=2) ** 2)
        policy = tabular.independent(tabular.mixed(old, other, share), sizes)
        models = tabular.wrong_models(rng, task, sizes, error)
        yield Case(task, models, policy, tabular.independent(old, sizes), float(rng.uniform(0.05, 0.99)))


def holding_table(cases: Sequence[Case]) -> pd.DataFrame:
    """A row for each inequality: the number of cases that violate it, and the largest ratio of left to right side."""
    found: dict[tuple[str, str], list[Inequality]] = {}
    for case in cases:
        for each in inequalities(quantities(case)):
            found.setdefault((each.where, each.says), []).append(each)
    return pd.DataFrame(
        [
            {
                "where": where,
                "inequality": says,
                "cases": len(each),
                "violated": sum(not one.holds for one in each),
                "largest left / right": np.fmax.reduce([one.ratio for one in each]),
            }
            for (where, says), each in found.items()
        ]
    )


def counterexample_table() -> pd.DataFrame:
    """A row for each inequality that a case of `counterexamples` violates."""
    rows = []
    for name, case in counterexamples().items():
        for each in inequalities(quantities(case)):
            if not each.holds:
                rows.append({"case": name, "violates": f"{each.where}, {each.says}"} | each._asdict())
    return pd.DataFrame(rows)[["case", "violates", "left", "right"]]


def bound_figure(table: pd.DataFrame, steps: pd.DataFrame) -> Any:
    """Three panels: gap and bounds against the models' error, against the horizon, and the errors by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    by_error, by_horizon, by_step = figure.subplots(1, 3)
    horizon, error = (nearest_middle(table[name]) for name in ("horizon", "error"))
    draw(by_error, table[table.horizon == horizon], "error", f"horizon {horizon:g}")
    draw(by_horizon, table[table.error == error], "horizon", f"error {error:g}")
    by_horizon.set_xscale("log")
    ticks = sorted(set(table.horizon))
    by_horizon.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    by_horizon.minorticks_off()
    for number, (_, row) in enumerate(steps.iterrows()):
        shade = COLOURS[number % len(COLOURS)]
        by_step.plot(range(1, SHOWN_STEPS + 1), row.to_numpy()[1:], color=shade, marker=".", label=f"{row['error']:g}")
    by_step.set_title("error of the models, step by step", fontsize=9)
    by_step.set_xlabel("step t of the rollout", fontsize=9)
    by_step.set_ylabel(r"$\epsilon_{m_t}$", fontsize=9)
    by_step.legend(title="error", fontsize=7, title_fontsize=7, frameon=False, ncols=2)
    for axes in (by_error, by_horizon, by_step):
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.tick_params(labelsize=8)
    handles, labels = by_error.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def draw(axes: Any, rows: pd.DataFrame, over: str, title: str) -> None:
    """Gap and bounds in one panel."""
    for (name, label), colour in zip(CURVES.items(), ("#222222", *COLOURS), strict=False):
        axes.plot(rows[over], rows[name].clip(lower=1e-4), color=colour, marker=".", linewidth=1.4, label=label)
    axes.set_yscale("log")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel({"error": "error of the local models", "horizon": r"horizon $1 / (1 - \gamma)$"}[over], fontsize=9)
    axes.set_ylabel("return", fontsize=9)


def nearest_middle(column: pd.Series) -> float:
    """The middle of a column's distinct values, sorted."""
    values = sorted(set(column))
    return float(values[len(values) // 2])


def significant(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with three significant digits, rounding errors as 0, and empty cells for NaN."""

    def shown(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return "" if np.isnan(value) else f"{0 if abs(value) < 1e-9 else value:.3g}"

    return frame.map(shown)


def report(setting: Setting, tasks: int, out: Path | None) -> str:
    """All tables as Markdown; with `out`, also writes tables and picture to that folder."""
    check_setting(setting)
    tables = {
        "bound": ("Returns, errors and bounds", error_table(setting)),
        "steps": ("epsilon_m_t, step by step", step_table(setting)),
        "counterexamples": ("Counterexamples", counterexample_table()),
    }
    if tasks:
        cases = list(random_cases(tasks, setting.seed))
        tables["holds"] = (f"Which inequalities hold, of {tasks} random tasks", holding_table(cases))
    text = "\n".join(f"## {heading}\n\n{as_markdown(significant(table))}" for heading, table in tables.values())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, (_, table) in tables.items():
            table.to_csv(out / f"{name}.csv", index=False)
        (out / "table.md").write_text(text)
        figure = bound_figure(tables["bound"][1], tables["steps"][1])
        figure.savefig(out / "figure.png", dpi=150)
    return text
