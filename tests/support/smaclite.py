"""The scripted players' battles in SMAClite, an independent NumPy engine, to compare ours with.

    PYTHONPATH=.:path/to/smaclite python -m tests.support.smaclite 3s_vs_5z --battles 200 [--pass] > 3s_vs_5z.json

plays them there; with `--here`, which needs no SMAClite, they are played by our rules. The very players of
`mag.envs.smac_jax.players` play: each step they are shown SMAClite's units as one of our states.
`tests/data/smaclite_battles.json` keeps both results.

The rules are compared, not the maps: ours are played from SMAClite's start places, on its ground, by its clock, with
its fixed reload times and its reward. Scripted players' battles all go alike from one start, and then a single one
tells little, so every unit starts up to `SCATTER` aside. With `--pass` units walk through each other, in both engines:
what is left are the rules without the steering of crowds.
"""

import argparse
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from mag.envs.smac_jax import own_clock
from mag.envs.smac_jax.battle import NO_TARGET, Units, start_units
from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.maps import Rect
from mag.envs.smac_jax.observe import team_reward
from mag.envs.smac_jax.players import PLAYERS, Player
from mag.envs.smac_jax.rules import NO_OP, STOP
from mag.envs.smaclite import make_inner
from mag.play.tournament import Match, play
from tests.support.smac_play import jit

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "smaclite_battles.json").read_text())
COMPARED = ("random", "attack_nearest", "focus_weakest", "kite")
CLOCK = 16
"""SMAClite's ticks per second."""
SCATTER = 0.2
"""How far aside, in x and in y, a unit may start."""


class Ground(TypedDict):
    """SMAClite's map: start places [units, 2], allies first, and walls (left, bottom, right, top)."""

    map: str
    start: list[list[float]]
    walls: list[list[int]]


class ScatteredSMAC(SMAC):
    """Our rules on one of SMAClite's maps; where units `collide` or pass through each other."""

    def __init__(self, ground: Ground, *, collide: bool) -> None:
        walls = tuple(Rect(*wall) for wall in ground["walls"])
        game_map = dataclasses.replace(get_map(ground["map"]), walls=walls, cliffs=())
        super().__init__(own_clock(game_map, game_map.limit), CLOCK, reload_varies=False)
        start = np.array(ground["start"], np.float32)
        touch = self.battle.touch if collide else np.full_like(self.battle.touch, -np.inf)
        self.battle = dataclasses.replace(self.battle, start=start, touch=touch)

    def reset(self, key: PRNGKeyArray) -> tuple[dict[str, Array], State]:  # type: ignore[override]
        """The start, with every unit a little aside."""
        _, state = super().reset(key)
        position = state.units.position
        aside = jax.random.uniform(key, position.shape, minval=-SCATTER, maxval=SCATTER)
        state = state._replace(units=state.units._replace(position=position + aside))
        return self.get_obs(state), state

    def step_env(
        self, key: PRNGKeyArray, state: State, actions: dict[str, Array]
    ) -> tuple[dict[str, Array], State, dict[str, Array], dict[str, Array], dict[str, Array]]:
        """One joint action, paid as in SMAClite: only for damage; in SMAC what enemies recover pays, too."""
        obs, after, _, dones, infos = super().step_env(key, state, actions)
        before, units = state.units, after.units
        spent = units._replace(
            health=jnp.minimum(units.health, before.health), shield=jnp.minimum(units.shield, before.shield)
        )
        rewards = dict.fromkeys(self.agents, team_reward(self.battle, before, spent, infos["won"]))
        return obs, after, rewards, dones, infos


def ground_of(theirs: Any) -> Ground:
    """SMAClite's map; of its walls the runs of each row of cells."""
    theirs.reset(seed=0)
    walls = []
    for bottom, row in enumerate(theirs.map_info.terrain):
        blocked = np.array([False, *(cell.name != "NORMAL" for cell in row), False])
        edges = np.flatnonzero(blocked[1:] != blocked[:-1])
        walls += [[int(left), bottom, int(right), bottom + 1] for left, right in edges.reshape(-1, 2)]
    units = [side[number] for side in (theirs.agents, theirs.enemies) for number in sorted(side)]
    start = [[round(float(x), 4) for x in unit.pos] for unit in units]
    return {"map": theirs.map_info.name, "start": start, "walls": walls}


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


