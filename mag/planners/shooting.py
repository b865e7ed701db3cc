"""Random shooting, the planner of the paper (Sec. 3.3 "Planning to Predict"; Algorithm 1, lines 10-12)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from mag.learning.distributions import sample_categorical
from mag.planners.contract import Act, Action, Plan, Predict, Score, State, check_at_least_one


def plan(
    key: PRNGKeyArray,
    state: State,
    action: Action,
    *,
    predict: Predict,
    act: Act,
    score: Score,
    num_trajectories: int,
    horizon: int,
    choice: Literal["best", "proportional", "own"] = "best",
) -> Plan:
    """Choose the next state of one joint state among sampled predictions, by random shooting.

    Rolls `num_trajectories` (L) trajectories of `horizon` (H) steps by letting the models interact with the joint
    policy, sums the scores of the states arrived at, and returns the first state of the best trajectory. Batched
    by `vmap`; the choice is then made per start state. If the score has a value for each agent, each agent chooses for
    itself, and its part of the state comes from the trajectory it chose. As `action` is the same in all trajectories,
    those parts of the first prediction that do not depend on the key are computed once.

    Args:
        key: Consumed. The first predictions are drawn with `jax.random.split(key, L + 1)[:L]`.
        state: Joint model state, any pytree of arrays.
        action: Joint action in `state`, taken at the first step of every trajectory.
        predict: One sample of the next state.
        act: The joint policy.
        score: Predicted model reward of having arrived at a state, for the team or for each agent; higher is better.
            With a score for each agent, the first axis of every array of a state is the agents'.
        num_trajectories: L, at least 1. With 1 the result equals one call of `predict`.
        horizon: H, at least 1.
        choice: `best` or `own`: the trajectory with the greatest return, by each agent if scores are;
            `proportional`: one drawn with probability proportional to the exponential of its return.

    Raises:
        ValueError: `num_trajectories` or `horizon` below 1.
    """
    check_at_least_one(num_trajectories=num_trajectories, horizon=horizon)
    keys = jax.random.split(key, num_trajectories + 1)
    first = jax.vmap(predict, (0, None, None))(keys[:-1], state, action)  # line 10
    returns = returns_from(keys[-1], first, predict=predict, act=act, score=score, horizon=horizon)  # line 11
    if choice == "proportional":
        chosen = sample_categorical(jax.random.fold_in(keys[-1], horizon), jnp.moveaxis(returns, 0, -1))
    else:
        chosen = jnp.argmax(returns, 0)
    index = (chosen, jnp.arange(len(chosen))) if chosen.ndim else chosen
    return Plan(jax.tree.map(lambda x: x[index], first), returns)  # line 12


def returns_from(
    key: PRNGKeyArray, first: State, *, predict: Predict, act: Act, score: Score, horizon: int
) -> Float[Array, " trajectories *agents"]:
    """Sums of the scores along trajectories of `horizon` states that begin with `first`, `[trajectories, ...]`.

    The key is consumed.
    """
    returns = jax.vmap(score)(first)

    def step(carry: tuple[State, Array], key: Key[Array, ""]) -> tuple[tuple[State, Array], None]:
        states, returns = carry
        keys_act, keys_predict = jax.random.split(key, (2, len(returns)))
        actions = jax.vmap(act)(keys_act, states)
        states = jax.vmap(predict)(keys_predict, states, actions)
        return (states, returns + jax.vmap(score)(states)), None

    (_, returns), _ = jax.lax.scan(step, (first, returns), jax.random.split(key, horizon - 1))
    return returns
