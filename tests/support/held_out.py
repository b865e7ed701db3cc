"""How well world models fitted to a few real steps predict others that they have not learned from.

    python -m tests.support.held_out RUN STEPS VARIANT...

Of the first steps that RUN collected with 16 environments, STEPS are those of the first 12, to which models are fitted
from scratch; held out are the steps that the other 4 played meanwhile. A variant is numbers of updates and options,
such as `1024,2048 models.kl_weight=32`. For each variant and number of updates prints a JSON object: the terms of the
models' loss (line 4), and the loss, on what was learned from and on what was held out.
"""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from mag.algorithms.mag.algorithm import MAG
from mag.learning.parallel import first_seed, seed_keys
from mag.options import override
from mag.runs.trained import Trained, load_seed
from mag.runtime import compile_options, setup
from tests.support.nearest import options_in

LEARNED, HELD_OUT = 12, 4
"""Environments whose steps are learned from, and whose steps are held out."""
BATCHES = 24
"""Batches of which the mean loss is taken."""


def of_envs(data: Any, first: int, count: int, steps: int) -> Any:
    """D_e as if its environments were `count` ones from the `first`, in turn, and had played so many steps each."""
    num_envs = data.experience.first.shape[1]
    chosen = first + jnp.arange(num_envs) % count
    return data.replace(
        experience=jax.tree.map(lambda x: x[:, chosen], data.experience),
        current_index=jnp.full_like(data.current_index, steps),
        is_full=jnp.zeros_like(data.is_full),
    )


def losses(algorithm: MAG, models: Any, data: Any) -> Any:
    """The terms of the models' loss, and the loss, mean of `BATCHES` batches."""

    def of_batch(key: Any) -> Any:
        key_sample, key_loss = jax.random.split(key)
        return models.loss(key_loss, algorithm.sequences(key_sample, data))[1]

    return jax.tree.map(jnp.mean, jax.lax.map(of_batch, jax.random.split(jax.random.key(2), BATCHES)))


def rows(run: Trained, parts: dict[str, Any], variant: str) -> Iterator[dict[str, Any]]:
    """The figures of a variant after each of its numbers of updates."""
    counts, _, changes = variant.partition(" ")
    algorithm = MAG(override(run.config, options_in(changes)), run.player.spec)
    measure = jax.jit(partial(losses, algorithm), compiler_options=compile_options())
    models, done, key = algorithm.init(seed_keys(0, 1)).models, 0, jax.random.key(1)
    for count in map(int, counts.split(",")):
        while done < count:
            key, key_fit = jax.random.split(key)
            models, _ = algorithm.fit_models(key_fit[None], models, parts["learned"])
            done += algorithm.config.models.batches
        found = [measure(first_seed(models.weights), first_seed(part)) for part in parts.values()]
        terms = {term.removeprefix("models/"): [round(float(each[term]), 3) for each in found] for term in found[0]}
        yield {"variant": changes, "updates": done} | terms


def main(path: str, steps: str, *variants: str) -> None:
    """Print the losses of each variant after each number of updates."""
    setup()
    run = load_seed(Path(path))
    stored: Any = run.state.learner.data
    each = int(steps) // LEARNED
    parts = {"learned": of_envs(stored, 0, LEARNED, each), "held out": of_envs(stored, LEARNED, HELD_OUT, each)}
    for variant in variants:
        for row in rows(run, parts, variant):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
