"""The algorithms there are: their presets by name, and how each is made from its configuration.

Imports wait until they are needed: a mistake on the command line is told before JAX is loaded.
"""

import dataclasses
from typing import TYPE_CHECKING, cast

from mag.baselines.config import AttentionPPOConfig, CommNetConfig, G2AConfig, baseline_config
from mag.config import PRESETS, MAGConfig, Preset, RunConfig, mag_config
from mag.errors import UsageError

if TYPE_CHECKING:
    from mag.algorithm import Algorithm
    from mag.envs import Env

ALGORITHMS = ("mag", "mamba", "attention-ppo", "commnet", "g2a")
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
    config = mag_config if algo in ("mag", "mamba") else baseline_config
    return dataclasses.replace(config(algo, env, preset), preset=cast(Preset, preset))


def make(config: RunConfig, env: "Env") -> "Algorithm":
    """The algorithm that a configuration names."""
    from mag.algorithm import MAG
    from mag.baselines.attention_ppo import AttentionPPO
    from mag.baselines.commnet import CommNet
    from mag.baselines.g2a import G2A
    from mag.baselines.on_policy import OnPolicy

    match config:
        case MAGConfig():
            return MAG(config, env)
        case AttentionPPOConfig():
            return OnPolicy(config, env, AttentionPPO)
        case CommNetConfig():
            return OnPolicy(config, env, CommNet)
        case G2AConfig():
            return OnPolicy(config, env, G2A)
    raise TypeError(f"no algorithm takes a {type(config).__name__}")
