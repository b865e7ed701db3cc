"""Unit types: the figures of a unit, whose values are in units.toml, and those of a whole map as arrays."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Number = int | float
MELEE_RANGE = 0.1
ABILITIES = frozenset({"heal", "explode"})
ATTRIBUTES = frozenset({"light", "armoured", "biological", "mechanical", "massive", "structure"})


class Splash(NamedTuple):
    """A beam laid across the line of fire, centred on the target."""

    width: Number
    """Extent across the line of fire."""
    depth: Number
    """Extent along the line of fire."""


@dataclass(frozen=True, kw_only=True)
class UnitType:
    """The figures of one type of unit, in points, distances and seconds at game speed "faster"."""

    name: str
    health: Number
    """Health points of a fresh unit."""
    shield: Number = 0.0
    """Shield points of a fresh unit."""
    armour: Number = 0.0
    """Damage taken off each attack on health, never off one on the shield."""
    damage: Number
    """Damage of one attack."""
    attacks: int = 1
    """Attacks that land at once."""
    bonus: Number = 0.0
    """Extra damage of each attack on targets with the attribute `bonus_against`."""
    bonus_against: str | None = None
    cooldown: Number
    """Seconds between shots."""
    speed: Number
    """Distance walked per second."""
    range: Number
    """Reach of the weapon between the rims of two units."""
    radius: Number
    """Half the unit's size."""
    attributes: frozenset[str] = frozenset()
    splash: Splash | None = None
    """Beam of a weapon that hits more than its target."""
    regeneration: Number = 0.0
    """Health regained per second."""
    scan_range: Number = 5.0
    """Distance from its rim within which an enemy on attack-move looks for targets."""
    climbs: bool = False
    """Whether the unit walks on cliffs and over other units, as only the Colossus does."""
    state_cooldown: Number = 15.0
    """Game loops by which SMAC divides the weapon's cooldown in its state."""
    number: int = 0
    """StarCraft II's number of the unit type, by which SMAC orders enemy types."""
    ability: str | None = None
    """What it does instead of shooting: `heal` allies, or `explode`. Only StarCraft II itself plays such units."""

    def damage_against(self, other: "UnitType") -> Number:
        """Damage of one attack on `other`, before its armour."""
        return self.damage + self.bonus * (self.bonus_against in other.attributes)


class UnitArrays(NamedTuple):
    """The figures of all units on one map, allies first."""

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
    heals: Bool[np.ndarray, " units"]
    damage: Float[np.ndarray, "units units"]
    """Damage of one attack of the row's unit on the column's unit, bonus included, before armour."""


def unit_arrays(units: list[UnitType]) -> UnitArrays:
    """The figures of a list of units as arrays."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(unit, name) for unit in units], np.float32)

    beams = [unit.splash or Splash(0.0, 0.0) for unit in units]
    return UnitArrays(
        **{
            name: column(name)
            for name in UnitArrays._fields
            if name not in ("splash_width", "splash_depth", "climbs", "heals", "damage")
        },
        splash_width=np.array([beam.width for beam in beams], np.float32),
        splash_depth=np.array([beam.depth for beam in beams], np.float32),
        climbs=np.array([unit.climbs for unit in units]),
        heals=np.array([unit.ability == "heal" for unit in units]),
        damage=np.array([[a.damage_against(b) for b in units] for a in units], np.float32),
    )
