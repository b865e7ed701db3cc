"""Sizes, layouts, masks and reward are SMAC's."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax.battle import Units, start_units
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.maps import Rect
from mag.envs.smac_jax.observe import available_actions, max_reward, observations, team_reward, world_state
from mag.errors import UsageError
from tests.support.smac_play import jit, smac

# map: allies, enemies, limit, observation, state, actions (SMAC's own figures)
SIZES = {
    "2s_vs_1sc": (2, 1, 300, 17, 27, 7),
    "2s3z": (5, 5, 120, 80, 120, 11),
    "3s_vs_3z": (3, 3, 150, 36, 54, 9),
    "3s_vs_4z": (3, 4, 200, 42, 61, 10),
    "3s_vs_5z": (3, 5, 250, 48, 68, 11),
    "2c_vs_64zg": (2, 64, 400, 332, 342, 70),
    "corridor": (6, 24, 400, 156, 282, 30),
    "3s5z_vs_3s6z": (8, 9, 170, 136, 230, 15),
}


def seen(env: SMAC, units: Units) -> jax.Array:
    """Every agent's observation."""
    return observations(env.battle, env.layout, units, available_actions(env.battle, units))


def test_all_maps_are_there() -> None:
    assert set(MAP_NAMES) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    env = smac(name)
    attributes = (
        env.num_agents,
        env.num_enemies,
        env.max_steps,
        env.obs_size,
        env.state_size,
        env.num_actions,
    )
    assert attributes == SIZES[name]
    obs, state = jax.eval_shape(env.reset, jax.random.key(0))
    assert {obs[agent].shape for agent in env.agents} == {(env.obs_size,)}
    assert obs["world_state"].shape == (env.state_size,)
    available = jax.eval_shape(env.get_avail_actions, state)
    assert {available[agent].shape for agent in env.agents} == {(env.num_actions,)}
    assert env.agents == [f"ally_{i}" for i in range(env.num_agents)]


def test_unknown_map_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown map '3x'.*corridor"):
        SMAC("3x")


def test_observation_feature_by_feature(make_env: Callable[..., SMAC]) -> None:
    env = make_env(
        [("stalker", 10, 16), ("zealot", 12, 16)],
        [("stalker", 14.5, 16), ("zealot", 10, 8.5), ("zealot", 10, 30)],
    )
    units = start_units(env.battle)._replace(
        health=jnp.array([40.0, 100.0, 80.0, 25.0, 100.0]), shield=jnp.array([20.0, 50.0, 60.0, 0.0, 50.0])
    )
    got = jit(partial(seen, env))(units)
    # movable north, south, east, west; then per enemy attackable, distance, dx, dy in nines, health,
    # shield, type.
    # SMAC's one-hot of enemies is (Zealot, Stalker), of allies (Stalker, Zealot).
    expected = [
        [1, 1, 1, 1],
        [1, 4.5 / 9, 4.5 / 9, 0, 1, 60 / 80, 0, 1],  # 4.5 away: within 6
        [0, 7.5 / 9, 0, -7.5 / 9, 25 / 100, 0, 1, 0],  # 7.5 away: seen, not attackable
        [0] * 8,  # 14 away: not seen
        [1, 2 / 9, 2 / 9, 0, 1, 1, 0, 1],  # the other ally: visible, ...
        [40 / 80, 20 / 80, 1, 0],  # itself
    ]
    np.testing.assert_allclose(got[0], np.concatenate(expected), atol=1e-6)


def test_dead_agents_see_nothing_and_are_not_seen(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 10, 16), ("stalker", 12, 16)], [("zealot", 15, 16)])
    units = start_units(env.battle)._replace(health=jnp.array([80.0, 0.0, 100.0]))
    available = jit(partial(available_actions, env.battle))(units)
    got = jit(partial(seen, env))(units)
    np.testing.assert_array_equal(got[1], 0.0)
    np.testing.assert_array_equal(got[0, 10:16], 0.0)  # the ally's block after 4 moves and 6 enemy features
    np.testing.assert_array_equal(available[1], [1, 0, 0, 0, 0, 0, 0])
    state_vector = jit(partial(world_state, env.battle, env.layout))(units, jnp.array([6, 0]))
    np.testing.assert_array_equal(state_vector[5:10], 0.0)


