"""A family of environments between `smac_jax` and SMAClite: SMAC's maps with some of SMAClite's rules.

| map | what is SMAClite's |
|---|---|
| `2s3z-clock` | 16 game ticks to a second, for 22.4, and as many of them in a step |
| `2s3z-reload` | weapons reload in fixed times |
| `2s3z-ground` | start places and walls |
| `2s3z-all` | the three |
| `2s3z-pass` | the three, and units walk through each other, as they can be made to in SMAClite |

A policy trained on `smac_jax/2s3z` plays them all (`mag evaluate RUN --env tests.support.transfer/2s3z-clock`),
which tells what changes its win rate. Grounds are known of the maps in `tests/data/smaclite_battles.json`.
"""

import dataclasses
from typing import Any

import numpy as np

from mag.envs import EnvSpec, smac_jax
from mag.envs.smac_jax import adapt, own_clock
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.maps import Rect
from tests.support.smaclite import CLOCK, RECORDED

WHAT = ("clock", "reload", "ground", "all", "pass")


def specs() -> dict[str, EnvSpec]:
    """See `mag.envs.Family`."""
    known = smac_jax.specs()
    return {
        f"{name}-{what}": dataclasses.replace(known[name], name=f"{__name__}/{name}-{what}")
        for name in RECORDED["grounds"]
        for what in WHAT
    }


def make(map_name: str) -> Any:
    """See `mag.envs.Family`."""
    name, _, what = map_name.rpartition("-")
    is_theirs = {each: what in (each, "all", "pass") for each in WHAT}
    ours, ground = get_map(name), RECORDED["grounds"][name]
    played = (
        dataclasses.replace(ours, walls=tuple(Rect(*wall) for wall in ground["walls"])) if is_theirs["ground"] else ours
    )
    clock = CLOCK if is_theirs["clock"] else LOOPS_PER_SECOND
    battles = SMAC(own_clock(played, ours.limit), clock, reload_varies=not is_theirs["reload"])
    if is_theirs["ground"]:
        battles.battle = dataclasses.replace(battles.battle, start=np.array(ground["start"], np.float32))
    if what == "pass":
        battles.battle = dataclasses.replace(battles.battle, touch=np.full_like(battles.battle.touch, -np.inf))
    return adapt(f"{__name__}/{map_name}", battles, ours.limit)
