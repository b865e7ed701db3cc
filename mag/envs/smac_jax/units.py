"""The unit table: what each StarCraft II unit of SMAC's maps can take, deal and do.

Figures are those of StarCraft II's multiplayer balance (Liquipedia, "Unit Statistics"), as SMAC-like simulators
quote them. StarCraft II counts game loops. Its data files hold seconds of the clock "normal", 16 loops each; players
see seconds of the clock "faster", 22.4 loops each, 1.4 times as many loops.

| figure | unit | a Stalker, by way of example |
|---|---|---|
| `speed`, `cooldown`, `regeneration` | "faster" seconds | 4.13/s = 4.13/22.4 = 0.184 per loop, the game's 2.9531/16 |
| `state_cooldown` | game loops, as SMAC reads them | 35 |
| shields' recovery (`rules`) | "normal" seconds, the same for all | after 160 loops 2/16 per loop |
| everything else | points, distances | |

A weapon fires in the first loop at whose start its cooldown is over, so what counts is the cooldown in loops,
rounded up: 20 for the Zealot (0.86 * 22.4 = 19.3), 12 for the Zergling (11.1), 24 for the Colossus (23.97), 30 for
the Spine Crawler (29.6). The Stalker's is written with one digit more than is usual: the game's 1.87/1.4 = 1.336
takes 30 loops (29.93), where 1.34 would take 31 (30.02).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Number = int | float
MELEE_RANGE = 0.1
ATTRIBUTES = frozenset({"light", "armoured", "biological", "mechanical", "massive", "structure"})


class Splash(NamedTuple):
    """A beam laid across the line of fire, centred on the target.

    width: extent across the line of fire.
    depth: extent along it.
    """

    width: Number
    depth: Number


@dataclass(frozen=True, kw_only=True)
class UnitType:
    """One row of the unit table.

    health, shield: hit points at the start; armour: taken off each attack on health, never on the
    shield. damage: of one attack; attacks: how many land at once; bonus: extra damage per attack on
    targets with `bonus_against`. cooldown: seconds between shots; speed: distance per second;
    range: between the rims of two units. radius: half the size; scan_range: how far an enemy on
    attack-move looks for targets, beyond its own radius. regeneration: health per second; climbs:
    walks on cliffs and over other units, as only the Colossus does. state_cooldown: game loops by
    which SMAC divides the weapon's cooldown in its state. number: StarCraft II's number of the unit
    type; SMAC orders enemy types by it.
    """

    name: str
    health: Number
    shield: Number = 0.0
    armour: Number = 0.0
    damage: Number
    attacks: int = 1
    bonus: Number = 0.0
    bonus_against: str | None = None
    cooldown: Number
    speed: Number
    range: Number
    radius: Number
    attributes: frozenset[str] = frozenset()
    splash: Splash | None = None
    regeneration: Number = 0.0
    scan_range: Number = 5.0
    climbs: bool = False
    state_cooldown: Number = 15.0
    number: int = 0

    def damage_against(self, other: "UnitType") -> Number:
        """Damage of one attack on `other`, before its armour."""
        return self.damage + self.bonus * (self.bonus_against in other.attributes)


_ROWS = (
    UnitType(
        name="stalker",
        health=80,
        shield=80,
        armour=1,
        damage=13,
        bonus=5,
        bonus_against="armoured",
        cooldown=1.336,
        speed=4.13,
        range=6,
        radius=0.625,
        attributes=frozenset({"armoured", "mechanical"}),
        state_cooldown=35,
        number=74,
    ),
    UnitType(
        name="zealot",
        health=100,
        shield=50,
        armour=1,
        damage=8,
        attacks=2,
        cooldown=0.86,
        speed=3.15,
        range=MELEE_RANGE,
        radius=0.5,
        attributes=frozenset({"light", "biological"}),
        state_cooldown=22,
        number=73,
    ),
    UnitType(
        name="colossus",
        health=200,
        shield=150,
        armour=1,
        damage=10,
        attacks=2,
        bonus=5,
        bonus_against="light",
        cooldown=1.07,
        speed=3.15,
        range=7,
        radius=1.0,
        attributes=frozenset({"armoured", "mechanical", "massive"}),
        splash=Splash(width=2.8, depth=0.3),
        climbs=True,
        state_cooldown=24,
        number=4,
    ),
    UnitType(
        name="zergling",
        health=35,
        damage=5,
        cooldown=0.497,
        speed=4.13,
        range=MELEE_RANGE,
        radius=0.375,
        attributes=frozenset({"light", "biological"}),
        regeneration=0.38,
        state_cooldown=11,
        number=105,
    ),
    UnitType(
        name="spine_crawler",
        health=300,
        armour=2,
        damage=25,
        bonus=5,
        bonus_against="armoured",
        cooldown=1.32,
        speed=0,
        range=7,
        radius=0.5,
        attributes=frozenset({"armoured", "biological", "structure"}),
        regeneration=0.38,
        scan_range=10,
        number=98,
    ),
    UnitType(
        name="hydralisk",
        health=90,
        damage=12,
        cooldown=0.59,
        speed=3.15,
        range=5,
        radius=0.625,
        attributes=frozenset({"light", "biological"}),
        regeneration=0.38,
        state_cooldown=10,
        number=107,
    ),
    UnitType(
        name="marine",
        health=45,
        damage=6,
        cooldown=0.61,
        speed=3.15,
        range=5,
        radius=0.375,
        attributes=frozenset({"light", "biological"}),
        state_cooldown=15,
        number=48,
    ),
    UnitType(
        name="marauder",
        health=125,
        armour=1,
        damage=10,
        bonus=10,
        bonus_against="armoured",
        cooldown=1.07,
        speed=3.15,
        range=6,
        radius=0.5625,
        attributes=frozenset({"armoured", "biological"}),
        state_cooldown=25,
        number=51,
    ),
)
UNIT_TYPES: dict[str, UnitType] = {row.name: row for row in _ROWS}


class UnitArrays(NamedTuple):
    """The table's figures for the units of one map, one entry per unit; allies come first."""

    health: Float[np.ndarray, " units"]
    shield: Float[np.ndarray, " units"]
    armour: Float[np.ndarray, " units"]
    cooldown: Float[np.ndarray, " units"]
    speed: Float[np.ndarray, " units"]
    range: Float[np.ndarray, " units"]
    radius: Float[np.ndarray, " units"]
    attacks: Float[np.ndarray, " units"]
    splash_width: Float[np.ndarray, " units"]
    splash_depth: Float[np.ndarray, " units"]
    regeneration: Float[np.ndarray, " units"]
    scan_range: Float[np.ndarray, " units"]
    state_cooldown: Float[np.ndarray, " units"]
    climbs: Bool[np.ndarray, " units"]
    damage: Float[np.ndarray, "units units"]
    """Damage of one attack of the row's unit on the column's unit, bonus included, before armour."""


def unit_arrays(units: list[UnitType]) -> UnitArrays:
    """Turns a list of units into arrays, once per map."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(unit, name) for unit in units], np.float32)

    beams = [unit.splash or Splash(0.0, 0.0) for unit in units]
    return UnitArrays(
        **{
            name: column(name)
            for name in UnitArrays._fields
            if name not in ("splash_width", "splash_depth", "climbs", "damage")
        },
        splash_width=np.array([beam.width for beam in beams], np.float32),
        splash_depth=np.array([beam.depth for beam in beams], np.float32),
        climbs=np.array([unit.climbs for unit in units]),
        damage=np.array([[a.damage_against(b) for b in units] for a in units], np.float32),
    )
