"""A planner of your own in MAG: a module with its options, `Config`, and a function `plan`.

    python -m examples.your_planner
    python -m mag train --algo mag --planner.kind examples.your_planner --planner.num-predictions 8

This one looks a single step ahead: it takes the prediction with the highest model reward.
"""

from dataclasses import dataclass

import jax
from jaxtyping import PRNGKeyArray

import mag
from mag.options import number
from mag.planners.config import PlannerConfig
from mag.planners.contract import Act, Action, Predict, Score, State


@dataclass(frozen=True)
class Config(PlannerConfig):
    """The best of several predictions, one step ahead."""

    num_predictions: int = number(4, least=1, source=None)
    """Predictions to choose from."""

    @property
    def predictions_at_once(self) -> int:
        """What memory follows from."""
        return self.num_predictions


def plan(
    key: PRNGKeyArray,
    state: State,
    action: Action,
    *,
    predict: Predict,
    act: Act,
    score: Score,
    num_predictions: int,
) -> mag.Plan:
    """The prediction with the highest score. The key is consumed."""
    states = jax.vmap(predict, (0, None, None))(jax.random.split(key, num_predictions), state, action)
    scores = jax.vmap(score)(states)
    return mag.Plan(jax.tree.map(lambda x: x[scores.argmax()], states), scores)


if __name__ == "__main__":
    planner = {"kind": "examples.your_planner", "num_predictions": 8}
    summary = mag.train(
        env="probe/one-step", algo="mag", planner=planner, size="debug", recipe="paper", run="runs/your-planner"
    )
    print(f"trained for {summary['env_steps']} steps with a planner of one's own")
