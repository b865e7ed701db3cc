"""SMAC's maps behind the adapter: sizes, masks, ends and wins. The game itself is tested in `smac_jax/`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs import smac_jax
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.multi_agent_env import JaxMarlSMAC
from mag.runtime import compile_options
from tests.support.episodes import check_same_key_same_episode

NO_OP, STOP, ATTACK = 0, 1, 6
STAY = jnp.array([STOP] * 3)
LIMIT = 12


@pytest.fixture(scope="module")
def battle():
    """3 Stalkers against 3 Zealots with a limit of 12 steps; reset and step are jitted once."""
    env = smac_jax.make("3s_vs_3z", episode_limit=LIMIT)
    options = compile_options()
    return env, jax.jit(env.reset, compiler_options=options), jax.jit(env.step, compiler_options=options)


def change(state, **fields):
    """`state` with other fields of its units (allies first)."""
    fields = {name: jnp.asarray(value, jnp.float32) for name, value in fields.items()}
    return state._replace(inner=state.inner._replace(units=state.inner.units._replace(**fields)))


def close_up(state, health):
    """`state` with this health, no shields, and each Stalker face to face with a Zealot; the dead have no health."""
    x = [14.0, 14.0, 14.0, 15.2, 15.2, 15.2]
    y = [12.0, 16.0, 20.0, 12.0, 16.0, 20.0]
    return change(state, position=np.stack([x, y], 1), health=health, shield=np.zeros(6))


def test_sizes_and_limits_are_smacs():
    # Agents, observation, state, actions, limit.
    spec = smac_jax.specs()["3s_vs_5z"]
    assert (spec.n_agents, spec.obs_dim, spec.state_dim, spec.n_actions, spec.episode_limit) == (3, 48, 68, 11, 250)
    assert (spec.has_masks, spec.has_wins) == (True, True)
    limits = {name: spec.episode_limit for name, spec in smac_jax.specs().items()}
    assert limits == {
        "2s_vs_1sc": 300,
        "2s3z": 120,
        "3s_vs_3z": 150,
        "3s_vs_4z": 200,
        "3s_vs_5z": 250,
        "2c_vs_64zg": 400,
        "corridor": 400,
        "3s5z_vs_3s6z": 170,
    }


def test_idle_play_is_truncated_at_the_limit(battle):
    env, reset, step = battle
    state, time_step = reset(jax.random.key(0))
    assert (bool(time_step.first), float(time_step.reward)) == (True, 0)
    for time in range(1, env.spec.episode_limit + 1):
        # Full health every step: nobody dies, whatever the enemies do.
        state, time_step = step(jax.random.key(time), change(state, health=[80] * 3 + [100] * 3), STAY)
        over = time == env.spec.episode_limit
        assert (bool(time_step.truncated), bool(time_step.terminated)) == (over, False)
        assert not bool(time_step.first | time_step.won)


@pytest.mark.parametrize("time", [0, LIMIT - 1])
def test_the_last_enemys_death_wins(battle, time):
    # At time 11 the limit is reached by the same step: a decision there is no truncation.
    _, reset, step = battle
    state = close_up(reset(jax.random.key(0))[0], [80, 80, 0, 1, 0, 0])._replace(time=jnp.int32(time))
    _, end = step(jax.random.key(1), state, jnp.array([ATTACK, ATTACK, NO_OP]))
    assert (bool(end.terminated), bool(end.truncated), bool(end.won)) == (True, False, True)
    # 1 point, 10 for the kill and 200 for the victory, of 3 * (150 + 10) + 200, times 20.
    np.testing.assert_allclose(end.reward, 211 * 20 / 680, rtol=1e-5)
    assert end.alive.tolist() == [True, True, False]


@pytest.mark.parametrize("time", [0, LIMIT - 1])
def test_the_last_allys_death_loses(battle, time):
    _, reset, step = battle
    state = close_up(reset(jax.random.key(0))[0], [1, 0, 0, 100, 100, 100])
    # The Zealots' shields are full and recover nothing.
    state = change(state, shield=[0, 0, 0, 50, 50, 50])._replace(time=jnp.int32(time))
    _, end = step(jax.random.key(1), state, STAY)
    assert (bool(end.terminated), bool(end.truncated), bool(end.won)) == (True, False, False)
    assert end.alive.tolist() == [False] * 3
    assert float(end.reward) == 0


def test_the_dead_only_do_nothing_and_the_living_attack_within_6(battle):
    _, reset, step = battle
    state, first = reset(jax.random.key(0))
    # Everyone starts alive, free to move and stop, with the enemies 14 units away.
    assert first.avail.tolist() == [[False] + [True] * 5 + [False] * 3] * 3
    state = close_up(state, [80, 80, 0, 100, 100, 0])
    _, later = step(jax.random.key(1), state, STAY)
    assert later.avail[2].tolist() == [True] + [False] * 8
    # Stalker 0 at y = 12, the two living Zealots at y = 12 and 16.
    assert later.avail[0].tolist() == [False] + [True] * 7 + [False]
    assert later.obs[2].tolist() == [0] * 36
    assert later.alive.tolist() == [True, True, False]


def test_state_is_smacs_and_ends_with_the_last_actions(battle):
    _, reset, step = battle
    state, first = reset(jax.random.key(0))
    assert first.state[-27:].tolist() == [0] * 27
    _, later = step(jax.random.key(1), state, jnp.array([2, 3, STOP]))
    np.testing.assert_array_equal(later.state[-27:].reshape(3, 9), np.eye(9)[[2, 3, STOP]])


def test_same_key_same_episode_under_scan_and_vmap(battle):
    check_same_key_same_episode(*battle, steps=LIMIT)


def test_jaxmarls_users_play_on_after_an_end():
    env = JaxMarlSMAC(dataclasses.replace(get_map("3s_vs_3z"), limit=2))
    assert env.action_space("ally_0").n == 9 and env.observation_space("ally_0").shape == (36,)
    first, state = env.reset(jax.random.key(0))
    north = {agent: 2 for agent in env.agents}
    moved, state, _, dones, _ = env.step(jax.random.key(1), state, north)
    assert not dones["__all__"] and not np.array_equal(moved["ally_0"], first["ally_0"])
    again, state, _, dones, infos = env.step(jax.random.key(2), state, north)
    # JaxMARL resets by itself: what is seen after the end is the next battle's start.
    assert dones["__all__"] and infos["truncated"] and int(state.step) == 0
    jax.tree.map(np.testing.assert_array_equal, again, first)
