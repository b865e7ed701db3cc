"""SMAC's masks, observations, state and reward on plain numbers, to compare `smac_jax` with.

Written from SMAC's documentation and the facts about its code, one unit at a time, without JAX. Nothing of
`mag.envs.smac_jax` is used: rosters, maxima and ground are written down here and in `tests/data/smac_grounds.json`.
"""

import json
from dataclasses import dataclass
from math import hypot
from pathlib import Path

import numpy as np

GROUNDS = json.loads((Path(__file__).parents[1] / "data" / "smac_grounds.json").read_text())["grounds"]
SIGHT, REACH, SIDE = 9, 6, 32
STALKER, ZEALOT, COLOSSUS, ZERGLING, CRAWLER = "stalker", "zealot", "colossus", "zergling", "spine crawler"
HEALTH = {STALKER: 80, ZEALOT: 100, COLOSSUS: 200, ZERGLING: 35, CRAWLER: 300}
SHIELD = {STALKER: 80, ZEALOT: 50, COLOSSUS: 150, ZERGLING: 0, CRAWLER: 0}
LONGEST_COOLDOWN = {STALKER: 35, ZEALOT: 22, COLOSSUS: 24}
"""Game loops."""
ROSTERS = {
    "2s_vs_1sc": ([STALKER] * 2, [CRAWLER]),
    "2s3z": ([STALKER] * 2 + [ZEALOT] * 3, [STALKER] * 2 + [ZEALOT] * 3),
    "3s_vs_3z": ([STALKER] * 3, [ZEALOT] * 3),
    "3s_vs_4z": ([STALKER] * 3, [ZEALOT] * 4),
    "3s_vs_5z": ([STALKER] * 3, [ZEALOT] * 5),
    "2c_vs_64zg": ([COLOSSUS] * 2, [ZERGLING] * 64),
    "corridor": ([ZEALOT] * 6, [ZERGLING] * 24),
    "3s5z_vs_3s6z": ([STALKER] * 3 + [ZEALOT] * 5, [STALKER] * 3 + [ZEALOT] * 6),
}
MIXED = ("2s3z", "3s5z_vs_3s6z")
"""Maps with two unit types on each side."""
ALLY_TYPE = {STALKER: [1, 0], ZEALOT: [0, 1]}
ENEMY_TYPE = {ZEALOT: [1, 0], STALKER: [0, 1]}


@dataclass
class Unit:
    """A unit as the game's protocol describes it; the dead have health 0."""

    kind: str
    x: float
    y: float
    health: float
    shield: float
    cooldown: float = 0.0
    """Game loops until the weapon is ready."""


class Interface:
    """SMAC's view of one map."""

    def __init__(self, name: str) -> None:
        self.mixed = name in MIXED
        self.allies, self.enemies = ROSTERS[name]
        rows = next(ground["rows"] for ground in GROUNDS if name in ground["maps"])
        self.free = np.array([[cell == "." for cell in row] for row in reversed(rows)])
        """[y, x]"""
        self.actions = 6 + len(self.enemies)

    def can_move(self, unit: Unit, step_x: int, step_y: int) -> bool:
        """Whether the cell one unit away is free, by truncation towards zero."""
        x, y = int(unit.x + step_x), int(unit.y + step_y)
        return 0 <= x < SIDE and 0 <= y < SIDE and bool(self.free[y, x])

    def mask(self, unit: Unit, enemies: list[Unit]) -> list[int]:
        """The available actions of an ally."""
        if unit.health <= 0:
            return [1] + [0] * (self.actions - 1)
        moves = [self.can_move(unit, *step) for step in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        near = [enemy.health > 0 and hypot(enemy.x - unit.x, enemy.y - unit.y) <= REACH for enemy in enemies]
        return [0, 1, *map(int, moves), *map(int, near)]

    def observation(self, number: int, allies: list[Unit], enemies: list[Unit]) -> list[float]:
        """What an agent sees."""
        me = allies[number]
        mask = self.mask(me, enemies)
        seen: list[float] = list(mask[2:6])
        for enemy, attackable in zip(enemies, mask[6:], strict=True):
            seen += self._other(me, enemy, attackable, ENEMY_TYPE, has_shield=self._have_shields(self.enemies))
        for ally in allies[:number] + allies[number + 1 :]:
            seen += self._other(me, ally, 1, ALLY_TYPE, has_shield=True)
        seen += [me.health / HEALTH[me.kind], me.shield / SHIELD[me.kind]]
        seen += ALLY_TYPE[me.kind] if self.mixed else []
        return seen if me.health > 0 else [0.0] * len(seen)

    def _other(self, me: Unit, other: Unit, flag: int, types: dict[str, list[int]], *, has_shield: bool) -> list[float]:
        distance = hypot(other.x - me.x, other.y - me.y)
        place = [distance / SIGHT, (other.x - me.x) / SIGHT, (other.y - me.y) / SIGHT]
        features = [flag, *place, other.health / HEALTH[other.kind]]
        features += [other.shield / SHIELD[other.kind]] if has_shield else []
        features += types[other.kind] if self.mixed else []
        return features if other.health > 0 and distance < SIGHT else [0.0] * len(features)

    def state(self, allies: list[Unit], enemies: list[Unit], actions: list[int]) -> list[float]:
        """The global state; an action of -1 is none."""
        values: list[float] = []
        for unit in allies:
            values += self._of_state(unit, [unit.cooldown / LONGEST_COOLDOWN[unit.kind]], ALLY_TYPE, has_shield=True)
        for unit in enemies:
            values += self._of_state(unit, [], ENEMY_TYPE, has_shield=self._have_shields(self.enemies))
        for action in actions:
            values += [float(action == each) for each in range(self.actions)]
        return values

    def _of_state(
        self, unit: Unit, cooldown: list[float], types: dict[str, list[int]], *, has_shield: bool
    ) -> list[float]:
        place = [(unit.x - SIDE / 2) / SIDE, (unit.y - SIDE / 2) / SIDE]
        features = [unit.health / HEALTH[unit.kind], *cooldown, *place]
        features += [unit.shield / SHIELD[unit.kind]] if has_shield else []
        features += types[unit.kind] if self.mixed else []
        return features if unit.health > 0 else [0.0] * len(features)

    def reward(self, before: list[Unit], after: list[Unit], *, won: bool) -> float:
        """The team's reward of a step, by the enemies before and after it."""
        damage, kills = 0.0, 0
        for old, new in zip(before, after, strict=True):
            if old.health > 0 and new.health <= 0:
                kills += 1
                damage += old.health + old.shield
            elif old.health > 0:
                damage += old.health + old.shield - new.health - new.shield
        most = sum(HEALTH[kind] + SHIELD[kind] + 10 for kind in self.enemies) + 200
        return (abs(damage + 10 * kills) + 200 * won) * 20 / most

    @staticmethod
    def _have_shields(kinds: list[str]) -> bool:
        return any(SHIELD[kind] for kind in kinds)
