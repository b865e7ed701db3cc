"""Family `smac_jax`: the paper's eight SMAC maps in pure JAX, with SMAC's rules, observations, state, masks and reward.

No StarCraft II is needed: the game itself is simulated (`units`, `maps`, `terrain`, `movement`, `combat`, `rules`), as
is what SMAC shows of it (`observe`). `env.SMAC` has the interface of a JaxMARL environment, for any map, clock or unit
table, maps from files (`loading`) included; `multi_agent_env.JaxMarlSMAC` is a JaxMARL environment. `players` are
scripted players to compare learned policies with, and `mag.play.tournament` measures how often they win.

- Actions: 0 is for dead agents alone, 1 stops, 2 to 5 move north, south, east, west, 6 + j attacks enemy j.
- Reward: SMAC's, which adds up to about 20 for a victory.
- Won: all enemies are dead and an ally is alive. If both sides die in the same step, the episode ends without a win.
- `state` is SMAC's global state.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from mag.envs.contract import EnvSpec
from mag.envs.jaxmarl import JaxMarlEnv, battle_rules
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.loading import MAP_NAMES, content_of, get_map, load_map, map_from
from mag.envs.smac_jax.maps import Map, check_rules
from mag.envs.smac_jax.observe import enemies_shown, spec_of
from mag.envs.smac_jax.units import Number
from mag.envs.smac_jax.view import SMACView

if TYPE_CHECKING:
    from mag.envs.smac_jax.env import SMAC


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; JaxMARL is not imported."""
    return {map_name: _spec(map_name, get_map(map_name)) for map_name in MAP_NAMES}


def make(map_name: str, *, ticks_per_second: Number = LOOPS_PER_SECOND, episode_limit: int | None = None) -> JaxMarlEnv:
    """The environment of one of the maps in `specs()`, or of a map file; `episode_limit` replaces the map's own."""
    game_map = get_map(map_name) if map_name in MAP_NAMES else load_map(map_name)
    return _make(map_name, game_map, ticks_per_second, episode_limit)


def content_of_file(path: str) -> dict[str, Any]:
    """The map in a file (`loading`) and its units, as JSON. Raises UsageError if the file is missing or invalid."""
    return content_of(load_map(path))


def spec_from_content(map_name: str, content: dict[str, Any]) -> EnvSpec:
    """The spec of the map with this content. Raises UsageError if the content is invalid."""
    return _spec(map_name, map_from(content, _place(map_name)))


def make_from_content(map_name: str, content: dict[str, Any]) -> JaxMarlEnv:
    """The environment of the map with this content; no file is read. Raises as `spec_from_content`."""
    return _make(map_name, map_from(content, _place(map_name)), LOOPS_PER_SECOND, None)


def _place(map_name: str) -> str:
    return f"the stored content of {map_name}"


def _make(map_name: str, game_map: Map, ticks_per_second: Number, episode_limit: int | None) -> JaxMarlEnv:
    from mag.envs.smac_jax.env import SMAC

    limit = game_map.limit if episode_limit is None else episode_limit
    return adapt(f"smac_jax/{map_name}", SMAC(own_clock(game_map, limit), ticks_per_second), limit)


def own_clock(game_map: Map, episode_limit: int) -> Map:
    """The map with a limit beyond `episode_limit`, so that the battle's `done` can only mean that a side is dead."""
    return dataclasses.replace(game_map, limit=episode_limit + 1)


def adapt(name: str, battles: "SMAC", episode_limit: int) -> JaxMarlEnv:
    """The environment `name` of `battles` on a map from `own_clock`."""
    rules = battle_rules(battles, battles.num_agents, lambda inner: inner.units.alive)
    view = SMACView(battles.map, battles.battle, battles.layout)
    return JaxMarlEnv(
        name, battles, episode_limit=episode_limit, rules=rules, view=view, enemies=enemies_shown(battles.map)
    )


def _spec(map_name: str, game_map: Map) -> EnvSpec:
    check_rules(game_map)
    return spec_of(f"smac_jax/{map_name}", game_map)
