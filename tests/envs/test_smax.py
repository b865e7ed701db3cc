"""SMAX behind the adapter: rosters, masks, ends and wins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs import smax
from tests.support.episodes import check_same_key_same_episode

STOP = 4
STAY = jnp.array([STOP] * 3)


@pytest.fixture(scope="module")
def battle():
    """3 Stalkers against 3 Zealots with a limit of 12 steps; reset and step are jitted once."""
    env = smax.make("3s_vs_3z", episode_limit=12)
    return env, jax.jit(env.reset), jax.jit(env.step)


def health(state, values):
    """`state` with other health (allies first); the dead are those with none."""
    values = jnp.array(values, jnp.float32)
    units = state.inner.state.replace(unit_health=values, unit_alive=values > 0)
    return state._replace(inner=state.inner.replace(state=units))


def close_up(state):
    """`state` with every unit within reach of the enemies, weapons ready."""
    x = jnp.array([14.0, 14.0, 14.0, 15.5, 15.5, 15.5])
    y = jnp.array([12.0, 16.0, 20.0, 12.0, 16.0, 20.0])
    units = state.inner.state.replace(unit_positions=jnp.stack([x, y], 1), unit_weapon_cooldowns=jnp.zeros(6))
    return state._replace(inner=state.inner.replace(state=units))


@pytest.mark.parametrize("map_name", list(smax.specs()))
def test_rosters_are_jaxmarls_where_it_has_them(map_name):
    smax.import_jaxmarl()
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    ours = smax._scenario(smax._MAPS[map_name])
    if map_name in ("3s_vs_3z", "3s_vs_4z", "corridor"):
        assert map_name not in MAP_NAME_TO_SCENARIO
        return
    theirs = MAP_NAME_TO_SCENARIO[map_name]
    np.testing.assert_array_equal(ours.unit_types, theirs.unit_types)
    for field in ("num_allies", "num_enemies", "smacv2_position_generation", "smacv2_unit_type_generation"):
        assert getattr(ours, field) == getattr(theirs, field)


def test_every_roster_of_jaxmarl_can_be_made():
    smax.import_jaxmarl()
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    assert set(MAP_NAME_TO_SCENARIO) <= set(smax.specs())


def test_limits_are_smacs():
    limits = {name: spec.episode_limit for name, spec in smax.specs().items()}
    expected = {"2s3z": 120, "3s_vs_3z": 150, "3s_vs_4z": 200, "3s_vs_5z": 250, "corridor": 400}
    assert limits | expected | {"3s5z_vs_3s6z": 170} == limits


def test_idle_play_is_truncated_at_the_limit(battle):
    env, reset, step = battle
    state, time_step = reset(jax.random.key(0))
    assert (bool(time_step.first), float(time_step.reward)) == (True, 0)
    for time in range(1, env.spec.episode_limit + 1):
        # Full health every step: nobody dies, whatever the enemies do.
        state = health(state, [160] * 3 + [150] * 3)
        state, time_step = step(jax.random.key(time), state, STAY)
        over = time == env.spec.episode_limit
        assert (bool(time_step.truncated), bool(time_step.terminated)) == (over, False)
        assert not bool(time_step.first | time_step.won)


@pytest.mark.parametrize("time", [0, 11])
def test_the_last_enemys_death_wins(battle, time):
    # At time 11 the limit is reached by the same step: a decision there is no truncation.
    _, reset, step = battle
    state, _ = reset(jax.random.key(0))
    state = close_up(health(state, [160, 160, 0, 1, 0, 0]))._replace(time=jnp.int32(time))
    _, end = step(jax.random.key(1), state, jnp.array([5, 5, STOP]))
    assert (bool(end.terminated), bool(end.truncated), bool(end.won)) == (True, False, True)
    # The share of health taken, 1 of 150 over 3 enemies, and 1 for the win.
    np.testing.assert_allclose(end.reward, 1 + 1 / 150 / 3, rtol=1e-5)
    assert end.alive.tolist() == [True, True, False]


@pytest.mark.parametrize("time", [0, 11])
def test_the_last_allys_death_loses(battle, time):
    _, reset, step = battle
    state, _ = reset(jax.random.key(0))
    state = close_up(health(state, [1, 0, 0, 150, 150, 150]))._replace(time=jnp.int32(time))
    _, end = step(jax.random.key(1), state, STAY)
    assert (bool(end.terminated), bool(end.truncated), bool(end.won)) == (True, False, False)
    assert end.alive.tolist() == [False] * 3
    assert float(end.reward) == 0


def test_a_draw_ends_without_a_win(battle):
    _, reset, step = battle
    state, _ = reset(jax.random.key(0))
    state = close_up(health(state, [1, 0, 0, 1, 0, 0]))
    _, end = step(jax.random.key(1), state, jnp.array([5, STOP, STOP]))
    assert (bool(end.terminated), bool(end.truncated), bool(end.won)) == (True, False, False)


def test_the_dead_only_stop_and_the_living_shoot_what_they_reach(battle):
    _, reset, step = battle
    state, first = reset(jax.random.key(0))
    # Everyone starts alive, free to move and stop, with the enemies 16 units away.
    assert first.avail.tolist() == [[True] * 5 + [False] * 3] * 3
    state = close_up(health(state, [160, 160, 0, 150, 150, 0]))
    _, later = step(jax.random.key(1), state, STAY)
    assert later.avail[2].tolist() == [False] * 4 + [True] + [False] * 3
    assert later.avail[0].tolist() == [True] * 7 + [False]
    assert later.obs[2].tolist() == [0] * 75
    assert later.alive.tolist() == [True, True, False]


def test_state_is_smaxs_world_state(battle):
    env, reset, _ = battle
    state, first = reset(jax.random.key(3))
    np.testing.assert_array_equal(first.state, env._env.get_world_state(state.inner))


def test_same_key_same_episode_under_scan_and_vmap(battle):
    check_same_key_same_episode(*battle, steps=12)
