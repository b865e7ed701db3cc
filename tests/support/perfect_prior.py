"""`tests.support.perfect` with latents from the prior: is it enough that errors do not pile up?

PYTHONPATH=. mag train --env tests.support.perfect/3s_vs_4z --algo tests.support.perfect_prior --size small

The battle goes on in the simulator, and the models observe it; but actor and critic see a latent that the prior draws
one step ahead, as they do in imagination. Masks, deaths, ends and rewards are the simulator's.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from mag.algorithms.mag.joint_events import Event
from tests.support.perfect import Perfect, mamba_with


class PredictedLatents(Perfect):
    """The simulator's battles, seen through the prior."""

    def predict(self, key: PRNGKeyArray, state: Any, action: Int[Array, " agents"]) -> Any:
        """The simulator's step; its latent is drawn, given who is alive. The key is consumed."""
        key_step, key_prior = jax.random.split(key)
        after = super().predict(key_step, state, action)
        hidden = self.prior_hidden(after.deter, Event(after.alive, jnp.zeros((), jnp.int32)))
        return after._replace(stoch=self.draw_prior(key_prior, hidden))


METHOD = mamba_with(PredictedLatents)
