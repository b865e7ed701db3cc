"""Unwalkable ground, ways round it, and crowds."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax import MAPS, SMAC, Rect
from mag.envs.smac_jax.rules import step_units
from mag.envs.smac_jax.terrain import head_for, is_walkable, make_terrain, push_out

WALL = (Rect(16, 10, 18, 22),)
RADIUS = np.array([0.5], np.float32)
GROUND = np.array([False])


@pytest.mark.parametrize("name", MAPS)
def test_units_start_on_walkable_ground(name: str) -> None:
    terrain = make_terrain(MAPS[name])
    assert bool(jnp.all(is_walkable(terrain, jnp.asarray(MAPS[name].start_positions()))))


def test_cells_are_half_open(make_env: Callable[..., SMAC]) -> None:
    terrain = make_env([("zealot", 4, 4)], [("zealot", 8, 8)], walls=WALL).battle.terrain
    points = jnp.array([[15.99, 12.0], [16.0, 12.0], [17.99, 12.0], [18.0, 12.0], [-0.1, 3.0], [31.9, 32.0]])
    np.testing.assert_array_equal(is_walkable(terrain, points), [True, False, False, True, False, False])


def test_push_out(make_env: Callable[..., SMAC]) -> None:
    terrain = make_env([("zealot", 4, 4)], [("zealot", 8, 8)], walls=WALL).battle.terrain
    before = jnp.array([[15.0, 12.0]])
    # The rim would be 0.3 inside the wall: back to x = 16 - 0.5.
    np.testing.assert_allclose(push_out(terrain, jnp.array([[15.8, 12.0]]), before, RADIUS, GROUND), [[15.5, 12.0]])
    # The centre would be inside: it stays.
    np.testing.assert_allclose(push_out(terrain, jnp.array([[16.4, 12.0]]), before, RADIUS, GROUND), before)
    # The map's edge.
    np.testing.assert_allclose(push_out(terrain, jnp.array([[0.1, 33.0]]), before, RADIUS, GROUND), [[0.5, 31.5]])


def test_cliffs_stop_all_but_climbers() -> None:
    terrain = SMAC("2c_vs_64zg").battle.terrain
    there, before = jnp.array([[16.0, 13.0]]), jnp.array([[16.0, 15.0]])
    np.testing.assert_allclose(push_out(terrain, there, before, RADIUS, GROUND), before)
    np.testing.assert_allclose(push_out(terrain, there, before, RADIUS, ~GROUND), there)
    assert not bool(is_walkable(terrain, there)[0])  # as in SMAC's pathing grid, Colossi too may not choose it


def test_ways_lead_round_walls() -> None:
    terrain = SMAC("2c_vs_64zg").battle.terrain
    # From below the cliff to above it: first to one of its ends, beyond x = 4 or x = 28.
    point = jnp.array([[20.0, 10.0]])
    for _ in range(6):
        point = head_for(terrain, point, jnp.array([[20.0, 15.5]]), GROUND)
        if float(point[0, 1]) > 12:
            break
    assert float(point[0, 0]) > 28
    straight = head_for(terrain, jnp.array([[20.0, 10.0]]), jnp.array([[20.0, 15.5]]), ~GROUND)
    np.testing.assert_allclose(straight, [[20.0, 15.5]])
    assert SMAC("3s_vs_5z").battle.terrain.waypoints is None  # open ground needs none


def walk_enemies(env: SMAC, steps: int) -> np.ndarray:
    """Positions of all units after every step in which the allies stand still."""
    _, state = env.reset(jax.random.key(0))
    stop = jnp.ones(env.num_agents, jnp.int32)

    def body(units, key):
        units = step_units(env.battle, key, units, stop)
        return units, units.position

    _, positions = jax.lax.scan(body, state.units, jax.random.split(jax.random.key(1), steps))
    return np.asarray(positions)


def test_enemies_walk_round_a_wall(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 4, 4)], [("zealot", 24, 16)], attack_point=(10, 16), walls=WALL)
    positions = walk_enemies(env, 20)[:, 1]
    # 10 steps' walk of 1.575 each is not enough on the straight way of 14 round the corner at y = 10 or 22;
    # 20 are.
    assert np.linalg.norm(positions[-1] - [10, 16]) < 0.5


def test_two_zealots_shoulder_to_shoulder_stop_zerglings(make_env: Callable[..., SMAC]) -> None:
    # A gap 2 wide, filled by two Zealots: nobody may squeeze through, though all push.
    walls = (Rect(14, 0, 16, 15), Rect(14, 17, 16, 32))
    zerglings = [("zergling", 18 + i % 3, 14.5 + i // 3) for i in range(9)]
    env = make_env([("zealot", 15, 15.5), ("zealot", 15, 16.5)], zerglings, attack_point=(4, 16), walls=walls)
    assert np.all(walk_enemies(env, 8)[:, 2:, 0] > 15)
