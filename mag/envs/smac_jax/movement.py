"""Movement: units walk straight to their goal, round standing units, and never into each other or into walls."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mag.envs.smac_jax.battle import Battle, Units
from mag.envs.smac_jax.terrain import head_for, push_out

CONTACT = 0.08
"""Gap below which a standing unit is in the way; smaller than the reach of a melee weapon."""
HEAD_ON = 0.7
"""Sine of the angle to a unit in the way below which a walker turns to the freer side; above, it slides past."""
STANDING_GIVE = 0.01
"""Weight of a standing unit when two overlapping units are moved apart; a walking unit's is 1."""
HELD_UP = 0.25
"""Share of a full stride below which a walker counts as blocked."""
ROUNDS = 3
"""Rounds of moving overlapping units apart. More rounds leave less overlap in crowds and take longer."""
IN_FRONT = 0.5
"""Cosine above which a walker is ahead of another, which queues behind it."""
TINY = 1e-6
NOTHING = -1e9
"""Hindrance of units that are not in the way."""


class _Pairs(NamedTuple):
    """Geometry of all pairs, with one row per other unit and one column per walker."""

    normal_x: Float[Array, "others units"]
    """x of the unit vector from walker to other."""
    normal_y: Float[Array, "others units"]
    distance: Float[Array, "others units"]
    touch: Float[np.ndarray, "others units"]
    """Distance at which the two touch."""
    stands: Bool[Array, "others units"]
    """Whether the other is an obstacle: it stands and collides with the walker."""

    def along(self, x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "others units"]:
        """Component towards the other unit of the walkers' vectors [units] or the others' vectors [others, 1]."""
        return x * self.normal_x + y * self.normal_y


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
    full_stride = kinds.speed * battle.tick_seconds
    # A blocked walker is an obstacle, too: units behind a crowd walk round it instead of waiting.
    pairs = _pairs(battle, units, units.alive & ~(walking & (units.pace > HELD_UP * full_stride)))
    x, y = _veer(pairs, direction[:, 0], direction[:, 1])
    stride = jnp.minimum(jnp.minimum(length, full_stride), _room(pairs, x, y))
    stride = jnp.where(walking, stride, 0.0)
    stride = jnp.minimum(stride, _queue(pairs, x, y, stride, walking))
    position = before + stride[:, None] * jnp.stack([x, y], axis=-1)
    shares = _shares(battle, units.alive, walking)
    for _ in range(ROUNDS):
        position = _separate(battle, shares, position)
        position = push_out(battle.terrain, position, before, kinds.radius, kinds.climbs)
    return jnp.where(units.alive[:, None], position, before)


def _pairs(battle: Battle, units: Units, standing: Bool[Array, " units"]) -> _Pairs:
    """Geometry of all pairs; `standing` units are obstacles."""
    x, y = units.position[:, 0], units.position[:, 1]
    to_x, to_y = x[:, None] - x, y[:, None] - y
    distance = jnp.sqrt(to_x**2 + to_y**2 + TINY)
    stands = standing[:, None] & np.isfinite(battle.touch)
    return _Pairs(to_x / distance, to_y / distance, distance, battle.touch, stands)


def _veer(
    pairs: _Pairs, x: Float[Array, " units"], y: Float[Array, " units"]
) -> tuple[Float[Array, " units"], Float[Array, " units"]]:
    """The walkers' directions, turned along the rim of the standing unit in the way.

    A walker that meets the unit head-on turns to the side where fewer others stand, so that a crowd splits and closes
    in from both sides instead of jamming.
    """
    ahead = pairs.along(x, y)
    left = pairs.along(-y, x)
    crowd = jnp.sum(jnp.where(pairs.stands, left / pairs.distance, 0.0), axis=0)
    hand = jnp.where(crowd > 0, -1.0, 1.0)
    in_the_way = pairs.stands & (ahead > 0) & (pairs.distance < pairs.touch + CONTACT)
    # Among several units, the one on the freer side counts more: this leads out of the notch between two.
    hindrance = jnp.where(in_the_way, ahead + 0.3 * hand * left, NOTHING)
    most = jnp.max(hindrance, axis=0)
    blocked = most > NOTHING
    turn = jnp.where(jnp.abs(left) < HEAD_ON, hand, -jnp.sign(left))
    turn = jnp.where(in_the_way & (hindrance >= most), turn, 0.0)
    aside_x, aside_y = -jnp.sum(turn * pairs.normal_y, axis=0), jnp.sum(turn * pairs.normal_x, axis=0)
    length = jnp.sqrt(aside_x**2 + aside_y**2 + TINY)
    return jnp.where(blocked, aside_x / length, x), jnp.where(blocked, aside_y / length, y)


def _room(pairs: _Pairs, x: Float[Array, " units"], y: Float[Array, " units"]) -> Float[Array, " units"]:
    """Distance that each unit can walk before it touches a standing unit."""
    ahead = pairs.along(x, y) * pairs.distance
    # Distance s with |s direction - offset| = touch: s = ahead - sqrt(ahead^2 + touch^2 - distance^2).
    inside = ahead**2 + pairs.touch**2 - pairs.distance**2
    free = ahead - jnp.sqrt(jnp.maximum(inside, 0.0))
    meets = pairs.stands & (ahead > 1e-3) & (inside > 0)
    return jnp.min(jnp.where(meets, jnp.maximum(free, 0.0), jnp.inf), axis=0)


def _queue(
    pairs: _Pairs,
    x: Float[Array, " units"],
    y: Float[Array, " units"],
    stride: Float[Array, " units"],
    walking: Bool[Array, " units"],
) -> Float[Array, " units"]:
    """Distance that each unit can walk behind the walkers ahead, which walk `stride` themselves."""
    ahead = pairs.along(x, y)
    advance = pairs.along((stride * x)[:, None], (stride * y)[:, None])
    gap = jnp.maximum(pairs.distance - pairs.touch, 0.0)
    room = (gap + jnp.maximum(advance, 0.0)) / jnp.maximum(ahead, IN_FRONT)
    return jnp.min(jnp.where((ahead > IN_FRONT) & walking[:, None], room, jnp.inf), axis=0)


def _shares(
    battle: Battle, alive: Bool[Array, " units"], walking: Bool[Array, " units"]
) -> Float[Array, "others units"]:
    """Share of an overlap by which each unit moves: walkers yield to standing units, buildings never move."""
    give = jnp.where(walking, 1.0, STANDING_GIVE) * (battle.kinds.speed > 0)
    return jnp.where(alive[:, None] & alive, give / (give[:, None] + give + TINY), 0.0)


def _separate(
    battle: Battle, shares: Float[Array, "others units"], position: Float[Array, "units 2"]
) -> Float[Array, "units 2"]:
    """Positions with overlapping units moved apart along the line between them."""
    # Units on the very same spot part along x.
    order = np.arange(len(position), dtype=np.float32)
    x, y = position[:, 0], position[:, 1]
    from_x = x - x[:, None] + 1e-4 * np.sign(order - order[:, None])
    from_y = y - y[:, None]
    overlap = battle.touch * jax.lax.rsqrt(from_x**2 + from_y**2 + TINY) - 1.0  # in distances
    push = shares * jnp.maximum(overlap, 0.0)
    return position + jnp.stack([jnp.sum(push * from_x, axis=0), jnp.sum(push * from_y, axis=0)], axis=-1)
