"""The constants of a battle (`Battle`) and its state, which changes from tick to tick (`Units`)."""

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
"""StarCraft II's game loops per second at game speed "faster"; the unit table is in seconds at this speed."""
NO_TARGET = -1


class Units(NamedTuple):
    """The state of all units of a battle, allies first."""

    position: Float[Array, "units 2"]
    health: Float[Array, " units"]
    """Health points left; a unit lives while it has any."""
    shield: Float[Array, " units"]
    """Shield points left."""
    cooldown: Float[Array, " units"]
    """Seconds until the weapon is ready."""
    shield_wait: Float[Array, " units"]
    """Ticks until the shield recovers."""
    target: Int[Array, " units"]
    """Number of the unit attacked; NO_TARGET for a unit that attacks none."""
    pace: Float[Array, " units"]
    """Distance walked in the last tick."""

    @property
    def alive(self) -> Bool[Array, "*batch units"]:
        """Whether each unit is alive."""
        return self.health > 0


@dataclass(frozen=True)
class Battle:
    """The constants of a battle."""

    num_allies: int
    num_enemies: int
    kinds: UnitArrays
    """Each unit's figures in the unit table."""
    terrain: Terrain
    start: Float[np.ndarray, "units 2"]
    """Positions at the start."""
    attack_point: Float[np.ndarray, "2"] | None
    """Point to which the enemies attack-move; None for enemies that hold or hunt."""
    touch: Float[np.ndarray, "units units"]
    """Distance at which two units touch; minus infinity for units that pass each other."""
    ticks_per_second: Number
    """Game ticks per second of the unit table: 22.4 in StarCraft II, 16 in SMAClite."""
    reload_varies: bool
    """Whether each shot takes a random -1 to +2 ticks longer to reload."""

    @property
    def tick_seconds(self) -> float:
        """Duration of a tick in seconds of the unit table."""
        return 1.0 / self.ticks_per_second


def make_battle(game_map: Map, ticks_per_second: Number, *, reload_varies: bool) -> Battle:
    """The constants of a battle on `game_map`."""
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
    """Sum of two units' radii; minus infinity if only one of them climbs (a Colossus): they pass each other."""
    collide = (kinds.climbs[:, None] == kinds.climbs) & ~np.eye(len(kinds.climbs), dtype=bool)
    return np.where(collide, kinds.radius[:, None] + kinds.radius, -np.inf).astype(np.float32)


def start_units(battle: Battle) -> Units:
    """Fresh units at their start positions."""
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
