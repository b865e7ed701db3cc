"""The methods by name: their default options, and how an algorithm is made from its options.

Built-in methods are imported when they are looked up and import JAX only when their algorithm is made, so that a
mistake on the command line is reported at once.
"""

import dataclasses
import importlib
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from mag.algorithms.config import RunConfig
from mag.algorithms.method import Method
from mag.errors import UsageError
from mag.options import check_idle, did_you_mean, module_exists, values

if TYPE_CHECKING:
    from mag.algorithms.contract import Algorithm
    from mag.envs import EnvSpec

BUILT_IN = {
    "mag": "mag.algorithms.mag.method:MAG",
    "mamba": "mag.algorithms.mag.method:MAMBA",
    "attention-ppo": "mag.algorithms.on_policy.method:ATTENTION_PPO",
    "commnet": "mag.algorithms.on_policy.method:COMMNET",
    "g2a": "mag.algorithms.on_policy.method:G2A",
}
"""Import paths of the built-in methods' entries."""
ALGORITHMS = tuple(BUILT_IN)
SIZES = ("paper", "small", "debug")
RECIPES = ("paper", "tuned")


def find(algo: str) -> Method:
    """The method of this name or import path. Raises UsageError if there is none."""
    if algo in BUILT_IN:
        method: Method = resolve_name(BUILT_IN[algo])
        return method
    if not module_exists(algo):
        raise UsageError(
            f"unknown algorithm {algo!r}{did_you_mean(algo, BUILT_IN)}; there are {', '.join(BUILT_IN)}, "
            "or the import path of a module that offers a `METHOD`"
        )
    module = importlib.import_module(algo)
    offered: Any = getattr(module, "METHOD", None)
    if offered is None and callable(make := getattr(module, "method", None)):
        offered = make()
    if not isinstance(offered, Method):
        raise UsageError(
            f"algorithm {algo!r}: that module offers no `METHOD` and no `method()` of type "
            "`mag.algorithms.method.Method`; see that class"
        )
    return dataclasses.replace(offered, name=algo)  # the name by which a run finds its method again


def default_config(
    algo: str,
    env: str,
    size: str = "auto",
    recipe: str = "auto",
    *,
    planner: str | None = None,
    spec: "EnvSpec | None" = None,
) -> RunConfig:
    """A method's configuration for an environment, a size and a recipe; `auto` depends on JAX's device.

    `spec` is the environment's, if known: some numbers depend on it. Raises UsageError for an unknown method, size,
    recipe or planner; whether the environment exists is not checked.
    """
    method = find(algo)
    size, recipe = resolve_presets(size, recipe)
    return method.default(env, size=size, recipe=recipe, planner=planner, spec=spec)


def resolve_presets(size: str, recipe: str, device: str | None = None) -> tuple[str, str]:
    """Size and recipe, with `auto` resolved for a device (default: JAX's). Raises UsageError for an unknown one."""
    for kind, name, known in (("size", size, SIZES), ("recipe", recipe, RECIPES)):
        if name not in (*known, "auto"):
            raise UsageError(f"unknown {kind} {name!r}{did_you_mean(name, known)}; there are auto, {', '.join(known)}")
    if size == "auto":
        if device is None:
            import jax

            device = jax.default_backend()
        size = "small" if device == "cpu" else "paper"
    if recipe == "auto":
        recipe = "paper" if size == "paper" else "tuned"
    return size, recipe


def check_used(config: RunConfig, default: RunConfig) -> None:
    """Raise UsageError where an option without use or effect in the method differs from its default."""
    given, usual = values(config), values(default)
    for beginning, why in find(config.algo).unused(config).items():
        for name in given:
            if name.startswith(beginning) and given[name] != usual.get(name):
                raise UsageError(f"{config.algo} {why} and takes no option --{name.replace('_', '-')}; leave it out")
    check_idle(config, default)


def planner_of(config: RunConfig) -> str | None:
    """The kind of a configuration's planner; None for a method that cannot have one."""
    return getattr(getattr(config, "planner", None), "kind", None)


def plans(algo: str) -> bool:
    """Whether a method has a planner: it may be another than its own, or none."""
    return planner_of(find(algo).config()) not in (None, "none")


def check_plans(algo: str, planner: str | None) -> None:
    """Raise UsageError where a planner is chosen for a method that could plan and never does: MAMBA."""
    if planner not in (None, "none") and planner_of(find(algo).config()) == "none":
        raise UsageError(f"{algo} does not plan, and planner.kind is {planner}; give --algo mag, or leave it out")


def make(config: RunConfig, spec: "EnvSpec") -> "Algorithm":
    """The algorithm that a configuration names."""
    return find(config.algo).make(config, spec)
