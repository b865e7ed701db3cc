"""The test win rate: greedy episodes in separate environments with their own random stream."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from mag.seeds import over_seeds, seed_keys
from mag.types import TimeStep

STREAM = 0x7E57
"""Sets the evaluation's keys apart from any that training derives from the same seed."""


class EvaluationResult(NamedTuple):
    """Whole episodes, one per environment; `[seeds, episodes]` from an `Evaluator`."""

    won: Bool[Array, "*batch"]
    returned: Float[Array, "*batch"]
    """Undiscounted sum of the team rewards."""
    length: Int[Array, "*batch"]
    """Transitions played."""


class _Playing(NamedTuple):
    """One episode under way."""

    key: PRNGKeyArray
    env_state: Any
    agent_state: Any
    timestep: TimeStep
    result: EvaluationResult


Evaluator = Callable[[Any, Key[Array, " seeds"]], EvaluationResult]


def evaluate(algorithm: Any, policy: Any, key: PRNGKeyArray, episodes: int) -> EvaluationResult:
    """Play `episodes` greedy episodes of one policy side by side; results are `[episodes]`.

    Each environment plays exactly one episode, to its end: short episodes count no more than long ones.
    """
    return jax.vmap(lambda key: _play(algorithm, policy, key))(jax.random.split(key, episodes))


def make_evaluator(algorithm: Any, episodes: int) -> Evaluator:
    """`evaluate` for policies with a leading seed axis and one key per seed, compiled at its first call."""

    return over_seeds(lambda policy, key: evaluate(algorithm, policy, key, episodes), algorithm.config.num_seeds)


def evaluation_keys(seed: int, num_seeds: int, iteration: int) -> Key[Array, " seeds"]:
    """One key per seed, a function of the seed and the iteration alone: training's keys are never touched."""
    keys = seed_keys(seed, num_seeds)
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, STREAM), iteration))(keys)


def means(result: EvaluationResult) -> tuple[list[float], list[float], list[float]]:
    """Win rate, return and length of each seed, means over its episodes."""
    won, returned, length = (np.asarray(each, np.float64).mean(axis=-1).tolist() for each in result)
    return won, returned, length


def _play(algorithm: Any, policy: Any, key: PRNGKeyArray) -> EvaluationResult:
    """One episode from its start to its end."""
    env = algorithm.env

    def is_running(playing: _Playing) -> Bool[Array, ""]:
        ended = playing.timestep.terminated | playing.timestep.truncated
        return ~ended & (playing.result.length < env.spec.episode_limit)

    def step(playing: _Playing) -> _Playing:
        key, act_key, step_key = jax.random.split(playing.key, 3)
        action, agent_state = algorithm.act(act_key, policy, playing.agent_state, playing.timestep, greedy=True)
        env_state, timestep = env.step(step_key, playing.env_state, action)
        result = EvaluationResult(
            won=timestep.won,
            returned=playing.result.returned + timestep.reward,
            length=playing.result.length + 1,
        )
        return _Playing(key, env_state, agent_state, timestep, result)

    reset_key, key = jax.random.split(key)
    env_state, timestep = env.reset(reset_key)
    nothing = EvaluationResult(jnp.zeros((), bool), jnp.zeros(()), jnp.zeros((), jnp.int32))
    start = _Playing(key, env_state, algorithm.initial_state(), timestep, nothing)
    # Under vmap the loop runs until the last episode has ended and the others stand still.
    return jax.lax.while_loop(is_running, step, start).result
