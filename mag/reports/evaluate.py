"""`mag evaluate`: the newest checkpoint of a run, tested in its own environment or in another of the same interface."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from mag import envs
from mag.algorithms.config import SEED_LIMIT, RunConfig
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.play.episode import Agent, Carry
from mag.play.player import Player
from mag.play.testing import evaluation_keys, means, returns_of_agents
from mag.runs.footprint import check_memory
from mag.runs.setup import make_player
from mag.runs.trained import load_run
from mag.runs.zoo import map_at
from mag.runtime import own_cores
from mag.types import Episodes, TimeStep

SIZES = {"n_agents": "agents", "obs_dim": "features of an observation", "n_actions": "actions"}
"""Sizes in which an environment must match a policy, by the field of its spec."""


class Sampled(eqx.Module):
    """An agent that draws its actions as in training, exploration included, even if asked to play greedily."""

    agent: Agent

    def initial_carry(self, key: PRNGKeyArray) -> Carry:
        """See `Agent.initial_carry`."""
        return self.agent.initial_carry(key)

    def act(
        self, key: PRNGKeyArray, carry: Carry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], Carry]:
        """See `Agent.act`."""
        del greedy
        return self.agent.act(key, carry, timestep, greedy=False)


def evaluate_run(
    path: Path,
    episodes: int,
    *,
    env: str | None = None,
    sampled: bool = False,
    test_seed: int | None = None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Results per seed and per episode, of greedy play or `sampled` actions.

    Without `test_seed` the keys are those of the test in training at this checkpoint, so as many episodes give the same
    results; with it every seed of every run plays the same episodes. `batch` episodes are
    played at once, by default all (on the host as many as there are cores). `env` is another environment of the same
    sizes. Raises UsageError where `path` holds no run or no usable checkpoint, or where sizes differ.
    """
    config, algorithm, player, state, progress, warnings = load_run(path)
    if test_seed is not None and test_seed >= SEED_LIMIT:
        raise UsageError(f"test_seed is {test_seed}; it can be at most {SEED_LIMIT - 1}")
    name = config.env if env is None else env
    if env is not None or envs.is_host(name):
        content = map_at(path) if env is None else None
        player = player_elsewhere(config, player.spec, name, content, min(batch or own_cores(), episodes))
    agent = algorithm.agent(state.learner)
    if test_seed is None:
        keys = evaluation_keys(config.seed, config.num_seeds, progress.iteration)
    else:
        keys = evaluation_keys(test_seed, 1, 0)[jnp.zeros(config.num_seeds, int)]
    at_once = episodes if batch is None or envs.is_host(name) else batch
    held = {"episodes": min(at_once, episodes) * player.footprint()["episode"]}
    check_memory(held, config.num_seeds, what="playing", advice="lower --episodes or --batch")
    try:
        played = play_in_batches(player, keys, Sampled(agent) if sampled else agent, episodes, at_once)
    finally:
        player.close()
    win_rate, returns, length = means(played)
    return {
        "run": str(path),
        "env": name,
        "trained_on": config.env,
        "algo": config.algo,
        "size": config.size,
        "recipe": config.recipe,
        "env_steps": progress.slowest,
        "episodes": episodes,
        "play": "sampled" if sampled else "greedy",
        "test_seed": test_seed,
        "seeds": [config.seed + index for index in range(config.num_seeds)],
        "eval_win_rate": win_rate if player.spec.has_wins else None,
        "eval_return": returns,
        "eval_return_of_agents": None if (each := returns_of_agents(played)) is None else each.tolist(),
        "eval_episode_length": length,
        "each_won": np.asarray(played.won).tolist() if player.spec.has_wins else None,
        "each_return": np.asarray(played.returns, np.float64).tolist(),
        "each_length": np.asarray(played.length).tolist(),
        "warnings": warnings,
    }


def player_elsewhere(
    config: RunConfig, trained: EnvSpec, env: str, content: dict[str, Any] | None, at_once: int
) -> Player:
    """A player of the environment `env` for policies of a run, `at_once` episodes at a time.

    Raises UsageError naming the sizes in which `env` differs from the environment of training.
    """
    spec = envs.spec(env, content)
    differing = [
        f"{getattr(spec, field)} {what} (the run: {getattr(trained, field)})"
        for field, what in SIZES.items()
        if getattr(spec, field) != getattr(trained, field)
    ]
    if differing:
        raise UsageError(
            f"the run was trained on {config.env} and cannot play {env}, which has {' and '.join(differing)}; "
            "give an environment of the same sizes (`mag envs` lists them)"
        )
    if trained.nearest_first and spec.enemies != trained.enemies:
        raise UsageError(
            f"the run was trained on {config.env} with the nearest enemy first and cannot play {env}, whose "
            "observations do not tell enemies in the same way; give another environment (`mag envs` lists them)"
        )
    collect = dataclasses.replace(config.collect, num_envs=at_once)
    return make_player(dataclasses.replace(config, env=env, collect=collect, workers=1), content)


def play_in_batches(player: Player, keys: Key[Array, " seeds"], agent: Agent, episodes: int, at_once: int) -> Episodes:
    """Test episodes, `[seeds, episodes]`, in batches of `at_once`; the first batch is a test with `keys`."""
    parts = []
    for begin in range(0, episodes, at_once):
        # By `begin`, not by the batch's number: a small number's key is that of an episode of the first batch.
        own = keys if begin == 0 else jax.vmap(lambda key: jax.random.fold_in(key, begin))(keys)  # noqa: B023
        parts.append(player.test(own, agent, min(at_once, episodes - begin)))
    return jax.tree.map(lambda *parts: np.concatenate([np.asarray(each) for each in parts], axis=1), *parts)


def format_result(result: dict[str, Any]) -> str:
    """The results as text, a line per seed."""
    elsewhere = f" trained on {result['trained_on']}" if result["env"] != result["trained_on"] else ""
    lines = [
        *result["warnings"],
        f"{result['algo']}{elsewhere} on {result['env']}, {result['env_steps']} env steps, {result['episodes']} "
        f"{result['play']} episodes:",
    ]
    for index, seed in enumerate(result["seeds"]):
        won = f"win rate {result['eval_win_rate'][index]:.3f}  " if result["eval_win_rate"] else ""
        returns, length = result["eval_return"][index], result["eval_episode_length"][index]
        each = (result["eval_return_of_agents"] or {index: []})[index]
        own = f" (of the agents: {', '.join(f'{value:.3f}' for value in each)})" if each else ""
        lines.append(f"  seed {seed}  {won}return {returns:.3f}{own}  length {length:.1f}")
    return "\n".join(lines)
