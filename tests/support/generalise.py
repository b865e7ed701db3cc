"""What models refitted on one run's D_e foresee of its own and of other policies' real play, by option.

    python -m tests.support.generalise MODELS_RUN POLICY_RUNS VARIANTS...

POLICY_RUNS are separated by commas; a variant is a number of updates and options, such as
`3840 networks.hidden=128,networks.deterministic=128`. All runs are of one map of `smac_jax`. For each variant and two
seeds, models are learned from scratch from MODELS_RUN's D_e. Each policy plays 64 real battles, and the models predict
15 steps under the real joint actions from each of the steps 8 to 49 (`tests.support.foreseen`). Prints a JSON object
each: for 1, 5 and 15 steps ahead the health and shields that the team loses, foreseen and really, and the mean absolute
error of what is foreseen.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mag.runs.trained import load_seed
from mag.runtime import setup
from tests.support.crossed import agent_of
from tests.support.foreseen import foreseeing
from tests.support.nearest import fitted

BATTLES = 64
FROM, TO = 8, 50
STEPS = (1, 5, 15)
SEEDS = (5, 6)


def main(models_run: str, policy_runs: str, *variants: str) -> None:
    """Print a row for each variant and seed."""
    setup()
    run = load_seed(Path(models_run))
    run = run._replace(config=dataclasses.replace(run.config, workers=1))
    player: Any = run.player
    policies = {Path(path).name: agent_of(path)[1] for path in policy_runs.split(",")}
    foreseen = foreseeing(player.env, BATTLES)
    for variant in variants:
        updates, _, changes = variant.partition(" ")
        for seed in SEEDS:
            models = fitted(run, changes, player.spec, run.state.learner.data, int(updates), seed)
            found = {name: summary(foreseen(models, agent)) for name, agent in policies.items()}
            print(json.dumps({"variant": variant, "seed": seed} | found), flush=True)


def summary(found: dict[str, Any]) -> dict[int, list[float]]:
    """Health lost, foreseen and really, and the error, by steps ahead."""
    rows = {}
    for ahead in STEPS:
        lost, really, counts = (found[name][:, FROM:TO, ahead - 1] for name in ("lost", "lost_really", "counts"))
        means = [(x * counts).sum() / counts.sum() for x in (lost, really, np.abs(lost - really))]
        rows[ahead] = [round(float(mean), 3) for mean in means]
    return rows


if __name__ == "__main__":
    main(*sys.argv[1:])
