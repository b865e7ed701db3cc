"""The memory that a run of MAG takes, estimated from the shapes of arrays without computing them."""

from typing import Any

import jax

from mag.algorithms.mag.config import MAGConfig
from mag.algorithms.mag.world_model import WorldModel
from mag.envs import EnvSpec
from mag.learning.sizes import size_of, size_of_gradient


def estimate(config: MAGConfig, spec: EnvSpec, state: Any, sequences: Any, chunk_size: int) -> dict[str, int]:
    """Bytes of one seed by part: what is held, and the largest intermediate results. Accurate to a factor of 2.

    Each worker has a D_e and networks of its own, and computes its part of every batch: `state` is one worker's,
    `sequences` its part of a batch, and `chunk_size` the number of start states that it rolls out at once.
    """
    workers, models = config.workers, state.models.params
    key = jax.eval_shape(lambda: jax.random.key(0))
    one_state = jax.eval_shape(lambda models: models.initial(), models)
    action = jax.ShapeDtypeStruct((spec.n_agents,), "int32")
    starts = num_starts(config)
    rows = (starts + config.rollout.replayed) * config.rollout.length
    side_by_side = min(starts, workers * chunk_size)
    loss = size_of_gradient(lambda models, key, batch: models.loss(key, batch), models, key, sequences)
    one, two = (predictions_size(models, (key, one_state, action), count) for count in (1, 2))
    held = size_of((state.models, state.model_reward, state.policy))
    return {
        "replay": workers * size_of(state.data),
        "networks": workers * (held + loss),
        "planning": side_by_side * config.planner.predictions_at_once * (two - one),
        "rollouts": 2 * rows * (size_of(one_state) + spec.n_agents * spec.n_actions),
    }


def num_starts(config: MAGConfig) -> int:
    """Start states of a rollout, over all workers."""
    rollout, replay = config.rollout, config.replay
    if rollout.windows:
        return rollout.windows * rollout.starts_per_window
    return replay.batch_size * (replay.sequence_length - 2)


def predictions_size(models: WorldModel, arguments: Any, count: int) -> int:
    """Bytes of the intermediate results of `count` predictions at once, including results that they share."""
    many = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), arguments)
    return size_of_gradient(lambda models, *many: jax.vmap(models.predict)(*many), models, *many)
