"""The model reward of Definition 1: the log ratio of the true and the predicted joint probability.

Definition 1 prints the ratio the other way round, predicted over true; but Sec. 3.1 makes minus the models' error the
reward, and the printed ratio would be highest where predictions are worst.

A classifier that tells real from predicted arrivals, all agents at once, learns this ratio: at the optimum, the
classifier's logit is the ratio. Unlike errors of single agents, the ratio detects predictions that are likely for each
agent but impossible together.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.model_reward import ModelReward
from mag.algorithms.mag.world_model import Reader, State, WorldModel
from mag.learning.distributions import bernoulli_nll
from mag.learning.networks import MLP, AgentAttention
from mag.types import Arrival, Metrics


class RatioReward(ModelReward):
    """R_m hat: log of the true over the predicted probability of a joint state, given the past and the joint action.

    The recurrent part of a joint state encodes the past, and is the same in real and predicted states.
    """

    embed: Reader
    attention: AgentAttention
    evidence: MLP

    def __init__(self, key: PRNGKeyArray, models: WorldModel, *, hidden: int, layers: int, heads: int):
        keys = jax.random.split(key, 3)
        self.embed = models.reader(keys[0], (hidden,), "elu")
        self.attention = AgentAttention(keys[1], hidden, heads, layers=1)
        self.evidence = MLP(keys[2], (hidden,) * layers + (1,), "elu")

    def score(self, state: State) -> Float[Array, ""]:
        """See `ModelReward.score`: the log ratio."""
        hidden = self.attention(jax.nn.elu(self.embed(state)))
        return self.evidence(hidden)[..., 0].sum()

    def after_end(self, mean: Float[Array, ""]) -> Float[Array, ""]:
        """See `ModelReward.after_end`: 0, for what is certain is as likely predicted as true."""
        return jnp.zeros_like(mean)

    def loss(self, key: PRNGKeyArray, models: WorldModel, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        """Line 5: classification of real and predicted arrivals in sequences `[batch, time, ...]`.

        Each transition gives one real and one predicted arrival. The key is consumed.
        """
        key_observe, key_predict = jax.random.split(key)
        count, time = batch.first.shape
        states = jax.vmap(models.observe_sequence)(jax.random.split(key_observe, count), batch)
        before, real = (jax.tree.map(lambda x, part=part: x[:, part], states) for part in (slice(-1), slice(1, None)))
        keys = jax.random.split(key_predict, (count, time - 1))
        actions = jnp.maximum(batch.previous_action[:, 1:], 0)
        predicted = jax.vmap(jax.vmap(models.predict))(keys, before, actions)
        real, predicted = jax.lax.stop_gradient((real, predicted))
        of_real, of_predicted = (jax.vmap(jax.vmap(self.score))(states) for states in (real, predicted))
        known = ~batch.first[:, 1:]

        def mean(real: Array, predicted: Array) -> Float[Array, ""]:
            return 0.5 * jnp.mean(real + predicted, where=known)

        loss = mean(bernoulli_nll(of_real, jnp.ones(())), bernoulli_nll(of_predicted, jnp.zeros(())))
        accuracy = mean((of_real > 0).astype(jnp.float32), (of_predicted <= 0).astype(jnp.float32))
        return loss, {"model_reward/loss": loss, "model_reward/accuracy": accuracy}
