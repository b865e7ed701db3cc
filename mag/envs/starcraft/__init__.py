"""Family `starcraft`: SMAC's maps on StarCraft II itself.

A small client of our own (`client`) starts the game and speaks to it. The observation, mask, state and reward are
those of `smac_jax`, on units read from the game (`env`), so that a policy trained on one plays the other. The game and
SMAC's map files are the user's to install (`mag doctor` tells what is missing); the client's packages are the extra
`starcraft`.
"""

import hashlib
from typing import Any

from mag.envs.contract import EnvSpec
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.observe import make_layout, num_actions, observation_size, state_size
from mag.envs.starcraft.install import find_game, find_map
from mag.envs.starcraft.scenario import Scenario, content_of_file, own_scenario, scenario_from

__all__ = ["content_of_file", "host", "make", "make_from_content", "notes", "spec_from_content", "specs"]

host = True


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; the game need not be installed."""
    return {name: _spec(own_scenario(name)) for name in MAP_NAMES}


def make(map_name: str) -> Any:
    """The environment of one of the maps in `specs()`. Raises UsageError where the game or the map is missing."""
    return _make(own_scenario(map_name))


def spec_from_content(map_name: str, content: dict[str, Any]) -> EnvSpec:
    """The spec of a map by its content. Raises UsageError if that is no map."""
    return _spec(scenario_from(map_name, content))


def make_from_content(map_name: str, content: dict[str, Any]) -> Any:
    """The environment of a map by its content. Raises as `make`."""
    return _make(scenario_from(map_name, content))


def notes(map_name: str, content: dict[str, Any] | None) -> dict[str, Any]:
    """What a run notes of its game besides: version, map file and options. Raises UsageError where one is missing."""
    scenario = own_scenario(map_name) if content is None else scenario_from(map_name, content)
    options = scenario.options
    install = find_game(options.version)
    map_file = find_map(install.root, scenario.map_name)
    return {
        "version": install.version,
        "map_file": map_file.name,
        "map_digest": hashlib.sha256(map_file.read_bytes()).hexdigest(),
        "difficulty": options.difficulty,
        "seed": options.seed,
        "replays": options.replays,
    }


def _make(scenario: Scenario) -> Any:
    from mag.envs.starcraft.env import StarCraftEnv

    return StarCraftEnv(_spec(scenario), scenario)


def _spec(scenario: Scenario) -> EnvSpec:
    layout = make_layout(scenario.game_map)
    return EnvSpec(
        name=f"starcraft/{scenario.name}",
        n_agents=layout.num_allies,
        obs_dim=observation_size(layout),
        state_dim=state_size(layout),
        n_actions=num_actions(layout),
        episode_limit=scenario.game_map.limit,
        has_masks=True,
        has_wins=True,
    )
