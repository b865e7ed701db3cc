"""Family `smax`: JaxMARL's SMAX, StarCraft-like battles on an open field against its closest-enemy policy.

Physics, observations, rewards and the enemies' policy are JaxMARL's, unchanged. Episode limits (SMAC's), three rosters
that JaxMARL lacks (`3s_vs_3z`, `3s_vs_4z`, `corridor`) and the win flag are added.

- Actions: 0 to 3 move, 4 stops, 5 + j shoots enemy j. A dead agent can only stop.
- Reward: the share of the enemies' health taken in the step, and 1 for a win.
- Won: all enemies are dead and an ally is alive. If both sides die in the same step, the episode ends without a win.
- `state` is SMAX's world state: features of all units, seen or not, in map coordinates.

SMAX is not SMAC: it has no shields, armour, splash or terrain, and touching the edge of the map kills. `corridor` is
only SMAC's roster, 6 Zealots against 24 Zerglings, without the neck where the known solution fights.
"""

import re
from typing import Any, NamedTuple

import jax.numpy as jnp

from mag.envs.contract import Enemies, EnvSpec
from mag.envs.jaxmarl import JaxMarlEnv, battle_rules, import_jaxmarl
from mag.envs.smax.view import SMAXView

_UNITS = "mMsZzh"
"""SMAX's unit types by their index: Marine, Marauder, Stalker, Zealot, Zergling, Hydralisk."""
REWARD_SCALE = 10.0
"""A battle's rewards add up to 2 at most; SMAC's, for which the recipes are made, to about 20."""
_OWN_FEATURES, _UNIT_FEATURES, _STATE_FEATURES, _MOVES = 10, 13, 12, 5


class _Map(NamedTuple):
    """Two rosters, such as `3s 5Z`, and the episode limit."""

    allies: str
    enemies: str
    limit: int
    drawn: bool = False
    """Whether unit types and start positions are drawn in every episode, as in SMACv2."""


_MAPS = {
    "3m": _Map("3m", "3m", 60),
    "8m": _Map("8m", "8m", 120),
    "25m": _Map("25m", "25m", 150),
    "2s3z": _Map("2s 3Z", "2s 3Z", 120),
    "3s5z": _Map("3s 5Z", "3s 5Z", 150),
    "5m_vs_6m": _Map("5m", "6m", 70),
    "10m_vs_11m": _Map("10m", "11m", 150),
    "27m_vs_30m": _Map("27m", "30m", 180),
    "3s5z_vs_3s6z": _Map("3s 5Z", "3s 6Z", 170),
    "3s_vs_3z": _Map("3s", "3Z", 150),
    "3s_vs_4z": _Map("3s", "4Z", 200),
    "3s_vs_5z": _Map("3s", "5Z", 250),
    "6h_vs_8z": _Map("6h", "8Z", 150),
    "corridor": _Map("6Z", "24z", 400),
    "smacv2_5_units": _Map("5m", "5m", 200, drawn=True),
    "smacv2_10_units": _Map("10m", "10m", 200, drawn=True),
    "smacv2_20_units": _Map("20m", "20m", 200, drawn=True),
}


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; JaxMARL is not imported."""
    return {map_name: _spec(map_name, found) for map_name, found in _MAPS.items()}


def make(map_name: str, *, episode_limit: int | None = None) -> JaxMarlEnv:
    """The environment of one of the maps in `specs()`; `episode_limit` replaces SMAC's."""
    found = _MAPS[map_name]
    limit = found.limit if episode_limit is None else episode_limit
    import_jaxmarl()
    from jaxmarl.environments.smax import HeuristicEnemySMAX

    # SMAX's own clock stops after ours, so that its `done` can only mean that a side is dead.
    env = HeuristicEnemySMAX(scenario=_scenario(found), max_steps=limit + 1)
    rules = battle_rules(env, env.num_allies, lambda inner: inner.state.unit_alive)
    return JaxMarlEnv(
        f"smax/{map_name}",
        env,
        episode_limit=limit,
        rules=rules,
        view=SMAXView(env),
        reward_scale=REWARD_SCALE,
        enemies=_enemies(found),
    )


def _scenario(found: _Map) -> Any:
    """JaxMARL's description of a map."""
    from jaxmarl.environments.smax import Scenario

    allies, enemies = _types(found.allies), _types(found.enemies)
    return Scenario(
        unit_types=jnp.array(allies + enemies, jnp.uint8),
        num_allies=len(allies),
        num_enemies=len(enemies),
        smacv2_position_generation=found.drawn,
        smacv2_unit_type_generation=found.drawn,
    )


def _types(roster: str) -> list[int]:
    """Unit types of a roster: `2s 1Z` is [2, 2, 3]."""
    groups = re.findall(r"(\d+)([a-zA-Z])", roster)
    return [_UNITS.index(unit) for count, unit in groups for _ in range(int(count))]


def _spec(map_name: str, found: _Map) -> EnvSpec:
    allies, enemies = len(_types(found.allies)), len(_types(found.enemies))
    return EnvSpec(
        name=f"smax/{map_name}",
        n_agents=allies,
        obs_dim=_UNIT_FEATURES * (allies - 1 + enemies) + _OWN_FEATURES,
        state_dim=_STATE_FEATURES * (allies + enemies),
        n_actions=_MOVES + enemies,
        episode_limit=found.limit,
        has_masks=True,
        has_wins=True,
        reward_scale=REWARD_SCALE,
        enemies=_enemies(found),
    )


def _enemies(found: _Map) -> Enemies:
    """Where observations and actions mention the enemies: after the other allies, each with its health first."""
    allies, enemies = len(_types(found.allies)), len(_types(found.enemies))
    first = _UNIT_FEATURES * (allies - 1)
    return Enemies(enemies, first_feature=first, features=_UNIT_FEATURES, offset=1, first_action=_MOVES)
