"""Maps: who fights, where both sides start, what blocks the way and how long a battle lasts.

SMAC's maps are the files in `maps/`. Start points, the enemies' orders, map size and walkable ground are those of
SMAC's own map files; ground is described by rectangles of unwalkable ground.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from mag.envs.smac_jax.units import Number, UnitType
from mag.errors import UsageError

START_GAP = 0.1
"""Gap between the rims of neighbours in a formation."""


class Rect(NamedTuple):
    """A rectangle of unwalkable ground, with whole-numbered corners, as SMAC's pathing grid has cells of 1 x 1."""

    left: int
    bottom: int
    right: int
    top: int


@dataclass(frozen=True)
class Squad:
    """Units of one type around a point. Squads of one side with the same point form one block."""

    unit: str
    """Name of the unit type."""
    count: int
    x: Number
    y: Number
    columns: int | None = None
    """Units per row of the block; None for a block that is about square."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """The setting of a battle."""

    name: str
    allies: tuple[Squad, ...]
    enemies: tuple[Squad, ...]
    limit: int
    """Environment steps after which a battle counts as undecided."""
    attack_point: tuple[Number, Number] | None
    """Point to which the enemies attack-move; None for enemies that hold or hunt."""
    units: dict[str, UnitType]
    """Unit types by name, including those of all squads."""
    hunt: bool = False
    """Whether the enemies chase the allies wherever they go."""
    walls: tuple[Rect, ...] = ()
    """Ground that no unit enters."""
    cliffs: tuple[Rect, ...] = ()
    """Ground that only climbing units (Colossi) enter."""
    width: int = 32
    height: int = 32

    @property
    def ally_types(self) -> list[UnitType]:
        """The allies, in the order of their agent numbers."""
        return self._types(self.allies)

    @property
    def enemy_types(self) -> list[UnitType]:
        """The enemies, in the order of the attack actions."""
        return self._types(self.enemies)

    def _types(self, squads: tuple[Squad, ...]) -> list[UnitType]:
        return [self.units[squad.unit] for squad in squads for _ in range(squad.count)]

    def start_positions(self) -> np.ndarray:
        """Positions [units, 2] at the start, allies first. Enemies form up as allies do, turned by 180 degrees."""
        allies = _sorted_by_type(_formation(self.allies, self.ally_types, turned=False), self.ally_types)
        enemies = _formation(self.enemies, self.enemy_types, turned=True)
        return np.concatenate([allies, enemies]).astype(np.float32)


def check_rules(game_map: Map) -> None:
    """Raise UsageError for units that only StarCraft II itself can play."""
    for unit in game_map.ally_types + game_map.enemy_types:
        if unit.ability is not None:
            raise UsageError(
                f"map {game_map.name}: smac_jax has no rules for units that {unit.ability}, as {unit.name!r} does; "
                "play the map on StarCraft II itself (starcraft/MAP.toml), or give other units"
            )


def _formation(squads: tuple[Squad, ...], types: list[UnitType], *, turned: bool) -> np.ndarray:
    """Positions [units, 2] in one block per start point."""
    owners = [squad for squad in squads for _ in range(squad.count)]
    positions = np.zeros((len(types), 2))
    for point in dict.fromkeys((squad.x, squad.y) for squad in squads):
        members = [i for i, squad in enumerate(owners) if (squad.x, squad.y) == point]
        columns = owners[members[0]].columns or ceil(sqrt(len(members)))
        pitch = 2 * max(types[i].radius for i in members) + START_GAP
        places = _grid(len(members), columns) * pitch * (-1 if turned else 1)
        positions[members] = places + np.array(point)
    return positions


def _sorted_by_type(positions: np.ndarray, types: list[UnitType]) -> np.ndarray:
    """Positions sorted, within each unit type, by x and then y: SMAC's order of agents."""
    names = np.array([unit.name for unit in types])
    for name in np.unique(names):
        block = positions[names == name]
        positions[names == name] = block[np.lexsort((block[:, 1], block[:, 0]))]
    return positions


def _grid(count: int, columns: int) -> np.ndarray:
    """Points [count, 2] of a unit grid filled row by row, centred on the origin."""
    places = np.arange(count)
    grid = np.stack([places % columns, places // columns], axis=1).astype(float)
    return grid - (grid.min(axis=0) + grid.max(axis=0)) / 2
