"""The model reward R_m: a learned predictor of the local models' own error (line 5; Sec. 3.3 "Approximating R_m").

From the predicted (prior) state that the agents arrive at, the network predicts each agent's error, a positive number;
planning maximises minus the sum over agents, or each agent minus its own error (a Markov game).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.world_model import Reader, State, WorldModel
from mag.learning.distributions import smooth_l1
from mag.types import Arrival, Metrics


class ModelReward(eqx.Module):
    """R_m hat, as a network that predicts each local model's error."""

    net: Reader

    def __init__(self, key: PRNGKeyArray, models: WorldModel, *, hidden: int, layers: int):
        self.net = models.reader(key, (hidden,) * layers + (1,), "elu")

    def error(self, state: State) -> Float[Array, " agents"]:
        """Predicted error of each agent's local model at an arrived-at state."""
        return self.net(state)[..., 0]

    def score(self, state: State) -> Float[Array, ""]:
        """The model reward of having arrived at a state: minus the predicted error, summed over agents."""
        return -self.error(state).sum()

    def score_of_agents(self, state: State) -> Float[Array, " agents"]:
        """The model rewards of the agents, each minus the predicted error of the agent's own model."""
        return -self.error(state)

    def after_end(self, mean: Float[Array, "*agents"]) -> Float[Array, "*agents"]:
        """Score of a planned step after an episode's end, where nothing is left to err about: the mean score of the
        trajectory's steps before, so that planning neither seeks ends nor shuns them."""
        return mean

    def loss(self, key: PRNGKeyArray, models: WorldModel, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        """Line 5: regression on the models' errors over a batch of sequences `[batch, time, ...]`.

        The key is consumed.
        """
        keys = jax.random.split(key, batch.first.shape[0])
        one_step = jax.lax.stop_gradient(jax.vmap(models.one_step)(keys, batch))
        predicted = jax.vmap(jax.vmap(self.error))(one_step.predicted)
        known = jnp.broadcast_to(one_step.known[..., None], one_step.error.shape)
        loss = jnp.mean(smooth_l1(predicted - one_step.error), where=known)
        return loss, {"model_reward/loss": loss, "model_reward/error": jnp.mean(one_step.error, where=known)}
