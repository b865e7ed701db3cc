"""The agent of the on-policy methods: a recurrent network, and how it acts."""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs import EnvSpec
from mag.learning.distributions import mask_logits, sample_categorical
from mag.play.episode import arrival
from mag.types import Arrival, TimeStep

Carry = Any
"""The recurrent state of a network, a pytree `[agents, ...]`; zeros where an episode starts."""


@runtime_checkable
class Network(Protocol):
    """Policy and values of one joint state, in three parts.

    Only `recur` depends on the step before; `encode` and `heads` are computed for all steps of a segment at once.
    Parameters of a field called `critic` have the critic's learning rate.
    """

    @staticmethod
    def initial_carry(spec: EnvSpec, config: Any) -> Carry:
        """The recurrent state where an episode starts: zeros."""
        ...

    def encode(self, arrival: Arrival) -> Any:
        """Features of the joint observation."""
        ...

    def recur(self, carry: Carry, encoded: Any, arrival: Arrival) -> Carry:
        """The next recurrent state, given the features of an arrival."""
        ...

    def heads(
        self, key: PRNGKeyArray | None, carry: Carry, arrival: Arrival
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """Logits and values. Without a key, random parts of the network take their most likely outcome."""
        ...


class OnPolicyCarry(NamedTuple):
    """The recurrent state of an agent whose network is trained on policy."""

    recurrent: Carry
    """The network's recurrent state."""
    previous_action: Int[Array, " agents"]
    key: PRNGKeyArray
    """The key of the network's own draws at the next step, kept so that learning repeats the same draws."""


class OnPolicyAgent(eqx.Module):
    """The joint policy that plays, in training and in tests."""

    network: Any
    greedy_network: Any
    """The network used in tests: the moving average if one is kept."""
    epsilon: Float[Array, "*seeds"]
    """Probability of a uniformly drawn action."""
    spec: EnvSpec = eqx.field(static=True)
    config: Any = eqx.field(static=True)
    """The network's sizes."""

    def initial_carry(self, key: PRNGKeyArray) -> OnPolicyCarry:
        """See `mag.play.episode.Agent`. The key is consumed."""
        nothing = jnp.full(self.spec.n_agents, -1, jnp.int32)
        return OnPolicyCarry(self.network.initial_carry(self.spec, self.config), nothing, key)

    def act(
        self, key: PRNGKeyArray, carry: OnPolicyCarry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], OnPolicyCarry]:
        """Update the recurrent state with the observation, then act. The key is consumed.

        Actions do not depend on the global state, which only values read: it may be missing or another environment's.
        """
        network = self.greedy_network if greedy else self.network
        seen = arrival(timestep, jnp.where(timestep.first, -1, carry.previous_action))
        size = self.spec.state_dim
        if size is not None and (seen.state is None or seen.state.shape != (size,)):
            seen = seen._replace(state=jnp.zeros(size))
        recurrent = recur(network, carry.recurrent, network.encode(seen), seen)
        key_draw, key_next = jax.random.split(carry.key)
        logits, _ = network.heads(None if greedy else key_draw, recurrent, seen)
        if greedy:
            action = jnp.argmax(mask_logits(logits, seen.avail), -1)
        else:
            action = sample_categorical(key, behaviour(logits, seen.avail, self.epsilon))
        action = action.astype(jnp.int32)
        return action, OnPolicyCarry(recurrent, action, key_next)

    def unexploring(self) -> "OnPolicyAgent":
        """See `mag.play.episode.Explores`: no action is drawn uniformly."""
        return dataclasses.replace(self, epsilon=jnp.zeros_like(self.epsilon))


def recur(network: Network, carry: Carry, encoded: Any, step: Arrival) -> Carry:
    """`network.recur`, from a recurrent state of zeros where an episode starts."""
    carry = jax.tree.map(lambda x: jnp.where(step.first, jnp.zeros_like(x), x), carry)
    return network.recur(carry, encoded, step)


def behaviour(
    logits: Float[Array, "agents actions"], avail: Bool[Array, "agents actions"], epsilon: Float[Array, ""]
) -> Float[Array, "agents actions"]:
    """Log-probabilities in play: a uniform available action with probability `epsilon`, else the policy's action."""
    policy = jax.nn.log_softmax(mask_logits(logits, avail))
    uniform = jax.nn.log_softmax(mask_logits(jnp.zeros_like(logits), avail))
    return jnp.logaddexp(jnp.log1p(-epsilon) + policy, jnp.log(epsilon) + uniform)
