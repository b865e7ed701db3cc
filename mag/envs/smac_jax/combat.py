"""Combat: which targets enemies pick, which units a shot hits, and what a hit does to shield and health.

Matrices of pairs have one row per ally and one column per enemy; units fight the other side only.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mag.envs.smac_jax.battle import NO_TARGET, Battle, Units
from mag.envs.smac_jax.units import UnitArrays

FAR = 1e3
"""Distance assigned to an attacker out of sight, which is picked only if no ally is in sight."""


class Pairs(NamedTuple):
    """Geometry of all ally-enemy pairs."""

    offset_x: Float[Array, "allies enemies"]
    """x of the vector from ally to enemy."""
    offset_y: Float[Array, "allies enemies"]
    distance: Float[Array, "allies enemies"]
    """Distance between the centres."""
    radii: Float[np.ndarray, "allies enemies"]
    """Sum of both radii."""


def make_pairs(battle: Battle, position: Float[Array, "units 2"]) -> Pairs:
    """Geometry of the pairs at `position`."""
    count = battle.num_allies
    radius = battle.kinds.radius
    offset_x = position[None, count:, 0] - position[:count, None, 0]
    offset_y = position[None, count:, 1] - position[:count, None, 1]
    distance = jnp.sqrt(offset_x**2 + offset_y**2 + 1e-12)
    return Pairs(offset_x, offset_y, distance, radius[:count, None] + radius[None, count:])


def aims(battle: Battle, units: Units) -> tuple[Bool[Array, "allies enemies"], Bool[Array, "allies enemies"]]:
    """Which enemies the allies attack, and which allies the enemies attack; dead units are in neither."""
    count = battle.num_allies
    both_alive = units.alive[:count, None] & units.alive[None, count:]
    by_allies = units.target[:count, None] == np.arange(count, len(units.health))[None]
    by_enemies = units.target[None, count:] == np.arange(count)[:, None]
    return by_allies & both_alive, by_enemies & both_alive


def pick_targets(battle: Battle, units: Units, pairs: Pairs) -> Int[Array, " units"]:
    """All units' targets after the enemies have picked theirs.

    An enemy keeps a living target that is in reach or fights back. Otherwise it picks the nearest ally within its scan
    range, and if there is none, an ally that attacks it.
    """
    count, kinds = battle.num_allies, battle.kinds
    by_allies, by_enemies = aims(battle, units)
    in_reach = pairs.distance <= kinds.range[None, count:] + pairs.radii
    keeps = jnp.any(by_enemies & (in_reach | by_allies), axis=0)
    both_alive = units.alive[:count, None] & units.alive[None, count:]
    seen = pairs.distance < (kinds.scan_range + kinds.radius)[None, count:]
    worth = jnp.where(seen, pairs.distance, jnp.where(by_allies, FAR, jnp.inf))
    worth = jnp.where(both_alive, worth, jnp.inf)
    nearest = jnp.argmin(worth, axis=0).astype(jnp.int32)
    found = jnp.any(jnp.isfinite(worth), axis=0)
    picked = jnp.where(found, nearest, NO_TARGET)
    enemy_target = jnp.where(keeps, units.target[count:], picked)
    ally_target = jnp.where(jnp.any(by_allies, axis=1), units.target[:count], NO_TARGET)
    return jnp.concatenate([ally_target, enemy_target])


def in_range(battle: Battle, units: Units, pairs: Pairs) -> Bool[Array, " units"]:
    """Whether each unit's target is within reach: weapon range plus both radii."""
    count, kinds = battle.num_allies, battle.kinds
    by_allies, by_enemies = aims(battle, units)
    near_allies = pairs.distance <= kinds.range[:count, None] + pairs.radii
    near_enemies = pairs.distance <= kinds.range[None, count:] + pairs.radii
    return jnp.concatenate([jnp.any(by_allies & near_allies, axis=1), jnp.any(by_enemies & near_enemies, axis=0)])


class Volley(NamedTuple):
    """The outcome of all shots of one tick."""

    shield: Float[Array, " units"]
    """Shield points left."""
    health: Float[Array, " units"]
    """Health points left."""
    fired: Bool[Array, " units"]
    struck: Bool[Array, " units"]
    """Whether each unit lost shield or health."""


