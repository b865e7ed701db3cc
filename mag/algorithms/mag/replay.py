"""The environment dataset D_e, on flashbax, and its time alignment.

An item (`mag.types.Arrival`) holds what is known on *arriving* at time t: observation o_t, available actions, the
action a_{t-1} that led here, the reward r of t-1 -> t and whether the episode goes on. A sequence cut anywhere
therefore carries every action and reward it needs:

    posterior_t    from (posterior_{t-1}, a_{t-1}, o_t)            recurrence reset where `first`
    decoder_t      from (stoch_t, deter_t)            -> o_t, available actions, a_{t-1}
    reward head    from (stoch_{t-1}, deter_t)        -> r of t-1 -> t; not where `first`, nor where a sequence begins
    continuation   from (stoch_{t-1}, deter_t)        -> 1, or 0 where the episode ended

After an end two absorbing items are stored (zero observation, every action available, continuation 0); the first
replaces the last observation and holds the last reward. A time limit is such an end or, with `collect.time_limit` cut,
leaves the last observation as it is.
"""

from typing import Any

import flashbax
import jax.numpy as jnp
from flashbax.buffers.trajectory_buffer import TrajectoryBuffer

from mag.algorithms.mag.config import ReplayConfig

ReplayState = Any
"""Flashbax's buffer state: a pytree of arrays."""


def make_replay(config: ReplayConfig, num_envs: int) -> TrajectoryBuffer:
    """A ring of `capacity // num_envs` items for each environment; samples `[batch, sequence, ...]` uniformly."""
    return flashbax.make_trajectory_buffer(
        add_batch_size=num_envs,
        max_length_time_axis=config.capacity // num_envs,
        min_length_time_axis=config.sequence_length,
        sample_batch_size=config.batch_size,
        sample_sequence_length=config.sequence_length,
        period=1,
    )


def items_stored(replay: ReplayState) -> Any:
    """Items stored by each environment."""
    return jnp.where(replay.is_full, replay.experience.first.shape[-1], replay.current_index)
