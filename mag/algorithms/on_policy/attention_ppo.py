"""Attention-PPO (Sec. 4.1): PPO with attention over the agents in actor and critic, like MAMBA without its models."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.on_policy.config import AttentionNetworksConfig
from mag.envs import EnvSpec
from mag.learning.networks import MLP, AgentAttention, GRUCell, Initialiser, Linear
from mag.types import Arrival


class Both(NamedTuple):
    """Features, or recurrent states, of actor and critic."""

    actor: Float[Array, "agents hidden"]
    critic: Float[Array, "agents hidden"]


class AttentiveNet(eqx.Module):
    """Observation, attention over the agents, recurrence, head: actor and critic differ in the head's outputs."""

    embed: Linear
    attention: AgentAttention
    recurrence: GRUCell
    head: MLP
    together: bool = eqx.field(static=True)
    """Whether agents attend to one another; if not, each attends only to itself."""

    def __init__(
        self,
        key: PRNGKeyArray,
        obs_dim: int,
        outputs: int,
        config: AttentionNetworksConfig,
        *,
        together: bool,
        last: Initialiser,
    ):
        keys = jax.random.split(key, 4)
        hidden = config.hidden
        self.embed = Linear(keys[0], obs_dim, hidden)
        self.attention = AgentAttention(keys[1], hidden, config.heads, config.attention_layers)
        self.recurrence = GRUCell(keys[2], hidden, hidden)
        self.head = MLP(keys[3], (hidden, hidden, outputs), "relu", "orthogonal", last=last)
        self.together = together

    def encode(self, arrival: Arrival) -> Float[Array, "agents hidden"]:
        """Features of each agent's observation and of the other living agents' observations."""
        x = jax.nn.relu(self.embed(arrival.obs))
        heard = jnp.eye(len(x), dtype=bool)
        if self.together:
            heard = heard | arrival.alive
        return jax.nn.relu(self.attention(x, heard=heard))


class AttentionPPO(eqx.Module):
    """Actor and critic (`mag.algorithms.on_policy.agent.Network`)."""

    actor: AttentiveNet
    critic: AttentiveNet

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, config: AttentionNetworksConfig):
        key_actor, key_critic = jax.random.split(key)
        together, actions = config.communicate, spec.n_actions
        self.actor = AttentiveNet(key_actor, spec.obs_dim, actions, config, together=together, last="small")
        self.critic = AttentiveNet(key_critic, spec.obs_dim, 1, config, together=True, last="orthogonal")

    @staticmethod
    def initial_carry(spec: EnvSpec, config: AttentionNetworksConfig) -> Both:
        """See `Network.initial_carry`."""
        nothing = jnp.zeros((spec.n_agents, config.hidden))
        return Both(nothing, nothing)

    def encode(self, arrival: Arrival) -> Both:
        """See `Network.encode`."""
        return Both(self.actor.encode(arrival), self.critic.encode(arrival))

    def recur(self, carry: Both, encoded: Both, arrival: Arrival) -> Both:
        """See `Network.recur`."""
        return Both(
            self.actor.recurrence(encoded.actor, carry.actor),
            self.critic.recurrence(encoded.critic, carry.critic),
        )

    def heads(
        self, key: PRNGKeyArray | None, carry: Both, arrival: Arrival
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """See `Network.heads`; nothing is drawn."""
        return self.actor.head(carry.actor), self.critic.head(carry.critic)[..., 0]
