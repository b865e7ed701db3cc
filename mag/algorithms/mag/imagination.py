"""Imagination to watch and to measure: real episodes as a world model predicts them, and rollouts from real steps."""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from mag.algorithms.contract import Imagination, ScoredRollout
from mag.algorithms.mag.model_reward import ModelReward
from mag.algorithms.mag.policy import Actor, Critic
from mag.algorithms.mag.rollout import rollout
from mag.algorithms.mag.world_model import Predict, State, WorldModel
from mag.learning.distributions import distance
from mag.types import Arrival


def imagine(
    key: PRNGKeyArray,
    episode: Arrival,
    *,
    models: WorldModel,
    predict: Predict,
    observed: int,
    reward_scale: float,
) -> Imagination:
    """Observe the first `observed` steps (at least 1) of an episode `[time, ...]`, then predict the rest.

    All joint actions are the real ones; `predict` is the prediction used in rollouts. The key is consumed.
    """
    key_observe, key_open, key_one = jax.random.split(key, 3)
    length, actions = episode.first.shape[0], episode.previous_action
    time = jnp.arange(length)
    posterior = models.observe_sequence(key_observe, episode)

    def step(state: State, inputs: tuple) -> tuple[State, tuple]:
        key, time, action, seen = inputs
        predicted = predict(key, state, action)
        outcome = models.outcome(state, predicted)
        state = jax.tree.map(lambda a, b: jnp.where(time < observed, a, b), seen, predicted)
        return state, (state, outcome.reward.mean() / reward_scale, outcome.continues.mean())

    inputs = (jax.random.split(key_open, length), time, actions, posterior)
    _, (states, reward, continues) = jax.lax.scan(step, models.initial(), inputs)
    before = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), posterior)
    ahead = jax.vmap(predict)(jax.random.split(key_one, length), before, actions)
    ahead = jax.tree.map(lambda a, b: b.at[0].set(a[0]), posterior, ahead)
    obs, obs_ahead = (jax.vmap(models.decode)(each) for each in (states, ahead))
    return Imagination(
        obs=obs,
        reward=jnp.where(time == 0, 0.0, reward),
        continues=jnp.where(time == 0, 1.0, continues),
        error=distance(obs, episode.obs),
        one_step=distance(obs_ahead, episode.obs),
    )


def scored_rollout(
    key: PRNGKeyArray,
    past: Arrival,
    *,
    models: WorldModel,
    actor: Actor,
    critic: Critic,
    model_reward: ModelReward,
    predict: Predict,
    length: int,
    reward_scale: float,
) -> ScoredRollout:
    """A rollout from the last of the real steps `past`, `[time, ...]`. The key is consumed."""
    key_observe, key_rollout = jax.random.split(key)
    start = jax.tree.map(lambda x: x[-1], models.observe_sequence(key_observe, past))
    imagined = rollout(key_rollout, start, models=models, actor=actor, predict=predict, length=length)
    arrived = jax.tree.map(lambda x, y: jnp.concatenate([x[1:], y[None]]), imagined.state, imagined.last)
    return ScoredRollout(
        action=imagined.action,
        obs=jax.vmap(models.decode)(arrived),
        alive=None if imagined.alive is None else jax.vmap(models.alive)(arrived),
        reward=imagined.reward.mean(-1) / reward_scale,
        continues=imagined.continues.mean(-1),
        estimate=-jax.vmap(model_reward.score)(arrived) / past.obs.shape[1],
        value=critic(start).mean() / reward_scale,
    )