def shoot(battle: Battle, units: Units, shooting: Bool[Array, " units"], turn: Float[Array, " units"]) -> Volley:
    """The outcome of firing the weapons of the `shooting` units in the random order of `turn`.

    A unit that is killed before its turn does not fire. Two rounds of finding these units are exact unless three kills
    in one tick depend on each other.
    """
    count, kinds = battle.num_allies, battle.kinds
    allies, enemies = slice(0, count), slice(count, None)
    by_allies, by_enemies = hits(battle, units)
    allies_first = turn[allies, None] < turn[None, enemies]

    def volley(fired: Bool[Array, " units"]) -> tuple[_Damage, _Damage]:
        on_enemies = _damage(kinds, units, by_allies & fired[allies, None], allies, enemies)
        on_allies = _damage(kinds, units, by_enemies.T & fired[enemies, None], enemies, allies)
        return on_allies, on_enemies

    fired = shooting
    for _ in range(2):
        on_allies, on_enemies = volley(fired)
        lost_before_turn = jnp.concatenate(
            [
                jnp.sum(jnp.where(allies_first.T, 0.0, on_allies.health), axis=0),
                jnp.sum(jnp.where(allies_first, on_enemies.health, 0.0), axis=0),
            ]
        )
        fired = shooting & (units.health > lost_before_turn)
    on_allies, on_enemies = volley(fired)
    shield_lost = jnp.concatenate([jnp.sum(on_allies.shield, 0), jnp.sum(on_enemies.shield, 0)])
    health_lost = jnp.concatenate([jnp.sum(on_allies.health, 0), jnp.sum(on_enemies.health, 0)])
    return Volley(
        shield=jnp.maximum(units.shield - shield_lost, 0.0),
        health=jnp.maximum(units.health - health_lost, 0.0),
        fired=fired,
        struck=shield_lost + health_lost > 0,
    )


def hits(battle: Battle, units: Units) -> tuple[Bool[Array, "allies enemies"], Bool[Array, "allies enemies"]]:
    """The enemies that each ally's shot would hit, and the reverse: the target, and every unit that a beam touches."""
    by_allies, by_enemies = aims(battle, units)
    kinds, count = battle.kinds, battle.num_allies
    if np.any(kinds.splash_width[:count] > 0):
        swept = _beam(kinds, units, slice(0, count), slice(count, None))
        by_allies |= swept & jnp.any(by_allies, axis=1, keepdims=True) & units.alive[None, count:]
    if np.any(kinds.splash_width[count:] > 0):
        swept = _beam(kinds, units, slice(count, None), slice(0, count)).T
        by_enemies |= swept & jnp.any(by_enemies, axis=0, keepdims=True) & units.alive[:count, None]
    return by_allies, by_enemies


def sweeps(battle: Battle, units: Units) -> Int[Array, "allies enemies"]:
    """The number of living enemies that each ally's beam sweeps if it attacks the enemy."""
    count = battle.num_allies

    def swept(target: Int[Array, ""]) -> Int[Array, " allies"]:
        aimed = units._replace(target=units.target.at[:count].set(target))
        hit = _beam(battle.kinds, aimed, slice(0, count), slice(count, None))
        return jnp.sum(hit & units.alive[None, count:], axis=1)

    return jax.vmap(swept, out_axes=1)(jnp.arange(count, len(units.alive)))


def _beam(
    kinds: UnitArrays,
    units: Units,
    shooters: slice,
    victims: slice,
) -> Bool[Array, "shooters victims"]:
    """The victims that each shooter's beam touches: a rectangle across the line of fire, centred on the target."""
    position = units.position
    centre = position[units.target[shooters]]
    line = centre - position[shooters]
    line = line / jnp.sqrt(jnp.sum(line**2, axis=-1, keepdims=True) + 1e-12)
    offset = position[None, victims] - centre[:, None]
    along = jnp.abs(offset[..., 0] * line[:, None, 0] + offset[..., 1] * line[:, None, 1])
    across = jnp.abs(offset[..., 1] * line[:, None, 0] - offset[..., 0] * line[:, None, 1])
    beyond_depth = jnp.maximum(along - kinds.splash_depth[shooters, None] / 2, 0.0)
    beyond_width = jnp.maximum(across - kinds.splash_width[shooters, None] / 2, 0.0)
    touches = beyond_depth**2 + beyond_width**2 <= kinds.radius[None, victims] ** 2
    return touches & (kinds.splash_width[shooters, None] > 0)


class _Damage(NamedTuple):
    """Points that each shot takes from each unit it hits."""

    shield: Float[Array, "shooters victims"]
    health: Float[Array, "shooters victims"]


def _damage(
    kinds: UnitArrays, units: Units, hit: Bool[Array, "shooters victims"], shooters: slice, victims: slice
) -> _Damage:
    """The damage of all hits: the shield absorbs first, unreduced; armour reduces each attack on health.

    Shots on one unit count in the order of their shooters' numbers. The order only decides which shot breaks the
    shield, a difference of at most one point of armour.
    """
    single, attacks = kinds.damage[shooters, victims], kinds.attacks[shooters, None]
    shield, armour = units.shield[victims], kinds.armour[victims]
    volley = jnp.where(hit, single * attacks, 0.0)
    before = jnp.cumsum(volley, axis=0) - volley
    to_health = jnp.zeros_like(volley)
    for attack in range(int(attacks.max())):
        absorbed = jnp.clip(shield - before - attack * single, 0.0, single)
        passed = jnp.maximum(single - absorbed - armour, 0.0)
        to_health += jnp.where(hit & (attack < attacks), passed, 0.0)
    return _Damage(jnp.clip(shield - before, 0.0, volley), to_health)
