"""Family `smac_jax`: SMAC's eight maps in pure JAX, with SMAC's rules, observations, state, masks and reward.

The game itself is re-made here (`units`, `maps`, `terrain`, `movement`, `combat`, `rules`), as is what SMAC shows
of it (`observe`); no StarCraft II is needed. `env.SMAC` is the same as a plain JaxMARL environment, for any map,
clock or unit table, maps from files (`loading`) included; `players` are scripted yardsticks, and `tournament` tells how
often they win.

- Actions: 0 is for the dead alone, 1 stops, 2 to 5 move north, south, east, west, 6 + j attacks enemy j.
- Reward: SMAC's, which adds up to about 20 for a victory.
- Won: all enemies are dead and an ally is alive. If both sides die in the same step the episode just ends.
- `state` is SMAC's global state.

JaxMARL is imported with `env` or `players`, not with this module.
"""

import dataclasses
import json
from typing import Any

from mag.envs.contract import EnvSpec
from mag.envs.jaxmarl import JaxMarlEnv, battle_rules
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.loading import load_map
from mag.envs.smac_jax.maps import MAPS, Map
from mag.envs.smac_jax.observe import make_layout, num_actions, observation_size, state_size
from mag.envs.smac_jax.units import Number
from mag.envs.smac_jax.view import SMACView
from mag.errors import UsageError


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; JaxMARL is not imported."""
    return {map_name: _spec(map_name, game_map) for map_name, game_map in MAPS.items()}


def spec_of_file(path: str) -> EnvSpec:
    """The spec of the map in a file (`loading`). Raises UsageError where it cannot be read or is no map."""
    return _spec(path, _from_file(path))


def content_of_file(path: str) -> dict[str, Any]:
    """The map in a file and the units on it, as JSON gives them back. Raises as `spec_of_file`."""
    game_map = _from_file(path)
    units = {unit.name: unit for unit in (*game_map.ally_types, *game_map.enemy_types)}
    values: dict[str, Any] = dataclasses.asdict(dataclasses.replace(game_map, units=units))
    return json.loads(json.dumps(values, default=sorted))  # an attribute set has no order of its own


def make(map_name: str, *, ticks_per_second: Number = LOOPS_PER_SECOND, episode_limit: int | None = None) -> JaxMarlEnv:
    """The environment of one of the maps in `specs()`, or of a map file; `episode_limit` replaces its own."""
    from mag.envs.smac_jax.env import SMAC

    game_map = MAPS[map_name] if map_name in MAPS else _from_file(map_name)
    limit = game_map.limit if episode_limit is None else episode_limit
    # The battle's own clock stops after ours, so that its `done` can only mean that a side is dead.
    env = SMAC(dataclasses.replace(game_map, limit=limit + 1), ticks_per_second)
    view = SMACView(env.map, env.battle, env.layout)
    rules = battle_rules(env, env.num_agents, lambda inner: inner.units.alive)
    return JaxMarlEnv(f"smac_jax/{map_name}", env, episode_limit=limit, rules=rules, view=view)


def _from_file(path: str) -> Map:
    try:
        return load_map(path)
    except OSError as error:
        raise UsageError(f"cannot read the map file {path} ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def _spec(map_name: str, game_map: Map) -> EnvSpec:
    layout = make_layout(game_map)
    return EnvSpec(
        name=f"smac_jax/{map_name}",
        n_agents=layout.num_allies,
        obs_dim=observation_size(layout),
        state_dim=state_size(layout),
        n_actions=num_actions(layout),
        episode_limit=game_map.limit,
        has_masks=True,
        has_wins=True,
    )
