"""Joint events of the prior: what happens to several variables or several agents at once is drawn first.

A prior that draws an agent's variables, and the agents, independently never draws a death whole: half of the variables
say dead and half alive. So a death, the end of the episode and a component of a mixture are drawn once, and each
agent's variables are drawn given them.
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
    """Who lives afterwards; nobody where the episode ends."""
    component: Int[Array, ""]
    """The component of the mixture, drawn once for the team."""


class JointEvents(eqx.Module):
    """The chances of the mixture's components and of lives given one, and what they tell the prior."""

    choice: MLP
    life: MLP
    life_given_component: Float[Array, "components hidden"]
    prior_given_component: Float[Array, "components hidden"]
    prior_given_alive: Float[Array, "agents hidden"]

    def __init__(self, key: PRNGKeyArray, n_agents: int, config: NetworksConfig):
        keys = jax.random.split(key, 5)
        memory, hidden, components = config.deterministic, config.hidden, config.components
        self.choice = MLP(keys[0], (memory, hidden, components), "elu")
        self.life = MLP(keys[1], (memory, hidden, 1), "elu")
        self.life_given_component = jax.random.normal(keys[2], (components, hidden))
        self.prior_given_component = jax.random.normal(keys[3], (components, hidden))
        self.prior_given_alive = jax.random.normal(keys[4], (n_agents, hidden)) / n_agents**0.5

    @property
    def components(self) -> int:
        """How many there are."""
        return self.life_given_component.shape[0]

    def component_logs(self, deter: Float[Array, "agents deterministic"]) -> Float[Array, " components"]:
        """Log-weights of the mixture's components: the sum of what each agent, alive or dead, votes for."""
        return jax.nn.log_softmax(self.choice(deter).sum(-2))

    def life_logits(
        self, deter: Float[Array, "agents deterministic"], component: Int[Array, ""]
    ) -> Float[Array, " agents"]:
        """The logit of each agent's living on, where the episode goes on."""
        first, last = self.life.layers
        return last(jax.nn.elu(first(deter) + self.life_given_component[component]))[..., 0]

    def life_logs(
        self, deter: Float[Array, "agents deterministic"], alive: Bool[Array, " agents"], told: Bool[Array, " agents"]
    ) -> Float[Array, " components"]:
        """Log-likelihood, under each component, of the lives that are `told`."""

        def log(component: Int[Array, ""]) -> Float[Array, ""]:
            error = bernoulli_nll(self.life_logits(deter, component), alive.astype(jnp.float32))
            return -jnp.sum(error * told)

        return jax.vmap(log)(jnp.arange(self.components))

    def given(self, event: Event) -> Float[Array, "agents hidden"]:
        """What an event tells the prior of each agent: its own life first, then the others' in order from it on."""
        count = event.alive.shape[-1]
        order = (jnp.arange(count)[:, None] + jnp.arange(count)) % count
        lives = (2.0 * event.alive.astype(jnp.float32) - 1.0)[order]
        return lives @ self.prior_given_alive + self.prior_given_component[event.component]

    def draw(
        self,
        key: PRNGKeyArray,
        was_alive: Bool[Array, " agents"],
        deter: Float[Array, "agents deterministic"],
        continuation: Float[Array, " agents"],
    ) -> Event:
        """One end and one component for the team, then lives given it, from which nobody returns. The key is consumed.

        `continuation` are the agents' logits of the episode's going on; their mean decides.
        """
        key_end, key_component, key_life = jax.random.split(key, 3)
        ends = jax.random.uniform(key_end) >= jax.nn.sigmoid(continuation.mean())
        component = sample_categorical(key_component, self.component_logs(deter))
        chance = jax.nn.sigmoid(self.life_logits(deter, component))
        lives = jax.random.uniform(key_life, was_alive.shape) < chance
        return Event(was_alive & lives & ~ends, component)


def mixture_kl(
    posterior: Float[Array, "agents variables classes"],
    priors: Float[Array, "components agents variables classes"],
    weights: Float[Array, " components"],
    balance: float,
) -> Float[Array, ""]:
    """KL of a joint posterior to a mixture of joint priors, per agent and variable; `weights` are log-probabilities.

    It is bounded from above by the log of the mean of the components' likelihoods at expected log-probabilities, and is
    the KL itself where there is one component. The share `balance` of its gradient moves the priors.
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
