"""curve.png: win rate or return over environment steps."""

from collections import defaultdict
from typing import Any

import numpy as np

from mag.runs.folder import RunFolder
from mag.runs.logger import Row, read_rows
from mag.runs.progress import WINDOW


def draw(folder: RunFolder, title: str, *, has_wins: bool) -> str | None:
    """Draw test and training results, thin lines for seeds, a thick one for their mean; win rates, else returns.

    Returns a warning if a row cannot be read or the picture cannot be written.
    """
    try:
        rows, damaged = read_rows(folder)
        curve_figure(rows, title, has_wins=has_wins).savefig(folder.curve, dpi=120)
    except OSError as error:
        return f"{folder.curve} was not drawn ({error.strerror or error})"
    return f"{folder.metrics}, line {damaged[0]}, is damaged and not in {folder.curve.name}" if damaged else None


def curve_figure(rows: list[Row], title: str, *, has_wins: bool) -> Any:
    """The figure that `draw` writes."""
    from matplotlib.figure import Figure

    metric, label = ("win_rate", "win rate") if has_wins else ("return", "return")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for part, name, colour in (
        ("train", f"training, last {WINDOW} episodes", "tab:orange"),
        ("eval", "test, greedy", "tab:blue"),
    ):
        plot(axes, rows, f"{part}/{metric}", name, colour)
    axes.set(title=title, xlabel="real environment steps", ylabel=label)
    if has_wins:
        axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


def plot(axes: Any, rows: list[Row], metric: str, name: str, colour: str) -> None:
    """One metric: a thin line per seed and their mean over the iterations that all seeds have."""
    seeds: dict[int, list[tuple[float, float]]] = defaultdict(list)
    iterations: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if isinstance(row.get(metric), int | float):
            point = (row["env_steps"], row[metric])
            seeds[row["seed"]].append(point)
            iterations[row["iteration"]].append(point)
    if len(seeds) > 1:
        for points in seeds.values():
            axes.plot(*np.transpose(points), color=colour, alpha=0.35, linewidth=0.8)
        name = f"{name} (mean of {len(seeds)} seeds)"
    means = [np.mean(points, axis=0) for points in iterations.values() if len(points) == len(seeds)]
    if means:
        axes.plot(
            *np.transpose(means),
            color=colour,
            linewidth=2,
            marker="o" if len(means) == 1 else None,
            label=name,
        )
