"""The rules of the game: one tick, and the eight ticks of an environment step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs.smac_jax.battle import NO_TARGET, TICKS_PER_STEP, Battle, Units
from mag.envs.smac_jax.combat import in_range, make_pairs, pick_targets, shoot
from mag.envs.smac_jax.movement import walk

SHIELD_WAIT = 160.0
"""Ticks without a hit until a shield recovers, whatever `ticks_per_second`: 10 s of 16 ticks (speed "normal")."""
SHIELD_RECOVERY = 2.0 / 16.0
"""Shield points regained per tick: 2 per second at game speed "normal"."""
RELOAD_VARIES = (-1.0, 2.0)
"""Range of the random change of a reload time, in ticks."""
MOVE_AMOUNT = 2.0
"""Distance at which a move action aims."""
NO_OP, STOP, NORTH, SOUTH, EAST, WEST, FIRST_ATTACK = range(7)
DIRECTIONS = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
"""Unit vectors of the moves north, south, east, west."""


class Orders(NamedTuple):
    """The allies' orders during a step."""

    goal: Float[Array, "agents 2"]
    """Destination of a moving ally."""
    moving: Bool[Array, " agents"]
    target: Int[Array, " agents"]
    """Number of the unit attacked; NO_TARGET for an ally that does not attack."""


class Chance(NamedTuple):
    """The random numbers of one tick, uniform in [0, 1)."""

    turn: Float[Array, " units"]
    """The order in which units act."""
    delay: Float[Array, " units"]
    """The variation of reload times, from shortest to longest."""


def give_orders(battle: Battle, units: Units, actions: Int[Array, " agents"]) -> Orders:
    """The orders that SMAC's action numbers stand for: a move aims 2 units away, an attack at an enemy."""
    moving = (actions >= NORTH) & (actions <= WEST)
    direction = jnp.asarray(DIRECTIONS)[jnp.clip(actions - NORTH, 0, 3)]
    target = jnp.where(actions >= FIRST_ATTACK, actions - FIRST_ATTACK + battle.num_allies, NO_TARGET)
    goal = units.position[: battle.num_allies] + MOVE_AMOUNT * direction
    return Orders(goal, moving, target.astype(jnp.int32))


def step_units(battle: Battle, key: PRNGKeyArray, units: Units, actions: Int[Array, " agents"]) -> Units:
    """The units after one environment step: the allies receive their orders, then eight ticks pass."""
    orders = give_orders(battle, units, actions)
    units = units._replace(target=units.target.at[: battle.num_allies].set(orders.target))
    chances = jax.random.uniform(key, (TICKS_PER_STEP, 2, len(units.health)))

    def one_tick(units: Units, chance: Float[Array, "2 units"]) -> tuple[Units, None]:
        return tick(battle, units, orders, Chance(*chance)), None

    units, _ = jax.lax.scan(one_tick, units, chances)
    return units


def tick(battle: Battle, units: Units, orders: Orders, chance: Chance) -> Units:
    """The units after one game tick: pick targets, walk, recover, shoot."""
    pairs = make_pairs(battle, units.position)
    units = units._replace(target=pick_targets(battle, units, pairs))
    in_reach = in_range(battle, units, pairs)
    goal, walking = _ways(battle, units, orders, in_reach)
    position = walk(battle, units, goal, walking)
    pace = jnp.sqrt(jnp.sum((position - units.position) ** 2, axis=-1))
    units = units._replace(position=position, pace=pace)
    units = recover(battle, units)
    ready = in_reach & units.alive & (units.cooldown <= 0)
    volley = shoot(battle, units, ready, chance.turn)
    shortest, longest = RELOAD_VARIES if battle.reload_varies else (0.0, 0.0)
    delay = (shortest + (longest - shortest) * chance.delay) * battle.tick_seconds
    return units._replace(
        shield=volley.shield,
        health=volley.health,
        cooldown=jnp.where(volley.fired, battle.kinds.cooldown + delay, units.cooldown),
        shield_wait=jnp.where(volley.struck, SHIELD_WAIT, units.shield_wait),
    )


def recover(battle: Battle, units: Units) -> Units:
    """The units after a tick of recovery: cooldowns run down, shields not hit for long enough recover, Zerg heal."""
    kinds = battle.kinds
    wait = jnp.maximum(units.shield_wait - 1.0, 0.0)
    shield = jnp.minimum(units.shield + SHIELD_RECOVERY * (wait <= 0), kinds.shield)
    health = jnp.minimum(units.health + kinds.regeneration * battle.tick_seconds, kinds.health)
    return units._replace(
        cooldown=jnp.maximum(units.cooldown - battle.tick_seconds, 0.0),
        shield_wait=wait,
        shield=jnp.where(units.alive, shield, units.shield),
        health=jnp.where(units.alive, health, units.health),
    )


def _ways(
    battle: Battle, units: Units, orders: Orders, in_reach: Bool[Array, " units"]
) -> tuple[Float[Array, "units 2"], Bool[Array, " units"]]:
    """Units' destinations, and which units walk: to a target out of reach, on a move order or on the attack-move."""
    count = battle.num_allies
    attacks = units.target >= 0
    target_place = units.position[jnp.maximum(units.target, 0)]
    marches = battle.attack_point is not None
    end = battle.start[count:] if battle.attack_point is None else battle.attack_point
    idle_goal = jnp.concatenate([orders.goal, jnp.broadcast_to(end, (battle.num_enemies, 2))])
    idle_walks = jnp.concatenate([orders.moving, jnp.full(battle.num_enemies, marches)])
    goal = jnp.where(attacks[:, None], target_place, idle_goal)
    return goal, jnp.where(attacks, ~in_reach, idle_walks)
