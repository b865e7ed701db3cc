"""The rules of fighting and walking, against numbers worked out by hand."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax.battle import Units, start_units
from mag.envs.smac_jax.combat import hits, make_pairs, pick_targets, shoot
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import unit_types
from mag.envs.smac_jax.rules import Chance, give_orders, recover, step_units, tick
from tests.support.smac_play import jit

MakeEnv = Callable[..., SMAC]


def start(env: SMAC, **changes: Any) -> Units:
    """The units at the start, with some fields replaced."""
    return start_units(env.battle)._replace(**{name: jnp.asarray(value) for name, value in changes.items()})


def one_shot(make_env: MakeEnv, shooter: str, victim: str, shield: float) -> tuple[float, float]:
    """What one shot takes from a victim's shield and health."""
    env = make_env([(shooter, 10, 16)], [(victim, 14, 16)])
    units = start(env, target=[1, 0])
    units = units._replace(shield=units.shield.at[1].set(shield))
    after = shoot(env.battle, units, jnp.array([True, False]), jnp.array([0.0, 1.0]))
    return float(units.shield[1] - after.shield[1]), float(units.health[1] - after.health[1])


@pytest.mark.parametrize(
    ("shooter", "victim", "shield", "expected"),
    [
        ("stalker", "zealot", 50.0, (13, 0)),  # shields take the whole 13
        ("stalker", "zealot", 0.0, (0, 12)),  # 13 - 1 armour
        ("stalker", "zealot", 5.0, (5, 7)),  # 13 - 5 shield - 1 armour
        ("stalker", "stalker", 0.0, (0, 17)),  # 13 + 5 against armoured - 1
        ("stalker", "spine_crawler", 0.0, (0, 16)),  # 13 + 5 - 2
        ("zealot", "stalker", 80.0, (16, 0)),  # 2 x 8
        ("zealot", "stalker", 0.0, (0, 14)),  # 2 x (8 - 1)
        ("zealot", "stalker", 10.0, (10, 5)),  # 8 to the shield; then 2 to the shield and 6 - 1 to health
        ("zergling", "zealot", 0.0, (0, 4)),  # 5 - 1
        ("colossus", "zergling", 0.0, (0, 30)),  # 2 x (10 + 5 against light)
        ("spine_crawler", "stalker", 0.0, (0, 29)),  # 25 + 5 - 1
        ("marauder", "stalker", 0.0, (0, 19)),  # 10 + 10 - 1
    ],
)
def test_damage_of_one_shot(
    make_env: MakeEnv, shooter: str, victim: str, shield: float, expected: tuple[float, float]
) -> None:
    assert one_shot(make_env, shooter, victim, shield) == pytest.approx(expected)


def test_two_shots_share_a_shield(make_env: MakeEnv) -> None:
    env = make_env([("stalker", 10, 16), ("stalker", 10, 18)], [("zealot", 14, 16)])
    units = start(env, target=[2, 2, 0], shield=[80.0, 80.0, 20.0])
    after = jit(partial(shoot, env.battle))(units, jnp.array([True, True, False]), jnp.array([0.0, 0.5, 1.0]))
    # 13 of 20 shield, then 7 of the shield and 13 - 7 - 1 = 5 of health
    assert (float(after.shield[2]), float(after.health[2])) == (0.0, 95.0)


@pytest.mark.parametrize(("first", "fired"), [(0, [True, False]), (1, [True, True])])
def test_who_dies_before_its_turn_does_not_shoot(make_env: MakeEnv, first: int, fired: list[bool]) -> None:
    env = make_env([("stalker", 10, 16)], [("stalker", 14, 16)])
    units = start(env, target=[1, 0], health=[80.0, 10.0], shield=[0.0, 0.0])
    turn = jnp.array([0.0, 1.0]) if first == 0 else jnp.array([1.0, 0.0])
    after = shoot(env.battle, units, jnp.array([True, True]), turn)
    np.testing.assert_array_equal(after.fired, fired)
    assert float(after.health[1]) == 0.0
    assert float(after.health[0]) == (80.0 if first == 0 else 63.0)  # 13 + 5 - 1 = 17


