"""A planner of one's own that scores each agent: each keeps that of two predictions in which it errs less."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import mag
from mag.planners.config import PlannerConfig

SHAPES = []
"""The shapes of the scores that planners were given."""


@dataclass(frozen=True)
class Config(PlannerConfig):
    """No options."""

    @property
    def scores_each_agent(self) -> bool:
        return True


def plan(key, state, action, *, predict, act, score):
    states = jax.vmap(predict, (0, None, None))(jax.random.split(key), state, action)
    scores = jax.vmap(score)(states)
    SHAPES.append(scores.shape)
    better = scores.argmax(0)
    return mag.Plan(jax.tree.map(lambda x: x[better, jnp.arange(len(better))], states), scores)