def test_state_feature_by_feature(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 8, 16)], [("zergling", 20, 24)])
    units = start_units(env.battle)._replace(
        health=jnp.array([40.0, 7.0]), shield=jnp.array([20.0, 0.0]), cooldown=jnp.array([1.25, 0.2])
    )
    show = jit(partial(world_state, env.battle, env.layout))
    got = show(units, jnp.array([6]))
    expected = [
        # Health, then the cooldown: 1.25 s * 22.4 = 28 game loops, which SMAC divides by 35 for a Stalker. Then x and y
        # from the map's centre at (16, 16), and the shield.
        [0.5, 28 / 35, -8 / 32, 0, 0.25],
        [7 / 35, 4 / 32, 8 / 32],  # Zerg: no shield column
        [0, 0, 0, 0, 0, 0, 1],  # attacked enemy 0
    ]
    np.testing.assert_allclose(got, np.concatenate(expected), atol=1e-6)
    np.testing.assert_array_equal(show(units, jnp.array([-1]))[-7:], 0.0)  # no last action yet


def test_mask_follows_distance_walls_and_edges(make_env: Callable[..., SMAC]) -> None:
    walls = (Rect(16, 0, 20, 32),)
    env = make_env([("stalker", 15.2, 31.3)], [("zealot", 9.2, 31.3), ("zealot", 9.1, 31.3)], walls=walls)
    _, state = env.reset(jax.random.key(0))
    # north leaves the map, east is a wall (cell 16), enemy 0 is 6.0 away, enemy 1 is 6.1 away
    got = env.get_avail_actions(state)["ally_0"]
    np.testing.assert_array_equal(got, [0, 1, 0, 1, 0, 1, 1, 0])


def test_west_and_south_of_the_first_cell_are_asked_for_at_the_first_cell(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 0.6, 0.7)], [("zealot", 20, 20)])
    _, state = env.reset(jax.random.key(0))
    # int(0.6 - 1) is 0, not -1: west, and likewise south, is the agent's own cell, which is free.
    np.testing.assert_array_equal(env.get_avail_actions(state)["ally_0"][2:6], [1, 1, 1, 1])
    at_one = state._replace(units=state.units._replace(position=jnp.array([[1.0, 0.7], [20, 20]])))
    np.testing.assert_array_equal(env.get_avail_actions(at_one)["ally_0"][2:6], [1, 1, 1, 1])  # int(0.0)
    walls = (Rect(0, 0, 1, 4),)
    env = make_env([("stalker", 1.6, 1.7)], [("zealot", 20, 20)], walls=walls)
    _, state = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(env.get_avail_actions(state)["ally_0"][2:6], [1, 1, 1, 0])  # cell (0, 1) is a wall


def test_max_reward_is_smacs() -> None:
    # 3s_vs_5z: 5 Zealots of 100 + 50, 10 per kill, 200 for the win
    assert max_reward(smac("3s_vs_5z").battle) == 5 * 150 + 50 + 200


def test_reward_of_hits_kills_recovery_and_victory(make_env: Callable[..., SMAC]) -> None:
    env = make_env([("stalker", 8, 16)], [("zealot", 20, 16)])
    before = start_units(env.battle)._replace(health=jnp.array([80.0, 30.0]), shield=jnp.array([80.0, 10.0]))
    scale = 20 / (150 + 10 + 200)

    def reward(health: float, shield: float, won: bool) -> float:
        after = before._replace(health=jnp.array([1.0, health]), shield=jnp.array([0.0, shield]))
        return float(team_reward(env.battle, before, after, jnp.bool_(won)))

    assert reward(25, 0, False) == pytest.approx(15 * scale)  # own losses do not count
    assert reward(0, 0, True) == pytest.approx((40 + 10 + 200) * scale)
    assert reward(30, 12, False) == pytest.approx(2 * scale)  # SMAC's absolute value pays for recovery