def test_splash_victims(make_env: MakeEnv) -> None:
    # The beam lies across the line of fire (along y), 2.8 wide and 0.3 deep around the target at (15, 16);
    # a Zergling
    # (radius 0.375) is touched up to 1.4 + 0.375 = 1.775 across and 0.15 + 0.375 = 0.525 along.
    places = [(15, 16), (15, 17.7), (15, 14.2), (15.5, 16.5), (15.6, 16.0), (14.5, 15.2)]
    env = make_env([("colossus", 10, 16)], [("zergling", x, y) for x, y in places])
    by_allies, _ = jit(partial(hits, env.battle))(start(env, target=[1, *[-1] * 6]))
    np.testing.assert_array_equal(by_allies[0], [True, True, False, True, False, True])


@pytest.mark.parametrize(
    ("unit", "clock", "expected"),
    [
        # 1.336 s * 22.4 = 29.93 ticks: every 30 ticks. On SMAClite's clock 1.336 s * 16 = 21.4: every 22.
        ("stalker", 22.4, [1, 31, 61]),
        ("stalker", 16.0, [1, 23, 45, 67]),
    ],
)
def test_time_between_shots(make_env: MakeEnv, unit: str, clock: float, expected: list[int]) -> None:
    env = make_env([(unit, 10, 16)], [("spine_crawler", 15, 16)], clock=clock)
    units = start(env)
    orders = give_orders(env.battle, units, jnp.array([6]))
    units = units._replace(target=jnp.array([1, -1]))

    def one_tick(units: Units, _: None) -> tuple[Units, jax.Array]:
        after = tick(env.battle, units, orders, Chance(turn=jnp.array([0.0, 1.0]), delay=jnp.zeros(2)))
        # Neither dies meanwhile.
        return after._replace(health=units.health), after.health[1] < units.health[1] - 1

    _, shot = jit(lambda units: jax.lax.scan(one_tick, units, length=70))(units)
    assert (np.flatnonzero(shot) + 1).tolist() == expected


@pytest.mark.parametrize(("delay", "ticks"), [(0.0, -1), (0.5, 0.5), (1.0, 2)])
def test_reload_times_vary_from_shot_to_shot(make_env: MakeEnv, delay: float, ticks: float) -> None:
    env = make_env([("stalker", 10, 16)], [("spine_crawler", 15, 16)])
    units = start(env, target=[1, -1])
    battle = dataclasses.replace(env.battle, reload_varies=True)
    chance = Chance(turn=jnp.array([0.0, 1.0]), delay=jnp.full(2, delay))
    after = jit(partial(tick, battle))(units, give_orders(battle, units, jnp.array([6])), chance)
    assert float(after.cooldown[0]) == pytest.approx(1.336 + ticks / 22.4)


@pytest.mark.parametrize("clock", [16.0, 22.4])
def test_shields_recover_after_160_game_loops_on_any_clock(make_env: MakeEnv, clock: float) -> None:
    env = make_env([("stalker", 4, 4)], [("zealot", 28, 28)], clock=clock)
    units = start(env, shield=[10.0, 50.0], shield_wait=[160.0, 0.0])
    step = jit(partial(recover, env.battle))
    for _ in range(159):
        units = step(units)
    assert float(units.shield[0]) == 10.0
    for _ in range(16):  # 16 times 2/16 from the 160th tick on
        units = step(units)
    assert float(units.shield[0]) == pytest.approx(12.0)
    assert float(units.shield[1]) == 50.0  # full


def test_zerg_heal_and_the_dead_do_not(make_env: MakeEnv) -> None:
    env = make_env([("zealot", 4, 4)], [("zergling", 28, 28), ("zergling", 28, 26)])
    units = start(env, health=[50.0, 10.0, 0.0])
    step = jit(partial(recover, env.battle))
    for _ in range(56):
        units = step(units)
    # 56 ticks are 2.5 s at 0.38 per second.
    np.testing.assert_allclose(units.health, [50.0, 10.95, 0.0], rtol=1e-5)


