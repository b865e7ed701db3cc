"""Segments: what one environment played in one iteration, and what is learned from it.

A segment continues where the last one stopped, often in the middle of an episode, with the recurrent state at that
step; gradients go back to the segment's first item, not further.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.on_policy.agent import Carry, Network, OnPolicyCarry, behaviour, recur
from mag.algorithms.on_policy.config import LearningConfig
from mag.envs import EnvSpec
from mag.learning.distributions import log_prob
from mag.learning.ppo import lambda_returns, normalised, policy_loss, weighted_mean
from mag.play.collecting import Played
from mag.play.episode import empty_arrival
from mag.types import Arrival, Metrics


class Segment(NamedTuple):
    """One environment's steps in one iteration."""

    start: OnPolicyCarry
    """The agents' recurrent state before the first item."""
    arrivals: Arrival
    """`[time + 1, ...]`: the last item begins the next segment; this segment only bootstraps from it."""
    has_next: Bool[Array, " time"]
    """Whether a transition of the environment led from the item to the next one."""


class SegmentBatch(NamedTuple):
    """Segments with returns, advantages and weights, `[envs, ...]`."""

    segment: Segment
    log_prob: Float[Array, "envs time agents"]
    """Log-probability of each action when it was drawn."""
    returns: Float[Array, "envs time agents"]
    advantage: Float[Array, "envs time agents"]
    weight: Float[Array, "envs time agents"]
    """1 where a living agent acts; 0 for dead agents and for items without a next one."""


def empty_segment(start: OnPolicyCarry, spec: EnvSpec, steps: int) -> Segment:
    """A segment of zeros, from which shapes are taken."""
    arrivals = jax.tree.map(lambda x: jnp.zeros((steps + 1, *x.shape), x.dtype), empty_arrival(spec, with_state=True))
    return Segment(start, arrivals, jnp.zeros(steps, bool))


def segments_of(played: Played) -> Segment:
    """The segments of all environments, `[envs, ...]`."""
    arrivals = jax.tree.map(lambda x, y: jnp.concatenate([x, y[:, None]], 1), played.arrivals, played.last)
    return Segment(played.carry, arrivals, played.has_next)


def actions(segment: Segment) -> Int[Array, "time agents"]:
    """The action taken at each item, which the next item stores."""
    return segment.arrivals.previous_action[1:]


def unroll(
    network: Network, segment: Segment
) -> tuple[Float[Array, "time_plus_1 agents actions"], Float[Array, "time_plus_1 agents"]]:
    """Logits and values at every item of a segment, recomputed from its start with the draws made in play."""

    def step(carried: tuple[Carry, PRNGKeyArray], inputs: tuple[Any, Arrival]) -> tuple[Any, Any]:
        carry = recur(network, carried[0], *inputs)
        key_draw, key_next = jax.random.split(carried[1])
        return (carry, key_next), (carry, key_draw)

    encoded = jax.vmap(network.encode)(segment.arrivals)
    start = segment.start.recurrent, segment.start.key
    _, (carries, keys) = jax.lax.scan(step, start, (encoded, segment.arrivals))
    return jax.vmap(network.heads)(keys, carries, segment.arrivals)


def segment_returns(
    value: Float[Array, "time_plus_1 agents"], segment: Segment, config: LearningConfig
) -> Float[Array, "time agents"]:
    """Lambda-returns of a segment.

    The value after a real end is 0; where the time limit or the segment cuts an episode, the last item's value
    bootstraps the return. A dead agent's value is not trained: with a team reward it is replaced by the mean value of
    the living agents, with rewards of the agents' own by 0.
    """
    steps = segment.arrivals
    alive = steps.alive.astype(value.dtype)
    rewards = steps.rewards
    of_dead = jax.vmap(weighted_mean)(value, alive)[:, None] if rewards.shape[-1] == 1 else 0.0
    value = jnp.where(steps.alive, value, of_dead)
    # The return of an item without a next one is its own value: R_t = v_t + 0.
    has_next = segment.has_next[:, None]
    reward = jnp.where(has_next, config.reward_scale * rewards[1:], value[:-1])
    continues = jnp.where(has_next, steps.continues[1:, None], 0.0) * jnp.ones_like(reward)
    return lambda_returns(reward, continues, value, gamma=config.gamma, gae_lambda=config.gae_lambda)


def learning_batch(
    network: Network, target: Network | None, segments: Segment, config: LearningConfig, epsilon: Float[Array, ""]
) -> SegmentBatch:
    """Returns and advantages of segments `[envs, ...]`; `target` gives the values to bootstrap from."""

    def one(segment: Segment) -> SegmentBatch:
        logits, value = unroll(network, segment)
        logs = jax.vmap(behaviour, (0, 0, None))(logits[:-1], segment.arrivals.avail[:-1], epsilon)
        bootstrap = value if target is None else unroll(target, segment)[1]
        returns = segment_returns(bootstrap, segment, config)
        weight = (segment.has_next[:, None] & segment.arrivals.alive[:-1]).astype(value.dtype)
        return SegmentBatch(segment, log_prob(logs, actions(segment)), returns, returns - value[:-1], weight)

    batch = jax.vmap(one)(segments)
    return batch._replace(advantage=normalised(batch.advantage, batch.weight)) if config.normalise else batch


def loss(
    network: Network, batch: SegmentBatch, config: LearningConfig, epsilon: Float[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """PPO's clipped loss and half the squared error of the values, both over living agents."""
    logits, value = jax.vmap(partial(unroll, network))(batch.segment)
    avail = batch.segment.arrivals.avail[:, :-1]
    logs = jax.vmap(jax.vmap(behaviour, (0, 0, None)), (0, 0, None))(logits[:, :-1], avail, epsilon)
    policy, metrics = policy_loss(
        logs,
        jax.vmap(actions)(batch.segment),
        old_log_prob=batch.log_prob,
        advantage=batch.advantage,
        clip=config.clip,
        entropy_coefficient=config.entropy,
        weight=batch.weight,
    )
    critic = 0.5 * weighted_mean(jnp.square(value[:, :-1] - batch.returns), batch.weight)
    return policy + config.value_coefficient * critic, metrics | {"critic/loss": critic}
