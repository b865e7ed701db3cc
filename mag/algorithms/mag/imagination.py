"""Real episodes imagined: the local models predict an episode from its first steps and the actions really taken."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.local_models import LocalModels, initial_state, observe_sequence
from mag.algorithms.mag.rollout import Predict
from mag.learning.distributions import smooth_l1
from mag.types import ModelState, Step

OBSERVED = 5
"""Steps that the models observe before they are on their own, in what people are shown."""


class Imagination(NamedTuple):
    """What the local models make of one episode, `[time, ...]`."""

    obs: Float[Array, "time agents obs"]
    """Decoded observations; of the posterior as long as it is observed, of predictions from then on."""
    reward: Float[Array, " time"]
    """Predicted reward of the transition arriving at the step, mean over agents; 0 at the start."""
    continues: Float[Array, " time"]
    """Predicted probability that the episode goes on after that transition, mean over agents."""
    error: Float[Array, " time"]
    """Distance of `obs` from the real observation: smooth L1 summed over features, mean over agents."""
    one_step: Float[Array, " time"]
    """The same for predictions one step ahead of the posterior: what is left where errors cannot pile up.
    At the first step, which nothing predicts, it is that of the posterior."""


def imagine(
    key: PRNGKeyArray,
    episode: Step,
    *,
    models: LocalModels,
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
    posterior = observe_sequence(models, key_observe, episode, training=False)[1]

    def step(state: ModelState, inputs: tuple) -> tuple[ModelState, tuple]:
        key, time, action, seen = inputs
        predicted = predict(key, state, action)
        reward, continuation = models.transition(state.stoch, predicted.deter)
        state = jax.tree.map(lambda a, b: jnp.where(time < observed, a, b), seen, predicted)
        return state, (state, reward.mean() / reward_scale, jax.nn.sigmoid(continuation).mean())

    inputs = (jax.random.split(key_open, length), time, actions, posterior)
    _, (states, reward, continues) = jax.lax.scan(step, initial_state(models.spec, models.config), inputs)
    before = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), posterior)
    ahead = jax.vmap(predict)(jax.random.split(key_one, length), before, actions)
    ahead = jax.tree.map(lambda a, b: b.at[0].set(a[0]), posterior, ahead)
    obs, obs_ahead = (jax.vmap(models.decode)(each)[0] for each in (states, ahead))
    return Imagination(
        obs=obs,
        reward=jnp.where(time == 0, 0.0, reward),
        continues=jnp.where(time == 0, 1.0, continues),
        error=_distance(obs, episode.obs),
        one_step=_distance(obs_ahead, episode.obs),
    )


def _distance(obs: Float[Array, "time agents obs"], real: Float[Array, "time agents obs"]) -> Float[Array, " time"]:
    return smooth_l1(obs - real).sum(-1).mean(-1)
