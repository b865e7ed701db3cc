"""Family `starcraft`: SMAC's maps on StarCraft II itself.

A small client (`client`) starts the game and controls it. The code of `smac_jax` computes observations, masks, state
and reward from units read from the game (`env`), so that a policy trained on one family plays the other. Users install
the game and SMAC's map files themselves (`mag doctor` says what is missing); the client's packages are the extra
`starcraft`.
"""

import hashlib
from typing import Any

from mag.envs.contract import EnvSpec
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.observe import spec_of
from mag.envs.starcraft.install import find_game, find_map
from mag.envs.starcraft.scenario import Scenario, content_of_file, own_scenario, scenario_from

__all__ = ["caution", "content_of_file", "host", "make", "make_from_content", "notes", "spec_from_content", "specs"]

host = True


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; the game need not be installed."""
    return {name: _spec(own_scenario(name)) for name in MAP_NAMES}


def make(map_name: str) -> Any:
    """The environment of one of the maps in `specs()`. Raises UsageError where the game or the map is missing."""
    return _make(own_scenario(map_name))


def spec_from_content(map_name: str, content: dict[str, Any]) -> EnvSpec:
    """The spec of the map with this content. Raises UsageError if the content is invalid."""
    return _spec(scenario_from(map_name, content))


def make_from_content(map_name: str, content: dict[str, Any]) -> Any:
    """The environment of the map with this content. Raises as `make`."""
    return _make(scenario_from(map_name, content))


def notes(map_name: str, content: dict[str, Any] | None) -> dict[str, Any]:
    """What a run stores about its game: version, map file and options. Raises UsageError if game or map is missing."""
    scenario = _scenario(map_name, content)
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


def caution(map_name: str, content: dict[str, Any] | None) -> str | None:
    """A warning if the game is not of the expected version and the map file names no version; else None.

    Raises UsageError as `notes`.
    """
    version = _scenario(map_name, content).options.version
    install = find_game(version)
    if version is not None or install.difference is None:
        return None
    return f"starcraft/{map_name} is played on StarCraft II {install.version}, but {install.difference}"


def _scenario(map_name: str, content: dict[str, Any] | None) -> Scenario:
    return own_scenario(map_name) if content is None else scenario_from(map_name, content)


def _make(scenario: Scenario) -> Any:
    from mag.envs.starcraft.env import StarCraftEnv

    return StarCraftEnv(_spec(scenario), scenario)


def _spec(scenario: Scenario) -> EnvSpec:
    return spec_of(f"starcraft/{scenario.name}", scenario.game_map)
