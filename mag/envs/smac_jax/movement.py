"""How units walk: straight at their goal, round units that stand in the way, not into each other or into walls."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mag.envs.smac_jax.battle import Battle, Units
from mag.envs.smac_jax.terrain import head_for, push_out

CONTACT = 0.08
"""Gap below which a standing unit counts as in the way; less than the reach of a melee weapon."""
HEAD_ON = 0.7
"""Below this sine of the angle to a unit in its way a walker turns to its own side; else it slides past."""
STANDING_GIVE = 0.01
"""How readily a standing unit is pushed aside, compared with a walking one."""
ROUNDS = 3
"""Rounds of moving overlapping units apart; more leave less overlap in crowds and cost more."""
IN_FRONT = 0.5
"""Cosine within which a walker ahead is one to queue behind."""
TINY = 1e-6


class _Obstacles(NamedTuple):
    """Pairs (walker, other unit).

    normal_x, normal_y: the unit vector from walker to other. touch: the distance at which the two
    would touch. stands: whether the other stands in the walker's way.
    """

    normal_x: Float[Array, "units units"]
    normal_y: Float[Array, "units units"]
    distance: Float[Array, "units units"]
    touch: Float[np.ndarray, "units units"]
    stands: Bool[Array, "units units"]


def walk(
    battle: Battle,
    units: Units,
    goal: Float[Array, "units 2"],
    walking: Bool[Array, " units"],
) -> Float[Array, "units 2"]:
    """Positions after one tick in which the `walking` units go towards their goals."""
    kinds, before = battle.kinds, units.position
    way = head_for(battle.terrain, before, goal, kinds.climbs) - before
    length = jnp.sqrt(jnp.sum(way**2, axis=-1))
    walking = walking & units.alive & (length > 1e-4) & (kinds.speed > 0)
    direction = way / jnp.maximum(length, 1e-4)[:, None]
    obstacles = _obstacles(battle, units, walking)
    direction = _veer(obstacles, direction)
    stride = jnp.minimum(jnp.minimum(length, kinds.speed * battle.tick_seconds), _room(obstacles, direction))
    stride = jnp.where(walking, stride, 0.0)
    stride = jnp.minimum(stride, _queue(obstacles, direction, stride, walking))
    position = before + stride[:, None] * direction
    for _ in range(ROUNDS):
        position = _separate(battle, units.alive, position, walking)
        position = push_out(battle.terrain, position, before, kinds.radius, kinds.climbs)
    return jnp.where(units.alive[:, None], position, before)


def _touch_distance(battle: Battle) -> Float[np.ndarray, "units units"]:
    """Distance at which pairs touch; minus infinity for pairs that pass, as Colossi stride over all but Colossi."""
    climbs, radius = battle.kinds.climbs, battle.kinds.radius
    collide = (climbs[:, None] == climbs) & ~np.eye(len(climbs), dtype=bool)
    return np.where(collide, radius[:, None] + radius, -np.inf).astype(np.float32)


def _obstacles(battle: Battle, units: Units, walking: Bool[Array, " units"]) -> _Obstacles:
    """Geometry of all pairs, as seen from the row's unit."""
    to_x = units.position[None, :, 0] - units.position[:, None, 0]
    to_y = units.position[None, :, 1] - units.position[:, None, 1]
    distance = jnp.sqrt(to_x**2 + to_y**2 + TINY)
    stands = (units.alive & ~walking)[None, :]
    touch = _touch_distance(battle)
    return _Obstacles(to_x / distance, to_y / distance, distance, touch, stands & np.isfinite(touch))


