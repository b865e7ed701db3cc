"""The map table: who fights, where they start, what blocks the way and how long a battle lasts.

Start points, attack points, map size and walkable ground are read off SMAC's own map files; the
ground is described here by rectangles of unwalkable ground.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from mag.envs.smac_jax.units import UNIT_TYPES, Number, UnitType

START_GAP = 0.1  # between the rims of neighbours in a formation


class Rect(NamedTuple):
    """A rectangle with its lower left corner at (left, bottom).

    Its corners are whole numbers, as SMAC's pathing grid has cells of 1 x 1.
    """

    left: int
    bottom: int
    right: int
    top: int


@dataclass(frozen=True)
class Squad:
    """`count` units of one type around the point (x, y).

    Squads of one side with the same point form one block.

    columns: units per row of the block; None makes it about square.
    """

    unit: str
    count: int
    x: Number
    y: Number
    columns: int | None = None


@dataclass(frozen=True, kw_only=True)
class Map:
    """One battle to be fought.

    limit: environment steps until it counts as undecided. attack_point: where enemies attack-move
    to; None if they hold. walls: ground nobody enters; cliffs: ground only climbing units (Colossi)
    enter. units: the unit table used.
    """

    name: str
    allies: tuple[Squad, ...]
    enemies: tuple[Squad, ...]
    limit: int
    attack_point: tuple[Number, Number] | None
    walls: tuple[Rect, ...] = ()
    cliffs: tuple[Rect, ...] = ()
    width: int = 32
    height: int = 32
    units: dict[str, UnitType] | None = None

    @property
    def ally_types(self) -> list[UnitType]:
        """The allies in the order of their agent numbers."""
        return self._types(self.allies)

    @property
    def enemy_types(self) -> list[UnitType]:
        """The enemies in the order of their attack actions."""
        return self._types(self.enemies)

    def _types(self, squads: tuple[Squad, ...]) -> list[UnitType]:
        table = UNIT_TYPES if self.units is None else self.units
        return [table[squad.unit] for squad in squads for _ in range(squad.count)]

    def start_positions(self) -> np.ndarray:
        """Positions [units, 2] at the start, allies first.

        Enemies stand as the allies do, turned by half a circle.
        """
        allies = _sorted_by_type(_formation(self.allies, self.ally_types, turned=False), self.ally_types)
        enemies = _formation(self.enemies, self.enemy_types, turned=True)
        return np.concatenate([allies, enemies]).astype(np.float32)


def _formation(squads: tuple[Squad, ...], types: list[UnitType], *, turned: bool) -> np.ndarray:
    """Positions [units, 2]: one block per start point."""
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
    """The places of each type sorted by x, then y, which is how SMAC numbers its agents."""
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


WEST, EAST = (9, 16), (23, 16)
BAND = (Rect(0, 0, 32, 8), Rect(0, 24, 32, 32))
"""Walls that leave a band 16 high across the map."""

_ARENA = (
    Rect(0, 0, 8, 32),
    Rect(20, 0, 32, 32),
    Rect(8, 0, 20, 8),
    Rect(8, 24, 20, 32),
    Rect(8, 20, 10, 24),
    Rect(18, 20, 20, 24),
    Rect(10, 22, 12, 24),
    Rect(16, 22, 18, 24),
)
_CORRIDOR = (
    # The room in the upper right, where both sides start.
    Rect(0, 30, 32, 32),
    Rect(30, 18, 32, 30),
    Rect(28, 0, 32, 18),
    Rect(26, 0, 28, 16),
    Rect(0, 28, 20, 30),
    Rect(0, 26, 18, 28),
    Rect(0, 24, 16, 26),
    Rect(0, 22, 14, 24),
    Rect(0, 14, 12, 22),
    Rect(12, 16, 14, 18),
    # The neck, 2.8 wide between its corners (12, 14) and (14, 12).
    Rect(12, 15, 13, 16),
    Rect(0, 13, 11, 14),
    Rect(0, 12, 10, 13),
    Rect(13, 0, 16, 11),
    Rect(14, 11, 16, 12),
    Rect(15, 12, 16, 13),
    Rect(16, 0, 26, 14),
    # The room in the lower left, which the enemies walk to.
    Rect(0, 0, 2, 12),
    Rect(2, 0, 13, 2),
    Rect(12, 2, 13, 10),
)
_PLATEAU = (
    Rect(0, 20, 32, 32),
    Rect(0, 18, 8, 20),
    Rect(24, 18, 32, 20),
    Rect(0, 16, 2, 18),
    Rect(30, 16, 32, 18),
    Rect(0, 6, 2, 10),
    Rect(30, 6, 32, 10),
    Rect(2, 6, 4, 8),
    Rect(28, 6, 30, 8),
    Rect(0, 0, 32, 6),
)

_ROWS = (
    Map(
        name="2s_vs_1sc",
        allies=(Squad("stalker", 1, 11.12, 10.34), Squad("stalker", 1, 16.98, 10.37)),
        enemies=(Squad("spine_crawler", 1, 13.92, 20.04),),
        limit=300,
        attack_point=None,
        walls=_ARENA,
    ),
    Map(
        name="2s3z",
        allies=(Squad("stalker", 2, *WEST), Squad("zealot", 3, *WEST)),
        enemies=(Squad("stalker", 2, *EAST), Squad("zealot", 3, *EAST)),
        limit=120,
        attack_point=WEST,
        walls=BAND,
    ),
    Map(
        name="3s_vs_3z",
        allies=(Squad("stalker", 3, *WEST),),
        enemies=(Squad("zealot", 3, *EAST),),
        limit=150,
        attack_point=WEST,
    ),
    Map(
        name="3s_vs_4z",
        allies=(Squad("stalker", 3, *WEST),),
        enemies=(Squad("zealot", 4, *EAST),),
        limit=200,
        attack_point=WEST,
    ),
    Map(
        name="3s_vs_5z",
        allies=(Squad("stalker", 3, *WEST),),
        enemies=(Squad("zealot", 5, *EAST),),
        limit=250,
        attack_point=WEST,
    ),
    Map(
        name="2c_vs_64zg",
        allies=(Squad("colossus", 2, 16, 16),),
        enemies=(Squad("zergling", 64, 16, 9, columns=16),),
        limit=400,
        attack_point=(16, 16),
        walls=_PLATEAU,
        cliffs=(Rect(4, 12, 28, 14),),
    ),
    Map(
        name="corridor",
        allies=(Squad("zealot", 6, 19.04, 19.12),),
        # SMAC's point is (27.91, 28.24); a block of 24 has room a little further from the corner.
        enemies=(Squad("zergling", 24, 27.6, 27.6),),
        limit=400,
        attack_point=(4.47, 4.33),
        walls=_CORRIDOR,
    ),
    Map(
        name="3s5z_vs_3s6z",
        allies=(Squad("stalker", 3, *WEST), Squad("zealot", 5, *WEST)),
        enemies=(Squad("stalker", 3, *EAST), Squad("zealot", 6, *EAST)),
        limit=170,
        attack_point=WEST,
        walls=BAND,
    ),
)
MAPS: dict[str, Map] = {row.name: row for row in _ROWS}


def get_map(name: str) -> Map:
    """The map called `name`, or a ValueError that lists the known ones."""
    if name not in MAPS:
        raise ValueError(f"unknown map {name!r}; known maps: {', '.join(MAPS)}; or load_map(path) for your own")
    return MAPS[name]
