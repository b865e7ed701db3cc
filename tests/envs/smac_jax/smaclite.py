"""The scripted players' battles in SMAClite, an independent NumPy engine, to compare ours with.

    PYTHONPATH=.:path/to/smaclite python -m tests.envs.smac_jax.smaclite 3s_vs_5z 200 >> battles.jsonl

plays them and prints one JSON object per player. The very players of `mag.envs.smac_jax.players` play: each step they
are shown SMAClite's units as one of our states. `tests/data/smaclite_battles.json` keeps the results.
"""

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.bench import make_smaclite
from mag.envs.smac_jax.battle import NO_TARGET, Units, start_units
from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.players import PLAYERS, Player
from mag.envs.smac_jax.rules import NO_OP, STOP

COMPARED = ("random", "attack_nearest", "focus_weakest", "kite")
CLOCK = 16
"""SMAClite's ticks per second."""


def our_env(name: str) -> SMAC:
    """Our map with SMAClite's clock and its fixed reload times."""
    return SMAC(name, CLOCK, reload_varies=False)


def as_units(env: SMAC, theirs: Any) -> Units:
    """SMAClite's units as ours; the dead lie where they started."""
    units = jax.tree.map(np.array, start_units(env.battle))
    units.health[:] = 0
    units.target[:] = NO_TARGET
    for offset, side in ((0, theirs.agents), (env.num_agents, theirs.enemies)):
        for number, unit in side.items():
            i = offset + number
            assert env.battle.kinds.radius[i] == unit.radius  # the same type of unit
            units.position[i], units.health[i], units.shield[i] = unit.pos, unit.hp, unit.shield
            units.cooldown[i] = unit.cooldown
            if unit.target is not None and unit.target.faction != unit.faction:
                units.target[i] = unit.target.id_in_faction + env.num_agents * (offset == 0)
    return units


def battle(env: SMAC, theirs: Any, choose: Player, seed: int) -> tuple[bool, float]:
    """Whether one battle in SMAClite is won, and its return."""
    theirs.reset(seed=seed)
    returned = 0.0
    for time in range(env.max_steps):
        state = State(as_units(env, theirs), jnp.zeros(env.num_agents, jnp.int32), jnp.int32(time), jnp.bool_(False))
        chosen = np.asarray(choose(jax.random.fold_in(jax.random.key(seed), time), state))
        available = theirs.get_avail_actions()
        # Walls differ by a hair: what SMAClite forbids is a stop.
        fallback = [STOP if i in theirs.agents else NO_OP for i in range(env.num_agents)]
        actions = [int(a) if available[i][a] else fallback[i] for i, a in enumerate(chosen)]
        _, reward, done, _, info = theirs.step(actions)
        returned += float(reward)
        if done:
            return bool(info["battle_won"]) and bool(theirs.agents), returned
    return False, returned


def main(name: str, battles: int) -> None:
    """Play and print."""
    env, theirs = our_env(name), make_smaclite(name)
    for player in COMPARED:
        choose = jax.jit(lambda key, state, player=player: PLAYERS[player](key, env, state))
        ends = [battle(env, theirs, choose, seed) for seed in range(battles)]
        won, returned = np.array(ends).T
        spread = float(returned.std() / np.sqrt(battles))
        result = {"map": name, "player": player, "battles": battles, "win_rate": float(won.mean())}
        print(json.dumps(result | {"mean_return": float(returned.mean()), "standard_error": spread}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
