"""Environments: one protocol (`Env`), one function that makes them (`make`).

An environment is written for one episode and batched with `vmap`. It never resets itself, so that a player sees the
last observation of an episode. A time limit (`truncated`) is told apart from a real end (`terminated`).

Environments come in families, `family/map`. A family is a module with two functions (`Family`); it is imported when
one of its maps is asked for, and its simulator when a map is made. This package's families have short names (`mag envs`
lists them); any other family is named by the import path of its module, so that a new task needs no change here. A
family with `host = True` makes environments of plain Python (`mag.envs.host`).
"""

from mag.envs.contract import Cautions, Enemies, Env, EnvSpec, Family, Notes, Refuses, TakesFiles, others_of
from mag.envs.registry import caution, content, is_host, make, names, notes, own_module, spec, specs

__all__ = [
    "Cautions",
    "Enemies",
    "Env",
    "EnvSpec",
    "Family",
    "Notes",
    "Refuses",
    "TakesFiles",
    "caution",
    "content",
    "is_host",
    "make",
    "names",
    "notes",
    "others_of",
    "own_module",
    "spec",
    "specs",
]