class Nobody:
    """SMAClite's search for neighbours, in vain: who sees nobody avoids nobody."""

    def query_radius(self, units: list[Any], *args: Any, **kwargs: Any) -> list[list[Any]]:
        """No neighbours."""
        del args, kwargs
        return [[] for _ in units]


def battle(env: SMAC, theirs: Any, choose: Player, seed: int) -> tuple[bool, float]:
    """Whether one battle in SMAClite is won, and its return."""
    theirs.reset(seed=seed)
    aside = np.random.default_rng(seed).uniform(-SCATTER, SCATTER, (len(theirs.all_units), 2))
    for unit, offset in zip(theirs.all_units.values(), aside, strict=True):
        unit.pos += offset.astype(np.float32)
    for finder in (theirs.neighbour_finder_all, theirs.neighbour_finder_ally, theirs.neighbour_finder_enemy):
        finder.update()
    returns = 0.0
    for time in range(env.max_steps):
        state = State(as_units(env, theirs), jnp.zeros(env.num_agents, jnp.int32), jnp.int32(time), jnp.bool_(False))
        chosen = np.asarray(choose(jax.random.fold_in(jax.random.key(seed), time), state))
        available = theirs.get_avail_actions()
        # Walls differ by a hair: what SMAClite forbids is a stop.
        fallback = [STOP if i in theirs.agents else NO_OP for i in range(env.num_agents)]
        actions = [int(a) if available[i][a] else fallback[i] for i, a in enumerate(chosen)]
        _, reward, done, _, info = theirs.step(actions)
        returns += float(reward)
        if done:
            return bool(info["battle_won"]) and bool(theirs.agents), returns
    return False, returns


def play_here(ground: Ground, *, collide: bool, battles: int) -> dict[str, tuple[float, float]]:
    """Each player's win rate and mean return by our rules on SMAClite's map."""
    env = ScatteredSMAC(ground, collide=collide)

    def one(player: Array, key: PRNGKeyArray) -> Match:
        def choose(key: PRNGKeyArray, env: SMAC, state: State) -> Array:
            return jax.lax.switch(player, [partial(PLAYERS[name], key, env, state) for name in COMPARED])

        return play(env, choose, key)

    players, keys = jnp.arange(len(COMPARED)), jax.random.split(jax.random.key(0), battles)
    ends = jit(jax.vmap(lambda player: jax.vmap(partial(one, player))(keys)))(players)
    won, returns = ends.won.mean(1), ends.returns.mean(1)
    return {name: (float(won[i]), float(returns[i])) for i, name in enumerate(COMPARED)}


def main() -> None:
    """Play, and print SMAClite's map and how its players fared; or how they fare here."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.smaclite", description=__doc__)
    parser.add_argument("map")
    parser.add_argument("--battles", type=int, default=200)
    parser.add_argument("--pass", dest="collide", action="store_false")
    parser.add_argument("--here", action="store_true")
    options = parser.parse_args()
    if options.here:
        ground = RECORDED["grounds"][options.map]
        print(json.dumps(play_here(ground, collide=options.collide, battles=options.battles)))
        return
    theirs = make_inner(options.map)
    ground = ground_of(theirs)
    env = ScatteredSMAC(ground, collide=options.collide)
    if not options.collide:
        theirs.velocity_updater.kd_tree = Nobody()
    results = []
    for player in COMPARED:
        choose = jax.jit(lambda key, state, player=player: PLAYERS[player](key, env, state))
        won, returns = np.array([battle(env, theirs, choose, seed) for seed in range(options.battles)]).T
        result = {"player": player, "collide": options.collide, "battles": options.battles}
        spread = float(returns.std() / np.sqrt(options.battles))
        score = {"win_rate": float(won.mean()), "mean_return": float(returns.mean()), "standard_error": spread}
        results.append(result | score)
    print(json.dumps({"ground": ground, "results": results}))


if __name__ == "__main__":
    main()
