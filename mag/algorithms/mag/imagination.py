"""Real episodes imagined: a world model predicts an episode from its first steps and the actions really taken."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.contract import Imagination
from mag.algorithms.mag.world_model import Predict, State, WorldModel
from mag.learning.distributions import smooth_l1
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
    """Predict the episode `[time, ...]` from its first `observed` steps (at least 1) on. The key is consumed.

    The joint action of every step is the real one; `predict` is the one that rollouts use.
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
        error=_distance(obs, episode.obs),
        one_step=_distance(obs_ahead, episode.obs),
    )


def _distance(obs: Float[Array, "time agents obs"], real: Float[Array, "time agents obs"]) -> Float[Array, " time"]:
    return smooth_l1(obs - real).sum(-1).mean(-1)
