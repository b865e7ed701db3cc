"""The model reward R_m: a learned predictor of the local models' own error (line 5; Sec. 3.3 "Approximating R_m").

The network predicts the positive error of an agent at the state it arrived at, from the predicted (prior)
features; planning maximises minus its sum over agents.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.config import ModelRewardConfig, ModelsConfig, NetworksConfig
from mag.algorithms.mag.local_models import LocalModels, Predictions, one_step_predictions
from mag.learning.distributions import smooth_l1
from mag.learning.networks import FeatureMLP
from mag.learning.optimise import Fitted, fit, optimiser_of
from mag.types import Metrics, ModelState, Step


class ModelReward(eqx.Module):
    """R_m hat."""

    net: FeatureMLP

    def __init__(self, key: PRNGKeyArray, config: NetworksConfig, layers: int):
        latent = config.categoricals * config.classes
        self.net = FeatureMLP(key, latent, config.deterministic, (config.hidden,) * layers + (1,), "elu")

    def error(self, state: ModelState) -> Float[Array, " agents"]:
        """Predicted error of each agent's local model at an arrived-at state."""
        return self.net(state)[..., 0]

    def score(self, state: ModelState) -> Float[Array, ""]:
        """The model reward of having arrived at a state: minus the predicted error, summed over agents."""
        return -self.error(state).sum()


def targets(predictions: Predictions, obs_dim: int) -> Float[Array, "*time agents"]:
    """The local models' own error at each step: all terms, unweighted, the reconstruction as a mean over features.

    The reward's is half its square up to `models.reward_threshold`, as the models learn it, and linear beyond.
    """
    errors = predictions.errors
    return jnp.stack(errors._replace(reconstruction=errors.reconstruction / obs_dim)).sum(0)


def model_reward_loss(
    model_reward: ModelReward, models: LocalModels, key: PRNGKeyArray, batch: Step, config: ModelsConfig
) -> tuple[Float[Array, ""], Metrics]:
    """Line 5: regression on the models' errors over a batch `[batch, time, ...]`. The key is consumed."""
    keys = jax.random.split(key, batch.first.shape[0])
    predictions = jax.vmap(
        lambda key, sequence: one_step_predictions(models, key, sequence, config=config, training=False)
    )(keys, batch)
    predictions = jax.lax.stop_gradient(predictions)
    target = targets(predictions, batch.obs.shape[-1])
    predicted = jax.vmap(jax.vmap(model_reward.error))(predictions.prior)
    known = jnp.broadcast_to(predictions.known[..., None], target.shape)
    loss = jnp.mean(smooth_l1(predicted - target), where=known)
    return loss, {"model_reward/loss": loss, "model_reward/error": jnp.mean(target, where=known)}


def fit_model_reward(
    key: PRNGKeyArray,
    model_reward: Fitted,
    models: LocalModels,
    sample: Callable[[PRNGKeyArray], Step],
    config: ModelRewardConfig,
    *,
    models_config: ModelsConfig,
) -> tuple[Fitted, Metrics]:
    """Line 5: train R_m hat on batches of D_e, which `sample` draws. The key is consumed."""

    def loss(model_reward: ModelReward, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        key_sample, key_loss = jax.random.split(key)
        return model_reward_loss(model_reward, models, key_loss, sample(key_sample), models_config)

    return fit(key, model_reward, loss, optimiser_of(config), config.batches)
