"""The model reward R_m, as planning uses it, and R_m hat as a predictor of the local models' error.

Line 5; Sec. 3.3 "Approximating R_m". The other kind, Definition 1's log ratio, is in `mag.algorithms.mag.ratio`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.world_model import Reader, State, WorldModel
from mag.learning.distributions import smooth_l1
from mag.types import Arrival, Metrics


class ModelReward(eqx.Module):
    """R_m hat: a network that scores the joint states at which predictions arrive; higher is better."""

    @abstractmethod
    def score(self, state: State) -> Float[Array, ""]:
        """The model reward of having arrived at a joint state."""

    def score_of_agents(self, state: State) -> Float[Array, " agents"]:
        """The agents' own model rewards, of which `score` is the sum. Raises NotImplementedError where there are
        none."""
        raise NotImplementedError

    @abstractmethod
    def after_end(self, mean: Float[Array, "*agents"]) -> Float[Array, "*agents"]:
        """Score of a planned step after the episode's end, from the mean score of the trajectory's steps before."""

    @abstractmethod
    def loss(self, key: PRNGKeyArray, models: WorldModel, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        """Line 5: the loss over a batch of sequences `[batch, time, ...]`, and metrics. The key is consumed."""


class ErrorReward(ModelReward):
    """R_m hat that predicts each local model's error, a positive number, from the predicted (prior) state.

    Planning maximises minus the sum over agents, or each agent minus its own error (a Markov game).
    """

    net: Reader

    def __init__(self, key: PRNGKeyArray, models: WorldModel, *, hidden: int, layers: int):
        self.net = models.reader(key, (hidden,) * layers + (1,), "elu")

    def error(self, state: State) -> Float[Array, " agents"]:
        """Predicted error of each agent's local model at an arrived-at state."""
        return self.net(state)[..., 0]

    def score(self, state: State) -> Float[Array, ""]:
        """See `ModelReward.score`: minus the predicted error, summed over agents."""
        return -self.error(state).sum()

    def score_of_agents(self, state: State) -> Float[Array, " agents"]:
        """See `ModelReward.score_of_agents`: minus the predicted error of each agent's own model."""
        return -self.error(state)

    def after_end(self, mean: Float[Array, "*agents"]) -> Float[Array, "*agents"]:
        """See `ModelReward.after_end`: the mean itself, so that planning neither seeks ends nor shuns them."""
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
