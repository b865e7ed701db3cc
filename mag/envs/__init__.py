"""Environments: one protocol (`Env`), one function that makes them (`make`).

An environment is written for one episode and batched with `vmap`. It never resets itself, so that a player sees the
last observation of an episode. A time limit (`truncated`) is told apart from a real end (`terminated`).

Environments come in families, `family/map`. A family is a module with two functions (`Family`); it is imported when
one of its maps is asked for, and its simulator when a map is made. `jaxmarl`, `probe`, `smac_jax` and `smax` are short
for modules of this package; any other family is the import path of a module, so that a new task needs no change here.
"""

from mag.envs.contract import Env, EnvSpec, Family, Refuses, TakesFiles, others_of
from mag.envs.registry import content, make, names, spec, specs

__all__ = [
    "Env",
    "EnvSpec",
    "Family",
    "Refuses",
    "TakesFiles",
    "content",
    "make",
    "names",
    "others_of",
    "spec",
    "specs",
]
