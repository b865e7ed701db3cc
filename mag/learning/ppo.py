"""PPO's formulas: lambda-returns, normalised advantages, and the clipped loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mag.learning.distributions import entropy, log_prob
from mag.learning.parallel import ALONE, Workers
from mag.types import Metrics


def lambda_returns(
    reward: Float[Array, " k"] | Float[Array, " k #agents"],
    continues: Float[Array, "k agents"],
    value: Float[Array, "k_plus_1 agents"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Float[Array, "k agents"]:
    """R_t = r_t + gamma c_t ((1 - lambda) v_{t+1} + lambda R_{t+1}), from R_k = v_k (Dreamer V2, Eq. 4)."""

    def step(next_return: Array, inputs: tuple) -> tuple[Array, Array]:
        reward, continues, next_value = inputs
        mixed = (1 - gae_lambda) * next_value + gae_lambda * next_return
        current = reward + gamma * continues * mixed
        return current, current

    return jax.lax.scan(step, value[-1], (reward, continues, value[1:]), reverse=True)[1]


def reached(continues: Float[Array, "batch k *agents"]) -> Float[Array, "batch k *agents"]:
    """Probability that an episode reaches each of its steps: the product of the continuations before."""
    return jnp.concatenate([jnp.ones_like(continues[:, :1]), jnp.cumprod(continues, axis=1)[:, :-1]], 1)


def clipped_loss(
    log_ratio: Float[Array, "*batch"], advantage: Float[Array, "*batch"], clip: float
) -> Float[Array, "*batch"]:
    """PPO's clipped surrogate (Schulman et al. 2017, Eq. 7), to be minimised."""
    ratio = jnp.exp(log_ratio)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def policy_loss(
    logits: Float[Array, "*batch actions"],
    action: Int[Array, "*batch"],
    *,
    old_log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    clip: float,
    entropy_coefficient: float | Float[Array, ""],
    weight: Float[Array, "*batch"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate minus the entropy bonus: their mean, weighted where `weight` is given.

    `old_log_prob` is the action's log-probability when it was drawn. While the policy has not changed since then, the
    gradient is the policy gradient.
    """

    def mean(x: Array) -> Array:
        return weighted_mean(x, weight)

    log_ratio = log_prob(logits, action) - old_log_prob
    if weight is not None:  # an action of weight 0 may be impossible: infinity times 0
        log_ratio = jnp.where(weight > 0, log_ratio, 0)
    surrogate = mean(clipped_loss(log_ratio, advantage, clip))
    mean_entropy = mean(entropy(logits))
    metrics = {
        "policy/loss": surrogate,
        "policy/entropy": mean_entropy,
        "policy/kl": -mean(log_ratio),
        "policy/clipped": mean((jnp.abs(jnp.expm1(log_ratio)) > clip).astype(jnp.float32)),
    }
    return surrogate - entropy_coefficient * mean_entropy, metrics


def weighted_mean(x: Float[Array, "*batch"], weight: Float[Array, "*batch"] | None) -> Float[Array, ""]:
    """Mean, weighted if `weight` is given: the weighted sum over the total weight, or over 1 if that is below 1."""
    return x.mean() if weight is None else (x * weight).sum() / jnp.maximum(weight.sum(), 1)


def normalised(
    advantage: Float[Array, "*batch"], weight: Float[Array, "*batch"] | None = None, *, workers: Workers = ALONE
) -> Float[Array, "*batch"]:
    """Advantages with mean 0 and standard deviation 1 over the batches of all workers; elements of weight 0 count
    for neither."""

    def mean(x: Array) -> Array:
        if weight is None:
            return workers.mean(x.mean())
        total = workers.mean(weight.sum()) * workers.count
        return workers.mean((x * weight).sum()) * workers.count / jnp.maximum(total, 1)

    centred = advantage - mean(advantage)
    return centred / (jnp.sqrt(mean(jnp.square(centred))) + 1e-4)
