"""Seeds are a `vmap` axis: independent runs trained side by side on one device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """One key for each of the seeds `seed`, `seed + 1`, ...: a seed's run does not depend on its neighbours."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))


def over_seeds(function: Callable[..., Any], num_seeds: int, *, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Compile a function of one seed to take and return arrays with a leading seed axis.

    A single seed is not batched, since a batch axis of 1 slows matrix products. Arguments in `donate` are
    consumed.
    """
    if num_seeds > 1:
        return jax.jit(jax.vmap(function), donate_argnums=donate)

    def single(*args: Any) -> Any:
        result = function(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(_add_axis, result)

    return jax.jit(single, donate_argnums=donate)


def _add_axis(x: Array) -> Array:
    return jnp.asarray(x)[None]
