"""The joint policy and its critic."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import NetworksConfig
from mag.algorithms.mag.local_models import LocalModels
from mag.learning.distributions import mask_logits, sample_categorical
from mag.learning.networks import MLP, AgentAttention, FeatureMLP, SplitLinear
from mag.types import ModelState


class Actor(eqx.Module):
    """pi^i: logits over an agent's actions from its own features; communication happened in the models."""

    net: FeatureMLP

    def __init__(self, key: PRNGKeyArray, n_actions: int, config: NetworksConfig):
        latent, hidden = config.categoricals * config.classes, config.hidden
        sizes = (hidden, hidden, n_actions)
        self.net = FeatureMLP(key, latent, config.deterministic, sizes, "relu", "orthogonal")

    def __call__(self, state: ModelState) -> Float[Array, "agents actions"]:
        return self.net(state)


class Critic(eqx.Module):
    """The centralised critic: one value per agent after attention over the agents' features."""

    embed: SplitLinear
    attention: AgentAttention
    value: MLP

    def __init__(self, key: PRNGKeyArray, config: NetworksConfig):
        keys = jax.random.split(key, 3)
        latent, hidden = config.categoricals * config.classes, config.hidden
        self.embed = SplitLinear(keys[0], latent, config.deterministic, hidden)
        self.attention = AgentAttention(keys[1], hidden, config.heads, layers=1)
        self.value = MLP(keys[2], (hidden, hidden, 1), "relu")

    def __call__(self, state: ModelState) -> Float[Array, " agents"]:
        x = jax.nn.relu(self.embed(state.stoch, state.deter))
        return self.value(jax.nn.relu(self.attention(x)))[..., 0]


def imagine_action(
    key: PRNGKeyArray, actor: Actor, models: LocalModels, state: ModelState
) -> tuple[Int[Array, " agents"], Bool[Array, "agents actions"], Float[Array, "agents actions"]]:
    """The joint policy inside the models: action, mask drawn from the models, masked logits. The key is consumed."""
    key_mask, key_action = jax.random.split(key)
    logits = actor(state)
    if models.available_actions is None:
        avail = jnp.ones(logits.shape, bool)
    else:
        chance = jax.nn.sigmoid(models.available_actions(state))
        avail = jax.random.uniform(key_mask, chance.shape) < chance
    logits = mask_logits(logits, avail)
    return sample_categorical(key_action, logits), avail, logits
