"""A scenario: one of SMAC's maps, its roster, and how the game is started.

Any of SMAC's maps can be played from a file: a map file of `smac_jax` (`mag.envs.smac_jax.loading`), of which only the
roster and the time limit are used, with a table of options:

    limit = 60                      # environment steps
    allies = [{ unit = "marine", count = 3 }]
    enemies = [{ unit = "marine", count = 3 }]

    [starcraft]
    map = "3m"                      # Maps/SMAC_Maps/3m.SC2Map; leave out if it has this file's name
    difficulty = "VeryHard"         # and other `Options`

Squads of a side stand in the order of the map's own unit types. A file without allies and enemies plays one of this
family's own maps with other options.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from mag.envs.smac_jax.loading import MAP_NAMES, content_of, get_map, map_from, map_in
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.source import Source, read_toml
from mag.errors import UsageError

Race = Literal["terran", "zerg", "protoss"]
Difficulty = Literal[
    "VeryEasy", "Easy", "Medium", "MediumHard", "Hard", "Harder", "VeryHard", "CheatVision", "CheatMoney", "CheatInsane"
]

RACES: dict[str, Race] = {
    **dict.fromkeys(("marine", "marauder", "medivac"), "terran"),
    **dict.fromkeys(("zergling", "baneling", "hydralisk", "spine_crawler"), "zerg"),
    **dict.fromkeys(("stalker", "zealot", "colossus"), "protoss"),
}
"""The race of SMAC's units."""


@dataclass(frozen=True)
class Options:
    """How the game is started: the table `[starcraft]` of a map file."""

    map: str | None = None
    """Name of the map file in the game's folder Maps/SMAC_Maps, without .SC2Map; None: the map's name."""
    difficulty: Difficulty = "VeryHard"
    """The built-in player's level (SMAC: VeryHard, its level 7)."""
    version: str | None = None
    """The game's version or build; None: 4.10, else the newest installed."""
    seed: int | None = None
    """The game's own random seed; None: the seed of its first episode."""
    replays: str | None = None
    """Folder for a replay of every game process, saved when the environment is closed; None: none."""
    ally_race: Race | None = None
    """The agents' race; None: that of their units."""
    enemy_race: Race | None = None
    """The enemies' race; None: that of their units."""


@dataclass(frozen=True)
class Scenario:
    """One map as it is played."""

    name: str
    """As given to `make`."""
    game_map: Map
    """The roster and the time limit; the ground is the game's own."""
    options: Options

    @property
    def map_name(self) -> str:
        """Name of the map file, without .SC2Map."""
        return self.options.map or self.game_map.name

    @property
    def ally_race(self) -> Race:
        """The agents' race."""
        return self.options.ally_race or _race(self, "ally_race", self.game_map.ally_types[0].name)

    @property
    def enemy_race(self) -> Race:
        """The enemies' race."""
        return self.options.enemy_race or _race(self, "enemy_race", self.game_map.enemy_types[0].name)


def _race(scenario: Scenario, option: str, unit: str) -> Race:
    if unit not in RACES:
        raise UsageError(
            f"starcraft/{scenario.name}: the race of the unit {unit!r} is not known; give {option} in its table "
            f"[starcraft], one of {', '.join(get_args(Race))}"
        )
    return RACES[unit]


_ALLOWED: dict[str, tuple[type, tuple[Any, ...]]] = {
    "map": (str, ()),
    "difficulty": (str, get_args(Difficulty)),
    "version": (str, ()),
    "seed": (int, ()),
    "replays": (str, ()),
    "ally_race": (str, get_args(Race)),
    "enemy_race": (str, get_args(Race)),
}
"""Type and values of each option."""
_ROSTER = ("name", "limit", "size", "allies", "enemies", "units")
"""Fields of a map file that are used here; the ground and the start positions are the game's own."""


def content_of_file(path: str) -> dict[str, Any]:
    """Roster and options in a map file, as JSON. Raises UsageError that names the field at fault.

    A file without a roster is one of SMAC's own maps, the one that `map` in its table `[starcraft]` names.
    """
    source = read_toml(path, "map")
    options = source.fields.get("starcraft", {})
    if not isinstance(options, dict):
        raise source.fault("starcraft", options, f"a table of {', '.join(_ALLOWED)}")
    _check_options(source, options)
    fields = {name: value for name, value in source.fields.items() if name != "starcraft"}
    if not {"allies", "enemies"} & set(fields) and options.get("map") in MAP_NAMES:
        return content_of(get_map(options["map"])) | {"starcraft": options}
    source.check_known("", fields, (*_ROSTER, "attack_point", "hunt", "walls", "cliffs"))
    roster = {name: _placed(value) for name, value in fields.items() if name in _ROSTER}
    return content_of(map_in(source._replace(fields=roster))) | {"starcraft": options}


def scenario_from(name: str, content: dict[str, Any]) -> Scenario:
    """The scenario in a map file's content. Raises UsageError if the content is invalid."""
    fields = dict(content)
    options = fields.pop("starcraft", {})
    source = Source(f"the stored content of {name}", fields)
    _check_options(source, options)
    game_map = map_from(fields, source.place)
    patients = sum(unit.ability != "heal" for unit in game_map.ally_types)
    if patients < len(game_map.ally_types) and patients > len(game_map.enemy_types):
        raise UsageError(
            f"starcraft/{name} has {patients} allies to heal and {len(game_map.enemy_types)} enemies, and SMAC numbers "
            "Medivacs' targets as it does others': give at least as many enemies, or no Medivac"
        )
    return Scenario(name, game_map, Options(**options))


def own_scenario(name: str) -> Scenario:
    """One of SMAC's maps as published."""
    return Scenario(name, get_map(name), Options())


def _check_options(source: Source, options: dict[str, Any]) -> None:
    source.check_known("starcraft", options, _ALLOWED)
    for name, value in options.items():
        kind, values = _ALLOWED[name]
        if type(value) is not kind or (values and value not in values):
            what = f"one of {', '.join(values)}" if values else {str: "a string", int: "a whole number"}[kind]
            raise source.fault(f"starcraft.{name}", value, what)


def _placed(value: Any) -> Any:
    """Squads with a start point, which a file of this family may leave out."""
    if not isinstance(value, list):
        return value
    return [{"at": [16, 16]} | squad if isinstance(squad, dict) else squad for squad in value]
