"""Planning to predict (Sec. 3.3; Algorithm 1, lines 10-12): any planner over any world model, with its model reward.

The model reward is higher where predictions are easy. If planning chose among independent predictions, it would also
choose whether agents die and episodes end, and so change how often they do. Therefore one event (deaths, the end) is
drawn from the models for each plan; its L first predictions share this event, and planning chooses the rest. Models
without joint events share nothing.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mag.algorithms.mag.model_reward import ModelReward
from mag.algorithms.mag.policy import Actor, imagine_action
from mag.algorithms.mag.world_model import Predict, State, WorldModel
from mag.envs.checking import shapes, told
from mag.errors import UsageError
from mag.planners.config import PlannerConfig, plan_function, plan_options
from mag.planners.contract import Plan

EVENT = 0xE7E47
"""Folded into a plan's key for the event that its first predictions share."""


class PlannedState(NamedTuple):
    """A state of a planned trajectory, with the scores on the way to it, of the team or `[agents]`."""

    state: State
    score: Float[Array, "*agents"]
    """Score of having arrived here."""
    total: Float[Array, "*agents"]
    """Sum of the scores of the trajectory's steps while the episode lasted."""
    steps: Float[Array, "*agents"]
    """Number of these steps; 0 where planning starts."""


def planned(planner: PlannerConfig, models: WorldModel, model_reward: ModelReward, actor: Actor) -> Predict:
    """The planner's choice as a prediction of the world model."""
    score = model_reward.score_of_agents if planner.scores_each_agent else model_reward.score

    def step(key_event: PRNGKeyArray, key: PRNGKeyArray, ahead: PlannedState, action: Array) -> PlannedState:
        # After the first step each trajectory draws an event of its own, with the key that `predict` would use.
        key_event = jnp.where(ahead.steps.max() == 0, key_event, jax.random.split(key)[0])
        state, alive = models.predict_with(key_event, key, ahead.state, action), models.alive(ahead.state)
        arrived = score(state)
        lasts = jnp.ones((), bool) if alive is None else alive.any()
        total, steps = ahead.total + jnp.where(lasts, arrived, 0), ahead.steps + lasts
        # Without a score of their own, steps after an end would be no errors at all, and planning would seek ends.
        rest = model_reward.after_end(total / jnp.maximum(steps, 1))
        return PlannedState(state, jnp.where(lasts, arrived, rest), total, steps)

    def predict(key: PRNGKeyArray, state: State, action: Array) -> State:
        nothing = jnp.zeros(jax.eval_shape(score, state).shape)
        plan = plan_function(planner)(
            key,
            PlannedState(state, nothing, nothing, nothing),
            action,
            predict=partial(step, jax.random.fold_in(key, EVENT)),
            act=lambda key, ahead: imagine_action(key, actor, models, ahead.state).action,
            score=lambda ahead: ahead.score,
            **plan_options(planner),
        )
        if not isinstance(plan, Plan) or not isinstance(plan.state, PlannedState):
            raise UsageError(
                f"the planner {planner.kind} returned a {type(plan).__name__}; it must return a `mag.Plan` whose state "
                "is one of those that `predict` returned"
            )
        check_same_shapes(planner.kind, plan.state.state, state)
        return plan.state.state

    return predict


def check_same_shapes(kind: str, planned: State, state: State) -> None:
    """Raise UsageError where the arrays of a planned state are not like those of the state it follows."""
    for (path, one), other in zip(jax.tree.leaves_with_path(planned), jax.tree.leaves(state), strict=True):
        if shapes(one) != shapes(other):
            raise UsageError(
                f"the planner {kind} returned a state with {jax.tree_util.keystr(path).lstrip('.')} {told(one)} where "
                f"`predict` returns {told(other)}; it must return one state, without an axis of trajectories"
            )
