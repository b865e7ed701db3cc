"""Family `starcraft`: SMAC's maps on StarCraft II itself.

A small client of our own (`client`) starts the game and speaks to it. The observation, mask, state and reward are
those of `smac_jax`, on units read from the game (`env`), so that a policy trained on one plays the other. The game and
SMAC's map files are the user's to install (`mag doctor` tells what is missing); the client's packages are the extra
`starcraft`.
"""

import hashlib
from typing import Any

from mag.envs import EnvSpec
from mag.envs.smac_jax.maps import MAPS, Map
from mag.envs.smac_jax.observe import make_layout, num_actions, observation_size, state_size
from mag.envs.starcraft.install import find_game, find_map
from mag.envs.starcraft.scenario import Options, Scenario

host = True


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; the game need not be installed."""
    return {name: _spec(name, game_map) for name, game_map in MAPS.items()}


def make(map_name: str) -> Any:
    """The environment of one of the maps in `specs()`. Raises UsageError where the game or the map is missing."""
    from mag.envs.starcraft.env import StarCraftEnv

    scenario = find_scenario(map_name)
    return StarCraftEnv(_spec(map_name, scenario.game_map), scenario)


def content(map_name: str) -> dict[str, Any]:
    """What a run notes of its game: version, map file and options. Raises UsageError where one is missing."""
    scenario = find_scenario(map_name)
    options = scenario.options
    install = find_game(options.version)
    map_file = find_map(install.root, scenario.map_name)
    return {
        "game": install.version,
        "map_file": map_file.name,
        "map_digest": hashlib.sha256(map_file.read_bytes()).hexdigest(),
        "difficulty": options.difficulty,
        "game_seed": options.seed,
        "replays": options.replays,
    }


def find_scenario(map_name: str) -> Scenario:
    """What is played on the map of that name."""
    return Scenario(map_name, MAPS[map_name], Options())


def _spec(map_name: str, game_map: Map) -> EnvSpec:
    layout = make_layout(game_map)
    return EnvSpec(
        name=f"starcraft/{map_name}",
        n_agents=layout.num_allies,
        obs_dim=observation_size(layout),
        state_dim=state_size(layout),
        n_actions=num_actions(layout),
        episode_limit=game_map.limit,
        has_masks=True,
        has_wins=True,
    )
