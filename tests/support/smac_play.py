"""Battles for the tests of `mag.envs.smac_jax`, each compiled once for all tests that look at it."""

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import NamedTuple

import jax
from jaxtyping import Array

from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.observe import available_actions
from mag.envs.smac_jax.players import PLAYERS
from mag.runtime import compile_options

jit = partial(jax.jit, compiler_options=compile_options() | {"xla_backend_optimization_level": 0})
"""`jax.jit` for a few steps: compiled with the least optimisation, in half the time."""


class Transition(NamedTuple):
    """One step of a battle: the state before it, the actions taken there, and what it returned."""

    before: State
    actions: Array
    state: State
    obs: dict[str, Array]
    available: Array
    reward: Array
    dones: dict[str, Array]
    infos: dict[str, Array]


def by_name(env: SMAC, actions: Array) -> dict[str, Array]:
    """The actions as an environment takes them."""
    return {agent: actions[i] for i, agent in enumerate(env.agents)}


def battle(env: SMAC, player: str, steps: int, key: Array) -> Transition:
    """A battle of `steps` steps, played on after its end without a reset."""
    _, state = env.reset(key)

    def step(before: State, key: Array) -> tuple[State, Transition]:
        key_player, key_step = jax.random.split(key)
        actions = PLAYERS[player](key_player, env, before)
        obs, state, rewards, dones, infos = env.step_env(key_step, before, by_name(env, actions))
        available = available_actions(env.battle, state.units)
        return state, Transition(before, actions, state, obs, available, rewards["ally_0"], dones, infos)

    return jax.lax.scan(step, state, jax.random.split(key, steps))[1]


@cache
def smac(name: str) -> SMAC:
    """One of SMAC's maps on StarCraft II's clock."""
    return SMAC(name)


@cache
def _random_player(name: str, steps: int, many: bool) -> Callable[[Array], Transition]:
    compiled = partial(jax.jit, compiler_options=compile_options()) if many else jit
    return compiled(jax.vmap(partial(battle, smac(name), "random", steps)))


@lru_cache(maxsize=len(MAP_NAMES))
def random_battles(name: str, battles: int, steps: int, seed: int = 7) -> Transition:
    """Random battles [battles, steps, ...] on a map; many of them are worth a better program."""
    return _random_player(name, steps, battles > 10)(jax.random.split(jax.random.key(seed), battles))
