"""A method's entry in the registry: its options, its presets, and how its algorithm is made.

Your own method is a module with a `METHOD`, or with a function `method()` that returns one; select it with
`--algo my_package.my_method`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mag.algorithms.config import RunConfig
from mag.options import options, override
from mag.planners.config import planner_config

if TYPE_CHECKING:
    from mag.algorithms.contract import Algorithm
    from mag.envs import EnvSpec

Changes = Mapping[str, Any]
"""New values of options, by dotted name."""


SEVERAL_ENEMIES = 4
"""Enemies from which on the built-in methods' recipe `tuned` shows each agent its nearest one first."""


def nearest_of_several(config: Any, spec: "EnvSpec") -> Changes:
    """Each agent's nearest enemy first, where there are several: what to do depends on distances, not on numbers."""
    return {"collect.nearest_first": True} if enemies_of(spec) >= SEVERAL_ENEMIES else {}


def enemies_of(spec: "EnvSpec") -> int:
    """The number of enemies; 0 where the spec does not tell which features are an enemy's."""
    return 0 if spec.enemies is None else spec.enemies.count


def no_changes(_: Any, spec: "EnvSpec | None") -> Changes:
    """No options that depend on the environment."""
    return {}


def nothing_unused(config: Any) -> Mapping[str, str]:
    """No unused options."""
    return {}


@dataclass(frozen=True)
class Method:
    """One entry of `mag train --algo`."""

    name: str
    config: Callable[[], RunConfig]
    """Makes the configuration with the published numbers."""
    make: Callable[[Any, "EnvSpec"], "Algorithm"]
    """Makes the algorithm from its options and the sizes of its environment; imports JAX only when called."""
    sizes: Mapping[str, Changes] = field(default_factory=dict)
    """What each size (`small`, `debug`) changes."""
    recipes: Mapping[str, Changes] = field(default_factory=dict)
    """What each recipe (`tuned`) changes."""
    published_for: Callable[[str, "EnvSpec | None"], Changes] = no_changes
    """The published numbers that depend on the environment, from the environment's name and, if known, its spec."""
    unused: Callable[[Any], Mapping[str, str]] = nothing_unused
    """Prefixes of options that a configuration does not use or the method does not have, each with the reason, which
    completes a sentence that begins with the method's name: `{"planner.": "does not plan"}`."""
    tuned_for: Callable[[Any, "EnvSpec"], Changes] = no_changes
    """What recipe `tuned` also changes for an environment, from the configuration of the recipe and the size, and the
    environment's spec."""

    def default(
        self, env: str, *, size: str, recipe: str, planner: str | None = None, spec: "EnvSpec | None" = None
    ) -> RunConfig:
        """The configuration for a size and a recipe on an environment, with the default or another kind of planner.

        The size overrides the recipe: `debug` is fast with every recipe. What recipe `tuned` changes for the
        environment comes last. Raises UsageError for an unknown planner.
        """
        config = self.config()
        identity = {"env": env, "algo": self.name, "size": size, "recipe": recipe}
        if planner is not None and hasattr(config, "planner"):
            identity["planner"] = planner_config(planner)  # type: ignore[assignment]
        config = dataclasses.replace(config, **identity)  # type: ignore[arg-type]
        for changes in (self.published_for(env, spec), self.recipes.get(recipe, {}), self.sizes.get(size, {})):
            config = override(config, without_other_planners(changes, config))
        if recipe == "tuned" and spec is not None:
            config = override(config, without_other_planners(self.tuned_for(config, spec), config))
        return config


def without_other_planners(changes: Changes, config: RunConfig) -> Changes:
    """The changes without `planner.` options that the configuration's planner does not have."""
    known = {option.name for option in options(config)}
    return {name: value for name, value in changes.items() if name in known or not name.startswith("planner.")}
