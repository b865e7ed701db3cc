"""The memory that a run of MAG takes, from the shapes of what is computed; nothing is computed for it."""

from typing import TYPE_CHECKING, Any

import jax

from mag.learning.sizes import size_of, size_of_gradient
from mag.planners.config import plan_options

if TYPE_CHECKING:
    from mag.algorithms.mag.algorithm import MAG


def estimate(algorithm: "MAG") -> dict[str, int]:
    """Bytes of one seed by part: what is held, and the largest thing computed at once. Right to a factor of 2.

    Each worker has a D_e and networks of its own, and computes its part of every batch.
    """
    config, workers = algorithm.config, algorithm.config.workers
    key = jax.eval_shape(lambda: jax.random.key(0))
    init: Any = algorithm.init
    state = jax.eval_shape(init.of_one_seed, key)
    models = state.models.params
    sequences = jax.eval_shape(algorithm.sequences, key, state.data)
    one_state = jax.eval_shape(lambda models: models.initial(), models)
    action = jax.ShapeDtypeStruct((algorithm.spec.n_agents,), "int32")
    starts = config.replay.batch_size * (config.replay.sequence_length - 2)
    side_by_side = min(starts, workers * algorithm.chunk_size(starts))
    trajectories = plan_options(config.planner).get("num_trajectories", 1)
    loss = size_of_gradient(lambda models, key, batch: models.loss(key, batch), models, key, sequences)
    one, two = (predictions_size(models, (key, one_state, action), count) for count in (1, 2))
    held = size_of((state.models, state.model_reward, state.policy))
    return {
        "replay": workers * size_of(state.data),
        "networks": workers * (held + loss),
        "planning": side_by_side * trajectories * (two - one),
        "rollouts": 2 * starts * config.rollout.length * (size_of(one_state) + algorithm.spec.n_actions),
    }


def predictions_size(models: Any, arguments: Any, count: int) -> int:
    """Bytes of the intermediate results of `count` predictions side by side, and of what they share."""
    many = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), arguments)
    return size_of_gradient(lambda models, *many: jax.vmap(models.predict)(*many), models, *many)
