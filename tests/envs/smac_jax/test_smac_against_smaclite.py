"""Duels and battles recorded from SMAClite, an independent NumPy engine, fought here.

`tests/data/smaclite_duels.json` says how duels were recorded, `smaclite.py` records battles; SMAClite's clock has 16
ticks to the second. Each duel is followed up to its first death: two that strike in the same tick act in random order,
and crowds round a Colossus walk differently in the two engines. Whole battles are compared where units pass through
each other, and where they collide in those that the data does not say to differ.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax.battle import start_units
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.observe import available_actions
from mag.envs.smac_jax.rules import step_units
from tests.support.smac_play import jit
from tests.support.smaclite import RECORDED, play_here

DATA = Path(__file__).parents[2] / "data"
DUELS = json.loads((DATA / "smaclite_duels.json").read_text())["duels"]
BATTLES = 64
"""As many of each player are played here."""
LONG = "corridor"
"""Left out: the battles of the players that agree there take many minutes."""
HEALTH, SHIELD, COOLDOWN = range(3)


FAST = ("stalker_vs_zealot", "colossus_vs_zerglings")
ALL = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in DUELS]


@pytest.mark.parametrize("name", ALL)
def test_duel_goes_as_in_smaclite(name: str, make_env: Callable[..., SMAC]) -> None:
    duel = DUELS[name]
    env = make_env(duel["allies"], duel["enemies"], attack_point=tuple(duel["allies"][0][1:]), clock=16.0)

    @jit
    def step(key, units):
        attackable = available_actions(env.battle, units)[:, 6]
        return step_units(env.battle, key, units, jnp.where(duel["attack"] & attackable, 6, 1))

    units = start_units(env.battle)
    for number, recorded in enumerate(duel["steps"]):
        units = step(jax.random.key(number), units)
        expected = np.array(recorded["allies"] + recorded["enemies"])
        if np.any(expected[:, HEALTH] == 0):
            break
        where = f"step {number}"
        # A Zergling hit before or after it heals in the same tick differs by a tick's healing, 0.024.
        np.testing.assert_allclose(units.health, expected[:, HEALTH], atol=0.1, err_msg=where)
        np.testing.assert_allclose(units.shield, expected[:, SHIELD], atol=1e-2, err_msg=where)
        np.testing.assert_allclose(units.cooldown, expected[:, COOLDOWN], atol=1e-2, err_msg=where)
        if len(duel["enemies"]) == 1:
            # SMAClite's units slow down a little before they meet.
            np.testing.assert_allclose(units.position, expected[:, 3:], atol=0.2, err_msg=where)
    assert number > 1


@functools.cache
def played(name: str, *, collide: bool) -> dict[str, tuple[float, float]]:
    """`play_here` on a recorded map, once for all players."""
    return play_here(RECORDED["grounds"][name], collide=collide, battles=BATTLES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [row for row in RECORDED["battles"] if "differs" not in row and row["map"] != LONG],
    ids=lambda row: "-".join([row["map"], row["player"], "collide" if row["collide"] else "pass"]),
)
def test_battles_go_as_in_smaclite(row: dict[str, Any]) -> None:
    win_rate, mean_return = played(row["map"], collide=row["collide"])[row["player"]]
    assert win_rate == pytest.approx(row["win_rate"], abs=0.12)
    assert mean_return == pytest.approx(row["mean_return"], rel=0.1)
