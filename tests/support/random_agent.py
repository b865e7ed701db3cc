"""An agent that draws its actions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


class RandomAgent(eqx.Module):
    """Draws an available action for each agent."""

    unused: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(1))
    """A seed axis for players: an agent is a pytree of arrays."""

    def initial_carry(self, key: Any) -> Any:
        del key
        return jnp.zeros(())

    def act(self, key: Any, carry: Any, timestep: Any, *, greedy: bool) -> Any:
        del greedy
        return jax.random.categorical(key, jnp.where(timestep.avail, 0.0, -jnp.inf)), carry
