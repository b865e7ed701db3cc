"""The measures of realism as text and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np


def format_realism(found: dict[str, Any]) -> list[str]:
    """The measures of realism for people, in lines."""

    def share(value: float | None, width: int, digits: int = 2) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"

    rows = found["by_steps_ahead"]
    lines = [
        f"rollouts of the policy in its world model, beside real play from the same steps ({found['rollouts']}):",
        "steps   error of the observation   mean reward        share over         told",
        "ahead      true     estimated      real   imagined    real   imagined    apart",
    ]
    for row in (row for row in rows if row["ahead"] in (1, 2, 5, 10, len(rows))):
        lines.append(
            f"{row['ahead']:5}   {share(row['error'], 7)}   {share(row['estimate'], 11)}   {row['reward']:7.3f}   "
            f"{row['reward_imagined']:8.3f}   {row['over']:5.3f}   {row['over_imagined']:8.3f}   "
            f"{share(row['told_apart'], 6)}"
        )
    lines.append(
        "true error: against the simulator given the same actions; told apart: held-out accuracy of a classifier of "
        "these observations and imagined ones; 0.5 is best; -: too few rollouts"
    )
    lines.append(
        f"critic's value where rollouts start {share(found['value'], 1)}, discounted return that followed "
        f"{share(found['returns'], 1)}"
    )
    lines.append(
        f"rank correlation of estimated and true error one step ahead: {share(found['estimate_follows_error'], 1)}"
    )
    if "deaths" in found:
        lines.append(
            f"agents that die within a rollout: {found['deaths']:.3f}, imagined {found['deaths_imagined']:.3f}"
        )
    if found.get("health_lost") is not None:
        lines.append(
            "health and shield that an agent loses within a rollout, 1 each for a fresh unit's: "
            f"{found['health_lost']:.3f}, imagined {share(found['health_lost_imagined'], 1, 3)}"
        )
    if found.get("views_disagree") is not None:
        lines.append(
            f"agents' views of the same unit at the last step lie {found['views_disagree']:.2f} map units apart; "
            f"{share(found['views_disagree_observed'], 1)} where the world model observes"
        )
    return lines


def write_picture(found: dict[str, Any], path: Path, title: str) -> None:
    """The measures by steps ahead, as a picture."""
    from matplotlib.figure import Figure

    rows = found["by_steps_ahead"]
    ahead = [row["ahead"] for row in rows]
    panels = [
        ("error of the joint observation", {"true": "error", "model reward": "estimate"}),
        ("told apart by a classifier", {"held-out accuracy": "told_apart"}),
        ("mean reward", {"real": "reward", "imagined": "reward_imagined"}),
        ("share of episodes that are over", {"real": "over", "imagined": "over_imagined"}),
    ]
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    for axes, (heading, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for (label, name), colour in zip(lines.items(), ("#222222", "#d95f02"), strict=False):
            axes.plot(ahead, [np.nan if row[name] is None else row[name] for row in rows], label=label, color=colour)
        if len(lines) == 1:
            axes.axhline(0.5, color="#888888", linewidth=0.8)
            axes.set_ylim(0.45, 1)
        axes.set_title(heading, fontsize=9)
        axes.set_xlabel("steps ahead", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
