"""Unwalkable ground, ways round it, and crowds."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from mag.envs.smac_jax.battle import start_units
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import MAP_NAMES, get_map
from mag.envs.smac_jax.maps import Rect
from mag.envs.smac_jax.rules import step_units
from mag.envs.smac_jax.terrain import Terrain, head_for, is_walkable, push_out
from tests.support.smac_play import jit, smac

WALL = (Rect(16, 10, 18, 22),)
RADIUS = np.array([0.5], np.float32)
GROUND = np.array([False])


def pushed(terrain: Terrain, position: Array, before: Array, radius: np.ndarray, climbs: np.ndarray) -> Array:
    """`push_out`, compiled."""
    return jit(lambda position: push_out(terrain, position, before, radius, climbs))(position)


def walkable(terrain: Terrain, points: Array) -> np.ndarray:
    """`is_walkable`, compiled."""
    return np.asarray(jit(partial(is_walkable, terrain))(points))


@pytest.mark.parametrize("name", MAP_NAMES)
def test_units_start_on_walkable_ground(name: str) -> None:
    terrain = smac(name).battle.terrain
    assert bool(jnp.all(walkable(terrain, jnp.asarray(get_map(name).start_positions()))))


def test_cells_are_half_open(make_env: Callable[..., SMAC]) -> None:
    terrain = make_env([("zealot", 4, 4)], [("zealot", 8, 8)], walls=WALL).battle.terrain
    points = jnp.array([[15.99, 12.0], [16.0, 12.0], [17.99, 12.0], [18.0, 12.0], [-0.1, 3.0], [31.9, 32.0]])
    np.testing.assert_array_equal(walkable(terrain, points), [True, False, False, True, False, False])


def test_push_out(make_env: Callable[..., SMAC]) -> None:
    terrain = make_env([("zealot", 4, 4)], [("zealot", 8, 8)], walls=WALL).battle.terrain
    before = jnp.array([[15.0, 12.0]])
    # The rim would be 0.3 inside the wall: back to x = 16 - 0.5.
    np.testing.assert_allclose(pushed(terrain, jnp.array([[15.8, 12.0]]), before, RADIUS, GROUND), [[15.5, 12.0]])
    # The centre would be inside: it stays.
    np.testing.assert_allclose(pushed(terrain, jnp.array([[16.4, 12.0]]), before, RADIUS, GROUND), before)
    # The map's edge.
    np.testing.assert_allclose(pushed(terrain, jnp.array([[0.1, 33.0]]), before, RADIUS, GROUND), [[0.5, 31.5]])


def test_cliffs_stop_all_but_climbers() -> None:
    terrain = smac("2c_vs_64zg").battle.terrain
    there, before = jnp.array([[16.0, 13.0]]), jnp.array([[16.0, 15.0]])
    np.testing.assert_allclose(pushed(terrain, there, before, RADIUS, GROUND), before)
    np.testing.assert_allclose(pushed(terrain, there, before, RADIUS, ~GROUND), there)
    assert not bool(walkable(terrain, there)[0])  # as in SMAC's pathing grid, Colossi too may not choose it


def test_ways_lead_round_walls() -> None:
    terrain = smac("2c_vs_64zg").battle.terrain
    # From below the cliff to above it: first to one of its ends, beyond x = 4 or x = 28.
    point = jnp.array([[20.0, 10.0]])
    for _ in range(6):
        point = head_for(terrain, point, jnp.array([[20.0, 15.5]]), GROUND)
        if float(point[0, 1]) > 12:
            break
    assert float(point[0, 0]) > 28
    straight = head_for(terrain, jnp.array([[20.0, 10.0]]), jnp.array([[20.0, 15.5]]), ~GROUND)
    np.testing.assert_allclose(straight, [[20.0, 15.5]])
    assert smac("3s_vs_5z").battle.terrain.waypoints is None  # open ground needs none


def walk_enemies(env: SMAC, steps: int) -> np.ndarray:
    """Positions of all units after every step in which the allies stand still."""
    stop = jnp.ones(env.num_agents, jnp.int32)

    def body(units, key):
        units = step_units(env.battle, key, units, stop)
        return units, units.position

    keys = jax.random.split(jax.random.key(1), steps)
    return np.asarray(jit(lambda units: jax.lax.scan(body, units, keys)[1])(start_units(env.battle)))


def test_enemies_walk_round_a_wall(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 4, 4)], [("zealot", 24, 16)], attack_point=(10, 16), walls=WALL)
    positions = walk_enemies(env, 24)[:, 1]
    # From (24, 16) round the corners (18, 22) and (16, 22) to (10, 16): 8.5 + 2 + 8.5, and a little more with half a
    # Zealot's width. A step goes 3.15 * 8 / 22.4 = 1.125, so 24 steps go 27.
    assert np.linalg.norm(positions[-1] - [10, 16]) < 0.5


def test_two_zealots_shoulder_to_shoulder_stop_zerglings(make_env: Callable[..., SMAC]) -> None:
    # A gap 2 wide, filled by two Zealots: nobody may squeeze through, though all push.
    walls = (Rect(14, 0, 16, 15), Rect(14, 17, 16, 32))
    zerglings = [("zergling", 18 + i % 3, 14.5 + i // 3) for i in range(9)]
    env = make_env([("zealot", 15, 15.5), ("zealot", 15, 16.5)], zerglings, attack_point=(4, 16), walls=walls)
    assert np.all(walk_enemies(env, 12)[:, 2:, 0] > 15)


def test_a_crowd_closes_in_on_all_sides(make_env: Callable[..., SMAC]) -> None:
    # Round a Zealot of radius 0.5 there is room for 2 pi (0.5 + 0.375) / 0.75 = 7 Zerglings; three abreast come from
    # one side, the rear ones behind those who fight. 10 steps are 3.6 s, in which one can run 15.
    zerglings = [("zergling", 17 + i // 3, 15 + i % 3) for i in range(9)]
    env = make_env([("zealot", 13, 16)], zerglings, attack_point=(13, 16))
    last = walk_enemies(env, 10)[-1]
    strikes = np.linalg.norm(last[1:] - last[0], axis=1) <= 0.1 + 0.5 + 0.375 + 1e-4
    assert strikes.sum() >= 6
    assert last[1:][strikes][:, 0].min() < 13 < last[1:][strikes][:, 0].max()
