"""Model rollouts (Algorithm 1, lines 6-15): the joint policy plays inside the world model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.policy import Actor, imagine_action
from mag.algorithms.mag.world_model import Predict, State, WorldModel
from mag.learning.distributions import log_prob
from mag.types import Arrival


class Rollout(NamedTuple):
    """Model dataset D_m: k steps of the joint policy inside the world model, from one start state."""

    state: State
    """The states acted in, `[k, agents, ...]`."""
    action: Int[Array, "k agents"]
    avail: Bool[Array, "k agents actions"]
    """The mask under which the action was drawn."""
    log_prob: Float[Array, "k agents"]
    reward: Float[Array, " k #agents"]
    """Predicted reward of the step: each agent's own, or one for the team, the mean of the agents' predictions."""
    continues: Float[Array, "k agents"]
    """Predicted probability that the episode goes on after the step; 0 or 1 where ends are drawn, and of real steps."""
    alive: Bool[Array, "k agents"] | None
    """Which agents are alive in the states acted in; None if the world model does not know."""
    imagined: Bool[Array, " k"] | None
    """False for real steps, from which only the critic learns; None if all steps are imagined."""
    last: State
    """The state after the k-th step: the bootstrap."""


INNER = slice(1, -1)
"""Positions of a sequence at which the reference starts rollouts: all but the first, whose posterior has seen a single
observation, and the last; 18 of 20."""


def start_states(key: PRNGKeyArray, models: WorldModel, sequences: Arrival, positions: slice = INNER) -> State:
    """Line 7: the posteriors at these positions of a batch of sequences `[batch, time, ...]`, as `[starts, ...]`.

    The key is consumed.
    """
    keys = jax.random.split(key, sequences.first.shape[0])
    states = jax.vmap(models.observe_sequence)(keys, sequences)
    return jax.tree.map(lambda x: x[:, positions].reshape(-1, *x.shape[2:]), states)


def rollout(
    key: PRNGKeyArray,
    start: State,
    *,
    models: WorldModel,
    actor: Actor,
    predict: Predict,
    length: int,
    team_reward: bool = True,
) -> Rollout:
    """k steps from one joint start state; batched by `vmap`. The key is consumed.

    `predict` is planned in MAG and the world model's own in MAMBA.
    """

    def step(state: State, key: PRNGKeyArray) -> tuple[State, Rollout]:
        key_act, key_predict = jax.random.split(key)
        action, avail, logits = imagine_action(key_act, actor, models, state)  # line 9
        next_state = predict(key_predict, state, action)  # lines 10-12
        outcome = models.outcome(state, next_state)
        item = Rollout(
            state=state,
            action=action,
            avail=avail,
            log_prob=log_prob(logits, action),
            reward=outcome.reward.mean(keepdims=True) if team_reward else outcome.reward,
            continues=outcome.continues,
            alive=models.alive(state),
            imagined=None,
            last=None,  # set below: the state after the k-th step
        )
        return next_state, item  # line 13

    last, items = jax.lax.scan(step, start, jax.random.split(key, length))
    return items._replace(last=last)


def rollouts(
    key: PRNGKeyArray, starts: State, one_rollout: Callable[[PRNGKeyArray, State], Rollout], *, chunk_size: int
) -> Rollout:
    """Lines 8-14: `one_rollout` from each start, `chunk_size` at once: `[starts, k, ...]`. The key is consumed."""
    keys = jax.random.split(key, num_states(starts))
    return jax.lax.map(lambda each: one_rollout(*each), (keys, starts), batch_size=min(chunk_size, len(keys)))


def num_states(states: State) -> int:
    """The number of joint states in `[states, agents, ...]`."""
    return len(jax.tree.leaves(states)[0])


CACHED_ROWS = 600
"""Agents' states whose activations fit a CPU's cache: larger chunks run slower, not faster."""


def resolve_chunk_size(chunk_size: int, starts: int, rows_per_start: int) -> int:
    """Number of start states rolled out at once, each with `rows_per_start` agents' states (L x N).

    A `chunk_size` of 0 means as many as fit the cache on a CPU, and all on an accelerator. If a number above half of
    what fits divides the start states, that number is taken: for a smaller last chunk the rollout would be compiled
    once more.
    """
    if chunk_size:
        return chunk_size
    if jax.default_backend() != "cpu":
        return starts
    fits = max(1, CACHED_ROWS // rows_per_start)
    return next((size for size in range(fits, fits // 2, -1) if starts % size == 0), fits)
