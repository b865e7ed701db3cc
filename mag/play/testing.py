"""Tests: whole greedy episodes in separate environments with their own random stream."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from mag.envs import Env
from mag.learning.parallel import seed_keys
from mag.play.episode import Agent, Choose, Episode, chosen_by, result, start_episode, step_episode, where
from mag.types import Episodes

STREAM = 0x7E57
"""Sets the keys of tests apart from all keys that training derives from the same seed."""

Moments = TypeVar("Moments")
"""What `show` returns for a time step: a pytree of arrays."""


class Trial(NamedTuple):
    """One test episode under way, with its own key."""

    key: PRNGKeyArray
    episode: Episode


def play_episodes(key: PRNGKeyArray, env: Env, agent: Agent, episodes: int, *, greedy: bool = True) -> Episodes:
    """`episodes` whole episodes of one agent side by side, `[episodes]`. The key is consumed.

    Each environment plays exactly one episode, to its end: short episodes count no more than long ones.
    """
    return play_each(jax.random.split(key, episodes), env, agent, greedy=greedy)


def play_each(keys: Key[Array, " episodes"], env: Env, agent: Agent, *, greedy: bool) -> Episodes:
    """One whole episode per key, side by side. The keys are consumed."""
    choose = chosen_by(agent, greedy=greedy)

    def play(key: PRNGKeyArray) -> Episodes:
        return result(play_episode(start_trial(key, env, agent), env=env, choose=choose), jnp.ones((), bool))

    return jax.vmap(play)(keys)


def play_episode(trial: Trial, *, env: Env, choose: Choose) -> Episode:
    """An episode played to its end."""
    # Under vmap the loop runs until the last episode has ended; the episodes that ended before stand still.
    return jax.lax.while_loop(is_running, lambda trial: step_trial(trial, env=env, choose=choose), trial).episode


def play_through(
    trial: Trial, *, env: Env, choose: Choose, show: Callable[[Trial], Moments]
) -> tuple[Episode, Moments]:
    """An episode played to its end, and the result of `show` for each of its time steps, `[time, ...]`.

    The time axis is as long as the episode limit plus the start: after the end the last time step repeats.
    """

    def step(trial: Trial, _: None) -> tuple[Trial, Moments]:
        trial = where(is_running(trial), step_trial(trial, env=env, choose=choose), trial)
        return trial, show(trial)

    last, rest = jax.lax.scan(step, trial, length=env.spec.episode_limit)
    moments = jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), show(trial), rest)
    return last.episode, moments


def start_trial(key: PRNGKeyArray, env: Env, agent: Agent) -> Trial:
    """A test episode at its start. The key is consumed."""
    key_reset, key, key_carry = jax.random.split(key, 3)
    return Trial(key, start_episode(key_reset, env, agent.initial_carry(key_carry)))


def is_running(trial: Trial) -> Bool[Array, ""]:
    """Whether the episode goes on."""
    shown = trial.episode.timestep
    return ~(shown.terminated | shown.truncated)


def step_trial(trial: Trial, *, env: Env, choose: Choose) -> Trial:
    """One transition of a test episode."""
    key, key_choose, key_step = jax.random.split(trial.key, 3)
    return Trial(key, step_episode(key_choose, key_step, trial.episode, env=env, choose=choose))


def evaluation_keys(seed: int, num_seeds: int, iteration: int) -> Key[Array, " seeds"]:
    """One key per seed, a function of the seed and the iteration alone: training's keys are never touched."""
    keys = seed_keys(seed, num_seeds)
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, STREAM), iteration))(keys)


class Means(NamedTuple):
    """Means over the test episodes of each seed, and over the agents where each has a return of its own."""

    win_rate: list[float]
    returns: list[float]
    length: list[float]


def returns_of_agents(episodes: Episodes) -> Float[np.ndarray, "seeds agents"] | None:
    """Mean return of each agent; None where all share one."""
    returns = np.asarray(episodes.returns, np.float64)
    return returns.mean(1) if returns.ndim > 2 else None


def means(episodes: Episodes) -> Means:
    """Win rate, return and length of each seed; `episodes` are `[seeds, episodes]`."""
    fields = (episodes.won, episodes.mean_returns, episodes.length)
    return Means(*(np.asarray(each, np.float64).mean(axis=-1).tolist() for each in fields))
