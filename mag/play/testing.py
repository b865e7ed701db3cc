"""The test win rate: greedy episodes in separate environments with their own random stream."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from mag.algorithms.contract import Algorithm
from mag.learning.parallel import over_seeds, own_part, seed_keys
from mag.runs.footprint import check_memory, size_of
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


class Playing(NamedTuple):
    """One episode under way."""

    key: PRNGKeyArray
    env_state: Any
    agent_state: Any
    timestep: TimeStep
    action: Int[Array, " agents"]
    """What led here; -1 at the start."""
    result: EvaluationResult


Evaluator = Callable[[Any, Key[Array, " seeds"]], EvaluationResult]


def evaluate(
    algorithm: Algorithm, policy: Any, key: PRNGKeyArray, episodes: int, *, share: bool = False
) -> EvaluationResult:
    """Play `episodes` greedy episodes of one policy side by side; results are `[episodes]`.

    Each environment plays exactly one episode, to its end: short episodes count no more than long ones. Workers that
    `share` them play their own part.
    """
    keys = jax.random.split(key, episodes)
    return jax.vmap(lambda key: _play(algorithm, policy, key))(own_part(keys) if share else keys)


def make_evaluator(algorithm: Algorithm, episodes: int) -> Evaluator:
    """`evaluate` for policies with a leading seed axis and one key per seed, compiled at its first call.

    Results do not depend on the workers, who share the episodes where they can take equal parts. Raises UsageError
    where there are more than memory holds.
    """
    config = algorithm.config
    one = jax.eval_shape(lambda key: begin(algorithm, key), jax.random.key(0))
    check_memory({"episodes": 3 * episodes * size_of(one)}, config.num_seeds)
    share = episodes % config.workers == 0

    def play(policy: Any, key: PRNGKeyArray) -> EvaluationResult:
        return evaluate(algorithm, policy, key, episodes, share=share)

    return over_seeds(play, config.num_seeds, workers=config.workers, divides=share)


def evaluation_keys(seed: int, num_seeds: int, iteration: int) -> Key[Array, " seeds"]:
    """One key per seed, a function of the seed and the iteration alone: training's keys are never touched."""
    keys = seed_keys(seed, num_seeds)
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, STREAM), iteration))(keys)


def means(result: EvaluationResult) -> tuple[list[float], list[float], list[float]]:
    """Win rate, return and length of each seed, means over its episodes."""
    won, returned, length = (np.asarray(each, np.float64).mean(axis=-1).tolist() for each in result)
    return won, returned, length


def begin(algorithm: Algorithm, key: PRNGKeyArray) -> Playing:
    """An episode at its start. The key is consumed."""
    reset_key, key = jax.random.split(key)
    env_state, timestep = algorithm.env.reset(reset_key)
    nothing = EvaluationResult(jnp.zeros((), bool), jnp.zeros(()), jnp.zeros((), jnp.int32))
    action = jnp.full(algorithm.env.spec.n_agents, -1, jnp.int32)
    return Playing(key, env_state, algorithm.initial_state(), timestep, action, nothing)


def is_running(algorithm: Algorithm, playing: Playing) -> Bool[Array, ""]:
    """Whether the episode goes on."""
    ended = playing.timestep.terminated | playing.timestep.truncated
    return ~ended & (playing.result.length < algorithm.env.spec.episode_limit)


def advance(algorithm: Algorithm, policy: Any, playing: Playing) -> Playing:
    """One greedy step."""
    key, act_key, step_key = jax.random.split(playing.key, 3)
    action, agent_state = algorithm.act(act_key, policy, playing.agent_state, playing.timestep, greedy=True)
    env_state, timestep = algorithm.env.step(step_key, playing.env_state, action)
    result = EvaluationResult(
        won=timestep.won,
        returned=playing.result.returned + timestep.reward,
        length=playing.result.length + 1,
    )
    return Playing(key, env_state, agent_state, timestep, action, result)


def _play(algorithm: Algorithm, policy: Any, key: PRNGKeyArray) -> EvaluationResult:
    """One episode from its start to its end."""
    # Under vmap the loop runs until the last episode has ended and the others stand still.
    last = jax.lax.while_loop(
        lambda playing: is_running(algorithm, playing),
        lambda playing: advance(algorithm, policy, playing),
        begin(algorithm, key),
    )
    return last.result
