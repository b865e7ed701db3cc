"""Real sequences beside imagined rollouts: the critic also learns from the real rewards of D_e's newest steps.

A critic that learns from imagined rollouts alone takes over the world model's small errors, which accumulate over a
whole episode.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from mag.algorithms.mag.replay import ReplayState, items_stored
from mag.algorithms.mag.rollout import Rollout
from mag.algorithms.mag.world_model import WorldModel
from mag.types import Arrival


def newest_sequences(key: PRNGKeyArray, data: ReplayState, *, count: int, length: int, newest: int) -> Arrival:
    """Sequences `[count, length, ...]` drawn uniformly from the `newest` items of each environment, or all if fewer.

    The key is consumed.
    """
    key_env, key_age = jax.random.split(key)
    num_envs, capacity = data.experience.first.shape
    starts = jnp.maximum(jnp.minimum(items_stored(data), newest) - length + 1, 1)
    age = length + jax.random.randint(key_age, (count,), 0, starts)
    index = (data.current_index - age[:, None] + jnp.arange(length)) % capacity
    env = jax.random.randint(key_env, (count, 1), 0, num_envs)
    return jax.tree.map(lambda x: x[env, index], data.experience)


def replayed(
    key: PRNGKeyArray, models: WorldModel, sequences: Arrival, *, burn_in: int, reward_scale: float
) -> Rollout:
    """Real sequences `[count, burn_in + k + 1, ...]` as rollouts `[count, k, ...]`. The key is consumed.

    A sequence in which a time limit cuts an episode has weight 0: its `alive` is false throughout.
    """
    keys = jax.random.split(key, len(sequences.first))
    states = jax.vmap(models.observe_sequence)(keys, sequences)
    here, after = slice(burn_in, -1), slice(burn_in + 1, None)
    agents = sequences.alive.shape[-1]
    continues = sequences.continues[:, after]
    begins = sequences.first[:, after] & (jnp.cumprod(continues, 1) > 0)  # the next episode, without an end in between
    cut = (begins & (sequences.continues[:, here] > 0)).any(1)  # not so where the sequence itself starts after an end
    action = jnp.maximum(sequences.previous_action[:, after], 0)
    return Rollout(
        state=jax.tree.map(lambda x: x[:, here], states),
        action=action,
        avail=jnp.ones_like(sequences.avail[:, here]),
        log_prob=jnp.zeros(action.shape),
        reward=reward_scale * sequences.rewards[:, after],
        continues=jnp.broadcast_to(continues[..., None], (*continues.shape, agents)),
        alive=sequences.alive[:, here] & ~cut[:, None, None],
        imagined=jnp.zeros(continues.shape, bool),
        last=jax.tree.map(lambda x: x[:, -1], states),
    )


def side_by_side(imagined: Rollout, real: Rollout) -> Rollout:
    """Imagined and real rollouts in one batch."""
    if imagined.alive is None:
        imagined = imagined._replace(alive=jnp.ones(imagined.action.shape, bool))
    imagined = imagined._replace(imagined=jnp.ones(imagined.reward.shape[:-1], bool))

    def join(a: Array, b: Array) -> Any:
        return jnp.concatenate([a, b])

    return jax.tree.map(join, imagined, real)
