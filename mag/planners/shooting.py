"""Planning over the predictions of a world model (Algorithm 1, lines 10-12; Sec. 3.3 "Planning to Predict").

The planner knows nothing of the models it plans with: it takes three callables, so it plugs into any world model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

State = Any
Action = Any


class Plan(NamedTuple):
    """The chosen prediction."""

    state: State
    """First state of the best trajectory: the prediction to use for this step."""
    returns: Float[Array, " trajectories"]
    """Sum of the scores along each trajectory."""


def plan(
    key: PRNGKeyArray,
    state: State,
    action: Action,
    *,
    predict: Callable[[PRNGKeyArray, State, Action], State],
    act: Callable[[PRNGKeyArray, State], Action],
    score: Callable[[State], Float[Array, ""]],
    num_trajectories: int,
    horizon: int,
) -> Plan:
    """Choose the next state of one joint state among sampled predictions, by random shooting.

    Rolls `num_trajectories` (L) trajectories of `horizon` (H) steps by letting the models interact with the joint
    policy, sums the scores of the states arrived at, and returns the first state of the best trajectory. Batched
    by `vmap`; the choice is then made per start state. As `action` is the same in all trajectories, what does not
    depend on the key in the first prediction is computed once.

    Args:
        key: Consumed. The first predictions are drawn with `jax.random.split(key, L + 1)[:L]`.
        state: Joint model state, any pytree of arrays.
        action: Joint action chosen for it, taken in all trajectories at their first step.
        predict: One sample of the next state.
        act: The joint policy.
        score: Predicted model reward of having arrived at a state; higher is better.
        num_trajectories: L, at least 1. With 1 the result equals one call of `predict`.
        horizon: H, at least 1.

    Raises:
        ValueError: `num_trajectories` or `horizon` below 1.
    """
    if num_trajectories < 1 or horizon < 1:
        raise ValueError(f"num_trajectories and horizon must be at least 1, got {num_trajectories} and {horizon}")
    keys = jax.random.split(key, num_trajectories + 1)
    first = jax.vmap(predict, (0, None, None))(keys[:-1], state, action)  # line 10
    returns = jax.vmap(score)(first)

    def step(carry: tuple[State, Array], key: PRNGKeyArray) -> tuple[tuple[State, Array], None]:
        states, returns = carry
        keys_act, keys_predict = jax.random.split(key, (2, num_trajectories))
        actions = jax.vmap(act)(keys_act, states)
        states = jax.vmap(predict)(keys_predict, states, actions)
        return (states, returns + jax.vmap(score)(states)), None  # line 11

    (_, returns), _ = jax.lax.scan(step, (first, returns), jax.random.split(keys[-1], horizon - 1))
    best = jnp.argmax(returns)
    return Plan(jax.tree.map(lambda x: x[best], first), returns)  # line 12
