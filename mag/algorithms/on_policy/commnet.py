"""CommNet (Sukhbaatar et al. 2016), recurrent: each agent's LSTM receives the mean of the others' hidden states."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mag.algorithms.on_policy.config import CommNetNetworksConfig
from mag.envs import EnvSpec
from mag.learning.networks import Linear, LSTMCell, LSTMState
from mag.types import Arrival


class CommNet(eqx.Module):
    """Policy and value on one trunk (`mag.algorithms.on_policy.agent.Network`)."""

    encoder: Linear
    message: Linear
    """C in Eq. 1 of the publication."""
    recurrence: LSTMCell
    policy: Linear
    value: Linear
    rounds: int = eqx.field(static=True)
    communicate: bool = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, config: CommNetNetworksConfig):
        keys = jax.random.split(key, 5)
        hidden = config.hidden
        self.encoder = Linear(keys[0], spec.obs_dim, hidden)
        self.message = Linear(keys[1], hidden, hidden)
        self.recurrence = LSTMCell(keys[2], hidden, hidden)
        self.policy = Linear(keys[3], hidden, spec.n_actions)
        self.value = Linear(keys[4], hidden, 1)
        self.rounds, self.communicate = config.rounds, config.communicate

    @staticmethod
    def initial_carry(spec: EnvSpec, config: CommNetNetworksConfig) -> LSTMState:
        """See `Network.initial_carry`."""
        nothing = jnp.zeros((spec.n_agents, config.hidden))
        return LSTMState(nothing, nothing)

    def encode(self, arrival: Arrival) -> Float[Array, "agents hidden"]:
        """See `Network.encode`."""
        return self.encoder(arrival.obs)

    def recur(self, carry: LSTMState, encoded: Float[Array, "agents hidden"], arrival: Arrival) -> LSTMState:
        """See `Network.recur`: one pass through the LSTM for each round of messages."""
        for _ in range(self.rounds):
            heard = self.message(mean_of_others(carry.hidden, arrival.alive)) if self.communicate else 0.0
            carry = self.recurrence(encoded + heard, carry)
        return carry

    def heads(
        self, key: PRNGKeyArray | None, carry: LSTMState, arrival: Arrival
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """See `Network.heads`; nothing is drawn."""
        return self.policy(carry.hidden), self.value(carry.hidden)[..., 0]


def mean_of_others(x: Float[Array, "agents size"], alive: Bool[Array, " agents"]) -> Float[Array, "agents size"]:
    """For each agent the mean over the other living agents; zeros if there are none."""
    living = alive[:, None].astype(x.dtype)
    others = living.sum(0) - living
    return ((living * x).sum(0) - living * x) / jnp.maximum(others, 1)
