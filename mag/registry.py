"""The algorithms there are: their presets by name, and how each is made from its configuration.

Imports wait until they are needed: a mistake on the command line is told before JAX is loaded.
"""

import dataclasses
from pkgutil import resolve_name
from typing import TYPE_CHECKING, cast

from mag.baselines.config import BASELINES, BaselineConfig, baseline_config
from mag.config import PRESETS, MAGConfig, Preset, RunConfig, mag_config
from mag.errors import UsageError

if TYPE_CHECKING:
    from mag.algorithm import Algorithm
    from mag.envs import Env

ALGORITHMS = ("mag", "mamba", *BASELINES)
"""Algorithms that can be trained."""


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
    """Raise UsageError where MAMBA, which does not plan, is given other numbers of planning than its preset's."""
    if config.algo != "mamba":
        return
    for group in ("planning", "model_reward"):
        if getattr(config, group) != getattr(default, group):
            options = f"--{group.replace('_', '-')}.*"
            raise UsageError(f"mamba does not plan and takes no options {options}; leave them out or use --algo mag")


def make(config: RunConfig, env: "Env") -> "Algorithm":
    """The algorithm that a configuration names."""
    from mag.algorithm import MAG
    from mag.baselines.on_policy import OnPolicy

    if isinstance(config, MAGConfig) and config.algo in ("mag", "mamba"):
        return MAG(config, env)
    if isinstance(config, BaselineConfig) and config.algo in BASELINES:
        return OnPolicy(config, env, resolve_name(BASELINES[config.algo].network))
    raise TypeError(f"no algorithm takes a {type(config).__name__} with algo {config.algo!r}")
