"""The algorithms there are: their presets by name, and how each is made from its configuration.

Imports wait until they are needed: a mistake on the command line is told before JAX is loaded.
"""

import dataclasses
from pkgutil import resolve_name
from typing import TYPE_CHECKING, cast

from mag.algorithms.config import Preset, RunConfig, flatten
from mag.algorithms.mag.config import PRESETS, MAGConfig, mag_config
from mag.algorithms.on_policy.config import BASELINES, BaselineConfig, baseline_config
from mag.errors import UsageError

if TYPE_CHECKING:
    from mag.algorithms.contract import Algorithm
    from mag.envs import Env

ALGORITHMS = ("mag", "mamba", *BASELINES)
"""Algorithms that can be trained."""
UNUSED = {
    "mamba": (("planning.", "model_reward."), "does not plan"),
    "commnet": (("learning.critic_learning_rate",), "has no critic of its own"),
}
"""Fields, by the beginning of their names, that an algorithm has no use for, and why."""


def default_config(algo: str, env: str, preset: str) -> RunConfig:
    """The preset of an algorithm on an environment; `auto` is resolved, which asks JAX for its device.

    Raises UsageError for an unknown algorithm or preset. The environment is not looked at beyond its map's name.
    """
    if algo not in ALGORITHMS:
        raise UsageError(f"unknown algorithm {algo!r}; there are {', '.join(ALGORITHMS)}")
    if preset == "auto":
        import jax

        preset = "cpu" if jax.default_backend() == "cpu" else "paper"
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; there are auto, {', '.join(PRESETS)}")
    config = baseline_config if algo in BASELINES else mag_config
    return dataclasses.replace(config(algo, env, preset), preset=cast(Preset, preset))


def check_used(config: RunConfig, default: RunConfig) -> None:
    """Raise UsageError where a number that the algorithm has no use for differs from its preset's."""
    fields, why = UNUSED.get(config.algo, ((), ""))
    given, usual = (flatten(dataclasses.asdict(each)) for each in (config, default))
    for name in given:
        if name.startswith(fields) and given[name] != usual[name]:
            raise UsageError(f"{config.algo} {why} and takes no option --{name.replace('_', '-')}; leave it out")


def make(config: RunConfig, env: "Env") -> "Algorithm":
    """The algorithm that a configuration names."""
    from mag.algorithms.mag.algorithm import MAG
    from mag.algorithms.on_policy.algorithm import OnPolicy

    if isinstance(config, MAGConfig) and config.algo in ("mag", "mamba"):
        return MAG(config, env)
    if isinstance(config, BaselineConfig) and config.algo in BASELINES:
        return OnPolicy(config, env, resolve_name(BASELINES[config.algo].network))
    raise TypeError(f"no algorithm takes a {type(config).__name__} with algo {config.algo!r}")
