"""Each side of a trained team against random play: mean returns of all agents, side by side.

    python -m tests.support.crossplay RUN --episodes 64

Sides are the agents with the same reward; the environment must be in JAX, with a reward for each agent. A side plays
the run's policy (greedy) or draws its actions evenly.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

import mag
from mag.runs.api import Policy
from mag.runs.zoo import config_at


def sides_of(rewards: np.ndarray) -> list[list[int]]:
    """The agents of each side, given rewards `[episodes, agents]`: those whose rewards are always equal."""
    found: dict[tuple[float, ...], list[int]] = {}
    for agent, column in enumerate(rewards.T):
        found.setdefault(tuple(column.tolist()), []).append(agent)
    return list(found.values())


def returns(policy: Policy, env: Any, learned: list[int], episodes: int) -> np.ndarray:
    """Each agent's return `[episodes, agents]` where the agents in `learned` play the policy, the others at random."""
    rng, reset, step = np.random.default_rng(0), jax.jit(env.reset), jax.jit(env.step)
    found = np.zeros((episodes, env.spec.n_agents))
    for episode in range(episodes):
        state, shown = reset(jax.random.key(episode))
        while not (shown.terminated or shown.truncated):
            action = np.array([rng.choice(np.flatnonzero(mask)) for mask in np.asarray(shown.avail)])
            action[learned] = np.asarray(policy.act(shown))[learned]
            state, shown = step(jax.random.key(0), state, action)
            found[episode] += np.asarray(shown.reward)
    return found


def main() -> None:
    """Play every pairing and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.crossplay", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--episodes", type=int, default=64)
    options = parser.parse_args()
    config, policy = config_at(Path(options.run)), mag.load(options.run)
    env = mag.make(config.env)
    sides = sides_of(returns(policy, env, [], 8))
    rows = []
    for plays in itertools.product((False, True), repeat=len(sides)):
        learned = [agent for side, on in zip(sides, plays, strict=True) for agent in side if on]
        found = returns(policy, env, learned, options.episodes)
        error = found.std(0) / np.sqrt(options.episodes)
        rows.append({"learned": learned, "returns": found.mean(0).round(2).tolist(), "error": error.round(2).tolist()})
    print(json.dumps({"env": config.env, "sides": sides, "episodes": options.episodes, "rows": rows}))


if __name__ == "__main__":
    main()
