"""Elite resampling: the cross-entropy method on the empirical distribution of first states.

Random shooting scores a first state by one future, so it prefers first states with lucky futures. Elite resampling
spends later rounds on the best first states alone: it rolls new futures from them and scores each by the mean.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mag.planners.contract import Act, Action, Plan, Predict, Score, State, check_at_least_one
from mag.planners.shooting import returns_from


class Tally(NamedTuple):
    """The returns of each first state so far."""

    total: Float[Array, " trajectories"]
    futures: Float[Array, " trajectories"]
    """Number of trajectories in the total."""
    is_elite: Bool[Array, " trajectories"]
    """Whether the last round started from it."""

    @property
    def mean(self) -> Float[Array, " trajectories"]:
        """The mean return of each first state."""
        return self.total / self.futures


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
    num_elites: int,
    num_rounds: int,
) -> Plan:
    """Choose the next state of one joint state among sampled predictions, by elite resampling.

    The first round is random shooting with L trajectories. Each further round keeps the `num_elites` first states
    with the greatest mean return, rolls L new trajectories from these first states in turn, and updates their means.
    Costs `num_rounds` times random shooting, except for the first predictions; one round is random shooting.

    Args:
        key: Consumed.
        state: Joint model state, any pytree of arrays.
        action: Joint action in `state`, taken at the first step of every trajectory.
        predict: One sample of the next state.
        act: The joint policy.
        score: Predicted model reward of having arrived at a state; higher is better.
        num_trajectories: L, at least 1.
        horizon: H, at least 1. With 1 a first state has no futures, and further rounds change nothing.
        num_elites: First states that a further round starts from, 1 to L.
        num_rounds: Rounds, at least 1.

    Returns:
        The elite of the last round with the greatest mean return, and the mean return of each of the L first states.

    Raises:
        ValueError: a size below 1, more elites than trajectories, or a score with a value for each agent.
    """
    check_at_least_one(num_trajectories=num_trajectories, horizon=horizon, num_elites=num_elites, num_rounds=num_rounds)
    if num_elites > num_trajectories:
        raise ValueError(f"num_elites is {num_elites}; it can be at most num_trajectories, {num_trajectories}")
    keys = jax.random.split(key, num_trajectories + 1)
    first = jax.vmap(predict, (0, None, None))(keys[:-1], state, action)
    returns = returns_from(keys[-1], first, predict=predict, act=act, score=score, horizon=horizon)
    if returns.ndim != 1:
        raise ValueError("elite resampling scores trajectories for the team: score has to return one number")

    def next_round(tally: Tally, key: PRNGKeyArray) -> tuple[Tally, None]:
        elites = jax.lax.top_k(tally.mean, num_elites)[1]
        chosen = elites[jnp.arange(num_trajectories) % num_elites]
        starts = jax.tree.map(lambda x: x[chosen], first)
        returns = returns_from(key, starts, predict=predict, act=act, score=score, horizon=horizon)
        is_elite = jnp.zeros(num_trajectories, bool).at[chosen].set(True)
        return Tally(tally.total.at[chosen].add(returns), tally.futures.at[chosen].add(1.0), is_elite), None

    round_keys = jax.random.split(jax.random.fold_in(keys[-1], horizon), num_rounds - 1)
    tally = Tally(returns, jnp.ones(num_trajectories), jnp.ones(num_trajectories, bool))
    tally, _ = jax.lax.scan(next_round, tally, round_keys)
    # Only elites of the last round are compared: another first state may owe its mean to a single lucky future.
    best = jnp.argmax(jnp.where(tally.is_elite, tally.mean, -jnp.inf))
    return Plan(jax.tree.map(lambda x: x[best], first), tally.mean)