def _veer(obstacles: _Obstacles, direction: Float[Array, "units 2"]) -> Float[Array, "units 2"]:
    """Turns walkers along the rim of the standing unit in their way.

    Whoever meets it head-on turns left if its number is even, else right, so that a crowd closes in
    on both sides.
    """
    count = len(direction)
    hand = np.where(np.arange(count) % 2 == 0, 1.0, -1.0).astype(np.float32)[:, None]
    normal_x, normal_y = obstacles.normal_x, obstacles.normal_y
    ahead = direction[:, None, 0] * normal_x + direction[:, None, 1] * normal_y
    left = direction[:, None, 0] * normal_y - direction[:, None, 1] * normal_x
    in_the_way = obstacles.stands & (ahead > 0) & (obstacles.distance < obstacles.touch + CONTACT)
    # Of several units the one on the walker's own side counts more, which leads out of the notch between two.
    hindrance = jnp.where(in_the_way, ahead + 0.3 * hand * left, -jnp.inf)
    worst = in_the_way & (hindrance >= jnp.max(hindrance, axis=1, keepdims=True))
    blocked = jnp.any(in_the_way, axis=1)
    turn = jnp.sum(jnp.where(worst, jnp.where(jnp.abs(left) < HEAD_ON, hand, -jnp.sign(left)), 0.0), axis=1)
    aside_x = -turn * jnp.sum(jnp.where(worst, normal_y, 0.0), axis=1)
    aside_y = turn * jnp.sum(jnp.where(worst, normal_x, 0.0), axis=1)
    aside = jnp.stack([aside_x, aside_y], axis=-1)
    aside = aside / jnp.sqrt(jnp.sum(aside**2, axis=-1, keepdims=True) + TINY)
    return jnp.where(blocked[:, None], aside, direction)


def _room(obstacles: _Obstacles, direction: Float[Array, "units 2"]) -> Float[Array, " units"]:
    """How far each unit can go before it touches a standing unit."""
    ahead = direction[:, None, 0] * obstacles.normal_x + direction[:, None, 1] * obstacles.normal_y
    ahead = ahead * obstacles.distance
    # Distance s with |s direction - offset| = touch: s = ahead - sqrt(ahead^2 + touch^2 - distance^2).
    inside = ahead**2 + obstacles.touch**2 - obstacles.distance**2
    free = ahead - jnp.sqrt(jnp.maximum(inside, 0.0))
    meets = obstacles.stands & (ahead > 1e-3) & (inside > 0)
    return jnp.min(jnp.where(meets, jnp.maximum(free, 0.0), jnp.inf), axis=1)


def _queue(
    obstacles: _Obstacles,
    direction: Float[Array, "units 2"],
    stride: Float[Array, " units"],
    walking: Bool[Array, " units"],
) -> Float[Array, " units"]:
    """How far each unit can go behind the walkers in front of it, which themselves go `stride` far."""
    normal_x, normal_y = obstacles.normal_x, obstacles.normal_y
    ahead = direction[:, None, 0] * normal_x + direction[:, None, 1] * normal_y
    advance = stride * (direction[:, 0] * normal_x + direction[:, 1] * normal_y)
    gap = jnp.maximum(obstacles.distance - obstacles.touch, 0.0)
    room = (gap + jnp.maximum(advance, 0.0)) / jnp.maximum(ahead, IN_FRONT)
    return jnp.min(jnp.where((ahead > IN_FRONT) & walking, room, jnp.inf), axis=1)


def _separate(
    battle: Battle,
    alive: Bool[Array, " units"],
    position: Float[Array, "units 2"],
    walking: Bool[Array, " units"],
) -> Float[Array, "units 2"]:
    """Moves overlapping units apart along the line between them.

    Walkers yield to standing units, buildings to nobody.
    """
    give = jnp.where(walking, 1.0, STANDING_GIVE) * (battle.kinds.speed > 0)
    share = give[:, None] / (give[:, None] + give + TINY)
    # Units on the very same spot part along x.
    order = np.arange(len(position), dtype=np.float32)
    from_x = position[:, None, 0] - position[None, :, 0] + 1e-4 * np.sign(order[:, None] - order)
    from_y = position[:, None, 1] - position[None, :, 1]
    distance = jnp.sqrt(from_x**2 + from_y**2 + TINY)
    overlap = jnp.where(alive[:, None] & alive, jnp.maximum(_touch_distance(battle) - distance, 0.0), 0.0)
    push = share * overlap / distance
    return position + jnp.stack([jnp.sum(push * from_x, axis=1), jnp.sum(push * from_y, axis=1)], axis=-1)
