"""Whether a run's world model still knows which enemy is nearest to an agent.

    python -m tests.support.nearest RUN [OPTION=VALUE,... ...]

The run is of a map of `smac_jax`, without `collect.nearest_first`, which makes the nearest enemy the first. The world
model observes windows of D_e's newest steps; from each posterior, all that the actor sees, the distances of the enemies
that the agent saw are decoded. Prints a JSON object:

- `nearest_found`, `nearest_by_chance`: how often the enemy decoded as the nearest is the nearest, and a random one;
- `distance_of_found`, `distance_of_nearest`: map units to the enemy decoded as the nearest, and to the nearest;
- `unexplained`: share of the distances' variance among the enemies of one observation that is not decoded;
- `attacks_on_nearest`: share of the attacks ordered there that are ordered on the nearest enemy.

With options, world models that differ in these are fitted to the run's D_e from scratch, and measured in place of the
run's own.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.mag.replay import items_stored
from mag.algorithms.mag.replayed import newest_sequences
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.observe import SIGHT_RANGE, make_layout
from mag.envs.smac_jax.rules import FIRST_ATTACK
from mag.learning.parallel import first_seed, seed_keys
from mag.options import override
from mag.runs.trained import load_run
from mag.runtime import compile_options, setup

BURN_IN, LENGTH, NEWEST, WINDOWS = 8, 20, 1500, 96
"""Steps that only fill the recurrent state, steps of a window, steps of each environment to draw windows from, and the
number of windows."""
UPDATES = 2048
"""Updates of models fitted anew."""


def distances(layout: Any, obs: Any) -> np.ndarray:
    """Distances of the enemies in map units, `[..., enemies]`; 0 for enemies that are not seen."""
    enemies = np.asarray(obs)[..., 4 : 4 + layout.num_enemies * layout.per_enemy]
    return SIGHT_RANGE * enemies.reshape(*enemies.shape[:-1], layout.num_enemies, layout.per_enemy)[..., 1]


def summary(true: np.ndarray, decoded: np.ndarray, attacked: np.ndarray) -> dict[str, float]:
    """The figures above, over agents that see two enemies or more.

    `true` and `decoded` are distances `[observations, enemies]`, 0 where an enemy is not seen; `attacked` is the enemy
    that the agent's next action attacks, negative for other actions.
    """
    several = (true > 0).sum(-1) >= 2
    true, decoded, attacked = true[several], decoded[several], attacked[several]
    seen = true > 0
    far, guess = np.where(seen, true, np.inf), np.where(seen, decoded, np.inf).argmin(-1)
    nearest = far.argmin(-1)

    def centred(values: np.ndarray) -> np.ndarray:
        mean = (values * seen).sum(-1, keepdims=True) / seen.sum(-1, keepdims=True)
        return (values - mean)[seen]

    spread, attacks = centred(true), attacked >= 0
    return {
        "observations": len(true),
        "enemies_seen": float(seen.sum(-1).mean()),
        "nearest_found": float((guess == nearest).mean()),
        "nearest_by_chance": float((1 / seen.sum(-1)).mean()),
        "distance_of_found": float(np.take_along_axis(far, guess[:, None], -1).mean()),
        "distance_of_nearest": float(far.min(-1).mean()),
        "unexplained": float(np.square(spread - centred(decoded)).mean() / np.square(spread).mean()),
        "attacks": int(attacks.sum()),
        "attacks_on_nearest": float((attacked == nearest)[attacks].mean()) if attacks.any() else float("nan"),
    }


def decoded_sequences(models: Any, data: Any) -> tuple[Any, Any]:
    """D_e's newest sequences, and the joint observations decoded from their posteriors."""
    key_windows, key_observe = jax.random.split(jax.random.key(0))
    newest = min(NEWEST, int(items_stored(data)))
    sequences = newest_sequences(key_windows, data, count=WINDOWS, length=LENGTH, newest=newest)

    def decode(models: Any, key: Any, sequences: Any) -> Any:
        states = jax.vmap(models.observe_sequence)(jax.random.split(key, WINDOWS), sequences)
        return jax.vmap(jax.vmap(models.decode))(states)

    return sequences, jax.jit(decode, compiler_options=compile_options())(models, key_observe, sequences)


def measure(models: Any, data: Any, layout: Any) -> dict[str, float]:
    """The figures of a world model on D_e."""
    sequences, decoded = decoded_sequences(models, data)
    # The action that follows an observation is the next item's previous action; an episode's last has none.
    follows = np.asarray(sequences.previous_action)[:, 1:] - FIRST_ATTACK
    follows = np.where(np.asarray(sequences.first)[:, 1:, None], -1, follows)
    part = slice(BURN_IN, LENGTH - 1)
    true, guessed = (
        distances(layout, obs)[:, part].reshape(-1, layout.num_enemies) for obs in (sequences.obs, decoded)
    )
    found = summary(true, guessed, follows[:, BURN_IN:].reshape(-1))
    return {name: round(value, 3) for name, value in found.items()}


def main(run: str, *changes: str) -> None:
    """Print the figures of a run's world model, or of others fitted anew to its D_e with some options changed."""
    setup()
    trained = load_run(Path(run))
    if trained.player.spec.nearest_first:
        raise SystemExit(f"{run} was trained with collect.nearest_first: its nearest enemy is always the first")
    layout = make_layout(get_map(trained.config.env.partition("/")[2]))
    if not changes:
        learner = first_seed(trained.state.learner)
        print(json.dumps(measure(learner.models.weights, learner.data, layout)))
    for change in changes:
        print(json.dumps({"options": change} | fit_anew(trained, change, layout)), flush=True)


def fit_anew(trained: Any, change: str, layout: Any) -> dict[str, float]:
    """The figures of a world model with the options `change`, such as `networks.classes=32,networks.hidden=128`, fitted
    to the run's D_e from scratch."""
    data = trained.state.learner.data
    return measure(fitted(trained, change, trained.player.spec, data), first_seed(data), layout)


def options_in(change: str) -> dict[str, str]:
    """The options in words such as `networks.classes=32,networks.hidden=128`."""
    return dict(each.split("=") for each in change.split(",") if each)


def fitted(trained: Any, change: str, spec: Any, data: Any, updates: int = UPDATES, seed: int = 0) -> Any:
    """The world model with the options `change`, fitted from scratch to a run's D_e, or to `data` like it."""
    algorithm = MAG(override(trained.config, options_in(change)), spec)
    models = algorithm.init(seed_keys(seed, 1)).models
    for key in jax.random.split(jax.random.key(seed + 1), updates // algorithm.config.models.batches):
        models, _ = algorithm.fit_models(key[None], models, data)
    return first_seed(models.weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
