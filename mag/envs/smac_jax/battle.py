"""The two halves of a battle: what is fixed for a map (`Battle`) and what changes from tick to tick (`Units`)."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.terrain import Terrain, make_terrain
from mag.envs.smac_jax.units import Number, UnitArrays, unit_arrays

TICKS_PER_STEP = 8
"""SMAC's step: 8 of StarCraft II's game loops, here called ticks."""
LOOPS_PER_SECOND = 22.4
"""StarCraft II's game loops per second of its clock "faster", in whose seconds the unit table is written."""
NO_TARGET = -1


class Units(NamedTuple):
    """All units of a battle, allies first.

    position: [units, 2]. health, shield: points left; a unit is alive while health > 0.
    cooldown: seconds until the weapon is ready. shield_wait: ticks until the shield recovers.
    target: number of the unit attacked, NO_TARGET if none. pace: distance gone in the last tick.
    """

    position: Float[Array, "units 2"]
    health: Float[Array, " units"]
    shield: Float[Array, " units"]
    cooldown: Float[Array, " units"]
    shield_wait: Float[Array, " units"]
    target: Int[Array, " units"]
    pace: Float[Array, " units"]

    @property
    def alive(self) -> Bool[Array, "*batch units"]:
        """Whether each unit lives."""
        return self.health > 0


@dataclass(frozen=True)
class Battle:
    """What stays the same throughout a battle.

    kinds: the table's figures per unit. start: positions at the start. ticks_per_second: game ticks
    per second of the unit table; 22.4 is the clock of StarCraft II itself, 16 that of SMAClite.
    touch: distance at which pairs of units touch, minus infinity for pairs that pass each other.
    reload_varies: whether weapons take a random -1 to +2 ticks longer to reload, shot by shot.
    """

    num_allies: int
    num_enemies: int
    kinds: UnitArrays
    terrain: Terrain
    start: Float[np.ndarray, "units 2"]
    attack_point: Float[np.ndarray, "2"] | None
    touch: Float[np.ndarray, "units units"]
    ticks_per_second: Number
    reload_varies: bool

    @property
    def tick_seconds(self) -> float:
        """Seconds of the unit table that one tick lasts."""
        return 1.0 / self.ticks_per_second


def make_battle(game_map: Map, ticks_per_second: Number, *, reload_varies: bool) -> Battle:
    """Prepares the arrays of `game_map`."""
    attack_point = game_map.attack_point
    kinds = unit_arrays(game_map.ally_types + game_map.enemy_types)
    if game_map.hunt:
        is_enemy = np.arange(len(kinds.health)) >= len(game_map.ally_types)
        kinds = kinds._replace(scan_range=np.where(is_enemy, np.inf, kinds.scan_range).astype(np.float32))
    return Battle(
        num_allies=len(game_map.ally_types),
        num_enemies=len(game_map.enemy_types),
        kinds=kinds,
        terrain=make_terrain(game_map),
        start=game_map.start_positions(),
        attack_point=None if attack_point is None else np.array(attack_point, np.float32),
        touch=_touch_distance(kinds),
        ticks_per_second=ticks_per_second,
        reload_varies=reload_varies,
    )


def _touch_distance(kinds: UnitArrays) -> Float[np.ndarray, "units units"]:
    """Sum of two units' radii; Colossi stride over all but Colossi."""
    collide = (kinds.climbs[:, None] == kinds.climbs) & ~np.eye(len(kinds.climbs), dtype=bool)
    return np.where(collide, kinds.radius[:, None] + kinds.radius, -np.inf).astype(np.float32)


def start_units(battle: Battle) -> Units:
    """Fresh units at their start places."""
    count = len(battle.start)
    return Units(
        position=jnp.asarray(battle.start),
        health=jnp.asarray(battle.kinds.health),
        shield=jnp.asarray(battle.kinds.shield),
        cooldown=jnp.zeros(count),
        shield_wait=jnp.zeros(count),
        target=jnp.full(count, NO_TARGET, jnp.int32),
        pace=jnp.asarray(battle.kinds.speed * battle.tick_seconds),
    )
