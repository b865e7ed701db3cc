"""The policy update on the model dataset (Algorithm 1, lines 16-18): lambda-returns and PPO's clipped loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.config import NetworksConfig, PPOConfig
from mag.distributions import entropy, log_prob, mask_logits
from mag.optimise import Fitted, clipped_adam, decayed, descend, fit_epochs, untrained
from mag.parallel import mean_over_workers, worker_count
from mag.policy import Actor, Critic
from mag.types import Metrics, ModelState, Rollout


class PolicyState(NamedTuple):
    """The joint policy and everything its update carries."""

    actor: Fitted
    critic: Fitted
    entropy_coefficient: Float[Array, ""]


class Batch(NamedTuple):
    """Joint states to learn from, `[batch, agents, ...]`."""

    state: ModelState
    action: Int[Array, "batch agents"]
    avail: Bool[Array, "batch agents actions"]
    log_prob: Float[Array, "batch agents"]
    returns: Float[Array, "batch agents"]
    advantage: Float[Array, "batch agents"]


def optimisers(config: PPOConfig) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Actor's and critic's."""
    decay, norm = config.learning_rate_decay, config.max_grad_norm
    actor = clipped_adam(decayed(config.actor_learning_rate, decay), norm, config.weight_decay)
    return actor, clipped_adam(decayed(config.critic_learning_rate, decay), norm)


def init_policy(key: PRNGKeyArray, n_actions: int, networks: NetworksConfig, config: PPOConfig) -> PolicyState:
    """An untrained joint policy. The key is consumed."""
    key_actor, key_critic = jax.random.split(key)
    actor, critic = optimisers(config)
    return PolicyState(
        untrained(Actor(key_actor, n_actions, networks), actor, config.averaging),
        untrained(Critic(key_critic, networks), critic),
        jnp.asarray(config.entropy, jnp.float32),
    )


def lambda_returns(
    reward: Float[Array, " k"] | Float[Array, "k agents"],
    continues: Float[Array, "k agents"],
    value: Float[Array, "k_plus_1 agents"],
    *,
    gamma: float,
    lambda_: float,
) -> Float[Array, "k agents"]:
    """R_t = r_t + gamma c_t ((1 - lambda) v_{t+1} + lambda R_{t+1}), from R_k = v_k (Dreamer V2, Eq. 4)."""

    def step(following: Array, inputs: tuple) -> tuple[Array, Array]:
        reward, continues, next_value = inputs
        mixed = (1 - lambda_) * next_value + lambda_ * following
        current = reward + gamma * continues * mixed
        return current, current

    return jax.lax.scan(step, value[-1], (reward, continues, value[1:]), reverse=True)[1]


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
    log_prob_then: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    clip: float,
    entropy_coefficient: float | Float[Array, ""],
    weight: Float[Array, "*batch"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate minus the entropy bonus: their mean, weighted where `weight` is given.

    `log_prob_then` is the action's log-probability when it was drawn. Where the policy is still that of then, the
    gradient is the policy gradient.
    """

    def mean(x: Array) -> Array:
        return weighted_mean(x, weight)

    log_ratio = log_prob(logits, action) - log_prob_then
    if weight is not None:  # an action that does not count may be impossible: infinity times 0
        log_ratio = jnp.where(weight > 0, log_ratio, 0)
    surrogate = mean(clipped_loss(log_ratio, advantage, clip))
    spread = mean(entropy(logits))
    metrics = {
        "policy/loss": surrogate,
        "policy/entropy": spread,
        "policy/kl": -mean(log_ratio),
        "policy/clipped": mean((jnp.abs(jnp.expm1(log_ratio)) > clip).astype(jnp.float32)),
    }
    return surrogate - entropy_coefficient * spread, metrics


def weighted_mean(x: Float[Array, "*batch"], weight: Float[Array, "*batch"] | None) -> Float[Array, ""]:
    """Mean, of the parts that weigh something where `weight` is given; 0 where none does."""
    return x.mean() if weight is None else (x * weight).sum() / jnp.maximum(weight.sum(), 1)


def normalised(
    advantage: Float[Array, "*batch"], weight: Float[Array, "*batch"] | None = None
) -> Float[Array, "*batch"]:
    """Mean 0 and standard deviation 1 over all workers' batches, of the parts that weigh something."""
    centred = advantage - mean_over_workers(weighted_mean(advantage, weight))
    return centred / (jnp.sqrt(mean_over_workers(weighted_mean(jnp.square(centred), weight))) + 1e-4)


def actor_loss(
    actor: Actor, batch: Batch, entropy_coefficient: Float[Array, ""], clip: float
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate minus the entropy bonus, mean over joint states and agents."""
    return policy_loss(
        mask_logits(jax.vmap(actor)(batch.state), batch.avail),
        batch.action,
        log_prob_then=batch.log_prob,
        advantage=batch.advantage,
        clip=clip,
        entropy_coefficient=entropy_coefficient,
    )


def critic_loss(critic: Critic, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
    """Half the squared error of the values."""
    loss = 0.5 * jnp.square(jax.vmap(critic)(batch.state) - batch.returns).mean()
    return loss, {"critic/loss": loss}


def learning_batch(critic: Critic, rollouts: Rollout, config: PPOConfig) -> Batch:
    """Returns and normalised advantages of rollouts `[starts, k, ...]`, flattened to `[starts * k, ...]`."""
    value = jax.vmap(jax.vmap(critic))(rollouts.state)
    bootstrap = jax.vmap(critic)(rollouts.last)
    returns = jax.vmap(
        lambda reward, continues, value: lambda_returns(
            reward, continues, value, gamma=config.gamma, lambda_=config.lambda_
        )
    )(rollouts.reward, rollouts.continues, jnp.concatenate([value, bootstrap[:, None]], 1))
    advantage = normalised(returns - value)
    batch = Batch(rollouts.state, rollouts.action, rollouts.avail, rollouts.log_prob, returns, advantage)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def update(policy: PolicyState, batch: Batch, config: PPOConfig) -> tuple[PolicyState, Metrics]:
    """One gradient step of actor and critic."""
    actor_optimiser, critic_optimiser = optimisers(config)
    actor, actor_metrics = descend(
        policy.actor,
        lambda actor: actor_loss(actor, batch, policy.entropy_coefficient, config.clip),
        actor_optimiser,
        config.averaging,
    )
    critic, critic_metrics = descend(policy.critic, lambda critic: critic_loss(critic, batch), critic_optimiser)
    coefficient = policy.entropy_coefficient * config.entropy_decay
    return PolicyState(actor, critic, coefficient), actor_metrics | critic_metrics


def fit_policy(
    key: PRNGKeyArray, policy: PolicyState, rollouts: Rollout, config: PPOConfig
) -> tuple[PolicyState, Metrics]:
    """Lines 16-18: several epochs of minibatches over rollouts `[starts, k, ...]`. The key is consumed."""
    batch = learning_batch(policy.critic.params, rollouts, config)
    minibatches = -(-batch.action.shape[0] * worker_count() // config.minibatch)
    policy, means = fit_epochs(
        key,
        policy,
        batch,
        lambda policy, part: update(policy, part, config),
        epochs=config.epochs,
        minibatches=minibatches,
    )
    rollout_means = {
        "rollout/return": batch.returns.mean(),
        "rollout/reward": rollouts.reward.mean(),
        "rollout/continues": rollouts.continues.mean(),
    }
    return policy, means | mean_over_workers(rollout_means)
