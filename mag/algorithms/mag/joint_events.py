"""Joint events of the prior: the episode's end, deaths and a mixture component, drawn once for the whole team.

A prior that draws all latent variables independently never draws a consistent death: some of the agent's variables say
dead, others alive. So the joint events are drawn first, and each agent's variables given the events.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import NetworksConfig
from mag.learning.distributions import bernoulli_nll, sample_categorical
from mag.learning.networks import MLP


class Event(NamedTuple):
    """What happens to the whole team in one transition."""

    alive: Bool[Array, " agents"]
    """Which agents are alive afterwards; none where the episode ends."""
    component: Int[Array, ""]
    """The component of the mixture, drawn once for the team."""


class JointEvents(eqx.Module):
    """Probabilities of the mixture's components and of each agent's survival, and how both condition the prior."""

    choice: MLP
    life: MLP
    life_given_component: Float[Array, "components hidden"]
    prior_given_component: Float[Array, "components hidden"]
    prior_given_alive: Float[Array, "agents hidden"]

    def __init__(self, key: PRNGKeyArray, n_agents: int, config: NetworksConfig):
        keys = jax.random.split(key, 5)
        deterministic, hidden, components = config.deterministic, config.hidden, config.components
        self.choice = MLP(keys[0], (deterministic, hidden, components), "elu")
        self.life = MLP(keys[1], (deterministic, hidden, 1), "elu")
        self.life_given_component = jax.random.normal(keys[2], (components, hidden))
        self.prior_given_component = jax.random.normal(keys[3], (components, hidden))
        self.prior_given_alive = jax.random.normal(keys[4], (n_agents, hidden)) / n_agents**0.5

    @property
    def components(self) -> int:
        """Number of mixture components."""
        return self.life_given_component.shape[0]

    def component_logs(self, deter: Float[Array, "agents deterministic"]) -> Float[Array, " components"]:
        """Log-probabilities of the mixture's components, from logits summed over all agents, dead ones included."""
        return jax.nn.log_softmax(self.choice(deter).sum(-2))

    def life_logits(
        self, deter: Float[Array, "agents deterministic"], component: Int[Array, ""]
    ) -> Float[Array, " agents"]:
        """Logit of each agent's survival, given a component and that the episode continues."""
        first, last = self.life.layers
        return last(jax.nn.elu(first(deter) + self.life_given_component[component]))[..., 0]

    def life_logs(
        self,
        deter: Float[Array, "agents deterministic"],
        alive: Bool[Array, " agents"],
        counted: Bool[Array, " agents"],
    ) -> Float[Array, " components"]:
        """Log-likelihood of `alive` under each component, summed over the agents that are `counted`."""

        def log(component: Int[Array, ""]) -> Float[Array, ""]:
            error = bernoulli_nll(self.life_logits(deter, component), alive.astype(jnp.float32))
            return -jnp.sum(error * counted)

        return jax.vmap(log)(jnp.arange(self.components))

    def given(self, event: Event) -> Float[Array, "agents hidden"]:
        """What an event adds to the hidden layer of each agent's prior.

        Agent i reads who is alive in the cyclic order i, i + 1, ..., so all agents share one set of weights.
        """
        count = event.alive.shape[-1]
        order = (jnp.arange(count)[:, None] + jnp.arange(count)) % count
        signs = (2.0 * event.alive.astype(jnp.float32) - 1.0)[order]
        return signs @ self.prior_given_alive + self.prior_given_component[event.component]

    def draw(
        self,
        key: PRNGKeyArray,
        was_alive: Bool[Array, " agents"],
        deter: Float[Array, "agents deterministic"],
        continuation: Float[Array, " agents"],
        end_factor: float = 1.0,
    ) -> Event:
        """Draw the episode's end and a component for the team, then survivors given the component. The key is consumed.

        Dead agents stay dead. `continuation` holds each agent's logit that the episode continues. The end is as likely
        as the agents say on average, times `end_factor`, and certain where that exceeds 1. (The probability of the mean
        logit would be too small: each agent's is calibrated, and ends are rare.)
        """
        key_end, key_component, key_life = jax.random.split(key, 3)
        ends = jax.random.uniform(key_end) >= 1 - end_factor * jax.nn.sigmoid(-continuation).mean()
        component = sample_categorical(key_component, self.component_logs(deter))
        chance = jax.nn.sigmoid(self.life_logits(deter, component))
        survives = jax.random.uniform(key_life, was_alive.shape) < chance
        return Event(was_alive & survives & ~ends, component)


def mixture_kl(
    posterior: Float[Array, "agents variables classes"],
    priors: Float[Array, "components agents variables classes"],
    weights: Float[Array, " components"],
    balance: float,
) -> Float[Array, ""]:
    """Upper bound of the KL from a joint posterior to a mixture of joint priors, mean over agents and variables.

    `weights` are the components' log-probabilities. Each component counts by its expected log-likelihood under the
    posterior (Jensen's inequality); with one component the bound is the KL. The share `balance` of the gradient moves
    the priors.
    """
    still = jax.lax.stop_gradient
    moves_posterior = _mixture_kl(posterior, still(priors), still(weights))
    return (1 - balance) * moves_posterior + balance * _mixture_kl(still(posterior), priors, weights)


def _mixture_kl(posterior: Array, priors: Array, weights: Array) -> Float[Array, ""]:
    log_p, log_q = jax.nn.log_softmax(posterior), jax.nn.log_softmax(priors)
    p = jnp.exp(log_p)
    negative_entropy = (p * log_p).sum()
    expected = (p * log_q).sum((-3, -2, -1))
    agents, variables, _ = posterior.shape
    return (negative_entropy - jax.nn.logsumexp(weights + expected)) / (agents * variables)
