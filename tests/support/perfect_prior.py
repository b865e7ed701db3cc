"""`tests.support.perfect` with latents from the prior: is it enough that errors do not pile up?

PYTHONPATH=. mag train --env tests.support.perfect/3s_vs_4z --algo tests.support.perfect_prior --size small

The battle goes on in the simulator, and the models observe it; but actor and critic see a latent that the prior draws
one step ahead, as they do in imagination. Masks, deaths, ends and rewards are the simulator's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.joint_events import Event
from mag.types import Arrival
from tests.support.perfect import Perfect, mamba_with


class Drawn(NamedTuple):
    """A `BattleState` whose latent is the prior's, with the observed one beside it."""

    stoch: Int[Array, "agents variables"]
    deter: Float[Array, "agents deterministic"]
    alive: Bool[Array, " agents"]
    battle: Float[Array, " state"]
    avail: Bool[Array, "agents actions"]
    reward: Float[Array, ""]
    observed: Int[Array, "agents variables"]


class PredictedLatents(Perfect):
    """The simulator's battles, seen through the prior."""

    def observe_sequence(self, key: PRNGKeyArray, sequence: Arrival) -> Drawn:
        """See `WorldModel.observe_sequence`: start states are observed, as in any rollout."""
        state = super().observe_sequence(key, sequence)
        return Drawn(*state, observed=state.stoch)

    def predict(self, key: PRNGKeyArray, state: Drawn, action: Int[Array, " agents"]) -> Drawn:
        """The simulator's step; its latent is drawn, given who is alive. The key is consumed."""
        key_step, key_prior = jax.random.split(key)
        after = super().predict(key_step, state._replace(stoch=state.observed), action)
        hidden = self.prior_hidden(after.deter, Event(after.alive, jnp.zeros((), jnp.int32)))
        return Drawn(*after._replace(stoch=self.draw_prior(key_prior, hidden)), observed=after.stoch)


METHOD = mamba_with(PredictedLatents)
