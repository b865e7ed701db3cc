"""What models refitted on one run's D_e foresee of its own and of other policies' real play, by option.

    python -m tests.support.generalise MODELS_RUN POLICY_RUNS VARIANTS...

POLICY_RUNS are separated by commas; a variant is a number of calls of line 4 and options, such as
`60 networks.hidden=128`. All runs are of one map of `smac_jax`. For each variant and two seeds, models are learned from
scratch from MODELS_RUN's D_e. Each policy plays 64 real battles, and the models predict 15 steps under the real
joint actions from each of the steps 8 to 49 (`tests.support.foreseen`). Prints a JSON object each: the last loss, and
for 1, 5 and 15 steps ahead the health and shields that the team loses, foreseen and really, and the mean absolute
error of what is foreseen.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms import registry
from mag.options import override
from mag.runs.trained import load_seed
from mag.runtime import compile_options, setup
from tests.support.crossed import agent_of
from tests.support.foreseen import foresee

BATTLES = 64
FROM, TO = 8, 50
STEPS = (1, 5, 15)
SEEDS = (5, 6)


def main(models_run: str, policy_runs: str, *variants: str) -> None:
    """Print a row for each variant and seed."""
    setup()
    run, player = load_seed(Path(models_run)), agent_of(models_run)[0]
    policies = {Path(path).name: agent_of(path)[1] for path in policy_runs.split(",")}

    def all_battles(keys: Any, models: Any, agent: Any) -> dict[str, Any]:
        return jax.lax.map(lambda key: foresee(key, player.env, models, agent), keys)

    compiled = jax.jit(all_battles, compiler_options=compile_options())
    for variant in variants:
        fits, *options = variant.split()
        changes = {name: json.loads(value) for name, value in (option.split("=") for option in options)}
        config = override(dataclasses.replace(run.config, workers=1), changes)
        algorithm: Any = registry.make(config, run.algorithm.spec)
        for seed in SEEDS:
            models, metrics = algorithm.init(jax.vmap(jax.random.key)(jnp.array([seed]))).models, {}
            for key in jax.random.split(jax.random.key(seed + 1), (int(fits), 1)):
                models, metrics = algorithm.fit_models(key, models, run.state.learner.data)
            weights = jax.tree.map(lambda x: x[0], models.weights)
            row: dict[str, Any] = {"variant": variant, "seed": seed, "loss": float(metrics["models/loss"].mean())}
            for name, agent in policies.items():
                keys = jax.random.split(jax.random.key(5), BATTLES)
                row[name] = summary(jax.tree.map(np.asarray, compiled(keys, weights, agent)))
            print(json.dumps(row), flush=True)


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
