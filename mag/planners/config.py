"""The planners' options, a dataclass for each kind, and the built-in kinds by name.

Any other kind is the import path of a module with a dataclass `Config`, derived from `PlannerConfig`, and a function
`plan` (`mag.planners.contract`).
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Literal

from mag.errors import UsageError
from mag.options import choice as word
from mag.options import did_you_mean, module_exists, number


@dataclass(frozen=True)
class PlannerConfig:
    """Lines 10-12: planning over the models' predictions."""

    kind: str = "none"
    """Planner: none, shooting, elite, or the import path of your own module; other planner options depend on it."""

    @property
    def predictions_at_once(self) -> int:
        """Predictions from one state that are made side by side; memory and the size of chunks follow from it."""
        return 1

    @property
    def scores_each_agent(self) -> bool:
        """Whether the planner is given a score of each agent, `[agents]`, instead of the team's."""
        return False


@dataclass(frozen=True)
class NoPlanner(PlannerConfig):
    """No planning, as in MAMBA: the models' own prediction is used."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True)
class ShootingConfig(PlannerConfig):
    """Random shooting: the first state of the best of L trajectories, as in the paper."""

    kind: Literal["shooting"] = "shooting"
    num_trajectories: int = number(5, least=1)
    """L: trajectories to choose from; in the paper 5 or 4, depending on the map (Table 1)."""
    horizon: int = number(10, least=1)
    """H: steps looked ahead; in the paper 10, 7 or 6, depending on the map (Table 1)."""
    choice: Literal["best", "proportional", "own"] = word("best")
    """The trajectory chosen: `best`, or `proportional`, drawn with probabilities proportional to the exponentials of
    the returns (importance resampling, correct if the score is a log ratio of probabilities). With `own`, each agent
    chooses the trajectory in which its own model errs least (a Markov game between the models)."""

    @property
    def predictions_at_once(self) -> int:
        """See `PlannerConfig`."""
        return self.num_trajectories

    @property
    def scores_each_agent(self) -> bool:
        """See `PlannerConfig`."""
        return self.choice == "own"


@dataclass(frozen=True)
class EliteConfig(PlannerConfig):
    """Elite resampling (cross-entropy method): each round rolls new trajectories from the best first states."""

    kind: Literal["elite"] = "elite"
    num_trajectories: int = number(5, least=1, source=None)
    """L: trajectories in a round."""
    horizon: int = number(10, least=1, source=None)
    """H: steps looked ahead."""
    num_elites: int = number(2, least=1, source=None)
    """Best first states after a round, from which the next round rolls its trajectories; without effect where
    `num_rounds` is 1."""
    num_rounds: int = number(2, least=1, most=100, source=None)
    """Rounds; with 1 it is random shooting."""

    @property
    def predictions_at_once(self) -> int:
        """See `PlannerConfig`."""
        return self.num_trajectories

    def check(self) -> None:
        """Raise UsageError where there are more elites than trajectories."""
        if self.num_elites > self.num_trajectories:
            raise UsageError(
                f"planner.num_elites is {self.num_elites} and planner.num_trajectories {self.num_trajectories}; "
                "the elites must be among the trajectories"
            )


KINDS: dict[str, type[PlannerConfig]] = {"none": NoPlanner, "shooting": ShootingConfig, "elite": EliteConfig}
"""Dataclasses with the options of the built-in kinds."""
FUNCTIONS = {"shooting": "mag.planners.shooting:plan", "elite": "mag.planners.elite:plan"}
"""Functions of the built-in kinds, imported only when used, because their modules import JAX."""


def planner_config(kind: str) -> PlannerConfig:
    """The default options of a built-in planner or a planner's module.

    Raises UsageError for an unknown kind, and where a module's `plan` lacks one of its options.
    """
    if kind in KINDS:
        return KINDS[kind]()
    found = getattr(planner_module(kind), "Config", None)
    if not (inspect.isclass(found) and dataclasses.is_dataclass(found) and issubclass(found, PlannerConfig)):
        raise UsageError(
            f"planner.kind is {kind}, but that module offers no dataclass `Config` derived from "
            "`mag.planners.config.PlannerConfig`; see that class"
        )
    config = dataclasses.replace(found(), kind=kind)
    takes = inspect.signature(plan_function(config)).parameters
    unknown = [name for name in plan_options(config) if name not in takes]
    if unknown and not any(each.kind is each.VAR_KEYWORD for each in takes.values()):
        raise UsageError(
            f"planner.kind is {kind}, whose `plan` does not take {', '.join(unknown)}; every option of its `Config` is "
            "an argument of `plan`"
        )
    return config


def plan_function(config: PlannerConfig) -> Callable[..., Any]:
    """The function `plan` of the planner that a configuration names."""
    function: Callable[..., Any]
    if config.kind in FUNCTIONS:
        function = resolve_name(FUNCTIONS[config.kind])
    else:
        function = planner_module(config.kind).plan
    return function


def plan_options(config: PlannerConfig) -> dict[str, Any]:
    """The planner's own options, as keyword arguments of its `plan`."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "kind"}


def planner_module(kind: str) -> Any:
    """The module of a user's planner. Raises UsageError where the module does not exist or has no `plan`."""
    if not module_exists(kind):
        raise UsageError(
            f"planner.kind is {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}, "
            "or the import path of a module"
        )
    module = importlib.import_module(kind)
    if not callable(getattr(module, "plan", None)):
        raise UsageError(f"planner.kind is {kind}, but that module offers no function `plan`")
    return module
