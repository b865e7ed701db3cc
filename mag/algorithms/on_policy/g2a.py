"""G2A (Liu et al. 2020) in its form GA-Comm: hard attention chooses whom an agent hears, soft attention how much."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mag.algorithms.on_policy.config import G2ANetworksConfig
from mag.envs import EnvSpec, others_of
from mag.learning.distributions import mask_logits
from mag.learning.networks import MLP, GRUCell, Linear, LSTMCell, LSTMState
from mag.types import Arrival


class HardAttention(eqx.Module):
    """For each agent i, a bidirectional LSTM over the pairs [h_i; h_j] with all other agents j (Eq. 4)."""

    forward: LSTMCell
    backward: LSTMCell
    score: Linear

    def __init__(self, key: PRNGKeyArray, size: int, hidden: int):
        keys = jax.random.split(key, 3)
        self.forward = LSTMCell(keys[0], 2 * size, hidden)
        self.backward = LSTMCell(keys[1], 2 * size, hidden)
        self.score = Linear(keys[2], 2 * hidden, 2)

    def __call__(
        self, key: PRNGKeyArray | None, h: Float[Array, "agents size"], alive: Bool[Array, " agents"]
    ) -> Float[Array, "agents others"]:
        """A gate in {0, 1} for each other agent; the LSTM skips dead agents."""
        read = (read_pairs(cell, h, alive, reverse=cell is self.backward) for cell in (self.forward, self.backward))
        return gumbel_gate(key, self.score(jnp.concatenate(list(read), -1)))


class G2A(eqx.Module):
    """A policy with a centralised value as its baseline (`mag.algorithms.on_policy.agent.Network`)."""

    encoder: Linear
    recurrence: GRUCell
    hard: HardAttention
    query: Linear
    key: Linear
    value: Linear
    head: Linear
    critic: MLP
    communicate: bool = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, config: G2ANetworksConfig):
        keys = jax.random.split(key, 8)
        hidden, size, wide = config.hidden, config.attention, config.critic_hidden
        state = spec.n_agents * spec.obs_dim if spec.state_dim is None else spec.state_dim
        self.encoder = Linear(keys[0], spec.obs_dim + spec.n_actions + spec.n_agents, hidden)
        self.recurrence = GRUCell(keys[1], hidden, hidden)
        self.hard = HardAttention(keys[2], hidden, config.gate_hidden)
        self.query, self.key, self.value = (Linear(k, hidden, size) for k in keys[3:6])
        self.head = Linear(keys[6], hidden + size, spec.n_actions)
        self.critic = MLP(keys[7], (state, wide, wide, 1), "relu")
        self.communicate = config.communicate

    @staticmethod
    def initial_carry(spec: EnvSpec, config: G2ANetworksConfig) -> Float[Array, "agents hidden"]:
        """See `Network.initial_carry`."""
        return jnp.zeros((spec.n_agents, config.hidden))

    def encode(self, arrival: Arrival) -> Float[Array, "agents hidden"]:
        """See `Network.encode`: observation, last action and the agent's index."""
        agents, n_actions = arrival.avail.shape
        last_action = jax.nn.one_hot(arrival.previous_action, n_actions)
        return jax.nn.relu(self.encoder(jnp.concatenate([arrival.obs, last_action, jnp.eye(agents)], -1)))

    def recur(
        self, carry: Float[Array, "agents hidden"], encoded: Float[Array, "agents hidden"], arrival: Arrival
    ) -> Float[Array, "agents hidden"]:
        """See `Network.recur`."""
        return self.recurrence(encoded, carry)

    def heads(
        self, key: PRNGKeyArray | None, carry: Float[Array, "agents hidden"], arrival: Arrival
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """See `Network.heads`; the gates are drawn. All agents share the centralised value."""
        heard = self.hear(key, carry, arrival.alive)
        state = arrival.obs.ravel() if arrival.state is None else arrival.state
        value = jnp.broadcast_to(self.critic(state), arrival.alive.shape)
        return self.head(jnp.concatenate([carry, heard], -1)), value

    def hear(
        self, key: PRNGKeyArray | None, h: Float[Array, "agents hidden"], alive: Bool[Array, " agents"]
    ) -> Float[Array, "agents size"]:
        """Sum of the other living agents' messages, gated and weighted by attention (Eqs. 4-6)."""
        size = self.value.bias.shape[0]
        if not self.communicate:
            return jnp.zeros((*alive.shape, size))
        others = others_of(len(alive))
        score = (self.query(h)[:, None] * self.key(h)[others]).sum(-1) / np.sqrt(size)
        soft = jax.nn.softmax(mask_logits(score, alive[others]))
        weight = self.hard(key, h, alive) * soft * alive[others]
        return (weight[..., None] * jax.nn.relu(self.value(h))[others]).sum(1)


def read_pairs(
    cell: LSTMCell, h: Float[Array, "agents size"], alive: Bool[Array, " agents"], *, reverse: bool
) -> Float[Array, "agents others hidden"]:
    """The LSTM's hidden state at each pair [h_i; h_j]; pairs with a dead agent j leave the state as it is.

    The input product of a pair is the product with h_i plus the product with h_j, each computed once per agent, not
    once per pair.
    """
    agents, size = h.shape
    own, other = h @ cell.inputs.weight[:size], h @ cell.inputs.weight[size:] + cell.inputs.bias

    def read(state: LSTMState, j: Array) -> tuple[LSTMState, Array]:
        read = cell.update(own + other[j], state)
        state = jax.tree.map(lambda new, old: jnp.where(alive[j][:, None], new, old), read, state)
        return state, state.hidden

    nothing = jnp.zeros((agents, cell.hidden.weight.shape[0]))
    _, hidden = jax.lax.scan(read, LSTMState(nothing, nothing), jnp.asarray(others_of(agents).T), reverse=reverse)
    return hidden.swapaxes(0, 1)


def gumbel_gate(key: PRNGKeyArray | None, logits: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """Gumbel-softmax of "shut" and "open", rounded to {0, 1}; its gradient is that of the softmax.

    Without a key, the likelier of the two. The key is consumed.
    """
    if key is not None:
        logits = logits + jax.random.gumbel(key, logits.shape)
    soft = jax.nn.softmax(logits)[..., 1]
    return jax.lax.stop_gradient(jnp.round(soft)) + (soft - jax.lax.stop_gradient(soft))
