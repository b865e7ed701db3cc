"""Duels recorded from SMAClite, an independent NumPy engine, replayed here (`tests/data/smaclite_duels.json`)."""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax import SMAC

DUELS = json.loads((Path(__file__).parents[2] / "data" / "smaclite_duels.json").read_text())["duels"]
HEALTH, SHIELD, COOLDOWN = range(3)


@pytest.mark.parametrize("name", DUELS)
def test_duel_goes_as_in_smaclite(
    name: str, make_env: Callable[..., SMAC], as_actions: Callable[..., dict]
) -> None:
    duel = DUELS[name]
    start = duel["allies"][0][1:]
    env = make_env(duel["allies"], duel["enemies"], attack_point=tuple(start))
    _, state = env.reset(jax.random.key(0))
    fighting = True
    for number, recorded in enumerate(duel["steps"]):
        attackable = env.get_avail_actions(state)["ally_0"][6]
        action = 6 if duel["attack"] and attackable else 1
        _, state, _, _, _ = env.step_env(jax.random.key(number), state, as_actions([action]))
        expected = np.array(recorded["allies"] + recorded["enemies"])
        units = state.units
        fighting &= bool(np.all(expected[:, HEALTH] > 0))
        np.testing.assert_allclose(units.health, expected[:, HEALTH], atol=1e-2, err_msg=f"step {number}")
        np.testing.assert_allclose(units.shield, expected[:, SHIELD], atol=1e-2, err_msg=f"step {number}")
        if fighting:
            np.testing.assert_allclose(
                jnp.sum(units.cooldown), expected[:, COOLDOWN].sum(), atol=1e-2, err_msg=f"step {number}"
            )
            np.testing.assert_allclose(units.position, expected[:, 3:], atol=0.3)
