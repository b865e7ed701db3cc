"""The policy update on the model dataset D_m (Algorithm 1, lines 16-18), by PPO."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import NetworksConfig, PPOConfig
from mag.algorithms.mag.policy import Actor, Critic
from mag.algorithms.mag.rollout import Rollout
from mag.algorithms.mag.world_model import State, WorldModel
from mag.learning.distributions import mask_logits
from mag.learning.optimise import Trainable, clipped_adam, decayed, descend, fit_epochs
from mag.learning.parallel import ALONE, Workers
from mag.learning.ppo import lambda_returns, normalised, policy_loss, reached, weighted_mean
from mag.types import Metrics


class PolicyState(NamedTuple):
    """The joint policy and everything its update carries."""

    actor: Trainable
    critic: Trainable
    entropy_coefficient: Float[Array, ""]


class PolicyBatch(NamedTuple):
    """Joint states to learn the policy from, `[batch, agents, ...]`."""

    state: State
    action: Int[Array, "batch agents"]
    avail: Bool[Array, "batch agents actions"]
    log_prob: Float[Array, "batch agents"]
    returns: Float[Array, "batch agents"]
    advantage: Float[Array, "batch agents"]
    actor_weight: Float[Array, "batch agents"] | None
    """Weight of each agent's action in the actor's loss; None: all weigh the same."""
    critic_weight: Float[Array, "batch agents"] | None
    """Weight of each agent's value in the critic's loss; None: all weigh the same."""


def optimisers(config: PPOConfig) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """The optimisers of actor and critic."""
    decay, norm = config.learning_rate_decay, config.max_grad_norm
    actor = clipped_adam(decayed(config.actor_learning_rate, decay), norm, config.weight_decay)
    return actor, clipped_adam(decayed(config.critic_learning_rate, decay), norm)


def init_policy(
    key: PRNGKeyArray, models: WorldModel, n_actions: int, networks: NetworksConfig, config: PPOConfig
) -> PolicyState:
    """An untrained joint policy on the states of a world model. The key is consumed."""
    key_actor, key_critic = jax.random.split(key)
    actor, critic = optimisers(config)
    return PolicyState(
        Trainable.create(Actor(key_actor, models, n_actions, networks), actor, config.ema_decay),
        Trainable.create(Critic(key_critic, models, networks), critic),
        jnp.asarray(config.entropy, jnp.float32),
    )


def actor_loss(
    actor: Actor, batch: PolicyBatch, entropy_coefficient: Float[Array, ""], clip: float
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate minus the entropy bonus, weighted mean over joint states and agents."""
    return policy_loss(
        mask_logits(jax.vmap(actor)(batch.state), batch.avail),
        batch.action,
        old_log_prob=batch.log_prob,
        advantage=batch.advantage,
        clip=clip,
        entropy_coefficient=entropy_coefficient,
        weight=batch.actor_weight,
    )


def critic_loss(critic: Critic, batch: PolicyBatch) -> tuple[Float[Array, ""], Metrics]:
    """Half the squared error of the values, weighted mean over joint states and agents."""
    loss = 0.5 * weighted_mean(jnp.square(jax.vmap(critic)(batch.state) - batch.returns), batch.critic_weight)
    return loss, {"critic/loss": loss}


def policy_batch(critic: Critic, rollouts: Rollout, config: PPOConfig, workers: Workers = ALONE) -> PolicyBatch:
    """Returns and normalised advantages of rollouts `[starts, k, ...]`, flattened to `[starts * k, ...]`."""
    value = jax.vmap(jax.vmap(critic))(rollouts.state)
    bootstrap = jax.vmap(critic)(rollouts.last)
    returns = jax.vmap(
        lambda reward, continues, value: lambda_returns(
            reward, continues, value, gamma=config.gamma, gae_lambda=config.gae_lambda
        )
    )(rollouts.reward, rollouts.continues, jnp.concatenate([value, bootstrap[:, None]], 1))
    actor_weight, critic_weight = loss_weights(rollouts) if config.weigh_by_continuation else (None, None)
    batch = PolicyBatch(
        rollouts.state,
        rollouts.action,
        rollouts.avail,
        rollouts.log_prob,
        returns,
        advantage=normalised(returns - value, actor_weight, workers=workers),
        actor_weight=actor_weight,
        critic_weight=critic_weight,
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def loss_weights(rollouts: Rollout) -> tuple[Float[Array, "starts k agents"], Float[Array, "starts k agents"]]:
    """Weights of steps in the actor's loss and in the critic's loss.

    A step's weight is the probability that the episode has reached it. If the world model knows which agents are alive,
    steps without a living agent weigh 0, and the actor's weight is also 0 for dead agents and for real steps.
    """
    weight = reached(rollouts.continues)
    if rollouts.alive is None:
        return weight, weight
    weight = weight * rollouts.alive.any(-1, keepdims=True)
    if rollouts.imagined is None:
        return weight * rollouts.alive, weight
    return weight * rollouts.alive * rollouts.imagined[..., None], weight


def update(
    policy: PolicyState, batch: PolicyBatch, config: PPOConfig, workers: Workers = ALONE
) -> tuple[PolicyState, Metrics]:
    """One gradient step of actor and critic."""
    actor_optimiser, critic_optimiser = optimisers(config)
    actor, actor_metrics = descend(
        policy.actor,
        lambda actor: actor_loss(actor, batch, policy.entropy_coefficient, config.clip),
        actor_optimiser,
        ema_decay=config.ema_decay,
        workers=workers,
    )
    critic, critic_metrics = descend(
        policy.critic, lambda critic: critic_loss(critic, batch), critic_optimiser, workers=workers
    )
    coefficient = policy.entropy_coefficient * config.entropy_decay
    return PolicyState(actor, critic, coefficient), actor_metrics | critic_metrics


def fit_policy(
    key: PRNGKeyArray, policy: PolicyState, rollouts: Rollout, config: PPOConfig, workers: Workers = ALONE
) -> tuple[PolicyState, Metrics]:
    """Lines 16-18: several epochs of minibatches over rollouts `[starts, k, ...]`. The key is consumed."""
    batch = policy_batch(policy.critic.params, rollouts, config, workers)
    minibatches = -(-batch.action.shape[0] * workers.count // config.minibatch)
    policy, means = fit_epochs(
        key,
        policy,
        batch,
        lambda policy, part: update(policy, part, config, workers),
        epochs=config.epochs,
        minibatches=minibatches,
        workers=workers,
    )
    return policy, means | workers.mean(rollout_metrics(rollouts, batch.returns))


def rollout_metrics(rollouts: Rollout, returns: Float[Array, "steps agents"]) -> Metrics:
    """Means over the imagined steps that the episode reaches."""
    weight = loss_weights(rollouts)[1]
    if rollouts.imagined is not None:
        weight = weight * rollouts.imagined[..., None]
    means = {
        "rollout/return": returns.reshape(weight.shape),
        "rollout/reward": rollouts.reward,
        "rollout/continues": rollouts.continues,
    }
    return {name: weighted_mean(jnp.broadcast_to(values, weight.shape), weight) for name, values in means.items()}
