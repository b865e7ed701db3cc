"""Battles that show each agent its nearest enemy first are the same battles."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.envs import Enemies
from mag.envs.nearest_first import HostNearestFirst, as_numbered, in_order, order_of, with_nearest_first
from mag.envs.view import by_number, place
from mag.errors import UsageError
from mag.learning.parallel import seed_keys
from mag.play.host import HostPlayer
from mag.runs.api import Policy
from mag.types import TimeStep
from tests.support import host_envs

ENEMIES = Enemies(count=3, first_feature=1, features=3, offset=1, first_action=2)
"""Each observation is one number, three enemies of (health, dx, dy) and a last number."""
OBS = np.array(
    [
        [7, 0.1, 3, 4, 0.2, 0, -2, 0.3, 1, 1, 8],  # at distances 5, 2 and the root of 2
        [9, 0, 0, 0, 0.2, 3, 0, 0, 0, 0, 6],  # sees the second alone
    ]
)
AVAIL = np.array([[1, 0, 0, 1, 1], [1, 1, 0, 1, 0]], bool)


@pytest.mark.parametrize("xp", [np, jnp])
def test_the_nearest_enemy_comes_first_and_the_unseen_come_last(xp):
    timestep: Any = TimeStep(xp.asarray(OBS), xp.asarray(AVAIL), *[None] * 7)
    order = order_of(ENEMIES, timestep.obs)
    np.testing.assert_array_equal(order, [[2, 1, 0], [1, 0, 2]])
    shown = in_order(ENEMIES, order, timestep)
    np.testing.assert_allclose(shown.obs[0], [7, 0.3, 1, 1, 0.2, 0, -2, 0.1, 3, 4, 8])
    np.testing.assert_allclose(shown.obs[1], [9, 0.2, 3, 0, 0, 0, 0, 0, 0, 0, 6])
    np.testing.assert_array_equal(shown.avail, [[1, 0, 1, 1, 0], [1, 1, 1, 0, 0]])
    # Action 2 attacks the nearest, which is the third and the second enemy; others are no attacks.
    for action, meant in (([2, 2], [4, 3]), ([3, 4], [3, 4]), ([4, 0], [2, 0]), ([1, 3], [1, 2])):
        np.testing.assert_array_equal(as_numbered(ENEMIES, order, xp.asarray(action, np.int32)), meant)


@pytest.mark.parametrize("name", ["smac_jax/corridor", "smac_jax/3s5z_vs_3s6z", "smax/2s3z"])
def test_a_battle_is_the_same_in_either_order(name):
    plain, ordered = envs.make(name), envs.make(name, nearest_first=True)
    enemies: Any = plain.spec.enemies
    assert ordered.spec == dataclasses.replace(plain.spec, nearest_first=True) == with_nearest_first(envs.spec(name))

    def step(carry, key):
        (state, shown), (twin, seen) = carry
        action = jax.random.categorical(key, jnp.where(shown.avail, 0.0, -jnp.inf))
        meant = as_numbered(enemies, order_of(enemies, seen.obs), action)
        carry = ordered.step(key, state, action), plain.step(key, twin, meant)
        return carry, carry

    start = ordered.reset(jax.random.key(0)), plain.reset(jax.random.key(0))
    (state, shown), (twin, seen) = jax.jit(lambda keys: jax.lax.scan(step, start, keys)[1])(
        jax.random.split(jax.random.key(1), 40)
    )
    jax.tree.map(np.testing.assert_array_equal, state.inner, twin)
    assert seen.reward.sum() > 0
    for field in ("reward", "alive", "terminated", "won", "state"):
        np.testing.assert_array_equal(getattr(shown, field), getattr(seen, field))
    first, end = enemies.first_feature, enemies.first_feature + enemies.count * enemies.features
    pairs = np.asarray(shown.obs)[..., first:end].reshape(*shown.obs.shape[:2], enemies.count, -1)
    distance = np.square(pairs[..., enemies.offset : enemies.offset + 2]).sum(-1)
    distance = np.where(distance > 0, distance, np.inf)
    assert (distance[..., 1:] >= distance[..., :-1]).all() and np.isfinite(distance).any()
    np.testing.assert_array_equal(np.sort(shown.obs, -1), np.sort(seen.obs, -1))
    np.testing.assert_array_equal(np.sort(shown.avail, -1), np.sort(seen.avail, -1))


def test_the_enemies_of_one_agents_view_are_drawn_under_their_numbers():
    env: Any = envs.make("smac_jax/corridor", nearest_first=True)

    def play(key):
        def step(carry, key):
            state, shown = carry
            action = jax.random.categorical(key, jnp.where(shown.avail, 0.0, -jnp.inf))
            state, shown = env.step(key, state, action)
            return (state, shown), (env.view.frame(state), shown.obs)

        return jax.lax.scan(step, env.reset(key), jax.random.split(key, 30))[1]

    real, obs = jax.jit(play)(jax.random.key(0))

    def seen(real, obs):
        sight = env.view.sight(obs)
        drawn = place(by_number(sight, real), real, env.view.scene)
        return drawn, sight.seen[:, 6:].any(0).sum()

    drawn, count = jax.jit(jax.vmap(seen))(real, obs)
    enemies = np.asarray(drawn.health)[:, 6:] > 0
    np.testing.assert_array_equal(enemies.sum(1), count)
    assert (count > 10).any()
    np.testing.assert_allclose(drawn.position[:, 6:], real.position[:, 6:], atol=1e-4)
    np.testing.assert_allclose(drawn.health[:, 6:][enemies], real.health[:, 6:][enemies], atol=1e-3)


class FirstEnemy(eqx.Module):
    """Always attacks the first enemy."""

    def initial_carry(self, key):
        del key
        return jnp.zeros(())

    def act(self, key, carry, timestep, *, greedy):
        del key, timestep, greedy
        return jnp.ones(2, jnp.int32), carry


def test_host_environments_are_shown_in_order():
    # Whoever attacks its nearest in all of three steps is paid 3.
    returns = {}
    for nearest_first in (True, False):
        spec = dataclasses.replace(host_envs.spec_of("archers"), nearest_first=nearest_first)
        player = HostPlayer(spec, num_envs=2, steps=4)
        try:
            returns[nearest_first] = np.asarray(player.test(seed_keys(0, 1), FirstEnemy(), 6).returns)
        finally:
            player.close()
    np.testing.assert_allclose(returns[True], 3.0)
    assert returns[False].mean() < 2


@pytest.mark.parametrize("shown_in_order", [False, True])
def test_a_loaded_policy_takes_enemies_in_any_order(shown_in_order):
    env: Any = host_envs.make("archers")
    policy = Policy(FirstEnemy(), with_nearest_first(env.spec), key=jax.random.key(0))
    env = HostNearestFirst(env) if shown_in_order else env
    shown, returns = env.reset(0), 0.0
    while not shown.truncated:
        shown = env.step(policy.act(shown))
        returns += shown.reward
    assert returns == 3


@pytest.mark.parametrize("name", ["probe/relay", "pettingzoo/mpe.simple_spread_v3"])
def test_environments_without_enemies_are_refused(name):
    with pytest.raises(UsageError, match=r"collect.nearest_first is true, but .* does not tell which features"):
        with_nearest_first(envs.spec(name))


def test_families_of_smacs_maps_show_enemies_alike():
    for name in ("smaclite/2s3z", "starcraft/2s3z"):
        assert envs.spec(name).enemies == envs.spec("smac_jax/2s3z").enemies
