"""How well an agent's and a team's drawn variables fit together, by the number of stages of the prior's draws:

python -m tests.support.joint RUN STAGES...

For each number of stages, models are learned from scratch from the run's D_e; then a classifier that sees all agents
(`--model-reward.kind ratio`) learns to tell their one-step predictions from real states. Prints a JSON object each:
terms of the models' loss, and the classifier's accuracy (0.5 where nothing can be told), both of the last updates.
"""

import dataclasses
import json
import sys
from pathlib import Path

import jax

from mag.algorithms import registry
from mag.algorithms.mag.algorithm import MAG
from mag.options import override
from mag.runs.trained import load_seed
from mag.runtime import setup

MODEL_FITS = 12
"""Calls of line 4: 768 updates in size small."""
CLASSIFIER_UPDATES = 1000


def measure(path: Path, stages: int) -> dict[str, float]:
    """What models with so many stages, and a classifier of their predictions, learn from a run's D_e."""
    run = load_seed(path)
    config = override(
        dataclasses.replace(run.config, workers=1),
        {
            "networks.stages": stages,
            "model_reward.kind": "ratio",
            "model_reward.learning_rate": 1e-3,
            "model_reward.batches": CLASSIFIER_UPDATES // 10,
        },
    )
    algorithm, data = registry.make(config, run.algorithm.spec), run.state.learner.data
    assert isinstance(algorithm, MAG)
    state = algorithm.init(jax.vmap(jax.random.key)(jax.numpy.array([5])))
    models, keys = state.models, iter(jax.random.split(jax.random.key(6), (MODEL_FITS + 11, 1)))
    metrics = {}
    for _ in range(MODEL_FITS):
        models, metrics = algorithm.fit_models(next(keys), models, data)
    classifier = algorithm.init_model_reward(next(keys), models.weights)
    for _ in range(10):
        classifier, more = algorithm.fit_model_reward(next(keys), classifier, models.weights, data)
    return {name: round(float(value.mean()), 4) for name, value in (metrics | more).items()}


def main() -> None:
    """Print a row for each number of stages."""
    setup()
    for stages in map(int, sys.argv[2:]):
        print(json.dumps({"stages": stages, **measure(Path(sys.argv[1]), stages)}), flush=True)


if __name__ == "__main__":
    main()
