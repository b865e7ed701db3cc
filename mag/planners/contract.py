"""The contract of planners over the predictions of a world model (Algorithm 1, lines 10-12).

A planner knows nothing of the models it plans with: it is given callables, so it plugs into any world model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

State = Any
"""One joint state of a world model: any pytree of arrays."""
Action = Any
Predict = Callable[[PRNGKeyArray, State, Action], State]
"""One sample of the next state."""
Act = Callable[[PRNGKeyArray, State], Action]
"""The joint policy."""
Score = Callable[[State], Float[Array, "*agents"]]
"""The predicted model reward of having arrived at a state, one for the team or one for each agent; higher is better."""


class Plan(NamedTuple):
    """The chosen prediction."""

    state: State
    """First state of the chosen trajectory: the prediction to use for this step."""
    returns: Float[Array, " trajectories *agents"]
    """Return of each first state: the sum of the scores along its trajectory, or the mean of such sums where it has
    several."""


@runtime_checkable
class Planner(Protocol):
    """A function that chooses the next state of one joint state; batched by `vmap`.

    A planner's own options are further keyword arguments, whose values are fixed when the planner is compiled.
    """

    def __call__(
        self,
        key: PRNGKeyArray,
        state: State,
        action: Action,
        *,
        predict: Predict,
        act: Act,
        score: Score,
        **options: Any,
    ) -> Plan:
        """The plan. The key is consumed; `action` is taken at the first step of every trajectory."""
        ...


def check_at_least_one(**sizes: int) -> None:
    """Raise ValueError, naming the size, where one is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
