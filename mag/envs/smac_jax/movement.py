"""How units walk.

straight at their goal, round the units that stand in the way, never into each other or into walls.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mag.envs.smac_jax.battle import Battle, Units
from mag.envs.smac_jax.terrain import head_for, push_out

CONTACT = 0.08
"""Gap below which a standing unit counts as in the way; less than the reach of a melee weapon."""
STANDING_GIVE = 0.1
"""How readily a standing unit is pushed aside, compared with a walking one."""


def walk(
    battle: Battle,
    units: Units,
    goal: Float[Array, "units 2"],
    walking: Bool[Array, " units"],
) -> Float[Array, "units 2"]:
    """Positions after one tick in which the `walking` units go towards their goals."""
    kinds, before = battle.kinds, units.position
    goal = head_for(battle.terrain, before, goal, kinds.climbs)
    speed = jnp.asarray(kinds.speed * battle.tick_seconds)
    way = goal - before
    distance = jnp.sqrt(jnp.sum(way**2, axis=-1))
    walking = walking & units.alive & (distance > 1e-4) & (kinds.speed > 0)
    direction = way / jnp.maximum(distance, 1e-4)[:, None]
    direction = _veer(battle, units, direction, walking)
    stride = jnp.where(walking, jnp.minimum(distance, speed), 0.0)
    position = _separate(battle, units.alive, before + direction * stride[:, None], walking)
    position = push_out(battle.terrain, position, before, kinds.radius, kinds.climbs)
    return jnp.where(units.alive[:, None], position, before)


def _pairs_collide(battle: Battle) -> Bool[np.ndarray, "units units"]:
    """Which pairs cannot pass through each other: Colossi stride over everything but Colossi."""
    climbs = battle.kinds.climbs
    return (climbs[:, None] == climbs[None]) & ~np.eye(len(climbs), dtype=bool)


def _veer(
    battle: Battle,
    units: Units,
    direction: Float[Array, "units 2"],
    walking: Bool[Array, " units"],
) -> Float[Array, "units 2"]:
    """Turns walkers aside from standing units right ahead.

    even units to the left, odd ones to the right, so crowds surround.
    """
    radius = battle.kinds.radius
    to_x = units.position[None, :, 0] - units.position[:, None, 0]
    to_y = units.position[None, :, 1] - units.position[:, None, 1]
    distance = jnp.sqrt(to_x**2 + to_y**2 + 1e-12)
    touching = distance < (radius[:, None] + radius[None] + CONTACT)
    in_the_way = touching & (units.alive & ~walking)[None] & _pairs_collide(battle)
    ahead = (direction[:, None, 0] * to_x + direction[:, None, 1] * to_y) / distance
    blocked = jnp.max(jnp.where(in_the_way, ahead, 0.0), axis=1, initial=0.0)[:, None]
    hand = jnp.asarray(np.where(np.arange(len(radius)) % 2 == 0, 1.0, -1.0).astype(np.float32))[:, None]
    aside = jnp.stack([-direction[:, 1], direction[:, 0]], axis=-1) * hand
    turned = (1.0 - blocked) * direction + blocked * aside
    return turned / jnp.sqrt(jnp.sum(turned**2, axis=-1, keepdims=True) + 1e-12)


def _separate(
    battle: Battle,
    alive: Bool[Array, " units"],
    position: Float[Array, "units 2"],
    walking: Bool[Array, " units"],
) -> Float[Array, "units 2"]:
    """Moves overlapping units apart along the line between them.

    walkers yield to standing units, buildings to nobody.
    """
    radius = battle.kinds.radius
    give = jnp.where(walking, 1.0, STANDING_GIVE) * (battle.kinds.speed > 0)
    share = give[:, None] / (give[:, None] + give[None] + 1e-6)
    touch = np.where(_pairs_collide(battle), radius[:, None] + radius[None], 0.0).astype(np.float32)
    from_x = position[:, None, 0] - position[None, :, 0]
    from_y = position[:, None, 1] - position[None, :, 1]
    distance = jnp.sqrt(from_x**2 + from_y**2 + 1e-12)
    overlap = jnp.maximum(touch - distance, 0.0) * (alive[:, None] & alive[None])
    push = share * overlap / distance
    return position + jnp.stack([jnp.sum(push * from_x, axis=1), jnp.sum(push * from_y, axis=1)], axis=-1)
