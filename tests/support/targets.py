"""How exactly 2c_vs_64zg asks to aim: players of the corner that choose their target in other ways.

python -m tests.support.targets [--battles 200]

Each holds the corner as `hold_corner`. They attack the enemy whose beam sweeps most, as `hold_corner`, but know the
enemies' positions only to a normal error of so many map units; or the k-th nearest; or any of the k nearest. Prints one
JSON object per player.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.envs.smac_jax import players
from mag.envs.smac_jax.combat import sweeps
from mag.envs.smac_jax.env import SMAC, State
from mag.play.tournament import battles_on, score
from mag.runtime import setup

ERRORS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)
"""Standard deviations of the error of a coordinate, in map units."""
KNOWN = 8
"""The nearest enemies, among which the best target is chosen: the choice among all is no better."""
RANKS = (1, 2, 4, 8)

Prefer = Callable[[PRNGKeyArray, SMAC, State, Float[Array, "agents enemies"]], Float[Array, "agents enemies"]]
"""How much each agent prefers each enemy, given the distances."""


def hold(prefer: Prefer, key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Hold the corner, and attack the enemy that is preferred most."""
    return players._hold(env, state, players.CORNER_POSTS, prefer(key, env, state, players._distances(env, state)))


def rank(distances: Float[Array, "agents enemies"]) -> Int[Array, "agents enemies"]:
    """0 for the nearest enemy, 1 for the second, ..."""
    return jnp.argsort(jnp.argsort(distances, axis=1), axis=1)


def best_as_known(error: float, key: PRNGKeyArray, env: SMAC, state: State, distances: Any) -> Any:
    """The enemy whose beam sweeps most, if all stood where the agents take them to stand."""
    enemies, position = slice(env.num_agents, None), state.units.position
    moved = error * jax.random.normal(key, position[enemies].shape)
    taken = state.units._replace(position=position.at[enemies].add(moved))
    worth = sweeps(env.battle, taken) - 0.3 * distances
    return jnp.where(rank(distances) < KNOWN, worth, -100.0 - distances)


def kth_nearest(k: int, key: PRNGKeyArray, env: SMAC, state: State, distances: Any) -> Any:
    """The k-th nearest enemy; where there are fewer, the farthest."""
    return -jnp.abs(rank(distances) - (k - 1.0)) - 0.001 * distances


def any_of_nearest(k: int, key: PRNGKeyArray, env: SMAC, state: State, distances: Any) -> Any:
    """Any of the k nearest enemies, drawn anew at each step."""
    return jnp.where(rank(distances) < k, jax.random.uniform(key, distances.shape), -distances)


def main() -> None:
    """Print the win rate and return of each player."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.targets", description=__doc__)
    parser.add_argument("--battles", type=int, default=200)
    options = parser.parse_args()
    setup()
    battles = battles_on("2c_vs_64zg")
    prefers = {f"best of {KNOWN}, positions known to {error}": partial(best_as_known, error) for error in ERRORS}
    prefers |= {f"nearest no. {k}": partial(kth_nearest, k) for k in RANKS}
    prefers |= {f"any of the nearest {k}": partial(any_of_nearest, k) for k in RANKS[1:]}
    for name, prefer in prefers.items():
        players.PLAYERS[name] = partial(hold, prefer)
        print(
            json.dumps({"player": name, "battles": options.battles} | score(battles, name, options.battles)), flush=True
        )


if __name__ == "__main__":
    main()
