"""What is played: one of SMAC's maps, its roster, and how the game is started."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from mag.envs.smac_jax.maps import Map
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
    enemy_race: Race | None = None
    """None: those of the units."""


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
        """Name of the map's file, without .SC2Map."""
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


def read_options(fields: dict[str, Any], place: str) -> Options:
    """The options of a table `[starcraft]`. Raises UsageError that names the field at fault."""
    allowed: dict[str, tuple[type, tuple[Any, ...]]] = {
        "map": (str, ()),
        "difficulty": (str, get_args(Difficulty)),
        "version": (str, ()),
        "seed": (int, ()),
        "replays": (str, ()),
        "ally_race": (str, get_args(Race)),
        "enemy_race": (str, get_args(Race)),
    }
    for name, value in fields.items():
        if name not in allowed:
            raise UsageError(
                f"{place}: starcraft.{name} is {value!r}; no such field; the fields are {', '.join(allowed)}"
            )
        kind, values = allowed[name]
        if type(value) is not kind or (values and value not in values):
            what = f"one of {', '.join(values)}" if values else {str: "a string", int: "a whole number"}[kind]
            raise UsageError(f"{place}: starcraft.{name} is {value!r}; allowed: {what}")
    return Options(**fields)
