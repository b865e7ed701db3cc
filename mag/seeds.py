"""Independent runs trained side by side on one device: seeds are an axis of every array of a run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from mag.runtime import compile_options


def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """One key for each of the seeds `seed`, `seed + 1`, ...: a seed's run does not depend on its neighbours."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))


def over_seeds(function: Callable[..., Any], num_seeds: int, *, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Compile a function of one seed to take and return arrays with a leading seed axis.

    An accelerator runs the seeds at once (`vmap`). A CPU is full with one and runs them in turn: products with a
    seed axis are slower there than as many without. Arguments in `donate` are consumed.
    """

    def one(*args: Any) -> Any:
        result = function(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

    def in_turn(*args: Any) -> Any:
        return jax.lax.map(lambda args: function(*args), args)

    if num_seeds == 1:
        seeds = one
    else:
        seeds = in_turn if jax.default_backend() == "cpu" else jax.vmap(function)
    return jax.jit(seeds, donate_argnums=donate, compiler_options=compile_options())