@pytest.mark.parametrize(("clock", "far"), [(22.4, 1.475), pytest.param(16.0, 2.0, marks=pytest.mark.slow)])
def test_speed_and_move_amount(clock: float, far: float) -> None:
    # A Stalker goes 4.13 / 22.4 = 0.184 per game loop (SMAC's own 2.9531 / 16 = 0.185), so 8 * 0.184 = 1.475 per step.
    # With 16 ticks to the second it would be 2.065, but a move aims 2 away.
    env = SMAC("3s_vs_3z", ticks_per_second=clock)
    units = start(env)
    after = jit(partial(step_units, env.battle))(jax.random.key(1), units, jnp.array([5, 2, 1]))
    walked = np.asarray(after.position - units.position)
    np.testing.assert_allclose(walked[0], [-far, 0.0], atol=2e-3)
    np.testing.assert_allclose(walked[1], [0.0, far], atol=2e-3)
    np.testing.assert_allclose(walked[2], 0.0, atol=2e-3)


def test_attack_order_walks_into_range_and_strikes(make_env: MakeEnv) -> None:
    # A Zealot reaches 0.1 + 0.5 + 0.5 = 1.1; ordered to attack 5 away it walks and then stands there.
    env = make_env([("zealot", 10, 16)], [("spine_crawler", 15, 16)])
    units, step = start(env), jit(partial(step_units, env.battle))
    for seed in range(5):
        units = step(jax.random.key(seed), units, jnp.array([6]))
    reach = 15 - float(units.position[0, 0])
    assert 1.1 - 3.15 / 22.4 - 1e-3 <= reach <= 1.1 + 1e-5
    # Without an order it does not strike what it reaches.
    rested = units._replace(health=jnp.array([100.0, 300.0]), cooldown=jnp.zeros(2))
    struck, spared = (step(jax.random.key(5), rested, jnp.array([action])).health[1] for action in (6, 1))
    assert (float(struck) < 300, float(spared)) == (True, 300)


def test_enemies_pick_keep_and_drop_targets(make_env: MakeEnv) -> None:
    env = make_env([("stalker", 10, 16), ("stalker", 10, 21)], [("zealot", 13, 16)])
    pick = jit(lambda units: pick_targets(env.battle, units, make_pairs(env.battle, units.position)))

    def picked(**changes: Any) -> int:
        return int(pick(start(env, **changes))[2])

    assert picked() == 0  # 3 away, within 5 + 0.5
    assert picked(target=[-1, -1, 1]) == 0  # its old target is out of reach and does not fight back
    assert picked(target=[-1, 2, 1]) == 1  # it fights back: kept
    far = [[10.0, 16.0], [10.0, 21.0], [24.0, 16.0]]
    assert picked(position=far) == -1  # 14 away: nobody seen
    assert picked(position=far, target=[2, -1, -1]) == 0  # but shot at by ally 0
    assert picked(health=[0.0, 80.0, 100.0], target=[-1, -1, 0]) == -1  # dead; ally 1 is 5.8 away


def test_hunters_go_for_the_nearest_ally_wherever_it_is(make_env: MakeEnv) -> None:
    env = make_env([("stalker", 4, 16), ("stalker", 4, 28)], [("zealot", 28, 16)], hunt=True)
    step = jit(partial(step_units, env.battle))
    units = step(jax.random.key(0), start(env), jnp.array([1, 1]))
    # 24 away, far beyond 5 + 0.5; in 8 ticks it walks 3.15 * 8 / 22.4 = 1.125.
    assert int(units.target[2]) == 0
    assert float(units.position[2, 0]) == pytest.approx(28 - 1.125, abs=1e-3)
    moved = units._replace(position=jnp.array([[4.0, 4.0], [26.0, 28.0], [26.9, 16.0]]))
    assert int(step(jax.random.key(1), moved, jnp.array([1, 1])).target[2]) == 1


def test_every_unit_has_a_row() -> None:
    assert {
        "stalker",
        "zealot",
        "colossus",
        "zergling",
        "spine_crawler",
        "marine",
        "marauder",
        "hydralisk",
        "medivac",
        "baneling",
    } == set(unit_types())
