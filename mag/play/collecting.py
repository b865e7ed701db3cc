"""Line 3: collecting items of D_e in one environment, episode after episode.

Every call collects the same number of items, so that shapes are fixed; an unfinished episode goes on in the next call.
After an end two absorbing items are recorded (`mag.play.episode.absorb`), the first of them in place of the last
observation and with the last reward. With `limit_ends` a time limit counts as such an end; without, it cuts the
episode: the last observation is recorded, and a new episode begins.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, PRNGKeyArray

from mag.envs import Env
from mag.play.episode import (
    Carry,
    Choose,
    Episode,
    absorb,
    arrival,
    end_at_limit,
    result,
    start_episode,
    step_episode,
    where,
)
from mag.types import Arrival, Episodes


class Collector(NamedTuple):
    """One environment whose episodes are being collected."""

    episode: Episode
    absorbing: Int[Array, ""]
    """Absorbing items shown since the episode's end: 0 while it goes on."""


class Recorded(NamedTuple):
    """One item as it is recorded."""

    arrival: Arrival
    episode: Episodes
    """The result of the episode that ended with this item, if one did."""
    is_transition: Bool[Array, ""]
    """Whether a transition of the environment led here (not a reset, nor a second absorbing item)."""


class Played(NamedTuple):
    """Items in the order of time, `[envs, time]`; a player returns them as `[seeds, envs, time]`."""

    carry: Carry
    """The agents' recurrent state before the first item, `[seeds, envs]`."""
    arrivals: Arrival
    episodes: Episodes
    transitions: Bool[Array, " time"]
    """Whether a transition of the environment led to the item."""
    has_next: Bool[Array, " time"]
    """Whether a transition of the environment leads from the item to the next one."""
    last: Arrival
    """The arrival after the last item, with which the next call begins, `[seeds, envs]`."""


def keys_of_start(key: PRNGKeyArray, num_envs: int) -> tuple[Key[Array, " envs"], Key[Array, " envs"]]:
    """Keys of each environment's first episode and of its agent's recurrent state. The key is consumed."""
    keys = jax.random.split(key, num_envs + 1)
    return keys[:-1], jax.random.split(keys[-1], num_envs)


def start_collecting(key: PRNGKeyArray, env: Env, carry: Carry) -> Collector:
    """A collector at the start of an episode. The key is consumed."""
    return Collector(start_episode(key, env, carry), jnp.zeros((), jnp.int32))


def collect(
    key: PRNGKeyArray, collectors: Collector, *, env: Env, choose: Choose, steps: int, limit_ends: bool = False
) -> tuple[Collector, Played]:
    """`steps` items of each environment; `collectors` are `[envs, ...]`. The key is consumed.

    With `limit_ends` a time limit is recorded as an end.
    """

    def step(collectors: Collector, key: PRNGKeyArray) -> tuple[Collector, Recorded]:
        keys = jax.random.split(key, len(collectors.absorbing))
        advance = partial(next_item, env=env, choose=choose, limit_ends=limit_ends)
        after = jax.vmap(advance)(keys, collectors)
        return after, jax.vmap(current_item)(collectors)

    after, recorded = jax.lax.scan(step, collectors, jax.random.split(key, steps))
    recorded = jax.tree.map(lambda x: x.swapaxes(0, 1), recorded)
    last = jax.vmap(current_item)(after)
    return after, Played(
        carry=collectors.episode.carry,
        arrivals=recorded.arrival,
        episodes=recorded.episode,
        transitions=recorded.is_transition,
        has_next=jnp.concatenate([recorded.is_transition[:, 1:], last.is_transition[:, None]], 1),
        last=last.arrival,
    )


def current_item(collector: Collector) -> Recorded:
    """The item and the episode's result at a collector's current time step."""
    episode, shown = collector.episode, collector.episode.timestep
    ended = (shown.terminated & (collector.absorbing == 1)) | shown.truncated
    return Recorded(
        arrival=arrival(shown, episode.previous_action),
        episode=result(episode, ended),
        is_transition=~shown.first & (collector.absorbing < 2),
    )


def next_item(key: PRNGKeyArray, collector: Collector, *, env: Env, choose: Choose, limit_ends: bool) -> Collector:
    """The collector at its next item: a transition, the second absorbing item, or a new episode.

    The key is consumed.
    """
    key_choose, key_env = jax.random.split(key)
    key_step, key_reset = jax.random.split(key_env)
    before, shown = collector.episode, collector.episode.timestep
    after = step_episode(key_choose, key_step, before, env=env, choose=choose)
    reached = end_at_limit(after.timestep) if limit_ends else after.timestep
    stepped = Collector(after._replace(timestep=absorb(reached)), reached.terminated.astype(jnp.int32))
    absorbed = Collector(
        before._replace(
            timestep=shown._replace(reward=jnp.zeros_like(shown.reward)),
            previous_action=after.previous_action,
            carry=after.carry,
        ),
        collector.absorbing + 1,
    )
    fresh = start_collecting(key_reset, env, after.carry)
    over = shown.truncated | (collector.absorbing == 2)
    return where(over, fresh, where(collector.absorbing == 1, absorbed, stepped))
