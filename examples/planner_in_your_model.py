"""The planner of the paper in a world model of your own: no network of `mag`, no training.

    python -m examples.planner_in_your_model

Two agents walk on a grid. The model blurs a step now and then, and a blurred position can be told: it is off the grid.
The planner chooses predictions that lead to states with little expected error.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

import mag

Position = Float[Array, "agents 2"]
Action = Int[Array, " agents"]
MOVES = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


def predict(key: PRNGKeyArray, position: Position, action: Action) -> Position:
    """One sample of the next joint state: an agent's step is blurred with probability 0.3."""
    key_blurred, key_noise = jax.random.split(key)
    blurred = jax.random.bernoulli(key_blurred, 0.3, (len(position), 1))
    return position + MOVES[action] + 0.2 * blurred * jax.random.normal(key_noise, position.shape)


def act(key: PRNGKeyArray, position: Position) -> Action:
    """The joint policy: uniformly random."""
    return jax.random.randint(key, (len(position),), 0, len(MOVES))


def score(position: Position) -> Float[Array, ""]:
    """The model reward of a state: minus the error expected there."""
    return -jnp.abs(position - jnp.round(position)).sum()


def planned(key: PRNGKeyArray, position: Position, action: Action) -> Position:
    """The next joint state, chosen among 8 trajectories of 3 steps."""
    plan = mag.plan(key, position, action, predict=predict, act=act, score=score, num_trajectories=8, horizon=3)
    return plan.state


def error(key: PRNGKeyArray, *, predict: Callable[..., Position], steps: int = 20) -> Float[Array, ""]:
    """Distance between the model and the truth after some steps with the same actions."""

    def step(positions: tuple[Position, Position], key: PRNGKeyArray) -> tuple[tuple[Position, Position], None]:
        model, truth = positions
        key_act, key_predict = jax.random.split(key)
        action = act(key_act, model)
        return (predict(key_predict, model, action), truth + MOVES[action]), None

    start = jnp.zeros((2, 2))
    (model, truth), _ = jax.lax.scan(step, (start, start), jax.random.split(key, steps))
    return jnp.linalg.norm(model - truth)


if __name__ == "__main__":
    keys = jax.random.split(jax.random.key(0), 100)
    for name, how in (("sampled", predict), ("planned", planned)):
        errors = jax.jit(jax.vmap(partial(error, predict=how)))(keys)
        print(f"{name} predictions: error {errors.mean():.2f} after 20 steps")
