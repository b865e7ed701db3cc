"""The pictures of a report."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mag.experiments import statistics
from mag.experiments.analysis import FINAL, Analysis

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7b61c9", "#999999")
"""Colours that colour-blind readers can tell apart, on light and dark pages (Okabe and Ito's, and three more)."""
NAMES = {
    "eval/win_rate": "test win rate",
    "eval/return": "test return",
    "train/win_rate": "training win rate, last 20 episodes",
    "train/return": "training return, last 20 episodes",
}
WIDTH = 3.1
"""Width of a panel in inches."""


def colours(curves: list[str]) -> dict[str, str]:
    """A colour for each curve, the same in every picture."""
    return {curve: COLOURS[index % len(COLOURS)] for index, curve in enumerate(curves)}


def learning_curves(analysis: Analysis, band: str) -> Any:
    """Learning curves, a panel for each environment. `band`: `std`, mean and standard deviation, or `iqm`.

    Bands of win rates end at 0 and 1: a standard deviation of a few seeds reaches beyond.
    """
    from matplotlib.figure import Figure

    panels, hues = analysis.panels, colours(analysis.curves)
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(WIDTH * across, 4.5), 2.5 * down + 0.7), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for curve in analysis.curves:
            if aligned := analysis.aligned(panel, curve):
                values, low, high = band_of(aligned.values, band)
                if is_rate(analysis.metric):
                    low, high = np.clip([low, high], 0, 1)
                axes.plot(aligned.steps, values, color=hues[curve], linewidth=1.7, label=curve)
                axes.fill_between(aligned.steps, low, high, color=hues[curve], alpha=0.18, linewidth=0)
        decorate(axes, panel.partition("/")[2] or panel, analysis.metric)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("real environment steps", fontsize=9)
    figure.supylabel(NAMES[analysis.metric], fontsize=9)
    legend(figure, hues)
    return figure


def band_of(values: Any, band: str) -> tuple[Any, Any, Any]:
    """The middle and the band of aligned curves, `[seeds, points]`."""
    if band == "std":
        mean = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)
        return mean, mean - spread, mean + spread
    return statistics.interval(statistics.iqm, [values.T])


def is_rate(metric: str) -> bool:
    """Whether a metric lies between 0 and 1."""
    return metric.endswith("win_rate")


def deviations(metric: str) -> str:
    """The caption of learning curves with standard deviations."""
    clipped = ", clipped to [0, 1]" if is_rate(metric) else ""
    return f"{NAMES[metric]}: mean and standard deviation over the seeds{clipped}"


def decorate(axes: Any, title: str, metric: str) -> None:
    """Title, grid and ticks of a panel."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(title, fontsize=9)
    rule(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    if is_rate(metric):
        axes.set_ylim(-0.03, 1.03)


def rule(axes: Any) -> None:
    """A light grid and small numbers, and no frame above and on the right."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(figure: Any, hues: dict[str, str]) -> None:
    """One legend above all panels, in as many columns as fit; on the left, which a phone shows without scrolling."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=hue, linewidth=2, label=curve) for curve, hue in hues.items()]
    room = figure.get_figwidth() * 13
    columns = max(1, min(len(lines), int(room / (max(map(len, hues)) + 7))))
    figure.legend(handles=lines, loc="outside upper left", ncols=columns, frameon=False, fontsize=8)


def single(analysis: Analysis, x_label: str, y_label: str) -> tuple[Any, Any]:
    """A figure of one panel and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    rule(axes)
    legend(figure, colours(analysis.curves))
    return figure, axes


def performance_profile(analysis: Analysis) -> Any:
    """Share of the runs above each score, with its interval; None where the curves share no environment."""
    scores, envs = analysis.scores[FINAL], analysis.shared_envs(analysis.curves)
    if not envs:
        return None
    every = np.concatenate([scores[curve][env] for curve in analysis.curves for env in envs])
    low, high = (0.0, 1.0) if is_rate(analysis.metric) else (every.min(), every.max())
    taus = np.linspace(low, high, 101)
    figure, axes = single(analysis, f"{NAMES[analysis.metric]} τ", "share of runs above τ")
    for curve, hue in colours(analysis.curves).items():
        value, below, above = statistics.profile([scores[curve][env] for env in envs], taus)
        axes.plot(taus, value, color=hue, linewidth=1.7)
        axes.fill_between(taus, below, above, color=hue, alpha=0.15, linewidth=0)
    axes.set_ylim(-0.03, 1.03)
    return figure


def sample_efficiency(analysis: Analysis) -> Any:
    """Interquartile mean over environments and seeds against the share of the steps; None where no environment is
    shared by all curves."""
    figure, axes = single(analysis, "share of the environment steps", f"IQM of {NAMES[analysis.metric]}")
    for curve, hue in colours(analysis.curves).items():
        found = analysis.efficiency(curve)
        if found is None:
            return None
        steps, value, low, high = found
        axes.plot(steps, value, color=hue, linewidth=1.7)
        axes.fill_between(steps, low, high, color=hue, alpha=0.15, linewidth=0)
    return figure


def improvement(pairs: pd.DataFrame) -> Any:
    """Probability of improvement of each pair of curves, with its interval; None without pairs."""
    from matplotlib.figure import Figure

    if pairs.empty:
        return None
    figure = Figure(figsize=(5.6, 0.34 * len(pairs) + 1.0), layout="constrained")
    axes = figure.subplots()
    name = "P(first > second)"
    rows = np.arange(len(pairs))[::-1]
    value = pairs[name].to_numpy()
    low, high = (pairs[f"{name} {side}"].fillna(pairs[name]).to_numpy() for side in ("low", "high"))
    axes.barh(rows, high - low, left=low, height=0.55, color=COLOURS[0], alpha=0.35)
    axes.plot(value, rows, "|", color=COLOURS[0], markersize=12, markeredgewidth=2.5)
    axes.axvline(0.5, color="#888888", linewidth=0.8, linestyle="--")
    axes.set_yticks(rows, [f"{row['first']}  >  {row['second']}" for _, row in pairs.iterrows()], fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability that a run of the first scores higher", fontsize=9)
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure


def all_figures(analysis: Analysis, training: Analysis | None, pairs: pd.DataFrame) -> dict[str, tuple[str, Any]]:
    """The figures of a report, by file name, each with its caption."""
    name = NAMES[analysis.metric]
    made: dict[str, tuple[str, Callable[[], Any]]] = {
        "curves": (deviations(analysis.metric), lambda: learning_curves(analysis, "std")),
        "curves_iqm": (
            f"{name}: interquartile mean with bootstrap 95 % interval",
            lambda: learning_curves(analysis, "iqm"),
        ),
        "efficiency": (
            "Sample efficiency: interquartile mean over environments and seeds, with stratified bootstrap 95 % band",
            lambda: sample_efficiency(analysis),
        ),
        "profile": ("Performance profile of the last three tests' mean", lambda: performance_profile(analysis)),
        "improvement": (
            "Probability of improvement, mean over environments, with stratified bootstrap 95 % interval",
            lambda: improvement(pairs),
        ),
    }
    if training is not None:
        made["training"] = (deviations(training.metric), lambda: learning_curves(training, "std"))
    figures = {file: (caption, make()) for file, (caption, make) in made.items()}
    return {file: (caption, figure) for file, (caption, figure) in figures.items() if figure is not None}
